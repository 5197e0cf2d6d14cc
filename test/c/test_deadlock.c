/* SPDX-License-Identifier: ISC
 *
 * test_deadlock.c: the main would wait for a worker that waits for the main.
 */
#include "harness.h"

static rig        here;
static int        answer; /* what the main got inside the call */
static weir_call *kept;
static bool       keeps;
static int (*tries)(void);

static void on_main(weir_call *call, void *arg)
{
    (void)arg;
    answer = tries ? tries() : 0;
    kept = call;
    if (!keeps)
        weir_call_finish(call, 0, NULL);
}

static int run_asks(weir_task *task, void *state)
{
    probe_run(task, state);
    return weir_run_in_main(NULL, on_main, NULL, NULL);
}

static probe asking(void) { return (probe){.task = {.run = run_asks, .done = probe_done}}; }

static void begin(unsigned threads, int (*fn)(void), bool keep)
{
    weir_pool_options opts = pool_of(threads);
    opts.queue_limit = 1, opts.when_full = WEIR_BLOCK;
    tries = fn, keeps = keep, answer = 1, kept = NULL;
    expect(rig_open_with(&here, &opts));
}

static void until_done(probe *t)
{
    while (t->dones == 0)
        expect_op(weir_main_wait(here.m, -1), >=, 0);
}

static int closes(void) { return weir_close(here.p, WEIR_CLOSE); }
static int drains(void) { return weir_close(here.p, WEIR_DRAIN); }

TEST(a_call_may_not_close_the_pool_whose_task_waits_for_it)
{
    for (int drain = 0; drain < 2; drain++)
        for (int served = 0; served < 2; served++) {
            probe t = asking();
            begin(2, drain ? drains : closes, false);
            if (served)
                t.task.done = NULL;
            expect_eq(weir_run(here.p, &t.task, here.m), 0);
            if (served)
                expect_eq(weir_wait(&t.task, -1), 0);
            else
                until_done(&t);
            expect_eq(answer, WEIR_EDEADLK);
            expect_eq(weir_task_outcome(&t.task), 0);
            probe next = PROBE; /* nothing was changed */
            expect_eq(weir_run(here.p, &next.task, here.m), 0);
            until_done(&next);
            rig_close(&here);
        }
}

static int closes_within(void) { return weir_close_within(here.p, WEIR_CLOSE, MILLIS(2)); }

TEST(a_call_may_close_the_pool_of_its_task_for_some_time)
{
    probe t = asking();
    begin(2, closes_within, false);
    expect_eq(weir_run(here.p, &t.task, here.m), 0);
    until_done(&t);
    expect_eq(answer, WEIR_ETIMEDOUT);
    expect_eq(t.outcome, 0);
    rig_close(&here);
}

static probe others[2];

static int fills_the_queue(void)
{
    others[0] = others[1] = (probe)PROBE;
    int rc = weir_run(here.p, &others[0].task, here.m);
    return rc ? rc : weir_run(here.p, &others[1].task, here.m);
}

TEST(a_call_may_not_block_on_the_queue_of_a_pool_that_waits_for_it_whole)
{
    probe t = asking();
    begin(1, fills_the_queue, false);
    expect_eq(weir_run(here.p, &t.task, here.m), 0);
    until_done(&t);
    expect_eq(answer, WEIR_EDEADLK);
    until_done(&others[0]);
    expect_eq(others[1].runs, 0);
    rig_close(&here);
}

static int runs_and_waits(void)
{
    others[0] = (probe)PROBE;
    others[0].task.done = NULL;
    expect_eq(weir_run(here.p, &others[0].task, NULL), 0);
    return weir_wait(&others[0].task, -1);
}

TEST(a_call_may_not_wait_for_a_task_of_a_pool_that_waits_for_it_whole)
{
    for (unsigned threads = 1; threads <= 2; threads++) {
        probe t = asking();
        begin(threads, runs_and_waits, false);
        expect_eq(weir_run(here.p, &t.task, here.m), 0);
        until_done(&t);
        expect_eq(answer, threads == 1 ? WEIR_EDEADLK : 0);
        expect_eq(weir_wait(&others[0].task, -1), 0);
        rig_close(&here);
    }
}

TEST(an_endless_wait_fails_the_calls_that_only_its_loop_could_finish)
{
    uint64_t late = weir_main_late_finishes();
    probe    t = asking();
    begin(1, NULL, true);
    expect_eq(weir_run(here.p, &t.task, here.m), 0);
    while (!kept)
        weir_main_wait(here.m, MILLIS(1));
    expect_eq(t.dones, 0);
    expect_eq(weir_close(here.p, WEIR_CLOSE), 0); /* would wait for itself */
    until_done(&t);
    expect_eq(t.outcome, WEIR_EDEADLK);
    weir_call_finish(kept, 0, NULL);
    expect_eq(weir_main_late_finishes(), late + 1);
    rig_close(&here);
}

TEST(a_call_of_another_pool_may_be_waited_beside)
{
    rig   other;
    probe t = asking();
    plug  p;
    begin(1, NULL, true);
    other.m = NULL;
    weir_pool_options opts = pool_of(1);
    expect_eq(weir_pool_open(&other.p, &opts), 0);
    expect_eq(weir_run(here.p, &t.task, here.m), 0);
    while (!kept)
        weir_main_wait(here.m, MILLIS(1));
    expect(plug_in(&p, other.p, NULL));
    plug_pull(&p);
    expect_eq(weir_close(other.p, WEIR_DRAIN), 0);
    weir_pool_release(other.p);
    expect_eq(t.dones, 0);
    weir_call_finish(kept, 0, NULL);
    until_done(&t);
    expect_eq(t.outcome, 0);
    rig_close(&here);
}

static rig   second;
static probe inner;

static int run_runs_the_second_pools(weir_task *task, void *state)
{
    probe_run(task, state);
    inner = (probe){.task = {.run = run_asks}};
    return weir_run(second.p, &inner.task, NULL);
}

/* The one worker waits for the main, in a task that it runs as the caller of another pool. */
TEST(a_worker_that_visits_another_pool_is_held_up_too)
{
    probe             t = {.task = {.run = run_runs_the_second_pools, .done = probe_done}};
    probe             queued = PROBE;
    weir_pool_options opts = pool_of(1);
    opts.queue_limit = 1, opts.when_full = WEIR_CALLER_RUNS;
    begin(1, runs_and_waits, false);
    second.m = NULL;
    expect_eq(weir_pool_open(&second.p, &opts), 0);
    expect_eq(weir_pool_pause(second.p), 0);
    expect_eq(weir_run(second.p, &queued.task, here.m), 0);
    expect_eq(weir_run(here.p, &t.task, here.m), 0);
    until_done(&t);
    expect(t.outcome == 0 && inner.runs == 1);
    expect_eq(answer, WEIR_EDEADLK);
    expect_eq(weir_wait(&others[0].task, -1), 0);
    pool_end(second.p);
    until_done(&queued);
    rig_close(&here);
}

SUITE(deadlock, a_call_may_not_close_the_pool_whose_task_waits_for_it,
      a_call_may_close_the_pool_of_its_task_for_some_time,
      a_call_may_not_block_on_the_queue_of_a_pool_that_waits_for_it_whole,
      a_call_may_not_wait_for_a_task_of_a_pool_that_waits_for_it_whole,
      an_endless_wait_fails_the_calls_that_only_its_loop_could_finish,
      a_call_of_another_pool_may_be_waited_beside, a_worker_that_visits_another_pool_is_held_up_too)
