/* SPDX-License-Identifier: ISC
 *
 * test_run_fn.c: weir_run_fn: no task of the caller's.
 */
#include "harness.h"

/* The argument of most calls here. */
typedef struct {
    _Atomic int runs, dones;
    int         code, outcome; /* fn returns code */
    void       *state;
    bool        cancelled;
    gate       *entered, *leave;
    pthread_t   ran_on, done_on;
} errand;

static int run_errand(void *arg, void *state)
{
    errand *e = arg;
    e->state = state;
    e->ran_on = pthread_self();
    if (e->entered)
        gate_open(e->entered);
    if (e->leave)
        gate_wait(e->leave);
    e->cancelled = weir_cancel_requested(weir_task_current());
    e->runs++;
    return e->code;
}

static void errand_done(void *arg, int outcome)
{
    errand *e = arg;
    e->outcome = outcome;
    e->done_on = pthread_self();
    e->dones++;
}

static void until_done(weir_main *m, errand *e)
{
    while (e->dones == 0)
        weir_main_wait(m, -1);
}

SCENARIO(a_function_runs_once_on_a_worker_and_is_done_in_the_main)
{
    rig    r;
    errand e = {.code = 7};
    if (rig_open(&r, 1) && given(weir_run_fn(r.p, run_errand, &e, errand_done, r.m))) {
        expect_eq(weir_main_pending(r.m), 1);
        until_done(r.m, &e);
        expect_eq(e.runs, 1);
        expect_eq(e.outcome, 7);
        expect(!pthread_equal(e.ran_on, pthread_self()));
        expect(pthread_equal(e.done_on, pthread_self()));
    }
    rig_close(&r);
    expect_eq(e.dones, e.runs);
}

SCENARIO(without_a_main_done_comes_on_a_worker)
{
    rig    r;
    errand e = {0};
    bool   accepted = rig_open(&r, 1) && given(weir_run_fn(r.p, run_errand, &e, errand_done, NULL));
    if (accepted)
        expect_eq(weir_close(r.p, WEIR_DRAIN), 0);
    rig_close(&r);
    expect_eq(e.dones, accepted);
    if (accepted)
        expect(pthread_equal(e.done_on, e.ran_on));
}

SCENARIO(done_may_be_missing_with_a_main_and_without)
{
    rig    r;
    errand e = {0};
    int    accepted = 0;
    if (rig_open(&r, 1)) {
        accepted += given(weir_run_fn(r.p, run_errand, &e, NULL, r.m));
        accepted += given(weir_run_fn(r.p, run_errand, &e, NULL, NULL));
        expect_eq(weir_close(r.p, WEIR_DRAIN), 0);
    }
    rig_close(&r);
    expect_eq(e.runs, accepted);
}

TEST(out_of_memory_calls_nothing)
{
    rig    r;
    errand e = {0};
    expect(rig_open(&r, 1));
    fault_arm(FAULT_ALLOC, 1, 1);
    expect_eq(weir_run_fn(r.p, run_errand, &e, errand_done, r.m), WEIR_ENOMEM);
    expect(fault_disarm());
    expect_eq(weir_main_pending(r.m), 0);
    rig_close(&r);
    expect_eq(e.runs + e.dones, 0);
}

TEST(a_pool_and_a_function_are_needed)
{
    rig r;
    expect(rig_open(&r, 1));
    expect_eq(weir_run_fn(NULL, run_errand, NULL, errand_done, r.m), WEIR_EINVAL);
    expect_eq(weir_run_fn(r.p, NULL, NULL, errand_done, r.m), WEIR_EINVAL);
    rig_close(&r);
}

TEST(a_refused_run_calls_nothing_and_frees_its_task)
{
    rig    r;
    errand e = {0};
    expect(rig_open(&r, 1));
    long before = fault_live_blocks();
    expect_eq(weir_close(r.p, WEIR_CLOSE), 0);
    expect_eq(weir_run_fn(r.p, run_errand, &e, errand_done, r.m), WEIR_ECLOSED);
    expect_op(fault_live_blocks(), <=, before);
    rig_close(&r);
    expect_eq(e.runs + e.dones, 0);
}

TEST(a_closed_pool_settles_what_was_queued)
{
    rig    r;
    plug   p;
    errand e = {0};
    expect(rig_open(&r, 1) && plug_in(&p, r.p, r.m));
    expect_eq(weir_run_fn(r.p, run_errand, &e, errand_done, r.m), 0);
    expect_eq(weir_close_async(r.p, WEIR_CLOSE, NULL, NULL), 0);
    plug_pull(&p);
    rig_close(&r);
    expect_eq(e.runs, 0);
    expect_eq(e.dones, 1);
    expect_eq(e.outcome, WEIR_ECLOSED);
}

TEST(a_purge_takes_it_back)
{
    rig    r;
    plug   p;
    errand e = {0};
    expect(rig_open(&r, 1) && plug_in(&p, r.p, r.m));
    expect_eq(weir_run_fn(r.p, run_errand, &e, errand_done, r.m), 0);
    expect_eq(weir_pool_purge(r.p), 1);
    plug_pull(&p);
    rig_close(&r);
    expect_eq(e.dones, 1);
    expect_eq(e.outcome, WEIR_ECANCELED);
}

static weir_pool *of_done;

static void done_releases(void *arg, int outcome)
{
    errand_done(arg, outcome);
    weir_pool_release(of_done);
}

TEST(done_may_release_the_pool)
{
    rig    r;
    errand e = {0};
    expect(rig_open(&r, 1));
    of_done = r.p;
    expect_eq(weir_run_fn(r.p, run_errand, &e, done_releases, r.m), 0);
    main_end(r.m);
    expect_eq(e.outcome, 0);
}

static int gets_the_state(void *arg, void **state)
{
    *state = arg;
    return 0;
}

TEST(fn_gets_its_threads_state)
{
    rig               r;
    errand            e = {0};
    weir_pool_options opts = pool_of(1);
    opts.init = gets_the_state, opts.arg = &r;
    expect(rig_open_with(&r, &opts));
    expect_eq(weir_run_fn(r.p, run_errand, &e, errand_done, r.m), 0);
    until_done(r.m, &e);
    rig_close(&r);
    expect(e.state == &r);
}

typedef struct {
    rig    r;
    errand running, queued;
} scene;

static void child_is_told_closed(void *arg)
{
    scene *s = arg;
    errand late = {0};
    expect_eq(weir_main_pending(s->r.m), 2);
    expect_eq(weir_main_dispatch(s->r.m, 0), 2);
    expect_eq(s->running.outcome, WEIR_ECLOSED);
    expect_eq(s->queued.outcome, WEIR_ECLOSED);
    expect_eq(s->queued.runs, 0);
    expect_eq(weir_run_fn(s->r.p, run_errand, &late, errand_done, s->r.m), WEIR_EFORKED);
    weir_pool_release(s->r.p);
    expect_eq(weir_main_close(s->r.m, 0), 0);
}

TEST(a_child_of_fork_is_told_closed_and_its_parent_goes_on)
{
    gate  entered = GATE, leave = GATE;
    scene s = {.running = {.entered = &entered, .leave = &leave}};
    expect(rig_open(&s.r, 1));
    expect_eq(weir_run_fn(s.r.p, run_errand, &s.running, errand_done, s.r.m), 0);
    gate_wait(&entered);
    expect_eq(weir_run_fn(s.r.p, run_errand, &s.queued, errand_done, s.r.m), 0);
    child_reap(child_start(child_is_told_closed, &s));
    gate_open(&leave);
    until_done(s.r.m, &s.queued);
    rig_close(&s.r);
    expect_eq(s.running.outcome + s.queued.outcome, 0);
    expect_eq(s.running.dones + s.queued.dones, 2);
}

SUITE(run_fn, a_function_runs_once_on_a_worker_and_is_done_in_the_main,
      without_a_main_done_comes_on_a_worker, done_may_be_missing_with_a_main_and_without,
      out_of_memory_calls_nothing, a_pool_and_a_function_are_needed,
      a_refused_run_calls_nothing_and_frees_its_task, a_closed_pool_settles_what_was_queued,
      a_purge_takes_it_back, done_may_release_the_pool, fn_gets_its_threads_state,
      a_child_of_fork_is_told_closed_and_its_parent_goes_on)
