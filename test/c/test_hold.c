/* SPDX-License-Identifier: ISC
 *
 * test_hold.c: a call inside which user code runs holds its pool: that code may give
 * the last handle back.
 */
#include "harness.h"

#include <unistd.h>

static rig  here;
static news told;

static void done_releases(weir_task *task)
{
    probe_done(task);
    weir_pool_release(here.p);
}

static probe queued, second;

static int cancels(void) { return weir_cancel(&queued.task); }
static int purges(void) { return weir_pool_purge(here.p) != 1; }
static int closes(void) { return weir_close(here.p, WEIR_CLOSE); }
static int drains_within(void) { return weir_close_within(here.p, WEIR_DRAIN, SECONDS(60)); }
static int starts_a_close(void)
{
    return weir_close_async(here.p, WEIR_CLOSE, here.m, &told.notice);
}
static int drops(void) { return weir_run(here.p, &second.task, here.m); }
static int refuses(void)
{
    weir_worker_refuse(here.p, 1);
    return 0;
}

/* In a pool without a thread the caller tells the done. */
static void released_by_a_done_inside(int (*call)(void))
{
    weir_pool_options opts = pool_of(1);
    opts.queue_limit = 1, opts.when_full = WEIR_DROP_OLDEST;
    told = (news)NEWS;
    queued = second = (probe)PROBE;
    queued.task.done = done_releases;
    rig_open_deserted(&here, opts);
    expect_eq(weir_run(here.p, &queued.task, NULL), 0);
    expect_eq(call(), 0);
    expect_eq(queued.dones, 1);
    main_end(here.m);
    expect_eq(told.calls, call == starts_a_close);
    expect_eq(second.dones, call == drops);
}

TEST(a_done_inside_a_call_may_release_the_pool)
{
    int (*const calls[])(void) = {cancels,        purges, closes, drains_within,
                                  starts_a_close, drops,  refuses};
    for (unsigned i = 0; i < sizeof calls / sizeof *calls; i++)
        released_by_a_done_inside(calls[i]);
}

static pid_t child; /* 0: we are it */

static void done_forks(weir_task *task)
{
    probe_done(task);
    child = child_begin();
    if (child > 0)
        child_reap(child);
}

/* The child returns through the release as the parent does. */
TEST(a_done_inside_a_release_may_fork)
{
    long before = fault_live_blocks();
    queued = (probe)PROBE;
    queued.task.done = done_forks;
    rig_open_deserted(&here, pool_of(1));
    expect_eq(weir_run(here.p, &queued.task, NULL), 0);
    weir_pool_release(here.p);
    main_end(here.m);
    if (child == 0)
        _exit(queued.dones != 1 || fault_live_blocks() != before);
}

/* ---- a timer that tells a done -------------------------------------------- */

static gate submitted, timer_through;

static void done_forks_and_releases(weir_task *task)
{
    gate_wait(&submitted); /* no call is under way */
    done_forks(task);
    weir_pool_release(here.p);
    if (child) /* in the child nobody waits, and who does here may have held its lock */
        gate_open(&timer_through);
}

/* In the child, too, the timer returns from it and leaves. */
TEST(a_done_on_the_timer_may_fork_and_release)
{
    weir_run_options how = {.size = sizeof how, .start_within_ns = 1};
    queued = (probe)PROBE, submitted = timer_through = (gate)GATE;
    queued.task.done = done_forks_and_releases;
    rig_open_deserted(&here, pool_of(1));
    expect_eq(weir_run_with(here.p, &queued.task, &how), 0);
    gate_open(&submitted);
    gate_wait(&timer_through);
    expect_eq(queued.outcome, WEIR_EEXPIRED);
    main_end(here.m);
}

/* ---- a call that is served meanwhile --------------------------------------- */

static int threads_before;

/* Returns when nobody but the caller of this has the pool. */
static void releases_and_answers(weir_call *call, void *arg)
{
    (void)arg;
    weir_pool_release(here.p);
    weir_call_finish(call, 0, NULL);
    while (count_threads() > threads_before)
        sched_yield();
}

static gate full;

static int run_asks(weir_task *task, void *state)
{
    (void)task, (void)state;
    gate_wait(&full);
    return weir_run_in_main(here.m, releases_and_answers, NULL, NULL);
}

TEST(what_a_wait_for_space_serves_may_release_the_pool)
{
    probe             asks = {.task = {.run = run_asks, .done = probe_done}};
    weir_pool_options opts = pool_of(1);
    opts.queue_limit = 1, opts.when_full = WEIR_BLOCK;
    queued = second = (probe)PROBE, full = (gate)GATE;
    threads_before = count_threads();
    expect(rig_open_with(&here, &opts));
    expect_eq(weir_run(here.p, &asks.task, here.m), 0);
    while (weir_task_get_state(&asks.task) != WEIR_TASK_RUNNING)
        sched_yield();
    expect_eq(weir_run(here.p, &queued.task, here.m), 0);
    gate_open(&full);
    expect_eq(weir_run(here.p, &second.task, here.m), WEIR_ECLOSED);
    main_end(here.m);
    expect_eq(asks.outcome, 0);
    expect_eq(queued.outcome, WEIR_ECLOSED);
    expect_eq(second.dones, 0);
}

/* ---- a timer that cannot be had ------------------------------------------ */

static weir_run_options soon = {.size = sizeof soon, .start_within_ns = 1};

static void tells_and_submits(weir_notice *notice, int outcome)
{
    expect_eq(weir_run_with(here.p, &second.task, &soon), WEIR_ECLOSED);
    news_tell(notice, outcome);
    weir_pool_release(here.p);
}

static void closes_meanwhile(void)
{
    expect_eq(weir_close_async(here.p, WEIR_CLOSE, NULL, &told.notice), 0);
}

/* The thread that was refused is then the last that the close has waited for. */
TEST(what_is_told_after_a_refused_timer_may_submit_and_release)
{
    told = (news){.notice = {.fn = tells_and_submits}};
    queued = second = (probe)PROBE;
    rig_open_deserted(&here, pool_of(1));
    fault_arm_then(FAULT_THREAD, closes_meanwhile);
    expect_eq(weir_run_with(here.p, &queued.task, &soon), WEIR_EAGAIN);
    expect(fault_disarm());
    expect(told.calls == 1 && pthread_equal(told.on, pthread_self()));
    expect(queued.dones == 0 && second.dones == 0);
    main_end(here.m);
}

/* ---- on_busy ------------------------------------------------------------ */

static bool released;

static void busy_releases(weir_main *m, bool busy, void *arg)
{
    (void)m, (void)arg;
    if (busy && !released)
        weir_pool_release(here.p);
    released = true;
}

static int runs(void) { return weir_run(here.p, &second.task, here.m) - WEIR_ECLOSED; }
static int awaits_space(void) { return weir_pool_on_space(here.p, &told.notice, here.m); }

static void released_by_on_busy(int (*call)(void), unsigned limit, int tells)
{
    weir_pool_options opts = pool_of(1);
    opts.queue_limit = limit;
    told = (news)NEWS;
    second = (probe)PROBE;
    released = false;
    expect(rig_open_with(&here, &opts));
    expect_eq(weir_main_on_busy(here.m, busy_releases, NULL), 0);
    expect_eq(call(), 0);
    expect(released);
    main_end(here.m);
    expect_eq(told.calls, tells);
    expect_eq(second.dones, 0);
}

TEST(on_busy_inside_a_call_may_release_the_pool)
{
    released_by_on_busy(runs, 0, 0);
    released_by_on_busy(runs, 1, 0);
    released_by_on_busy(awaits_space, 1, 1);
    released_by_on_busy(starts_a_close, 0, 1);
}

SUITE(hold, a_done_inside_a_call_may_release_the_pool, a_done_inside_a_release_may_fork,
      a_done_on_the_timer_may_fork_and_release, what_a_wait_for_space_serves_may_release_the_pool,
      on_busy_inside_a_call_may_release_the_pool,
      what_is_told_after_a_refused_timer_may_submit_and_release)
