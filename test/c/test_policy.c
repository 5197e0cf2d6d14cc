/* SPDX-License-Identifier: ISC
 *
 * test_policy.c: a full queue that lets the caller run, or drops the oldest.
 */
#include "harness.h"

static int run_at(rig *r, probe *t, weir_priority priority)
{
    weir_run_options o = {.size = sizeof o, .deliver_to = r->m, .priority = priority};
    return weir_run_with(r->p, &t->task, &o);
}

static bool open_full(rig *r, plug *p, probe *t, unsigned n, weir_full_policy policy)
{
    weir_pool_options opts = pool_of(1);
    opts.queue_limit = n, opts.when_full = policy;
    if (!rig_open_with(r, &opts) || !plug_in(p, r->p, r->m))
        return false;
    for (unsigned i = 0; i < n; i++) {
        t[i] = (probe)PROBE;
        expect_eq(weir_run(r->p, &t[i].task, r->m), 0);
    }
    return true;
}

static weir_task *current_inside;

static int run_notes_current(weir_task *task, void *state)
{
    current_inside = weir_task_current();
    expect(weir_pool_current() == NULL);
    expect_eq(weir_task_get_state(task), WEIR_TASK_RUNNING);
    return probe_run(task, state);
}

TEST(on_a_full_queue_the_caller_may_run_its_task_itself)
{
    rig   r;
    plug  p;
    probe queued[2], t = {.task = {.run = run_notes_current, .done = probe_done}, .code = 3};
    t.state = &t;
    expect(open_full(&r, &p, queued, 2, WEIR_CALLER_RUNS));
    expect_eq(weir_run(r.p, &t.task, r.m), 0);
    expect_eq(t.runs, 1);
    expect(pthread_equal(t.ran_on, pthread_self()));
    expect(t.state == NULL);
    expect(current_inside == &t.task && weir_task_current() == NULL);
    expect_eq(t.dones, 0); /* done comes as always */
    expect_eq(weir_main_dispatch(r.m, 0), 1);
    expect_eq(t.outcome, 3);
    weir_pool_stats s = stats_of(r.p);
    expect(s.submitted == 4 && s.failed == 1 && s.refused == 0);
    plug_pull(&p);
    rig_close(&r);
}

static int run_parks_first(weir_task *task, void *state)
{
    probe_run(task, state);
    return ((probe *)task)->runs == 1 ? WEIR_PARK : 0;
}

TEST(a_task_that_its_caller_ran_may_park)
{
    rig   r;
    plug  p;
    probe queued[1], t = {.task = {.run = run_parks_first, .done = probe_done}};
    expect(open_full(&r, &p, queued, 1, WEIR_CALLER_RUNS));
    expect_eq(weir_run(r.p, &t.task, r.m), 0);
    expect_eq(weir_task_get_state(&t.task), WEIR_TASK_PARKED);
    expect_eq(weir_task_unpark(&t.task), 0);
    plug_pull(&p);
    while (t.dones == 0)
        weir_main_wait(r.m, -1);
    expect(!pthread_equal(t.ran_on, pthread_self()));
    expect_eq(t.outcome, 0);
    rig_close(&r);
}

static void runs_it_here(void *arg)
{
    void **a = arg;
    expect_eq(weir_run(a[0], a[1], NULL), 0);
}

TEST(a_callers_task_can_be_cancelled_and_waited_for_while_it_runs)
{
    rig    r;
    plug   p;
    helper h;
    gate   entered = GATE, leave = GATE;
    probe  queued[1], t = PROBE;
    t.task.done = NULL, t.entered = &entered, t.leave = &leave;
    expect(open_full(&r, &p, queued, 1, WEIR_CALLER_RUNS));
    void *args[] = {r.p, &t.task};
    helper_start(&h, runs_it_here, args);
    gate_wait(&entered);
    expect_eq(weir_cancel(&t.task), WEIR_EBUSY);
    expect(weir_cancel_requested(&t.task));
    expect_eq(weir_wait(&t.task, 0), WEIR_ETIMEDOUT);
    expect_eq(weir_close_async(r.p, WEIR_CLOSE, NULL, NULL), 0);
    gate_open(&leave);
    expect_eq(weir_wait(&t.task, -1), 0);
    expect_eq(weir_task_outcome(&t.task), 0);
    helper_join(&h);
    plug_pull(&p);
    rig_close(&r);
}

/* The pool's own thread idles, whatever its callers do. */
TEST(a_callers_task_makes_no_thread_of_the_pool_busy)
{
    rig    r;
    plug   p;
    helper h;
    gate   entered = GATE, leave = GATE;
    probe  queued[1], t = PROBE;
    t.entered = &entered, t.leave = &leave;
    expect(open_full(&r, &p, queued, 1, WEIR_CALLER_RUNS));
    void *args[] = {r.p, &t.task};
    helper_start(&h, runs_it_here, args);
    gate_wait(&entered);
    weir_pool_stats s = stats_of(r.p);
    expect(s.threads == 1 && s.running == 2 && s.idle == 0);
    plug_pull(&p);
    while (p.probe.dones + queued[0].dones < 2)
        weir_main_wait(r.m, -1);
    s = stats_of(r.p);
    expect(s.threads == 1 && s.running == 1 && s.idle == 1);
    gate_open(&leave);
    helper_join(&h);
    rig_close(&r);
}

TEST(a_close_waits_for_a_caller_that_runs_its_task)
{
    rig    r;
    plug   p;
    helper h;
    gate   entered = GATE, leave = GATE;
    probe  queued[1], t = PROBE;
    t.entered = &entered, t.leave = &leave;
    expect(open_full(&r, &p, queued, 1, WEIR_CALLER_RUNS));
    void *args[] = {r.p, &t.task};
    helper_start(&h, runs_it_here, args);
    gate_wait(&entered);
    plug_pull(&p);
    expect_eq(weir_close_within(r.p, WEIR_CLOSE, MILLIS(5)), WEIR_ETIMEDOUT);
    gate_open(&leave);
    expect_eq(weir_close(r.p, WEIR_CLOSE), 0);
    helper_join(&h);
    expect(t.dones == 1 && t.outcome == 0);
    rig_close(&r);
}

/* The caller's task counts in its level: when it ends, the next may start. */
TEST(a_caller_that_ran_its_task_wakes_a_worker_for_the_next)
{
    rig               r;
    plug              p;
    helper            h;
    gate              entered = GATE, leave = GATE;
    probe             next = PROBE, t = PROBE;
    weir_pool_options opts = pool_of(1);
    opts.queue_limit = 1, opts.when_full = WEIR_CALLER_RUNS, opts.max_running[WEIR_NORMAL] = 1;
    t.entered = &entered, t.leave = &leave;
    expect(rig_open_with(&r, &opts) && plug_in(&p, r.p, r.m));
    expect_eq(weir_run(r.p, &next.task, r.m), 0);
    void *args[] = {r.p, &t.task};
    helper_start(&h, runs_it_here, args);
    gate_wait(&entered);
    plug_pull(&p);
    while (p.probe.dones == 0)
        weir_main_wait(r.m, -1);
    expect_eq(weir_main_wait(r.m, MILLIS(5)), 0); /* and the worker sleeps */
    gate_open(&leave);
    while (next.dones == 0)
        weir_main_wait(r.m, -1);
    helper_join(&h);
    rig_close(&r);
}

TEST(the_oldest_task_is_dropped_for_a_new_one)
{
    rig   r;
    plug  p;
    probe queued[3], t = PROBE;
    expect(open_full(&r, &p, queued, 3, WEIR_DROP_OLDEST));
    expect_eq(weir_run(r.p, &t.task, r.m), 0);
    expect_eq(queued[0].dones, 0);
    expect_eq(weir_main_dispatch(r.m, 0), 1);
    expect_eq(queued[0].outcome, WEIR_EFULL);
    expect_eq(queued[0].runs, 0);
    weir_pool_stats s = stats_of(r.p);
    expect(s.dropped == 1 && s.refused == 0 && s.queued == 3 && s.submitted == 5);
    plug_pull(&p);
    expect_eq(weir_close(r.p, WEIR_DRAIN), 0);
    rig_close(&r);
    expect(queued[1].outcome == 0 && queued[2].outcome == 0 && t.outcome == 0);
}

static tally new_entered;

static void done_waits_for_the_new_one(weir_task *task)
{
    tally_wait(&new_entered, 1);
    probe_done(task);
}

/* One worker is woken for both, and may tell the done first. */
TEST(a_slow_done_of_a_dropped_task_does_not_hold_up_the_new_one)
{
    rig               r;
    plug              p;
    weir_pool_options opts = pool_of(3);
    probe             dropped = {.task = {.run = probe_run, .done = done_waits_for_the_new_one}};
    probe             new_one = PROBE;
    tally             settled = TALLY;
    opts.queue_limit = 1, opts.when_full = WEIR_DROP_OLDEST, opts.max_running[WEIR_NORMAL] = 1;
    new_entered = (tally)TALLY, new_one.entered = &new_entered, new_one.settled = &settled;
    expect(rig_open_with(&r, &opts) && plug_in(&p, r.p, r.m));
    expect_eq(weir_run(r.p, &dropped.task, NULL), 0);
    expect_eq(weir_run_with(r.p, &new_one.task,
                            &(weir_run_options){.size = sizeof(weir_run_options),
                                                .deliver_to = r.m,
                                                .priority = WEIR_HIGH}),
              0);
    main_until(r.m, &settled, 1);
    plug_pull(&p);
    rig_close(&r);
    expect(dropped.dones == 1 && dropped.outcome == WEIR_EFULL);
}

TEST(the_lowest_level_is_dropped_first_and_none_above_the_new_task)
{
    rig               r;
    plug              p;
    probe             high = PROBE, normal = PROBE, low[2] = {PROBE, PROBE}, more[4];
    weir_pool_options opts = pool_of(1);
    opts.queue_limit = 4, opts.when_full = WEIR_DROP_OLDEST;
    for (int i = 0; i < 4; i++)
        more[i] = (probe)PROBE;
    expect(rig_open_with(&r, &opts) && plug_in(&p, r.p, r.m));
    expect_eq(run_at(&r, &high, WEIR_HIGH), 0);
    expect_eq(run_at(&r, &low[0], WEIR_LOW), 0);
    expect_eq(run_at(&r, &normal, WEIR_NORMAL), 0);
    expect_eq(run_at(&r, &low[1], WEIR_LOW), 0);
    expect_eq(run_at(&r, &more[0], WEIR_HIGH), 0);
    expect_eq(weir_task_get_state(&low[0].task), WEIR_TASK_SETTLED);
    expect_eq(run_at(&r, &more[1], WEIR_HIGH), 0);
    expect_eq(weir_task_get_state(&low[1].task), WEIR_TASK_SETTLED);
    expect_eq(run_at(&r, &more[2], WEIR_HIGH), 0);
    expect_eq(weir_task_get_state(&normal.task), WEIR_TASK_SETTLED);
    expect_eq(run_at(&r, &more[3], WEIR_LOW), WEIR_EFULL);
    expect_eq(run_at(&r, &more[3], WEIR_NORMAL), WEIR_EFULL);
    expect_eq(weir_task_get_state(&more[3].task), WEIR_TASK_IDLE);
    weir_pool_stats s = stats_of(r.p);
    expect(s.dropped == 3 && s.refused == 2);
    plug_pull(&p);
    expect_eq(weir_close(r.p, WEIR_DRAIN), 0);
    rig_close(&r);
    expect(high.outcome == 0 && more[0].outcome == 0 && more[2].outcome == 0);
    expect(low[0].outcome == WEIR_EFULL && normal.outcome == WEIR_EFULL);
}

/* From several threads at a tiny queue: each task is done once, one way or another. */
static rig crowded;

static void submits_many(void *arg)
{
    probe *t = arg;
    for (int i = 0; i < 100; i++)
        expect_eq(weir_run(crowded.p, &t[i].task, crowded.m), 0);
}

static void crowd(weir_full_policy policy)
{
    static probe      t[3][100];
    helper            h[3];
    tally             settled = TALLY;
    weir_pool_options opts = pool_of(2);
    opts.queue_limit = 2, opts.when_full = policy;
    expect(rig_open_with(&crowded, &opts));
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < 100; k++) {
            t[i][k] = (probe)PROBE;
            t[i][k].settled = &settled;
        }
        helper_start(&h[i], submits_many, t[i]);
    }
    main_until(crowded.m, &settled, 300);
    for (int i = 0; i < 3; i++)
        helper_join(&h[i]);
    weir_pool_stats s = stats_of(crowded.p);
    expect_eq(s.ok + s.failed + s.dropped, 300);
    expect(policy == WEIR_DROP_OLDEST || s.dropped == 0);
    rig_close(&crowded);
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 100; k++) {
            expect_eq(t[i][k].dones, 1);
            expect_eq(t[i][k].runs, t[i][k].outcome != WEIR_EFULL);
        }
}

TEST(many_submitters_that_run_their_own_lose_nothing) { crowd(WEIR_CALLER_RUNS); }
TEST(many_submitters_that_drop_the_oldest_lose_nothing) { crowd(WEIR_DROP_OLDEST); }

SUITE(policy, on_a_full_queue_the_caller_may_run_its_task_itself,
      a_task_that_its_caller_ran_may_park,
      a_callers_task_can_be_cancelled_and_waited_for_while_it_runs,
      a_callers_task_makes_no_thread_of_the_pool_busy,
      a_close_waits_for_a_caller_that_runs_its_task,
      a_caller_that_ran_its_task_wakes_a_worker_for_the_next,
      the_oldest_task_is_dropped_for_a_new_one,
      a_slow_done_of_a_dropped_task_does_not_hold_up_the_new_one,
      the_lowest_level_is_dropped_first_and_none_above_the_new_task,
      many_submitters_that_run_their_own_lose_nothing,
      many_submitters_that_drop_the_oldest_lose_nothing)
