/* SPDX-License-Identifier: ISC
 *
 * test_fork_inside.c: forks from callbacks, whose child returns through them.
 */
#include "harness.h"

#include <unistd.h>

static rig   live;
static pid_t child; /* 0: we are it */

/* In the child the callback returns as in the parent. */
static void fork_here(void)
{
    child = child_begin();
    if (child > 0)
        child_reap(child);
}

/* The test goes on in both; the child ends here. */
static void live_close(void)
{
    if (child == 0) {
        expect_eq(weir_main_pending(live.m), 0);
        weir_pool_release(live.p);
        expect_eq(weir_main_close(live.m, 0), 0);
        _exit(0);
    }
    rig_close(&live);
}

static void done_forks(weir_task *task)
{
    fork_here();
    probe_done(task);
}

TEST(a_done_may_fork)
{
    probe t = {.task = {.run = probe_run, .done = done_forks}};
    expect(rig_open(&live, 1));
    expect_eq(weir_run(live.p, &t.task, live.m), 0);
    while (t.dones == 0)
        weir_main_wait(live.m, -1);
    live_close();
}

static void forks_and_answers(weir_call *call, void *arg)
{
    (void)arg;
    fork_here();
    weir_call_finish(call, 0, NULL);
}

static int run_asks_for_a_fork(weir_task *task, void *state)
{
    (void)task, (void)state;
    return weir_run_in_main(NULL, forks_and_answers, NULL, NULL);
}

TEST(a_function_run_in_main_may_fork)
{
    probe t = {.task = {.run = run_asks_for_a_fork, .done = probe_done}};
    expect(rig_open(&live, 1));
    expect_eq(weir_run(live.p, &t.task, live.m), 0);
    while (t.dones == 0)
        weir_main_wait(live.m, -1);
    expect_eq(t.outcome, child ? 0 : WEIR_ECLOSED);
    live_close();
}

static void notice_forks(weir_notice *notice, int outcome)
{
    fork_here();
    news_tell(notice, outcome);
}

TEST(a_notice_may_fork)
{
    news n = {.notice = {.fn = notice_forks}};
    expect(rig_open(&live, 1));
    expect_eq(weir_close_async(live.p, WEIR_CLOSE, live.m, &n.notice), 0);
    while (n.calls == 0)
        weir_main_wait(live.m, -1);
    live_close();
}

static int run_forks(weir_task *task, void *state)
{
    (void)state;
    fork_here();
    if (child == 0)
        expect_eq(weir_run(live.p, ((probe *)task)->state, NULL), WEIR_EFORKED);
    return 0;
}

static void at_exit_of_the_parent(void *arg, void *state)
{
    (void)arg, (void)state;
    expect(child != 0);
}

/* The child's one thread is the worker: it leaves, without at_exit, and with it
 * the process ends. */
TEST(a_task_may_fork_and_its_child_has_no_right_to_the_state)
{
    probe             idle = PROBE;
    probe             t = {.task = {.run = run_forks, .done = probe_done}, .state = &idle};
    weir_pool_options opts = pool_of(2);
    opts.at_exit = at_exit_of_the_parent;
    child = -1;
    expect(rig_open_with(&live, &opts));
    expect_eq(weir_run(live.p, &t.task, live.m), 0);
    while (t.dones == 0)
        weir_main_wait(live.m, -1);
    expect_eq(t.outcome, 0);
    live_close();
}

SUITE(fork_inside, a_done_may_fork, a_function_run_in_main_may_fork, a_notice_may_fork,
      a_task_may_fork_and_its_child_has_no_right_to_the_state)
