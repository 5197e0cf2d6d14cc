/* SPDX-License-Identifier: ISC
 *
 * test_turns.c: what a worker sees to between two tasks, where the next one could follow at once.
 */
#include "lazy.h"

static void until_told(rig *r, probe *t)
{
    while (t->dones == 0)
        expect_op(weir_main_wait(r->m, -1), >=, 0);
}

TEST(a_task_whose_main_closed_while_it_ran_is_told_though_another_follows)
{
    rig        r;
    plug       p;
    probe      next = PROBE;
    tally      settled = TALLY;
    weir_main *m;
    expect(rig_open(&r, 1));
    expect_eq(weir_main_open(&m), 0);
    expect(plug_in(&p, r.p, m));
    p.probe.settled = &settled;
    expect_eq(weir_run(r.p, &next.task, r.m), 0);
    expect_eq(weir_main_close(m, WEIR_DETACH), 0);
    plug_pull(&p);
    tally_wait(&settled, 1);
    expect(p.probe.orphaned);
    until_told(&r, &next);
    rig_close(&r);
}

static probe gone;

static int run_after_gone(weir_task *task, void *state)
{
    expect_eq(gone.dones, 1);
    return probe_run(task, state);
}

TEST(a_done_that_no_main_gets_is_told_before_the_next_task)
{
    rig   r;
    plug  p;
    probe next = {.task = {.run = run_after_gone, .done = probe_done}};
    gone = (probe)PROBE;
    expect(rig_open(&r, 1) && plug_in(&p, r.p, r.m));
    expect_eq(weir_run(r.p, &gone.task, NULL), 0);
    expect_eq(weir_run(r.p, &next.task, r.m), 0);
    expect_eq(weir_cancel(&gone.task), 0);
    plug_pull(&p);
    until_told(&r, &next);
    rig_close(&r);
}

/* The other worker is stuck, so nobody takes the next task. */
static void a_resize_sends_home(bool measures)
{
    rig               r;
    plug              p[2];
    probe             next = PROBE;
    weir_pool_options opts = pool_of(2);
    opts.measure = measures;
    expect(rig_open_with(&r, &opts));
    expect(plug_in(&p[0], r.p, r.m) && plug_in(&p[1], r.p, r.m));
    expect_eq(weir_run(r.p, &next.task, r.m), 0);
    expect_eq(weir_pool_resize(r.p, 1, 1), 0);
    plug_pull(&p[0]);
    until_threads(r.p, 1);
    expect_eq(next.runs, 0);
    plug_pull(&p[1]);
    until_told(&r, &next);
    rig_close(&r);
}

TEST(a_worker_too_many_leaves_before_it_takes_another_task) { a_resize_sends_home(false); }
TEST(it_does_so_in_a_pool_that_measures_as_well) { a_resize_sends_home(true); }

static int64_t may_ask;

static int run_until_it_may(weir_task *task, void *state)
{
    while (now_ns() < may_ask)
        sched_yield();
    return probe_run(task, state);
}

/* The pool asks for no thread until 100 ms after a refusal, and nobody submits meanwhile. */
TEST(a_pool_that_was_refused_a_thread_asks_again_between_two_tasks)
{
    rig   r;
    plug  p;
    gate  other = GATE;
    probe t[3] = {PROBE, PROBE, PROBE};
    expect(rig_open(&r, 1) && plug_in(&p, r.p, r.m));
    expect_eq(weir_pool_resize(r.p, 1, 2), 0);
    t[0].task.run = run_until_it_may, t[1].leave = &other, t[2].entered = &other;
    fault_arm(FAULT_THREAD, 1, 1);
    for (int i = 0; i < 3; i++)
        expect_eq(weir_run(r.p, &t[i].task, r.m), 0);
    expect(fault_disarm());
    may_ask = now_ns() + MILLIS(100);
    plug_pull(&p);
    for (int i = 0; i < 3; i++)
        until_told(&r, &t[i]);
    rig_close(&r);
}

SUITE(turns, a_task_whose_main_closed_while_it_ran_is_told_though_another_follows,
      a_done_that_no_main_gets_is_told_before_the_next_task,
      a_worker_too_many_leaves_before_it_takes_another_task,
      it_does_so_in_a_pool_that_measures_as_well,
      a_pool_that_was_refused_a_thread_asks_again_between_two_tasks)
