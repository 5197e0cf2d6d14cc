/* SPDX-License-Identifier: ISC
 *
 * test_taken.c: calls and lends that were taken as deliveries, and forks while one lasts.
 */
#include "harness.h"

#include <unistd.h>

/* ---- calls, lends --------------------------------------------------------- */

static void never_called(weir_call *call, void *arg)
{
    (void)call, (void)arg;
    failed(__FILE__, __LINE__, "fn runs inside next", 1, 0);
}

static int run_calls(weir_task *task, void *state)
{
    void *result = NULL;
    int   rc = weir_run_in_main(NULL, never_called, task, &result);
    probe_run(task, state);
    return rc == 0 && result == state ? 11 : rc;
}

static probe calling(void) { return (probe){.task = {.run = run_calls, .done = probe_done}}; }

static weir_call *take_call(rig *r, probe *t, weir_delivery *d)
{
    expect_eq(weir_run(r->p, &t->task, r->m), 0);
    expect_eq(weir_main_wait_next(r->m, -1, d), 0);
    expect(d->call && d->fn == never_called && d->arg == t);
    expect(!d->task && !d->notice && !d->pool);
    return d->call;
}

TEST(a_call_is_finished_by_who_took_it)
{
    for (int later = 0; later < 2; later++) {
        rig           r;
        probe         t = calling();
        weir_delivery d = fresh();
        expect(rig_open(&r, 1));
        weir_call *call = take_call(&r, &t, &d);
        if (later)
            weir_delivery_end(&d);
        expect_eq(weir_main_pending(r.m), 2);
        weir_call_finish(call, 0, NULL);
        expect_eq(weir_main_pending(r.m), 1); /* its task */
        weir_delivery_end(&d);
        while (t.dones == 0)
            weir_main_wait(r.m, -1);
        expect_eq(t.outcome, 11);
        rig_close(&r);
    }
}

/* While the delivery lasts its caller holds up the one thread; after it, the call is one
 * whose fn has left the finish to a loop that does not turn. */
TEST(the_fn_of_a_call_has_returned_when_its_delivery_ends)
{
    rig           r;
    probe         t = calling(), other = {.task = {.run = probe_run}};
    weir_delivery d = fresh();
    expect(rig_open(&r, 1));
    weir_call *call = take_call(&r, &t, &d);
    expect_eq(weir_run(r.p, &other.task, NULL), 0);
    expect_eq(weir_wait(&other.task, -1), WEIR_EDEADLK);
    expect_eq(t.runs, 0);
    weir_delivery_end(&d);
    expect_eq(weir_wait(&other.task, -1), 0);
    uint64_t late = weir_main_late_finishes();
    weir_call_finish(call, 0, NULL);
    expect_eq(weir_main_late_finishes() - late, 1);
    expect_eq(weir_main_dispatch(r.m, 0), 1);
    expect_eq(t.outcome, WEIR_EDEADLK);
    rig_close(&r);
}

TEST(the_end_of_a_main_fails_a_call_that_was_taken)
{
    rig           r;
    probe         t = calling();
    weir_delivery d = fresh();
    expect(rig_open(&r, 1));
    weir_call *call = take_call(&r, &t, &d);
    weir_delivery_end(&d);
    t.task.done = probe_done;
    expect_eq(weir_main_close(r.m, WEIR_DETACH), 0);
    pool_end(r.p);
    expect_eq(t.outcome, WEIR_ECLOSED);
    weir_call_finish(call, 0, NULL);
}

static weir_pool *lent_to;
static int        lends;

static void lend_refuses(weir_pool *pool, void *arg)
{
    expect(arg == &lends);
    lent_to = pool;
    lends++;
    weir_worker_refuse(pool, WEIR_EAGAIN);
}

static void open_borrowed(rig *r)
{
    weir_pool_options opts = pool_of(1);
    opts.borrowed = opts.lazy = true;
    opts.lend = lend_refuses, opts.arg = &lends;
    lends = 0, lent_to = NULL;
    expect_eq(weir_main_open(&r->m), 0);
    expect_eq(weir_pool_open_async(&r->p, &opts, r->m, NULL), 0);
}

TEST(a_lend_comes_first_and_says_how_many_threads_for_which_pool)
{
    for (int by_run = 0; by_run < 2; by_run++) {
        rig           r;
        probe         t = PROBE;
        news          n = NEWS;
        weir_delivery d = fresh();
        open_borrowed(&r);
        expect_eq(weir_notice_expect(&n.notice, r.m), 0);
        weir_notice_post(&n.notice, 0);
        expect_eq(weir_run(r.p, &t.task, r.m), 0);
        expect_eq(weir_main_next(r.m, &d), 0);
        expect(d.pool == r.p && d.arg == &lends && d.lends == 1 && !d.task && !d.notice);
        expect_eq(weir_main_pending(r.m), 2); /* the notice and the task alone */
        if (by_run)
            weir_delivery_run(&d);
        else
            weir_worker_refuse(d.pool, WEIR_EAGAIN);
        expect_eq(lends, by_run);
        expect_eq(weir_main_next(r.m, &d), 0);
        expect(d.notice == &n.notice);
        weir_delivery_end(&d);
        main_end(r.m);
        expect_eq(t.outcome, WEIR_EAGAIN);
        pool_end(r.p);
    }
}

TEST(a_lend_keeps_its_pool_until_its_delivery_ends)
{
    rig           r;
    probe         t = PROBE;
    weir_delivery d = fresh();
    open_borrowed(&r);
    expect_eq(weir_run(r.p, &t.task, r.m), 0);
    expect_eq(weir_main_next(r.m, &d), 0);
    expect(d.pool == r.p);
    weir_pool_release(r.p);
    weir_worker_refuse(d.pool, WEIR_EAGAIN); /* its memory is still there */
    weir_delivery_end(&d);
    main_end(r.m);
    expect_eq(t.outcome, WEIR_ECLOSED);
}

/* ---- fork ------------------------------------------------------------------- */

static pid_t child;

static void fork_here(void)
{
    child = child_begin();
    if (child > 0)
        child_reap(child);
}

static void ends_here(rig *r, weir_delivery *d)
{
    weir_delivery_end(d);
    if (child == 0) {
        expect_eq(weir_main_pending(r->m), 0);
        weir_pool_release(r->p);
        expect_eq(weir_main_close(r->m, 0), 0);
        _exit(0);
    }
}

TEST(a_fork_finds_the_delivery_that_lasts)
{
    rig           r;
    probe         t[3];
    weir_delivery d = fresh();
    expect(rig_open(&r, 1));
    settle_undelivered(&r, t, 3);
    expect_eq(weir_main_next(r.m, &d), 0);
    expect_eq(weir_main_next(r.m, &d), 0); /* the first has ended */
    fork_here();
    expect_eq(weir_main_pending(r.m), 2);
    expect(d.task == &t[1].task);
    expect_eq(weir_main_next(r.m, &d), 0);
    expect(d.task == &t[2].task);
    expect_eq(weir_main_pending(r.m), 1);
    ends_here(&r, &d);
    rig_close(&r);
}

TEST(a_fork_finds_a_call_and_a_lend_that_last)
{
    rig           r, borrowed;
    probe         t = calling(), lacks = PROBE;
    weir_delivery d = fresh(), lend = fresh();
    expect(rig_open(&r, 1));
    open_borrowed(&borrowed);
    weir_call *call = take_call(&r, &t, &d);
    expect_eq(weir_run(borrowed.p, &lacks.task, borrowed.m), 0);
    expect_eq(weir_main_next(borrowed.m, &lend), 0);
    expect(lend.pool == borrowed.p);
    weir_pool *kept = borrowed.p;
    fork_here();
    if (child == 0)
        weir_pool_release(borrowed.p); /* the delivery keeps it */
    weir_worker_refuse(kept, WEIR_EAGAIN);
    weir_delivery_end(&lend);
    main_end(borrowed.m);
    expect_eq(lacks.outcome, child ? WEIR_EAGAIN : WEIR_ECLOSED);
    weir_call_finish(call, 0, NULL);
    while (weir_main_pending(r.m))
        weir_main_dispatch(r.m, 0);
    expect_eq(t.outcome, child ? 11 : WEIR_ECLOSED);
    ends_here(&r, &d);
    pool_end(borrowed.p);
    rig_close(&r);
}

SUITE(taken, a_call_is_finished_by_who_took_it,
      the_fn_of_a_call_has_returned_when_its_delivery_ends,
      the_end_of_a_main_fails_a_call_that_was_taken,
      a_lend_comes_first_and_says_how_many_threads_for_which_pool,
      a_lend_keeps_its_pool_until_its_delivery_ends, a_fork_finds_the_delivery_that_lasts,
      a_fork_finds_a_call_and_a_lend_that_last)
