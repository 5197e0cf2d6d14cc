/* SPDX-License-Identifier: ISC
 *
 * test_lazy.c: pools that are without a thread until there is something to do.
 */
#include "lazy.h"

/* ---- opening, growing, retiring ------------------------------------------ */

TEST(a_lazy_pool_is_open_at_once_and_has_no_thread)
{
    rig               r;
    weir_pool_options opts = lazy(3), back = {.size = sizeof back};
    int               threads = count_threads();
    expect(rig_open_with(&r, &opts));
    expect_eq(count_threads(), threads);
    expect_eq(stats_of(r.p).threads, 0);
    expect_eq(weir_pool_get_options(r.p, &back), 0);
    expect(back.lazy && back.threads == 0 && back.threads_max == 3);
    rig_end(&r);
}

TEST(threads_are_what_threads_max_is_by_default)
{
    rig               r;
    weir_pool_options opts = lazy(0), back = {.size = sizeof back};
    opts.threads = 5;
    expect(rig_open_with(&r, &opts));
    expect_eq(weir_pool_get_options(r.p, &back), 0);
    expect(back.threads == 0 && back.threads_max == 5);
    rig_end(&r);
    opts = lazy(2), opts.threads = 3;
    expect_eq(weir_pool_open(&r.p, &opts), WEIR_EINVAL);
}

SCENARIO(the_first_task_brings_a_thread_and_the_last_thread_retires)
{
    rig               r;
    probe             t;
    weir_pool_options opts = lazy(2);
    if (rig_open_with(&r, &opts)) {
        for (int round = 0; round < 3; round++) {
            t = (probe)PROBE;
            expect_eq(weir_run(r.p, &t.task, round % 2 ? r.m : NULL), 0);
            while (t.dones == 0)
                weir_main_wait(r.m, 0);
            given(t.outcome);
            until_threads(r.p, 0);
            while (tally_get(&states))
                sched_yield();
        }
        expect(fault_injected() || (stats_of(r.p).grown == 3 && stats_of(r.p).retired == 3));
    }
    rig_end(&r);
}

TEST(a_lazy_pool_grows_up_to_threads_max)
{
    rig               r;
    probe             t[5];
    tally             entered = TALLY, settled = TALLY;
    gate              leave = GATE;
    weir_pool_options opts = lazy(3);
    expect(rig_open_with(&r, &opts));
    for (int i = 0; i < 5; i++) {
        t[i] = (probe)PROBE;
        t[i].entered = &entered, t[i].leave = &leave, t[i].settled = &settled;
        expect_eq(weir_run(r.p, &t[i].task, r.m), 0);
    }
    tally_wait(&entered, 3);
    expect_eq(stats_of(r.p).threads, 3);
    expect_eq(stats_of(r.p).queued, 2);
    gate_open(&leave);
    main_until(r.m, &settled, 5);
    until_threads(r.p, 0);
    rig_end(&r);
}

TEST(a_resize_to_none_lets_the_idle_retire_and_one_to_some_brings_them_back)
{
    rig               r;
    probe             t;
    weir_pool_options opts = lazy(1), back = {.size = sizeof back};
    opts.lazy = false, opts.threads = 2, opts.threads_max = 2;
    expect(rig_open_with(&r, &opts));
    expect_eq(weir_pool_resize(r.p, 0, 2), 0);
    until_threads(r.p, 0);
    expect_eq(weir_pool_get_options(r.p, &back), 0);
    expect(back.lazy && back.threads == 0);
    run_through(&r, &t, 0, 0);
    expect_eq(weir_pool_resize(r.p, 2, 3), 0);
    until_threads(r.p, 2);
    expect_eq(weir_pool_get_options(r.p, &back), 0);
    expect(!back.lazy && back.threads == 2 && back.threads_max == 3);
    rig_end(&r);
}

TEST(a_pool_that_was_lazy_stays_open_when_its_minimum_is_refused)
{
    rig               r;
    probe             t;
    weir_pool_options opts = lazy(1);
    expect(rig_open_with(&r, &opts));
    fault_arm(FAULT_THREAD, 1, 1);
    expect_eq(weir_pool_resize(r.p, 1, 1), WEIR_EAGAIN);
    expect(fault_disarm());
    run_through(&r, &t, 4, 4);
    rig_end(&r);
}

static weir_pool *opened;

/* *out is set before. */
static void releases(weir_notice *notice, int outcome)
{
    (void)notice;
    expect_eq(outcome, 0);
    weir_pool_release(opened);
}

TEST(ready_is_told_inside_the_open_and_may_release_the_pool)
{
    weir_notice       ready = {.fn = releases};
    weir_pool_options opts = lazy(1);
    opened = NULL;
    expect_eq(weir_pool_open_async(&opened, &opts, NULL, &ready), 0);
}

/* ---- refusals ------------------------------------------------------------ */

/* Of a task with a main, of one that is waited for, and of one whose done has no main
 * and so runs where it settles. */
TEST(a_refused_thread_settles_what_waits_and_the_next_task_asks_again)
{
    rig               r;
    probe             t = PROBE, here = PROBE, waited = PROBE;
    weir_pool_options opts = lazy(1);
    waited.task.done = NULL;
    expect(rig_open_with(&r, &opts));
    fault_arm(FAULT_THREAD, 1, 3);
    run_through(&r, &t, 0, WEIR_EAGAIN);
    expect_eq(weir_run(r.p, &here.task, NULL), 0);
    expect(here.dones == 1 && here.outcome == WEIR_EAGAIN);
    expect(pthread_equal(here.done_on, pthread_self()));
    expect_eq(weir_run(r.p, &waited.task, NULL), 0);
    expect_eq(weir_wait(&waited.task, -1), 0);
    expect_eq(weir_task_outcome(&waited.task), WEIR_EAGAIN);
    expect(fault_disarm());
    expect_eq(t.runs + here.runs + waited.runs, 0);
    run_through(&r, &t, 9, 9);
    expect_eq(stats_of(r.p).lends_refused, 3);
    rig_end(&r);
}

TEST(a_refusal_beside_a_thread_only_makes_tasks_wait)
{
    rig               r;
    plug              held;
    probe             t = PROBE;
    weir_pool_options opts = lazy(2);
    expect(rig_open_with(&r, &opts));
    expect(plug_in(&held, r.p, r.m));
    fault_arm(FAULT_THREAD, 1, 1);
    expect_eq(weir_run(r.p, &t.task, r.m), 0);
    expect(fault_disarm());
    expect_eq(stats_of(r.p).queued, 1);
    plug_pull(&held);
    until_done(&r, &t);
    expect_eq(t.outcome, 0);
    rig_end(&r);
}

TEST(a_failed_init_settles_what_waits_and_the_next_task_tries_again)
{
    rig               r;
    gate              go = GATE;
    probe             t[3];
    tally             settled = TALLY;
    weir_pool_options opts = lazy(2);
    expect(rig_open_with(&r, &opts));
    init_fails_with = 31, init_waits = &go;
    for (int i = 0; i < 3; i++) { /* the third has a done without a main */
        t[i] = (probe)PROBE;
        t[i].settled = &settled;
        expect_eq(weir_run(r.p, &t[i].task, i == 2 ? NULL : r.m), 0);
    }
    gate_open(&go);
    main_until(r.m, &settled, 3);
    for (int i = 0; i < 3; i++)
        expect(t[i].outcome == WEIR_EINIT && t[i].runs == 0);
    expect_eq(weir_pool_init_error(r.p), 31);
    init_fails_with = 32;
    run_through(&r, &t[0], 0, WEIR_EINIT);
    expect_eq(weir_pool_init_error(r.p), 32);
    init_fails_with = 0;
    run_through(&r, &t[0], 0, 0);
    rig_end(&r);
}

static void runs_blocked(void *arg)
{
    void **a = arg;
    expect_eq(weir_run(a[0], a[1], NULL), 0);
}

TEST(a_refusal_makes_room_for_blocked_submitters)
{
    rig               r;
    helper            h;
    gate              go = GATE;
    probe             first = PROBE, second = PROBE;
    weir_pool_options opts = lazy(1);
    void             *args[] = {NULL, &second.task};
    opts.queue_limit = 1, opts.when_full = WEIR_BLOCK;
    expect(rig_open_with(&r, &opts));
    init_fails_with = 5, init_waits = &go, args[0] = r.p;
    expect_eq(weir_run(r.p, &first.task, r.m), 0);
    helper_start(&h, runs_blocked, args);
    helper_until_asleep(&h);
    gate_open(&go);
    helper_join(&h);
    until_done(&r, &first);
    while (second.dones == 0)
        sched_yield();
    expect(first.outcome == WEIR_EINIT && second.outcome == WEIR_EINIT);
    rig_end(&r);
}

static tally released;

static void counts_release(weir_task *task)
{
    (void)task;
    tally_add(&released, 1);
}

TEST(an_abandon_may_leave_a_lazy_pool_without_a_thread)
{
    rig               r;
    plug              held;
    probe             t;
    weir_pool_options opts = lazy(1);
    released = (tally)TALLY;
    expect(rig_open_with(&r, &opts));
    expect(plug_in(&held, r.p, r.m));
    held.probe.task.release = counts_release;
    fault_arm(FAULT_THREAD, 1, 1);
    expect_eq(weir_task_abandon(&held.probe.task), 0);
    expect(fault_disarm());
    expect_eq(stats_of(r.p).threads, 0);
    until_done(&r, &held.probe);
    run_through(&r, &t, 0, 0);
    plug_pull(&held);
    tally_wait(&released, 1);
    while (tally_get(&states))
        sched_yield();
    rig_end(&r);
}

/* ---- pause, park, deadlines, priorities ----------------------------------- */

TEST(a_paused_pool_without_a_thread_hires_when_it_resumes)
{
    rig               r;
    probe             t = PROBE, held = PROBE;
    weir_pool_options opts = lazy(1);
    expect(rig_open_with(&r, &opts));
    run_through(&r, &t, 0, 0);
    expect_eq(weir_pool_pause(r.p), 0);
    expect_eq(weir_run(r.p, &held.task, r.m), 0);
    until_threads(r.p, 0);
    expect_eq(held.runs, 0);
    expect_eq(weir_pool_resume(r.p), 0);
    until_done(&r, &held);
    expect_eq(held.outcome, 0);
    rig_end(&r);
}

static int run_parks_once(weir_task *task, void *state)
{
    probe *p = (probe *)task;
    probe_run(task, state);
    return p->runs == 1 ? WEIR_PARK : 0;
}

static void park_in(rig *r, probe *t, weir_main *m)
{
    *t = (probe){.task = {.run = run_parks_once, .done = probe_done}};
    expect_eq(weir_run(r->p, &t->task, m), 0);
    while (weir_task_get_state(&t->task) != WEIR_TASK_PARKED)
        sched_yield();
    until_threads(r->p, 0);
}

TEST(a_parked_task_keeps_no_thread_and_an_unpark_brings_one)
{
    rig               r;
    probe             t;
    weir_pool_options opts = lazy(1);
    expect(rig_open_with(&r, &opts));
    park_in(&r, &t, r.m);
    expect_eq(weir_task_unpark(&t.task), 0);
    until_done(&r, &t);
    expect(t.outcome == 0 && t.runs == 2);
    park_in(&r, &t, NULL); /* its done runs where it settles: nobody else is there */
    expect_eq(weir_cancel(&t.task), 0);
    expect(t.dones == 1 && t.outcome == WEIR_ECANCELED);
    expect(pthread_equal(t.done_on, pthread_self()));
    rig_end(&r);
}

static int run_parks_for_a_moment(weir_task *task, void *state)
{
    if (((probe *)task)->runs == 0)
        expect_eq(weir_task_park_within(task, 1), 0);
    return run_parks_once(task, state);
}

TEST(a_park_that_ends_by_itself_brings_a_thread)
{
    rig               r;
    probe             t = {.task = {.run = run_parks_for_a_moment, .done = probe_done}};
    weir_pool_options opts = lazy(1);
    expect(rig_open_with(&r, &opts));
    expect_eq(weir_run(r.p, &t.task, r.m), 0);
    until_done(&r, &t);
    expect(t.outcome == 0 && t.runs == 2);
    rig_end(&r);
}

TEST(a_deadline_passes_without_a_thread)
{
    rig               r;
    probe             t = PROBE;
    weir_pool_options opts = lazy(1);
    weir_run_options  how = {.size = sizeof how, .start_within_ns = 1};
    expect(rig_open_with(&r, &opts));
    expect_eq(weir_pool_pause(r.p), 0);
    how.deliver_to = r.m;
    expect_eq(weir_run_with(r.p, &t.task, &how), 0);
    until_done(&r, &t);
    expect_eq(t.outcome, WEIR_EEXPIRED);
    expect_eq(stats_of(r.p).grown, 0);
    rig_end(&r);
}

TEST(every_level_brings_a_thread)
{
    rig               r;
    weir_pool_options opts = lazy(1);
    weir_run_options  how = {.size = sizeof how};
    opts.max_running[WEIR_LOW] = 1, opts.max_running[WEIR_NORMAL] = 1;
    expect(rig_open_with(&r, &opts));
    for (int level = 0; level < WEIR_LEVELS; level++) {
        probe t = PROBE;
        how.deliver_to = r.m, how.priority = (weir_priority)level;
        expect_eq(weir_run_with(r.p, &t.task, &how), 0);
        until_done(&r, &t);
        until_threads(r.p, 0);
    }
    rig_end(&r);
}

/* ---- closes --------------------------------------------------------------- */

SCENARIO(a_drain_of_a_pool_without_a_thread_hires)
{
    rig               r;
    probe             t[3];
    weir_pool_options opts = lazy(2);
    if (rig_open_with(&r, &opts)) {
        expect_eq(weir_pool_pause(r.p), 0);
        for (int i = 0; i < 3; i++) {
            t[i] = (probe)PROBE;
            expect_eq(weir_run(r.p, &t[i].task, r.m), 0);
        }
        expect_eq(weir_close(r.p, WEIR_DRAIN), 0);
        expect_eq(weir_main_dispatch(r.m, 0), 3);
        for (int i = 0; i < 3; i++)
            expect_eq(t[i].runs, given(t[i].outcome));
    }
    rig_end(&r);
}

TEST(a_drain_whose_thread_is_refused_ends_and_says_so)
{
    rig               r;
    probe             t = PROBE;
    weir_pool_options opts = lazy(1);
    expect(rig_open_with(&r, &opts));
    expect_eq(weir_pool_pause(r.p), 0);
    expect_eq(weir_run(r.p, &t.task, r.m), 0);
    fault_arm(FAULT_THREAD, 1, 1);
    expect_eq(weir_close(r.p, WEIR_DRAIN), 0);
    expect(fault_disarm());
    until_done(&r, &t);
    expect_eq(t.outcome, WEIR_EAGAIN);
    rig_end(&r);
}

TEST(a_close_waits_for_the_thread_that_is_on_its_way)
{
    rig               r;
    gate              go = GATE;
    news              closed = NEWS;
    probe             t = PROBE;
    weir_pool_options opts = lazy(1);
    expect(rig_open_with(&r, &opts));
    init_waits = &go;
    expect_eq(weir_run(r.p, &t.task, r.m), 0);
    expect_eq(weir_close_async(r.p, WEIR_CLOSE, r.m, &closed.notice), 0);
    expect_eq(weir_close_within(r.p, WEIR_CLOSE, 0), WEIR_ETIMEDOUT);
    expect_eq(closed.calls, 0);
    gate_open(&go);
    while (closed.calls == 0)
        weir_main_wait(r.m, -1);
    expect(t.outcome == WEIR_ECLOSED && t.runs == 0);
    rig_end(&r);
}

static void in_child(void *arg)
{
    rig  *r = arg;
    probe t = PROBE;
    expect_eq(weir_run(r->p, &t.task, r->m), WEIR_EFORKED);
    expect_eq(weir_close(r->p, WEIR_CLOSE), 0);
}

TEST(a_child_of_fork_hires_nobody)
{
    rig               r;
    probe             t;
    weir_pool_options opts = lazy(1);
    expect(rig_open_with(&r, &opts));
    child_reap(child_start(in_child, &r));
    run_through(&r, &t, 0, 0);
    until_threads(r.p, 0);
    child_reap(child_start(in_child, &r));
    rig_end(&r);
}

SUITE(lazy, a_lazy_pool_is_open_at_once_and_has_no_thread,
      threads_are_what_threads_max_is_by_default,
      the_first_task_brings_a_thread_and_the_last_thread_retires,
      a_lazy_pool_grows_up_to_threads_max,
      a_resize_to_none_lets_the_idle_retire_and_one_to_some_brings_them_back,
      a_pool_that_was_lazy_stays_open_when_its_minimum_is_refused,
      ready_is_told_inside_the_open_and_may_release_the_pool,
      a_refused_thread_settles_what_waits_and_the_next_task_asks_again,
      a_refusal_beside_a_thread_only_makes_tasks_wait,
      a_failed_init_settles_what_waits_and_the_next_task_tries_again,
      a_refusal_makes_room_for_blocked_submitters,
      an_abandon_may_leave_a_lazy_pool_without_a_thread,
      a_paused_pool_without_a_thread_hires_when_it_resumes,
      a_parked_task_keeps_no_thread_and_an_unpark_brings_one,
      a_park_that_ends_by_itself_brings_a_thread, a_deadline_passes_without_a_thread,
      every_level_brings_a_thread, a_drain_of_a_pool_without_a_thread_hires,
      a_drain_whose_thread_is_refused_ends_and_says_so,
      a_close_waits_for_the_thread_that_is_on_its_way, a_child_of_fork_hires_nobody)
