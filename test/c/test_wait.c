/* SPDX-License-Identifier: ISC
 *
 * test_wait.c: waiting for a task without done.
 */
#include "harness.h"

SCENARIO(a_task_without_done_is_waited_for_and_may_run_again)
{
    rig   r;
    probe t = PROBE;
    t.task.done = NULL;
    bool open = rig_open(&r, 1);
    for (int i = 1; open && i <= 20; i++) {
        t.code = i;
        if (!given(weir_run(r.p, &t.task, i & 1 ? r.m : NULL)))
            continue;
        expect_eq(weir_wait(&t.task, -1), 0);
        expect_eq(weir_task_outcome(&t.task), i);
        expect_eq(weir_wait(&t.task, 0), 0);
    }
    rig_close(&r);
}

TEST(wait_says_when_its_time_is_up_and_undoes_nothing)
{
    rig  r;
    plug p;
    expect(rig_open(&r, 1) && plug_in(&p, r.p, NULL));
    probe t = PROBE;
    t.task.done = NULL;
    expect_eq(weir_run(r.p, &t.task, NULL), 0);
    expect_eq(weir_wait(&t.task, 0), WEIR_ETIMEDOUT);
    int64_t before = now_ns();
    expect_eq(weir_wait(&t.task, MILLIS(5)), WEIR_ETIMEDOUT);
    expect_op(now_ns() - before, >=, MILLIS(5));
    plug_pull(&p);
    expect_eq(weir_wait(&t.task, SECONDS(1000)), 0);
    expect_eq(t.runs, 1);
    rig_close(&r);
}

TEST(wait_is_refused_for_a_task_with_done_or_that_never_ran)
{
    rig   r;
    probe with_done = PROBE, never = PROBE;
    never.task.done = NULL;
    expect(rig_open(&r, 1));
    expect_eq(weir_run(r.p, &with_done.task, r.m), 0);
    expect_eq(weir_wait(&with_done.task, -1), WEIR_EINVAL);
    expect_eq(weir_wait(&never.task, -1), WEIR_EINVAL);
    expect_eq(weir_wait(NULL, 0), WEIR_EINVAL);
    rig_close(&r);
}

static void waits(void *arg) { expect_eq(weir_wait(arg, -1), 0); }

TEST(many_waiters_wait_for_one_task)
{
    rig    r;
    plug   p;
    helper waiters[6];
    expect(rig_open(&r, 1) && plug_in(&p, r.p, NULL));
    probe t = PROBE;
    t.task.done = NULL;
    expect_eq(weir_run(r.p, &t.task, NULL), 0);
    for (int i = 0; i < 6; i++)
        helper_start(&waiters[i], waits, &t.task);
    for (int i = 0; i < 6; i++)
        helper_until_asleep(&waiters[i]);
    plug_pull(&p);
    for (int i = 0; i < 6; i++)
        helper_join(&waiters[i]);
    expect_eq(t.runs, 1);
    rig_close(&r);
}

static int run_waits_for_itself(weir_task *task, void *state)
{
    (void)state;
    return weir_wait(task, -1);
}

TEST(a_task_that_waits_for_itself_is_told_so)
{
    rig   r;
    probe t = {.task = {.run = run_waits_for_itself}};
    expect(rig_open(&r, 2));
    expect_eq(weir_run(r.p, &t.task, NULL), 0);
    expect_eq(weir_wait(&t.task, -1), 0);
    expect_eq(weir_task_outcome(&t.task), WEIR_EDEADLK);
    rig_close(&r);
}

static int run_waits_for_another(weir_task *task, void *state)
{
    (void)state;
    return weir_wait(((probe *)task)->state, -1);
}

TEST(the_last_free_worker_may_not_wait_for_a_queued_task)
{
    rig   r;
    probe first = {.task = {.run = run_waits_for_another}};
    probe second = first, wanted = PROBE;
    wanted.task.done = NULL;
    first.state = second.state = &wanted.task;
    expect(rig_open(&r, 2));
    expect_eq(weir_pool_pause(r.p), 0);
    expect_eq(weir_run(r.p, &first.task, NULL), 0);
    expect_eq(weir_run(r.p, &second.task, NULL), 0);
    expect_eq(weir_run(r.p, &wanted.task, NULL), 0);
    expect_eq(weir_pool_resume(r.p), 0);
    expect_eq(weir_wait(&first.task, -1), 0);
    expect_eq(weir_wait(&second.task, -1), 0);
    expect_eq(weir_wait(&wanted.task, -1), 0);
    int a = weir_task_outcome(&first.task), b = weir_task_outcome(&second.task);
    expect((a == 0 || a == WEIR_EDEADLK) && (b == 0 || b == WEIR_EDEADLK));
    expect(a == WEIR_EDEADLK || b == WEIR_EDEADLK);
    rig_close(&r);
}

TEST(wait_runs_no_done_and_leaves_the_descriptor_readable)
{
    rig   r;
    probe delivered = PROBE, waited = PROBE;
    waited.task.done = NULL;
    expect(rig_open(&r, 1));
    expect_eq(weir_run(r.p, &delivered.task, r.m), 0);
    expect_eq(weir_run(r.p, &waited.task, r.m), 0);
    expect_eq(weir_wait(&waited.task, -1), 0);
    expect_eq(delivered.dones, 0);
    expect(readable(weir_main_fd(r.m)));
    expect_eq(weir_main_dispatch(r.m, 0), 1);
    expect_eq(delivered.dones, 1);
    rig_close(&r);
}

SUITE(wait, a_task_without_done_is_waited_for_and_may_run_again,
      wait_says_when_its_time_is_up_and_undoes_nothing,
      wait_is_refused_for_a_task_with_done_or_that_never_ran, many_waiters_wait_for_one_task,
      a_task_that_waits_for_itself_is_told_so,
      the_last_free_worker_may_not_wait_for_a_queued_task,
      wait_runs_no_done_and_leaves_the_descriptor_readable)
