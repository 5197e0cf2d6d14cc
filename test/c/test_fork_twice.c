/* SPDX-License-Identifier: ISC
 *
 * test_fork_twice.c: what each call says in a child, and in a child of a child, forked
 * from the main's thread and from a task.
 */
#include "harness.h"

#include <unistd.h>

static struct {
    rig   r;
    probe queued, waited; /* when the fork comes; settled in the child */
    plug  p;
    int   forks;
    bool  returns; /* the task's child returns from run */
} now;

static void not_called(weir_call *call, void *arg)
{
    (void)arg;
    weir_call_finish(call, 0, NULL);
}

static void expect_tasks_gone(void)
{
    weir_run_options soon = {.size = sizeof soon, .start_within_ns = 1};
    probe            t = PROBE;
    expect_eq(weir_run(now.r.p, &t.task, NULL), WEIR_EFORKED);
    expect_eq(weir_run_with(now.r.p, &t.task, &soon), WEIR_EFORKED);
    expect_eq(weir_cancel(&now.waited.task), WEIR_EINVAL);
    expect_eq(weir_task_unpark(&now.waited.task), WEIR_EINVAL);
    expect_eq(weir_task_abandon(&now.waited.task), WEIR_EINVAL);
    expect_eq(weir_wait(&now.waited.task, -1), 0);
    expect_eq(weir_task_outcome(&now.waited.task), WEIR_ECLOSED);
    expect_eq(weir_pool_purge(now.r.p), 0);
}

static void expect_pool_closed(bool in_task)
{
    news              told = NEWS;
    weir_pool_options opts = {.size = sizeof opts};
    weir_pool_stats   s = stats_of(now.r.p);
    expect(s.threads == 0 && s.queued == 0 && s.running == in_task);
    expect_eq(weir_pool_get_options(now.r.p, &opts), 0);
    expect_eq(weir_pool_resize(now.r.p, 1, 2), WEIR_ECLOSED);
    expect_eq(weir_pool_pause(now.r.p), WEIR_ECLOSED);
    expect_eq(weir_pool_resume(now.r.p), WEIR_ECLOSED);
    weir_blocking_begin(), weir_blocking_end();
    weir_spawning_begin(), weir_spawning_end();
    expect_eq(weir_close_async(now.r.p, WEIR_DRAIN, NULL, &told.notice), 0);
    expect_eq(told.calls, 1);
    expect_eq(weir_close_within(now.r.p, WEIR_CLOSE, 0), 0);
    expect_eq(weir_close(now.r.p, WEIR_DRAIN), 0);
}

static void expect_main_gone(void)
{
    news n = NEWS;
    expect_eq(weir_pool_on_space(now.r.p, &n.notice, now.r.m), WEIR_ECLOSED);
    expect_eq(weir_notice_expect(&n.notice, now.r.m), WEIR_ECLOSED);
    expect_eq(weir_run_in_main(now.r.m, not_called, NULL, NULL), WEIR_ECLOSED);
    expect_eq(weir_main_dispatch(now.r.m, 0), WEIR_EPERM);
    expect_eq(weir_main_close(now.r.m, 0), WEIR_EPERM);
}

static void expect_main_ours(void)
{
    news n = NEWS;
    expect_eq(weir_run_in_main(now.r.m, not_called, NULL, NULL), WEIR_EDEADLK);
    expect_eq(weir_pool_on_space(now.r.p, &n.notice, now.r.m), 0);
    while (weir_main_pending(now.r.m))
        expect_op(weir_main_wait(now.r.m, -1), >, 0);
    expect(n.calls == 1 && n.outcome == WEIR_ECLOSED);
    expect(now.queued.dones == 1 && now.queued.outcome == WEIR_ECLOSED);
}

/* In the child: what all say, then the end. */
static void expect_codes(bool in_task)
{
    expect_tasks_gone();
    expect_pool_closed(in_task);
    in_task ? expect_main_gone() : expect_main_ours();
    if (!under_tsan()) { /* it takes a reused thread id for an error */
        rig   r;
        probe t = PROBE;
        expect(rig_open(&r, 1));
        expect_eq(weir_run(r.p, &t.task, r.m), 0);
        while (t.dones == 0)
            weir_main_wait(r.m, -1);
        rig_close(&r);
    }
    weir_pool_release(now.r.p);
    if (!in_task)
        expect_eq(weir_main_close(now.r.m, 0), 0);
}

/* Each parent waits for its child; true in the last one. */
static bool fork_down(void)
{
    for (int i = 0; i < now.forks; i++) {
        pid_t pid = child_begin();
        if (pid > 0) {
            child_reap(pid);
            if (i > 0)
                _exit(0);
            return false;
        }
    }
    return true;
}

static int run_forks(weir_task *task, void *state)
{
    probe_run(task, state);
    if (!fork_down())
        return 0;
    expect_codes(true);
    if (!now.returns)
        _exit(0);
    return 0;
}

static void begin(bool in_task)
{
    now.queued = now.waited = (probe)PROBE;
    now.waited.task.done = NULL;
    expect(rig_open(&now.r, 1));
    expect(in_task || plug_in(&now.p, now.r.p, NULL));
}

static void queue(void)
{
    expect_eq(weir_run(now.r.p, &now.queued.task, now.r.m), 0);
    expect_eq(weir_run(now.r.p, &now.waited.task, now.r.m), 0);
}

static void end(void)
{
    expect_eq(weir_close(now.r.p, WEIR_DRAIN), 0);
    rig_close(&now.r);
    expect(now.queued.outcome == 0 && now.waited.outcome == 0);
}

static void from_the_main(int forks)
{
    now.forks = forks;
    begin(false);
    queue();
    if (fork_down()) {
        expect_codes(false);
        _exit(0);
    }
    plug_pull(&now.p);
    end();
}

static void from_a_task(int forks, bool returns)
{
    gate  leave = GATE;
    probe t = {.task = {.run = run_forks}, .leave = &leave};
    now.forks = forks, now.returns = returns;
    begin(true);
    expect_eq(weir_run(now.r.p, &t.task, now.r.m), 0);
    queue();
    gate_open(&leave);
    expect_eq(weir_wait(&t.task, -1), 0);
    end();
}

/* The first child was refused one, and has no number to keep. */
TEST(a_childs_child_has_a_descriptor_where_the_child_had_none)
{
    weir_main *m;
    expect_eq(weir_main_open(&m), 0);
    fault_arm(FAULT_FD, 1, 2);
    pid_t pid = child_begin();
    if (pid == 0) {
        expect(fault_disarm());
        expect_op(weir_main_fd(m), <, 0);
        pid = child_begin();
        if (pid == 0) {
            news n = NEWS;
            expect_eq(weir_notice_expect(&n.notice, m), 0);
            weir_notice_post(&n.notice, 0);
            expect(readable(weir_main_fd(m)));
            expect_eq(weir_main_dispatch(m, 0), 1);
            expect_eq(weir_main_close(m, 0), 0);
            _exit(0);
        }
        child_reap(pid);
        _exit(0);
    }
    fault_disarm();
    child_reap(pid);
    expect_eq(weir_main_close(m, 0), 0);
}

TEST(each_call_has_its_code_in_a_child) { from_the_main(1); }
TEST(each_call_has_its_code_in_a_child_of_a_child) { from_the_main(2); }
TEST(each_call_has_its_code_in_a_child_of_a_child_of_a_child) { from_the_main(3); }
TEST(each_call_has_its_code_in_a_tasks_child) { from_a_task(1, false); }
TEST(each_call_has_its_code_in_a_child_of_a_tasks_child) { from_a_task(2, false); }
TEST(a_tasks_child_may_return_from_run) { from_a_task(1, true); }
TEST(a_child_of_a_tasks_child_may_return_from_run) { from_a_task(2, true); }

SUITE(fork_twice, each_call_has_its_code_in_a_child, each_call_has_its_code_in_a_child_of_a_child,
      each_call_has_its_code_in_a_child_of_a_child_of_a_child,
      each_call_has_its_code_in_a_tasks_child, each_call_has_its_code_in_a_child_of_a_tasks_child,
      a_childs_child_has_a_descriptor_where_the_child_had_none, a_tasks_child_may_return_from_run,
      a_child_of_a_tasks_child_may_return_from_run)
