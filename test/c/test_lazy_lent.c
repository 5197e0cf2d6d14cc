/* SPDX-License-Identifier: ISC
 *
 * test_lazy_lent.c: lazy pools whose threads are lent.
 */
#include "lazy.h"

static struct {
    int    asked, refuses_with, unfit;
    gate  *leaves;
    helper h;
} host;

static void serves(void *pool)
{
    weir_worker *w;
    weir_task   *t;
    if (weir_worker_enter(pool, &w) != 0)
        return;
    if (host.leaves)
        gate_wait(host.leaves);
    while (!host.unfit && weir_worker_next(w, true, &t) == 0 &&
           weir_worker_settle(w, t, t->run(t, NULL)) == 0)
        continue;
    weir_worker_leave(w, false, host.unfit);
}

static void lends(weir_pool *p, void *arg)
{
    (void)arg;
    host.asked++;
    if (host.refuses_with)
        weir_worker_refuse(p, host.refuses_with);
    else
        helper_start(&host.h, serves, p);
}

static weir_pool_options lazily_lent(void)
{
    weir_pool_options o = pool_of(1);
    host.asked = host.refuses_with = host.unfit = 0, host.leaves = NULL;
    o.lazy = o.borrowed = true, o.lend = lends, o.idle_ns = 1;
    states = (tally)TALLY;
    return o;
}

TEST(a_thread_is_lent_at_the_first_task)
{
    rig               r;
    news              ready = NEWS;
    probe             t;
    weir_pool_options opts = lazily_lent();
    expect_eq(weir_main_open(&r.m), 0);
    expect_eq(weir_pool_open_async(&r.p, &opts, r.m, &ready.notice), 0);
    expect_eq(weir_main_dispatch(r.m, 0), 1);
    expect(ready.calls == 1 && ready.outcome == 0 && host.asked == 0);
    for (int round = 1; round <= 2; round++) {
        run_through(&r, &t, 0, 0);
        expect_eq(host.asked, round);
        helper_join(&host.h);
    }
    rig_end(&r);
}

TEST(a_refused_lend_settles_what_waits_and_the_next_task_asks_again)
{
    rig               r;
    probe             t;
    weir_pool_options opts = lazily_lent();
    expect_eq(weir_main_open(&r.m), 0);
    expect_eq(weir_pool_open_async(&r.p, &opts, r.m, NULL), 0);
    host.refuses_with = WEIR_EAGAIN;
    run_through(&r, &t, 0, WEIR_EAGAIN);
    host.refuses_with = 17;
    run_through(&r, &t, 0, WEIR_EINIT);
    expect_eq(weir_pool_init_error(r.p), 17);
    host.refuses_with = 0;
    run_through(&r, &t, 3, 3);
    helper_join(&host.h);
    rig_end(&r);
}

TEST(a_lent_thread_that_turns_out_unfit_settles_what_waits_as_a_refused_one)
{
    rig               r;
    probe             t;
    weir_pool_options opts = lazily_lent();
    expect_eq(weir_main_open(&r.m), 0);
    expect_eq(weir_pool_open_async(&r.p, &opts, r.m, NULL), 0);
    const struct {
        int unfit, outcome;
    } tries[] = {{17, WEIR_EINIT}, {WEIR_ENOMEM, WEIR_ENOMEM}, {0, 0}};
    for (int i = 0; i < 3; i++) {
        host.unfit = tries[i].unfit;
        run_through(&r, &t, 0, tries[i].outcome);
        helper_join(&host.h);
        expect_eq(host.asked, i + 1);
    }
    expect_eq(weir_pool_init_error(r.p), 17);
    expect_eq(stats_of(r.p).lends_refused, 2);
    rig_end(&r);
}

TEST(and_fails_no_task_that_comes_later)
{
    rig               r;
    gate              leaves = GATE;
    probe             t = PROBE;
    weir_pool_options opts = lazily_lent();
    expect_eq(weir_main_open(&r.m), 0);
    expect_eq(weir_pool_open_async(&r.p, &opts, r.m, NULL), 0);
    host.unfit = 17, host.leaves = &leaves;
    expect_eq(weir_run(r.p, &t.task, r.m), 0);
    while (stats_of(r.p).threads == 0)
        weir_main_wait(r.m, 0);
    expect_eq(weir_cancel(&t.task), 0);
    gate_open(&leaves);
    helper_join(&host.h);
    until_done(&r, &t);
    host.unfit = 0;
    run_through(&r, &t, 0, 0);
    helper_join(&host.h);
    rig_end(&r);
}

TEST(a_drain_waits_for_the_lend_that_it_asked_for)
{
    rig               r;
    probe             t = PROBE;
    weir_pool_options opts = lazily_lent();
    expect_eq(weir_main_open(&r.m), 0);
    expect_eq(weir_pool_open_async(&r.p, &opts, r.m, NULL), 0);
    expect_eq(weir_run(r.p, &t.task, r.m), 0);
    expect_eq(weir_close(r.p, WEIR_DRAIN), 0); /* serves the lend meanwhile */
    until_done(&r, &t);
    expect(t.outcome == 0 && host.asked == 1);
    helper_join(&host.h);
    rig_end(&r);
}

static void lends_nobody(weir_pool *p, void *arg) { (void)p, (void)arg; }

TEST(a_drain_ends_when_what_waits_for_a_lend_is_taken_back)
{
    rig               r;
    news              closed = NEWS;
    probe             t = PROBE;
    weir_pool_options opts = lazily_lent();
    opts.lend = lends_nobody;
    expect_eq(weir_main_open(&r.m), 0);
    expect_eq(weir_pool_open_async(&r.p, &opts, r.m, NULL), 0);
    expect_eq(weir_run(r.p, &t.task, r.m), 0);
    expect_eq(weir_close_within(r.p, WEIR_DRAIN, 0), WEIR_ETIMEDOUT);
    until_done(&r, &t);
    expect_eq(t.outcome, WEIR_ECLOSED);
    rig_end(&r);
    expect_eq(weir_main_open(&r.m), 0);
    expect_eq(weir_pool_open_async(&r.p, &opts, r.m, NULL), 0);
    expect_eq(weir_run(r.p, &t.task, r.m), 0);
    expect_eq(weir_close_async(r.p, WEIR_DRAIN, NULL, &closed.notice), 0);
    expect_eq(weir_pool_purge(r.p), 1);
    expect_eq(closed.calls, 1);
    rig_end(&r);
}

/* Of two that were asked for; the other one comes. */
TEST(a_refused_lend_settles_nothing_while_another_is_to_come)
{
    rig               r;
    probe             t = PROBE;
    weir_pool_options opts = lazily_lent();
    opts.lend = lends_nobody, opts.threads_max = 2;
    expect_eq(weir_main_open(&r.m), 0);
    expect_eq(weir_pool_open_async(&r.p, &opts, r.m, NULL), 0);
    expect_eq(weir_pool_resize(r.p, 2, 2), 0);
    expect_eq(weir_run(r.p, &t.task, r.m), 0);
    weir_worker_refuse(r.p, WEIR_EAGAIN);
    expect_eq(stats_of(r.p).queued, 1);
    helper_start(&host.h, serves, r.p);
    until_done(&r, &t);
    expect_eq(t.outcome, 0);
    rig_end(&r);
    helper_join(&host.h);
}

TEST(where_the_lender_is_gone_what_waits_settles)
{
    rig               r;
    probe             t = PROBE;
    weir_main        *other;
    weir_pool_options opts = lazily_lent();
    expect_eq(weir_main_open(&r.m), 0);
    expect_eq(weir_main_open(&other), 0);
    expect_eq(weir_pool_open_async(&r.p, &opts, other, NULL), 0);
    expect_eq(weir_main_close(other, 0), 0);
    expect_eq(weir_run(r.p, &t.task, r.m), 0);
    until_done(&r, &t);
    expect_eq(t.outcome, WEIR_EAGAIN);
    rig_end(&r);
}

TEST(who_cannot_lend_cannot_be_lazy)
{
    rig               r;
    weir_pool        *p;
    weir_pool_options opts = lazily_lent();
    expect_eq(weir_main_open(&r.m), 0);
    expect_eq(weir_pool_open_async(&p, &opts, NULL, NULL), WEIR_EINVAL);
    opts.lend = NULL;
    expect_eq(weir_pool_open_async(&p, &opts, r.m, NULL), WEIR_EINVAL);
    opts.lazy = false;
    expect_eq(weir_pool_open_async(&r.p, &opts, r.m, NULL), 0);
    expect_eq(weir_pool_resize(r.p, 0, 1), WEIR_EINVAL);
    weir_worker_refuse(r.p, WEIR_EAGAIN);
    rig_end(&r);
}

SUITE(lazy_lent, a_thread_is_lent_at_the_first_task,
      a_refused_lend_settles_what_waits_and_the_next_task_asks_again,
      a_lent_thread_that_turns_out_unfit_settles_what_waits_as_a_refused_one,
      and_fails_no_task_that_comes_later, a_drain_waits_for_the_lend_that_it_asked_for,
      a_drain_ends_when_what_waits_for_a_lend_is_taken_back,
      a_refused_lend_settles_nothing_while_another_is_to_come,
      where_the_lender_is_gone_what_waits_settles, who_cannot_lend_cannot_be_lazy)
