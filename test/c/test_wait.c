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

/* ---- what the loop must not miss ---------------------------------------- */

static rig    the_rig;
static plug   pending; /* so that the main is busy, and needs no nudge */
static plug   holder;
static probe  behind;
static helper another;
static void (*inside)(void); /* what the next call does in the main */

static void answers(weir_call *call, void *arg)
{
    void (*first)(void) = inside;
    (void)arg;
    inside = NULL;
    if (first)
        first();
    weir_call_finish(call, 0, NULL);
}

static void asks(void *arg)
{
    (void)arg;
    expect_eq(weir_run_in_main(NULL, answers, NULL, NULL), 0);
}

static int run_asks(weir_task *task, void *state)
{
    (void)task;
    asks(state);
    return 0;
}

/* Its poster sees that this thread waits, so it only unparks it. */
static void another_call_is_posted(void)
{
    size_t before = weir_main_pending(the_rig.m);
    helper_start(&another, asks, NULL);
    while (weir_main_pending(the_rig.m) == before)
        sched_yield();
    helper_until_asleep(&another);
}

static void a_completion_follows_another_call(void)
{
    another_call_is_posted();
    expect_eq(weir_run(the_rig.p, &behind.task, the_rig.m), 0);
    while (weir_task_get_state(&behind.task) != WEIR_TASK_SETTLED)
        sched_yield();
    stats_of(the_rig.p); /* takes the lock under which it was posted */
}

TEST(a_completion_behind_a_call_that_a_wait_serves_reaches_the_loop)
{
    probe t = {.task = {.run = run_asks}};
    behind = (probe)PROBE;
    inside = a_completion_follows_another_call;
    expect(rig_open(&the_rig, 3) && plug_in(&pending, the_rig.p, the_rig.m));
    expect_eq(weir_run(the_rig.p, &t.task, the_rig.m), 0);
    expect_eq(weir_wait(&t.task, -1), 0);
    expect_eq(behind.dones, 0);
    expect(readable(weir_main_fd(the_rig.m)));
    while (behind.dones == 0)
        weir_main_dispatch(the_rig.m, 0);
    helper_join(&another);
    plug_pull(&pending);
    rig_close(&the_rig);
}

static void the_awaited_settles_and_another_call_is_posted(void)
{
    plug_pull(&holder);
    while (weir_task_get_state(&holder.probe.task) != WEIR_TASK_SETTLED)
        sched_yield();
    another_call_is_posted();
}

TEST(a_call_posted_as_a_wait_ends_reaches_the_loop)
{
    helper first;
    inside = the_awaited_settles_and_another_call_is_posted;
    holder = (plug){.probe = {.task = {.run = probe_run}}, .entered = GATE, .leave = GATE};
    holder.probe.entered = &holder.entered, holder.probe.leave = &holder.leave;
    expect(rig_open(&the_rig, 2) && plug_in(&pending, the_rig.p, the_rig.m));
    expect_eq(weir_run(the_rig.p, &holder.probe.task, NULL), 0);
    helper_start(&first, asks, NULL);
    expect_eq(weir_wait(&holder.probe.task, -1), 0);
    expect(readable(weir_main_fd(the_rig.m)));
    while (!another.returned)
        weir_main_dispatch(the_rig.m, 0);
    helper_join(&first);
    helper_join(&another);
    plug_pull(&pending);
    rig_close(&the_rig);
}

static rig   full;
static probe outer;
static int   waited;

static int run_waits_for_outer(weir_task *task, void *state)
{
    (void)task, (void)state;
    waited = weir_wait(&outer.task, -1);
    return 0;
}

static int run_submits_inner(weir_task *task, void *state)
{
    probe inner = {.task = {.run = run_waits_for_outer}};
    (void)task, (void)state;
    return weir_run(full.p, &inner.task, NULL);
}

/* In a child of fork the wait would find no thread that could say it is stuck. */
TEST(a_task_of_a_full_queue_may_not_wait_for_the_task_that_it_runs_in)
{
    plug              p;
    probe             queued = PROBE;
    weir_pool_options opts = pool_of(1);
    opts.queue_limit = 1, opts.when_full = WEIR_CALLER_RUNS;
    outer = (probe){.task = {.run = run_submits_inner}}, waited = 0;
    expect(rig_open_with(&full, &opts) && plug_in(&p, full.p, full.m));
    expect_eq(weir_run(full.p, &queued.task, full.m), 0);
    expect_eq(weir_run(full.p, &outer.task, NULL), 0);
    expect_eq(waited, WEIR_EDEADLK);
    expect(weir_wait(&outer.task, -1) == 0 && weir_task_outcome(&outer.task) == 0);
    plug_pull(&p);
    rig_close(&full);
}

SUITE(wait, a_task_of_a_full_queue_may_not_wait_for_the_task_that_it_runs_in,
      a_task_without_done_is_waited_for_and_may_run_again,
      wait_says_when_its_time_is_up_and_undoes_nothing,
      wait_is_refused_for_a_task_with_done_or_that_never_ran, many_waiters_wait_for_one_task,
      a_task_that_waits_for_itself_is_told_so, the_last_free_worker_may_not_wait_for_a_queued_task,
      wait_runs_no_done_and_leaves_the_descriptor_readable,
      a_completion_behind_a_call_that_a_wait_serves_reaches_the_loop,
      a_call_posted_as_a_wait_ends_reaches_the_loop)
