/* SPDX-License-Identifier: ISC
 *
 * test_lend.c: a borrowed pool wants more threads, or loses its last one.
 */
#include "harness.h"

static gate   enters, leaves;
static helper host;

/* Takes the first task, and ends in the middle of it. */
static void serves_one_and_is_lost(void *arg)
{
    weir_worker *w;
    weir_task   *t;
    expect_eq(weir_worker_enter(arg, &w), 0);
    expect_eq(weir_worker_next(w, true, &t), 0);
    gate_open(&enters);
    gate_wait(&leaves);
    weir_worker_leave(w, true, 7);
}

static void open_with_one_thread(rig *r, probe *first, weir_pool_options opts)
{
    news ready = NEWS;
    opts.borrowed = true;
    enters = (gate)GATE, leaves = (gate)GATE;
    *first = (probe){.task = {.run = probe_run, .done = first->task.done}};
    expect_eq(weir_main_open(&r->m), 0);
    expect_eq(weir_pool_open_async(&r->p, &opts, r->m, &ready.notice), 0);
    helper_start(&host, serves_one_and_is_lost, r->p);
    while (ready.calls == 0)
        weir_main_wait(r->m, -1);
    expect_eq(ready.outcome, 0);
    expect_eq(weir_run(r->p, &first->task, NULL), 0);
    gate_wait(&enters);
}

static void blocks(void *arg)
{
    void **a = arg;
    expect_eq(weir_run(a[0], a[1], NULL), WEIR_ECLOSED);
}

/* More of them than the queue has tasks, whose end makes room. */
TEST(a_pool_that_nobody_serves_any_more_lets_blocked_submitters_go)
{
    enum { BLOCKED = 3 };
    rig               r;
    helper            h[BLOCKED];
    probe             first = {.code = 0}, queued = PROBE, t[BLOCKED];
    void             *args[BLOCKED][2];
    weir_pool_options opts = pool_of(1);
    opts.queue_limit = 1, opts.when_full = WEIR_BLOCK;
    open_with_one_thread(&r, &first, opts);
    expect_eq(weir_run(r.p, &queued.task, NULL), 0);
    for (int i = 0; i < BLOCKED; i++) {
        t[i] = (probe)PROBE;
        args[i][0] = r.p, args[i][1] = &t[i].task;
        helper_start(&h[i], blocks, args[i]);
        helper_until_asleep(&h[i]);
    }
    gate_open(&leaves);
    for (int i = 0; i < BLOCKED; i++)
        helper_join(&h[i]);
    helper_join(&host);
    expect_eq(weir_task_outcome(&first.task), 7);
    expect_eq(queued.outcome, WEIR_ECLOSED);
    rig_close(&r);
}

/* ---- lends --------------------------------------------------------------- */

static int    asked;
static gate   waits;
static helper another;

static void serves_until_closed(void *arg)
{
    weir_worker *w;
    weir_task   *t;
    expect_eq(weir_worker_enter(arg, &w), 0);
    while (weir_worker_next(w, true, &t) == 0)
        expect_eq(weir_worker_settle(w, t, t->run(t, NULL)), 0);
    weir_worker_leave(w, false, 0);
}

static void lends_once(weir_pool *pool, void *arg)
{
    (void)arg;
    if (asked++ == 0)
        helper_start(&another, serves_until_closed, pool);
    else
        weir_worker_refuse(pool, WEIR_EAGAIN);
}

static rig   lending;
static probe held;

static void waits_for_the_first_task(void *arg)
{
    weir_pool_options opts = pool_of(1);
    (void)arg;
    opts.threads_max = 2, opts.lend = lends_once;
    open_with_one_thread(&lending, &held, opts);
    gate_open(&waits);
    expect_eq(weir_wait(&held.task, -1), 0);
    helper_join(&host);
    rig_close(&lending);
    helper_join(&another);
}

/* The first task holds the only thread, so the next one needs another. */
TEST(a_main_asleep_in_a_wait_is_woken_to_lend)
{
    helper owner;
    tally  settled = TALLY;
    probe  next = PROBE;
    asked = 0, waits = (gate)GATE;
    next.settled = &settled;
    helper_start(&owner, waits_for_the_first_task, NULL);
    gate_wait(&waits);
    helper_until_asleep(&owner);
    expect_eq(weir_run(lending.p, &next.task, NULL), 0);
    tally_wait(&settled, 1);
    gate_open(&leaves);
    helper_join(&owner);
    expect_eq(next.outcome, 0);
}

static tally next_settled;

static void done_waits_for_the_next(weir_task *task)
{
    (void)task;
    tally_wait(&next_settled, 1);
}

/* It serves at once, and is not one too many beside who is about to leave. */
TEST(the_replacement_of_a_lost_thread_may_come_before_that_has_left)
{
    rig               r;
    probe             first = {.task = {.done = done_waits_for_the_next}}, next = PROBE;
    weir_pool_options opts = pool_of(1);
    asked = 0, next_settled = (tally)TALLY;
    opts.lend = lends_once, next.settled = &next_settled;
    open_with_one_thread(&r, &first, opts);
    expect_eq(weir_run(r.p, &next.task, r.m), 0);
    gate_open(&leaves);
    while (next.dones == 0)
        weir_main_wait(r.m, -1);
    expect_eq(next.outcome, 0);
    helper_join(&host);
    rig_close(&r);
    helper_join(&another);
}

static void never_asked(weir_pool *pool, void *arg)
{
    (void)pool, (void)arg;
    expect(false);
}

TEST(a_lend_to_a_closed_main_is_refused_and_not_waited_for)
{
    rig               r;
    probe             first = {.code = 0}, queued = PROBE;
    tally             settled = TALLY;
    weir_pool_options opts = pool_of(1);
    opts.lend = never_asked;
    queued.settled = &settled;
    open_with_one_thread(&r, &first, opts);
    expect_eq(weir_run(r.p, &queued.task, NULL), 0);
    expect_eq(weir_main_close(r.m, WEIR_DETACH), 0);
    gate_open(&leaves);
    tally_wait(&settled, 1);
    expect_eq(queued.outcome, WEIR_ECLOSED);
    helper_join(&host);
    expect_eq(stats_of(r.p).wanted, 0);
    pool_end(r.p);
}

/* ---- who comes before the request is delivered ---------------------------- */

static gate grows, has_come;

static void comes_unasked(void *arg)
{
    weir_worker *w;
    weir_task   *t;
    gate_wait(&grows);
    expect_eq(weir_worker_enter(arg, &w), 0);
    gate_open(&has_come);
    while (weir_worker_next(w, true, &t) == 0)
        expect_eq(weir_worker_settle(w, t, t->run(t, NULL)), 0);
    weir_worker_leave(w, false, 0);
}

static void waits_for_who_comes(void *arg, weir_trace_event event, const weir_pool *pool,
                                const weir_task *task, int value)
{
    (void)arg, (void)pool, (void)task, (void)value;
    if (event != WEIR_TRACE_GREW)
        return;
    gate_open(&grows);
    gate_wait(&has_come);
}

static void open_with_who_comes(rig *r, probe *first, void (*lend)(weir_pool *, void *))
{
    weir_pool_options opts = pool_of(1);
    opts.lend = lend;
    grows = (gate)GATE, has_come = (gate)GATE;
    open_with_one_thread(r, first, opts);
    expect_eq(weir_pool_resize(r->p, 1, 2), 0); /* not before the first task runs */
    helper_start(&another, comes_unasked, r->p);
}

/* It comes between the submit, which wants it, and the request, which its main refuses. */
TEST(a_thread_that_has_come_is_not_refused_as_well)
{
    rig   r;
    probe first = {.code = 0}, next = PROBE;
    tally settled = TALLY;
    next.settled = &settled;
    open_with_who_comes(&r, &first, never_asked);
    expect_eq(weir_main_close(r.m, WEIR_DETACH), 0);
    weir_trace(waits_for_who_comes, NULL);
    expect_eq(weir_run(r.p, &next.task, NULL), 0);
    weir_trace(NULL, NULL);
    expect_eq(stats_of(r.p).wanted, 0);
    tally_wait(&settled, 1);
    expect_eq(next.outcome, 0);
    gate_open(&leaves);
    helper_join(&host);
    pool_end(r.p);
    helper_join(&another);
}

static void counts(weir_pool *pool, void *arg)
{
    (void)pool, (void)arg;
    asked++;
}

TEST(a_thread_that_has_come_is_asked_for_no_more)
{
    rig   r;
    probe first = {.code = 0};
    asked = 0;
    open_with_who_comes(&r, &first, counts);
    expect_eq(weir_pool_resize(r.p, 2, 2), 0);
    gate_open(&grows);
    gate_wait(&has_come);
    weir_main_dispatch(r.m, 0);
    expect_eq(asked, 0);
    expect_eq(stats_of(r.p).wanted, 0);
    gate_open(&leaves);
    while (asked < 1) /* the lost one's replacement */
        weir_main_wait(r.m, -1);
    helper_join(&host);
    weir_worker_refuse(r.p, WEIR_EAGAIN);
    rig_close(&r);
    helper_join(&another);
}

TEST(a_resize_asks_for_the_threads_that_are_missing)
{
    rig               r;
    probe             first = {.code = 0};
    weir_pool_options opts = pool_of(1);
    opts.lend = counts;
    open_with_one_thread(&r, &first, opts);
    asked = 0;
    expect_eq(weir_pool_resize(r.p, 3, 4), 0);
    expect_eq(weir_pool_resize(r.p, 3, 3), 0);
    expect_eq(asked, 0); /* never called inside */
    while (asked < 2)
        weir_main_wait(r.m, -1);
    expect_eq(stats_of(r.p).wanted, 2);
    for (int i = 0; i < 2; i++)
        weir_worker_refuse(r.p, WEIR_EAGAIN);
    weir_pool_stats s = stats_of(r.p);
    expect(asked == 2 && s.wanted == 0 && s.lends_refused == 2);
    gate_open(&leaves);
    while (asked < 3) /* the lost one's replacement */
        weir_main_wait(r.m, -1);
    helper_join(&host);
    weir_worker_refuse(r.p, WEIR_EAGAIN);
    rig_close(&r);
}

TEST(a_resize_of_a_pool_that_nobody_lends_to_is_refused)
{
    rig   r;
    probe first = {.code = 0};
    open_with_one_thread(&r, &first, pool_of(1));
    expect_eq(weir_pool_resize(r.p, 2, 2), WEIR_EAGAIN);
    expect_eq(stats_of(r.p).wanted, 0);
    gate_open(&leaves);
    helper_join(&host);
    rig_close(&r);
}

static void refuses(weir_pool *pool, void *arg)
{
    weir_worker_refuse(pool, WEIR_EAGAIN);
    ++*(int *)arg;
}

static void is_asked_again_and_again(void *arg)
{
    int               n = 0;
    rig               r;
    helper            h;
    news              ready = NEWS;
    weir_pool_options opts = pool_of(1);
    (void)arg;
    opts.borrowed = true, opts.lend = refuses, opts.arg = &n;
    expect_eq(weir_main_open(&r.m), 0);
    expect_eq(weir_pool_open_async(&r.p, &opts, r.m, &ready.notice), 0);
    helper_start(&h, serves_until_closed, r.p);
    while (ready.calls == 0)
        weir_main_wait(r.m, -1);
    for (int i = 1; i <= 20; i++) {
        expect_eq(weir_pool_resize(r.p, 2, 2), 0);
        while (n < i)
            weir_main_dispatch(r.m, 0);
    }
    rig_close(&r);
    helper_join(&h);
}

TEST(pools_of_two_threads_ask_for_threads_at_the_same_time)
{
    helper h[2];
    for (int i = 0; i < 2; i++)
        helper_start(&h[i], is_asked_again_and_again, NULL);
    for (int i = 0; i < 2; i++)
        helper_join(&h[i]);
}

SUITE(lend, a_pool_that_nobody_serves_any_more_lets_blocked_submitters_go,
      a_lend_to_a_closed_main_is_refused_and_not_waited_for,
      a_thread_that_has_come_is_not_refused_as_well, a_thread_that_has_come_is_asked_for_no_more,
      a_resize_asks_for_the_threads_that_are_missing,
      a_resize_of_a_pool_that_nobody_lends_to_is_refused, a_main_asleep_in_a_wait_is_woken_to_lend,
      the_replacement_of_a_lost_thread_may_come_before_that_has_left,
      pools_of_two_threads_ask_for_threads_at_the_same_time)
