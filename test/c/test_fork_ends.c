/* SPDX-License-Identifier: ISC
 *
 * test_fork_ends.c: forks from what an end runs: of an abandoned task, a main, a call.
 */
#include "forks.h"

#include <unistd.h>

/* ---- an abandoned task keeps its main until its release -------------------- */

/* Opens the pool from its main, which it holds too. */
static void abandon_one(probe *t)
{
    gate              entered = GATE, leave = GATE;
    weir_pool_options opts = pool_of(1);
    child = -1, releases = 0;
    t->entered = &entered, t->leave = &leave, t->task.release = notes_release;
    expect_eq(weir_main_open(&live.m), 0);
    expect_eq(weir_pool_open_async(&live.p, &opts, live.m, NULL), 0);
    expect_eq(weir_run(live.p, &t->task, live.m), 0);
    gate_wait(&entered);
    expect_eq(weir_task_abandon(&t->task), 0);
    gate_open(&leave);
    while (stats_of(live.p).lost)
        sched_yield();
}

static void end_of_an_abandoned(probe *t)
{
    while (t->dones == 0)
        weir_main_dispatch(live.m, 0);
    expect_eq(releases, 1);
    if (child == 0) {
        long held = fault_live_blocks();
        expect_eq(weir_main_close(live.m, 0), 0);
        expect_eq(fault_live_blocks(), held); /* the pool holds the main */
        weir_pool_release(live.p);
        expect_op(fault_live_blocks(), <, held);
        _exit(0);
    }
    rig_close(&live);
}

TEST(a_child_releases_what_was_abandoned_and_is_undelivered)
{
    probe t = {.task = {.run = probe_run, .done = probe_done}};
    abandon_one(&t);
    fork_here();
    end_of_an_abandoned(&t);
}

TEST(a_done_of_an_abandoned_task_may_fork)
{
    probe t = {.task = {.run = probe_run, .done = done_forks}};
    abandon_one(&t);
    end_of_an_abandoned(&t);
}

static void release_forks(weir_task *task)
{
    fork_here();
    notes_release(task);
}

TEST(a_release_of_an_abandoned_task_may_fork)
{
    probe t = {.task = {.run = probe_run, .done = probe_done}};
    abandon_one(&t);
    t.task.release = release_forks;
    end_of_an_abandoned(&t);
}

/* ---- from what the close of a main runs ------------------------------------ */

static long held;

static void forks_when_idle(weir_main *m, bool busy, void *arg)
{
    (void)m, (void)arg;
    if (busy || child >= 0)
        return;
    fork_here();
    held = fault_live_blocks();
}

/* What still comes keeps the main's memory, in the child too, until it was told. */
TEST(a_closing_main_may_fork)
{
    plug p;
    child = -1;
    expect(rig_open(&live, 1));
    expect_eq(weir_main_on_busy(live.m, forks_when_idle, NULL), 0);
    expect(plug_in(&p, live.p, live.m));
    expect_eq(weir_main_close(live.m, WEIR_DETACH), 0);
    expect_op(child, >=, 0);
    expect_eq(fault_live_blocks(), held);
    if (child)
        plug_pull(&p);
    expect_eq(weir_close(live.p, WEIR_DRAIN), 0);
    expect(p.probe.dones == 1 && p.probe.outcome == (child ? 0 : WEIR_ECLOSED));
    expect_op(fault_live_blocks(), <, held);
    weir_pool_release(live.p);
    if (child == 0)
        _exit(0);
}

/* ---- from a task that its submitter runs --------------------------------- */

static int run_forks_here(weir_task *task, void *state)
{
    (void)state;
    fork_here();
    if (child == 0) { /* its own done is not among them */
        weir_main_dispatch(live.m, 0);
        expect_eq(((probe *)task)->dones, 0);
        expect_eq(weir_task_get_state(task), WEIR_TASK_RUNNING);
        expect_eq(stats_of(live.p).running, 1);
    }
    return 7;
}

static void callers_task_forks(bool has_done)
{
    plug              p;
    probe             queued = PROBE, t = {.task = {.run = run_forks_here}};
    weir_pool_options opts = pool_of(1);
    opts.queue_limit = 1, opts.when_full = WEIR_CALLER_RUNS;
    t.task.done = has_done ? probe_done : NULL;
    expect(rig_open_with(&live, &opts) && plug_in(&p, live.p, live.m));
    expect_eq(weir_run(live.p, &queued.task, live.m), 0);
    expect_eq(weir_run(live.p, &t.task, live.m), 0);
    if (child)
        plug_pull(&p);
    if (!has_done)
        expect_eq(weir_wait(&t.task, -1), 0);
    while (weir_main_pending(live.m))
        weir_main_wait(live.m, -1);
    expect_eq(weir_task_outcome(&t.task), child ? 7 : WEIR_ECLOSED);
    expect(t.dones == has_done && queued.dones == 1);
    if (child == 0)
        child_leaves_nothing(live.p, live.m);
    rig_close(&live);
}

TEST(a_task_that_its_caller_runs_may_fork) { callers_task_forks(true); }
TEST(a_task_without_done_that_its_caller_runs_may_fork) { callers_task_forks(false); }

/* ---- from a call that a wait serves ------------------------------------- */

static void closes_live(void *arg)
{
    (void)arg;
    expect_eq(weir_close(live.p, WEIR_CLOSE), 0);
}

static void dirties_its_stack(void *arg)
{
    volatile char mess[1 << 15];
    for (size_t i = 0; i < sizeof mess; i++)
        mess[i] = (char)0xa5;
    gate_wait(arg);
}

/* New threads get the stacks that the parent's had. */
static void reuse_stacks(void)
{
    helper h[2];
    gate   leave = GATE;
    for (int i = 0; i < 2; i++)
        helper_start(&h[i], dirties_its_stack, &leave);
    gate_open(&leave);
    for (int i = 0; i < 2; i++)
        helper_join(&h[i]);
}

static helper closer;

static void forks_beside_a_closer(weir_call *call, void *arg)
{
    helper_start(&closer, closes_live, NULL);
    helper_until_asleep(&closer);
    forks_and_answers(call, arg);
}

static int run_asks_for_both(weir_task *task, void *state)
{
    (void)task, (void)state;
    return weir_run_in_main(NULL, forks_beside_a_closer, NULL, NULL);
}

TEST(a_close_that_serves_a_fork_forgets_who_waited_beside_it)
{
    probe t = {.task = {.run = run_asks_for_both}};
    news  n = NEWS;
    child = -1;
    expect(rig_open(&live, 1));
    expect_eq(weir_run(live.p, &t.task, live.m), 0);
    expect_eq(weir_close(live.p, WEIR_DRAIN), 0);
    if (child == 0 && !under_tsan()) /* it takes a reused thread id for an error */
        reuse_stacks();
    expect_eq(weir_close_async(live.p, WEIR_CLOSE, live.m, &n.notice), 0);
    while (n.calls == 0)
        weir_main_wait(live.m, -1);
    if (child)
        helper_join(&closer);
    live_close();
}

typedef struct {
    weir_main *asked, *own;
    gate       open;
    int        rc;
} asker;

static weir_call *kept;

static void keeps(weir_call *call, void *arg)
{
    (void)arg;
    kept = call;
}

/* In the child this is the one thread, and whom it asks has none. */
static void asks_and_serves(void *arg)
{
    asker *a = arg;
    expect_eq(weir_main_open(&a->own), 0);
    gate_open(&a->open);
    a->rc = weir_run_in_main(a->asked, keeps, NULL, NULL);
    expect_eq(weir_main_close(a->own, 0), 0);
    if (child)
        return;
    expect_eq(a->rc, WEIR_ECLOSED);
    _exit(0);
}

static void asks_for_a_fork(void *arg)
{
    expect_eq(weir_run_in_main(((asker *)arg)->own, forks_and_answers, NULL, NULL), 0);
}

static void a_caller_forks(bool once_begun)
{
    helper h[2];
    asker  a = {.open = GATE};
    child = -1, kept = NULL;
    expect_eq(weir_main_open(&a.asked), 0);
    helper_start(&h[0], asks_and_serves, &a);
    gate_wait(&a.open);
    while (once_begun && !kept)
        weir_main_wait(a.asked, MILLIS(1));
    helper_until_asleep(&h[0]);
    helper_start(&h[1], asks_for_a_fork, &a);
    helper_join(&h[1]);
    while (!kept)
        weir_main_wait(a.asked, MILLIS(1));
    weir_call_finish(kept, 0, NULL);
    helper_join(&h[0]);
    expect_eq(a.rc, 0);
    main_end(a.asked);
}

TEST(a_posted_call_whose_caller_forks_is_closed_in_the_child) { a_caller_forks(false); }
TEST(a_begun_call_whose_caller_forks_is_closed_in_the_child) { a_caller_forks(true); }

SUITE(fork_ends, a_child_releases_what_was_abandoned_and_is_undelivered,
      a_done_of_an_abandoned_task_may_fork, a_release_of_an_abandoned_task_may_fork,
      a_closing_main_may_fork, a_task_that_its_caller_runs_may_fork,
      a_task_without_done_that_its_caller_runs_may_fork,
      a_close_that_serves_a_fork_forgets_who_waited_beside_it,
      a_posted_call_whose_caller_forks_is_closed_in_the_child,
      a_begun_call_whose_caller_forks_is_closed_in_the_child)
