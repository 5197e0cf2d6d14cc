/* SPDX-License-Identifier: ISC
 *
 * test_fork_inside.c: forks from callbacks, whose child returns through them.
 */
#include "forks.h"

#include <string.h>
#include <unistd.h>

TEST(a_done_may_fork)
{
    probe t = {.task = {.run = probe_run, .done = done_forks}};
    expect(rig_open(&live, 1));
    expect_eq(weir_run(live.p, &t.task, live.m), 0);
    while (t.dones == 0)
        weir_main_wait(live.m, -1);
    live_close();
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

TEST(a_wait_may_serve_a_fork)
{
    probe t = {.task = {.run = run_asks_for_a_fork}};
    expect(rig_open(&live, 1));
    expect_eq(weir_run(live.p, &t.task, live.m), 0);
    expect_eq(weir_wait(&t.task, -1), 0);
    expect_eq(weir_task_outcome(&t.task), child ? 0 : WEIR_ECLOSED);
    expect_eq(stats_of(live.p).queued, 0);
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

/* Without a main, of a pool that is closed: here and now. */
TEST(a_notice_told_inside_its_close_may_fork)
{
    news n = {.notice = {.fn = notice_forks}};
    expect(rig_open(&live, 1));
    expect_eq(weir_close(live.p, WEIR_CLOSE), 0);
    expect_eq(weir_close_async(live.p, WEIR_CLOSE, NULL, &n.notice), 0);
    expect_eq(n.calls, 1);
    expect_eq(stats_of(live.p).threads, 0);
    live_close();
}

static _Atomic int lent;

static void lend_forks(weir_pool *pool, void *arg)
{
    (void)arg;
    fork_here();
    weir_worker_refuse(pool, WEIR_EAGAIN);
    lent++;
}

static void enters_and_leaves(void *arg)
{
    weir_worker *w;
    weir_task   *t;
    expect_eq(weir_worker_enter(arg, &w), 0);
    while (weir_worker_next(w, true, &t) == 0)
        weir_worker_settle(w, t, t->run(t, NULL));
    weir_worker_leave(w, false, 0);
}

TEST(a_lend_may_fork)
{
    helper            h;
    plug              p;
    probe             t = PROBE;
    weir_pool_options opts = pool_of(1);
    opts.threads_max = 2, opts.borrowed = true, opts.lend = lend_forks;
    child = -1, lent = 0;
    expect_eq(weir_main_open(&live.m), 0);
    expect_eq(weir_pool_open_async(&live.p, &opts, live.m, NULL), 0);
    helper_start(&h, enters_and_leaves, live.p);
    while (stats_of(live.p).threads == 0)
        sched_yield();
    expect(plug_in(&p, live.p, live.m));
    expect_eq(weir_run(live.p, &t.task, live.m), 0);
    while (lent == 0)
        weir_main_wait(live.m, -1);
    if (child)
        plug_pull(&p);
    while (weir_main_pending(live.m))
        weir_main_wait(live.m, -1);
    expect_eq(t.outcome, child ? 0 : WEIR_ECLOSED);
    if (child == 0)
        live_close();
    rig_close(&live);
    helper_join(&h);
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

/* ---- what the child's one thread counts for ------------------------------- */

static int run_forks_while_it_blocks(weir_task *task, void *state)
{
    (void)task, (void)state;
    weir_blocking_begin();
    fork_here();
    weir_blocking_end();
    if (child == 0)
        expect_eq(stats_of(live.p).blocked, 0);
    return 0;
}

TEST(a_worker_that_blocks_may_fork)
{
    probe t = {.task = {.run = run_forks_while_it_blocks}};
    child = -1;
    expect(rig_open(&live, 1));
    expect_eq(weir_run(live.p, &t.task, NULL), 0);
    expect_eq(weir_wait(&t.task, -1), 0);
    expect_eq(stats_of(live.p).blocked, 0);
    live_close();
}

static int init_forks(void *arg, void **state)
{
    (void)state;
    fork_here();
    return child == 0 ? *(int *)arg : 0;
}

/* Its child enters the pool, or is refused, and leaves. */
static void an_init_forks(int code)
{
    weir_pool_options opts = pool_of(1);
    opts.init = init_forks, opts.arg = &code;
    child = -1;
    expect(rig_open_with(&live, &opts));
    live_close();
}

TEST(an_init_may_fork) { an_init_forks(0); }
TEST(an_init_may_fork_and_its_child_fail) { an_init_forks(7); }

static void no_lend(weir_pool *pool, void *arg) { (void)pool, (void)arg; }

static void enters_forks_and_is_lost(void *arg)
{
    weir_worker *w;
    weir_task   *t;
    expect_eq(weir_worker_enter(arg, &w), 0);
    expect_eq(weir_worker_next(w, true, &t), 0);
    fork_here();
    if (child == 0) {
        weir_worker_leave(w, true, 7);
        expect(stats_of(arg).wanted == 0 && stats_of(arg).threads == 0);
        _exit(0);
    }
    expect_eq(weir_worker_settle(w, t, 0), 0);
    weir_worker_leave(w, false, 0);
}

TEST(a_childs_lost_worker_asks_for_no_replacement)
{
    helper            h;
    probe             t = PROBE;
    weir_pool_options opts = pool_of(1);
    opts.borrowed = true, opts.lend = no_lend;
    child = -1;
    expect_eq(weir_main_open(&live.m), 0);
    expect_eq(weir_pool_open_async(&live.p, &opts, live.m, NULL), 0);
    helper_start(&h, enters_forks_and_is_lost, live.p);
    expect_eq(weir_run(live.p, &t.task, live.m), 0);
    while (t.dones == 0)
        weir_main_wait(live.m, -1);
    helper_join(&h);
    rig_close(&live);
}

/* ---- a run that its fork goes on in --------------------------------------- */

static _Atomic bool returned;

/* As a done may: the struct is the user's again. */
static void done_spoils(weir_task *task)
{
    expect(child != 0 || returned);
    probe_done(task);
    tally *settled = ((probe *)task)->settled;
    memset(task, 0xa5, sizeof *task);
    tally_add(settled, 1);
}

static int run_forks_and_submits(weir_task *task, void *state)
{
    static probe idle = PROBE;
    (void)task, (void)state;
    fork_here();
    if (child == 0)
        expect_eq(weir_run(live.p, &idle.task, NULL), WEIR_EFORKED);
    returned = true;
    return 0;
}

static void a_run_forks(bool aimed)
{
    tally told = TALLY;
    probe t = {.task = {.run = run_forks_and_submits, .done = done_spoils}, .settled = &told};
    child = -1, returned = false;
    expect(rig_open(&live, 1));
    expect_eq(weir_run(live.p, &t.task, aimed ? live.m : NULL), 0);
    if (aimed)
        main_until(live.m, &told, 1);
    else
        tally_wait(&told, 1);
    live_close();
}

TEST(a_task_is_not_done_in_a_child_before_its_run_returns) { a_run_forks(false); }
TEST(a_task_of_a_main_is_not_done_in_a_child_before_its_run_returns) { a_run_forks(true); }

static int run_of_the_parent(weir_task *task, void *state)
{
    expect(child != 0);
    return probe_run(task, state);
}

/* Told on a worker, since its main has closed. */
static void owns_a_main(void *arg)
{
    news      *n = arg;
    weir_main *m;
    expect_eq(weir_main_open(&m), 0);
    expect_eq(weir_pool_on_space(live.p, &n->notice, m), 0);
    expect_eq(weir_main_close(m, WEIR_DETACH), 0);
}

static void has_no_task(void *arg, unsigned index)
{
    (void)arg, (void)index;
    expect(!weir_task_current());
}

/* A worker that takes a task makes space, and tells that before it runs the task. */
static void a_notice_forks_before_a_run(bool after_another)
{
    helper            h;
    plug              p;
    tally             told = TALLY, settled = TALLY;
    news              n = {.notice = {.fn = notice_forks}, .told = &told};
    probe             t = {.task = {.run = run_of_the_parent, .done = probe_done}};
    weir_pool_options opts = pool_of(1);
    opts.queue_limit = 1, opts.on_stop = has_no_task;
    child = -1, t.settled = &settled;
    expect(rig_open_with(&live, &opts));
    expect(!after_another || plug_in(&p, live.p, live.m));
    expect(after_another || weir_pool_pause(live.p) == 0);
    expect_eq(weir_run(live.p, &t.task, NULL), 0);
    helper_start(&h, owns_a_main, &n);
    helper_join(&h);
    if (after_another)
        gate_open(&p.leave);
    else
        expect_eq(weir_pool_resume(live.p), 0);
    tally_wait(&told, 1);
    tally_wait(&settled, 1);
    expect(t.runs == 1 && t.outcome == 0);
    if (after_another)
        plug_pull(&p);
    while (weir_main_pending(live.m))
        weir_main_wait(live.m, -1);
    live_close();
}

TEST(a_notice_of_a_worker_may_fork_before_its_task) { a_notice_forks_before_a_run(false); }
TEST(a_notice_of_a_worker_may_fork_between_two_tasks) { a_notice_forks_before_a_run(true); }

/* It has lost the thread that is inside of the run. */
static void child_of_the_child(void *arg)
{
    probe *t = arg;
    expect_eq(weir_task_get_state(&t->task), WEIR_TASK_SETTLED);
    expect_eq(weir_task_outcome(&t->task), WEIR_ECLOSED);
    expect_eq(stats_of(live.p).running, 0);
}

static void forks_from_another_thread(void *arg)
{
    expect_eq(weir_task_get_state(&((probe *)arg)->task), WEIR_TASK_RUNNING);
    expect_eq(weir_task_abandon(arg), WEIR_EINVAL);
    child_reap(child_start(child_of_the_child, arg));
}

static int run_forks_beside_another(weir_task *task, void *state)
{
    helper h;
    (void)state;
    fork_here();
    if (child)
        return 0;
    helper_start(&h, forks_from_another_thread, task);
    helper_join(&h);
    return 0;
}

TEST(a_run_that_a_childs_child_loses_has_settled)
{
    probe t = {.task = {.run = run_forks_beside_another, .release = notes_release}};
    if (under_tsan()) /* it takes a reused thread id for an error */
        return;
    child = -1;
    expect(rig_open(&live, 1));
    expect_eq(weir_run(live.p, &t.task, NULL), 0);
    expect_eq(weir_wait(&t.task, -1), 0);
    live_close();
}

static weir_main *workers;

static int run_opens(weir_task *task, void *state)
{
    (void)task, (void)state;
    return weir_main_open(&workers);
}

static int run_closes(weir_task *task, void *state)
{
    (void)task, (void)state;
    main_end(workers);
    return 0;
}

/* The main is the worker's own, and the run's too: it stays until that has returned. */
static int run_forks_for_its_own_main(weir_task *task, void *state)
{
    (void)state;
    fork_here();
    if (child)
        return 0;
    bool has_done = task->done;
    long blocks = fault_live_blocks();
    expect_eq(weir_main_pending(workers), has_done);
    expect_eq(weir_main_close(workers, 0), has_done ? WEIR_EBUSY : 0);
    expect_eq(weir_main_close(has_done ? workers : NULL, WEIR_DETACH), 0);
    expect_eq(fault_live_blocks(), blocks);
    return 0;
}

static void done_is_closed_in_a_child(weir_task *task)
{
    expect_eq(weir_task_outcome(task), child ? 0 : WEIR_ECLOSED);
    probe_done(task);
}

static void a_workers_main_forks(bool has_done)
{
    weir_task opens = {.run = run_opens}, closes = {.run = run_closes};
    probe     t = {.task = {.run = run_forks_for_its_own_main}};
    child = -1;
    t.task.done = has_done ? done_is_closed_in_a_child : NULL;
    expect(rig_open(&live, 1));
    expect_eq(weir_run(live.p, &opens, NULL), 0);
    expect_eq(weir_wait(&opens, -1), 0);
    expect_eq(weir_run(live.p, &t.task, workers), 0);
    expect_eq(weir_run(live.p, &closes, NULL), 0);
    expect_eq(weir_wait(&closes, -1), 0);
    expect_eq(t.dones, has_done);
    live_close();
}

TEST(a_task_of_its_workers_main_may_fork) { a_workers_main_forks(true); }
TEST(a_task_without_done_of_its_workers_main_may_fork) { a_workers_main_forks(false); }

SUITE(fork_inside, a_run_that_a_childs_child_loses_has_settled, a_task_of_its_workers_main_may_fork,
      a_task_without_done_of_its_workers_main_may_fork,
      a_task_is_not_done_in_a_child_before_its_run_returns,
      a_task_of_a_main_is_not_done_in_a_child_before_its_run_returns,
      a_notice_of_a_worker_may_fork_before_its_task,
      a_notice_of_a_worker_may_fork_between_two_tasks, a_worker_that_blocks_may_fork,
      an_init_may_fork, an_init_may_fork_and_its_child_fail,
      a_childs_lost_worker_asks_for_no_replacement, a_done_may_fork,
      a_function_run_in_main_may_fork, a_wait_may_serve_a_fork, a_notice_may_fork,
      a_notice_told_inside_its_close_may_fork, a_lend_may_fork,
      a_task_may_fork_and_its_child_has_no_right_to_the_state)
