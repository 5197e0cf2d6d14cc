/* SPDX-License-Identifier: ISC
 *
 * test_abandon.c: giving up on a stuck thread.
 */
#include "harness.h"

typedef struct {
    probe       p;
    gate        entered, leave, released;
    _Atomic int releases;
    pthread_t   released_on;
} stuck;

static void release_notes(weir_task *task)
{
    stuck *s = (stuck *)task;
    expect(s->p.task.done == NULL || s->p.dones == 1); /* run and done have returned */
    expect_eq(weir_task_get_state(task), task->done ? WEIR_TASK_IDLE : WEIR_TASK_SETTLED);
    s->released_on = pthread_self();
    atomic_fetch_add(&s->releases, 1);
    gate_open(&s->released);
}

static void stuck_init(stuck *s)
{
    *s = (stuck){.p = PROBE, .entered = GATE, .leave = GATE, .released = GATE};
    s->p.task.release = release_notes;
    s->p.entered = &s->entered, s->p.leave = &s->leave;
}

static void stick(stuck *s, weir_pool *pool, weir_main *m)
{
    stuck_init(s);
    expect_eq(weir_run(pool, &s->p.task, m), 0);
    gate_wait(&s->entered);
}

TEST(an_abandoned_task_settles_now_and_its_thread_is_replaced)
{
    rig   r;
    stuck s;
    probe next = PROBE;
    expect(rig_open(&r, 1));
    stick(&s, r.p, r.m);
    expect_eq(weir_task_abandon(&s.p.task), 0);
    expect_eq(s.p.dones, 0); /* not inside the abandon: this thread owns the main */
    expect_eq(weir_main_wait(r.m, -1), 1);
    expect_eq(s.p.outcome, WEIR_ECANCELED);
    expect_eq(s.releases, 0);
    expect_eq(weir_task_get_state(&s.p.task), WEIR_TASK_SETTLED);
    expect(weir_cancel_requested(&s.p.task));
    weir_pool_stats st = stats_of(r.p);
    expect_eq(st.abandoned, 1);
    expect_eq(st.cancelled, 1);
    expect_eq(st.lost, 1);
    expect_eq(st.running, 0);
    expect_eq(weir_run(r.p, &next.task, r.m), 0);
    while (next.dones == 0)
        weir_main_wait(r.m, -1);
    expect(!pthread_equal(next.ran_on, s.p.ran_on));
    gate_open(&s.leave);
    gate_wait(&s.released);
    expect(pthread_equal(s.released_on, s.p.ran_on)); /* run returned later than done */
    rig_close(&r);
    expect_eq(s.p.dones, 1);
    expect_eq(s.releases, 1);
}

TEST(release_comes_with_done_when_done_is_the_later)
{
    rig   r;
    stuck s;
    expect(rig_open(&r, 1));
    stick(&s, r.p, r.m);
    expect_eq(weir_task_abandon(&s.p.task), 0);
    gate_open(&s.leave);
    while (stats_of(r.p).lost)
        sched_yield();
    expect_eq(s.releases, 0);
    expect_eq(weir_main_dispatch(r.m, 0), 1);
    expect_eq(s.releases, 1);
    expect(pthread_equal(s.released_on, pthread_self()));
    rig_close(&r);
}

TEST(close_does_not_wait_for_a_lost_thread)
{
    rig   r;
    stuck s;
    expect(rig_open(&r, 2));
    stick(&s, r.p, r.m);
    expect_eq(weir_task_abandon(&s.p.task), 0);
    expect_eq(weir_close(r.p, WEIR_DRAIN), 0);
    expect_eq(stats_of(r.p).lost, 1);
    rig_close(&r);
    expect_eq(s.p.dones, 1);
    gate_open(&s.leave);
    gate_wait(&s.released);
}

TEST(a_task_without_done_can_be_abandoned_and_waited_for)
{
    rig   r;
    stuck s;
    expect(rig_open(&r, 1));
    stuck_init(&s);
    s.p.task.done = NULL;
    expect_eq(weir_run(r.p, &s.p.task, NULL), 0);
    gate_wait(&s.entered);
    expect_eq(weir_task_abandon(&s.p.task), 0);
    expect_eq(weir_wait(&s.p.task, -1), 0);
    expect_eq(weir_task_outcome(&s.p.task), WEIR_ECANCELED);
    expect_eq(weir_run(r.p, &s.p.task, NULL), WEIR_EBUSY); /* it is the lost thread's */
    gate_open(&s.leave);
    gate_wait(&s.released);
    /* Now it is its owner's again. */
    while (weir_run(r.p, &s.p.task, NULL) == WEIR_EBUSY)
        sched_yield();
    expect_eq(weir_wait(&s.p.task, -1), 0);
    expect_eq(weir_task_outcome(&s.p.task), 0);
    expect_eq(s.releases, 1);
    rig_close(&r);
}

static int run_waits_for(weir_task *task, void *state)
{
    (void)state;
    stuck *s = (stuck *)task;
    gate_open(&s->entered);
    return weir_wait(s->p.state, -1);
}

/* It is no longer one of the threads that wait, or the next wait would look like
 * the last. */
TEST(a_thread_lost_in_a_wait_does_not_make_the_next_wait_a_deadlock)
{
    rig   r;
    stuck lost, next;
    probe target = PROBE;
    gate  entered = GATE, leave = GATE;
    target.task.done = NULL, target.entered = &entered, target.leave = &leave;
    stuck_init(&lost), stuck_init(&next);
    lost.p.task.run = next.p.task.run = run_waits_for;
    lost.p.state = next.p.state = &target.task;
    expect(rig_open(&r, 2));
    expect_eq(weir_run(r.p, &target.task, NULL), 0);
    gate_wait(&entered);
    expect_eq(weir_run(r.p, &lost.p.task, r.m), 0);
    gate_wait(&lost.entered);
    while (stats_of(r.p).blocked == 0) /* it waits */
        sched_yield();
    expect_eq(weir_task_abandon(&lost.p.task), 0);
    expect_eq(weir_run(r.p, &next.p.task, r.m), 0);
    gate_wait(&next.entered);
    gate_open(&leave);
    while (weir_main_pending(r.m))
        weir_main_wait(r.m, -1);
    expect_eq(next.p.outcome, 0);
    gate_wait(&lost.released);
    rig_close(&r);
}

TEST(without_a_main_an_abandoned_task_is_done_on_another_worker)
{
    rig   r;
    stuck s;
    tally settled = TALLY;
    expect(rig_open(&r, 1));
    stuck_init(&s);
    s.p.settled = &settled;
    expect_eq(weir_run(r.p, &s.p.task, NULL), 0);
    gate_wait(&s.entered);
    expect_eq(weir_task_abandon(&s.p.task), 0);
    tally_wait(&settled, 1);
    expect(!pthread_equal(s.p.done_on, s.p.ran_on));
    gate_open(&s.leave);
    gate_wait(&s.released);
    rig_close(&r);
}

TEST(only_a_running_task_with_release_can_be_abandoned)
{
    rig   r;
    stuck s, queued;
    plug  p;
    expect(rig_open(&r, 1) && plug_in(&p, r.p, r.m));
    expect_eq(weir_task_abandon(&p.probe.task), WEIR_EINVAL); /* no release */
    expect_eq(weir_task_abandon(NULL), WEIR_EINVAL);
    stuck_init(&queued);
    expect_eq(weir_task_abandon(&queued.p.task), WEIR_EINVAL);
    gate_open(&queued.leave);
    expect_eq(weir_run(r.p, &queued.p.task, r.m), 0);
    expect_eq(weir_task_abandon(&queued.p.task), WEIR_EINVAL);
    plug_pull(&p);
    while (weir_main_pending(r.m))
        weir_main_wait(r.m, -1);
    expect_eq(weir_task_abandon(&queued.p.task), WEIR_EINVAL);
    stick(&s, r.p, r.m);
    expect_eq(weir_task_abandon(&s.p.task), 0);
    expect_eq(weir_task_abandon(&s.p.task), WEIR_EINVAL); /* twice */
    expect_eq(weir_cancel(&s.p.task), WEIR_EINVAL);
    gate_open(&s.leave);
    expect_eq(weir_main_wait(r.m, -1), 1);
    gate_wait(&s.released);
    rig_close(&r);
    expect_eq(queued.releases, 0);
}

static int run_abandons_itself(weir_task *task, void *state)
{
    (void)state;
    return weir_task_abandon(task);
}

TEST(a_task_cannot_abandon_itself)
{
    rig   r;
    stuck s;
    expect(rig_open(&r, 2));
    stuck_init(&s);
    s.p.task.run = run_abandons_itself;
    expect_eq(weir_run(r.p, &s.p.task, r.m), 0);
    while (s.p.dones == 0)
        weir_main_wait(r.m, -1);
    expect_eq(s.p.outcome, WEIR_EDEADLK);
    expect_eq(s.releases, 0);
    rig_close(&r);
}

static tally exits;

static void at_exit_counts(void *arg, void *state)
{
    (void)arg, (void)state;
    tally_add(&exits, 1);
}

TEST(a_lost_thread_runs_at_exit_and_ends_when_it_wakes)
{
    rig               r;
    stuck             s;
    weir_pool_options opts = pool_of(2);
    opts.at_exit = at_exit_counts;
    exits = (tally)TALLY;
    expect(rig_open_with(&r, &opts));
    stick(&s, r.p, r.m);
    expect_eq(weir_task_abandon(&s.p.task), 0);
    expect_eq(weir_close(r.p, WEIR_CLOSE), 0);
    expect_eq(tally_get(&exits), 2); /* of the other and of the replacement */
    gate_open(&s.leave);
    tally_wait(&exits, 3);
    rig_close(&r);
    gate_wait(&s.released);
}

/* A queued task without main, a close and an abandon of the only thread. */
TEST(tasks_closed_behind_a_lost_thread_are_still_done)
{
    rig   r;
    stuck s;
    tally settled = TALLY;
    probe queued = PROBE;
    queued.settled = &settled;
    expect(rig_open(&r, 1));
    stick(&s, r.p, r.m);
    expect_eq(weir_run(r.p, &queued.task, NULL), 0);
    expect_eq(weir_close_async(r.p, WEIR_CLOSE, NULL, NULL), 0);
    expect_eq(weir_task_abandon(&s.p.task), 0);
    tally_wait(&settled, 1);
    expect_eq(queued.outcome, WEIR_ECLOSED);
    rig_close(&r);
    gate_open(&s.leave);
    gate_wait(&s.released);
}

static int run_blocks_on_when_lost(weir_task *task, void *state)
{
    weir_pool *pool = weir_pool_current();
    weir_blocking_begin();
    probe_run(task, state);
    weir_blocking_begin();
    expect_eq(stats_of(pool).blocked, 0);
    weir_blocking_end();
    weir_blocking_end();
    return 0;
}

TEST(a_lost_thread_counts_as_blocked_no_more)
{
    rig               r;
    stuck             s;
    weir_pool_options opts = pool_of(1);
    opts.max_blocked = 1;
    expect(rig_open_with(&r, &opts));
    stuck_init(&s);
    s.p.task.run = run_blocks_on_when_lost;
    expect_eq(weir_run(r.p, &s.p.task, r.m), 0);
    gate_wait(&s.entered);
    expect_eq(stats_of(r.p).blocked, 1);
    expect_eq(weir_task_abandon(&s.p.task), 0);
    expect_eq(stats_of(r.p).blocked, 0);
    gate_open(&s.leave);
    while (s.p.dones == 0)
        weir_main_wait(r.m, -1);
    gate_wait(&s.released);
    rig_close(&r);
}

TEST(a_lost_thread_leaves_its_levels_limit_to_others)
{
    rig               r;
    stuck             s;
    probe             next = PROBE;
    weir_pool_options opts = pool_of(1);
    opts.max_running[WEIR_NORMAL] = 1;
    expect(rig_open_with(&r, &opts));
    stick(&s, r.p, r.m);
    expect_eq(weir_task_abandon(&s.p.task), 0);
    expect_eq(weir_run(r.p, &next.task, r.m), 0);
    while (next.dones == 0)
        weir_main_wait(r.m, -1);
    gate_open(&s.leave);
    gate_wait(&s.released);
    rig_close(&r);
}

/* The abandon meets the natural end: either wins, and all is told once. */
TEST(an_abandon_races_with_the_return_and_one_of_them_wins)
{
    unsigned          won = 0, rounds = scaled(300);
    rig               r;
    weir_pool_options opts = pool_of(2);
    opts.idle_ns = SECONDS(3600);
    expect(rig_open_with(&r, &opts));
    for (unsigned round = 0; round < rounds; round++) {
        stuck s;
        stick(&s, r.p, r.m);
        gate_open(&s.leave);
        for (unsigned i = 0; i < round % 8; i++)
            sched_yield();
        int rc = weir_task_abandon(&s.p.task);
        expect(rc == 0 || rc == WEIR_EINVAL);
        while (s.p.dones == 0)
            weir_main_wait(r.m, -1);
        if (rc == 0)
            gate_wait(&s.released);
        expect_eq(s.p.outcome, rc == 0 ? WEIR_ECANCELED : 0);
        expect_eq(s.releases, rc == 0);
        expect_eq(s.p.dones, 1);
        while (stats_of(r.p).threads != 2) /* one too many leaves, even asleep */
            sched_yield();
        won += rc == 0;
    }
    weir_pool_stats st = stats_of(r.p);
    expect_eq(st.abandoned, won);
    expect_eq(st.submitted, rounds);
    rig_close(&r);
}

SCENARIO(a_refused_replacement_changes_nothing_or_leaves_another_thread)
{
    rig   r;
    stuck s;
    stuck_init(&s);
    if (rig_open(&r, 1)) {
        expect(given(weir_run(r.p, &s.p.task, r.m)));
        gate_wait(&s.entered);
        int rc = weir_task_abandon(&s.p.task);
        if (given(rc)) {
            gate_open(&s.leave);
            gate_wait(&s.entered);
            while (s.p.dones == 0)
                weir_main_wait(r.m, -1);
            gate_wait(&s.released);
        } else {
            expect_eq(weir_task_get_state(&s.p.task), WEIR_TASK_RUNNING);
            expect_eq(stats_of(r.p).threads, 1);
            gate_open(&s.leave);
            while (s.p.dones == 0)
                weir_main_wait(r.m, -1);
            expect_eq(s.p.outcome, 0);
        }
        probe next = PROBE;
        expect(given(weir_run(r.p, &next.task, r.m)));
        while (next.dones == 0)
            weir_main_wait(r.m, -1);
        expect_eq(next.outcome, 0);
    }
    rig_close(&r);
}

static _Atomic int inits;

static int init_of_one(void *arg, void **state)
{
    (void)arg, (void)state;
    return atomic_fetch_add(&inits, 1) == 0 ? 0 : 14;
}

/* The thread was there, so the abandon has succeeded. */
TEST(a_replacement_that_fails_its_init_closes_a_pool_without_another_thread)
{
    rig               r;
    stuck             s;
    probe             queued = PROBE;
    weir_pool_options opts = {.size = sizeof opts, .threads = 1, .init = init_of_one};
    inits = 0;
    expect(rig_open_with(&r, &opts));
    stick(&s, r.p, r.m);
    expect_eq(weir_run(r.p, &queued.task, r.m), 0);
    expect_eq(weir_task_abandon(&s.p.task), 0);
    while (s.p.dones == 0 || queued.dones == 0)
        weir_main_wait(r.m, -1);
    expect_eq(queued.outcome, WEIR_ECLOSED);
    expect_eq(weir_run(r.p, &queued.task, r.m), WEIR_ECLOSED);
    expect_eq(weir_pool_init_error(r.p), 14);
    gate_open(&s.leave);
    gate_wait(&s.released);
    rig_close(&r);
}

SUITE(abandon, an_abandoned_task_settles_now_and_its_thread_is_replaced,
      release_comes_with_done_when_done_is_the_later, close_does_not_wait_for_a_lost_thread,
      a_task_without_done_can_be_abandoned_and_waited_for,
      a_thread_lost_in_a_wait_does_not_make_the_next_wait_a_deadlock,
      without_a_main_an_abandoned_task_is_done_on_another_worker,
      only_a_running_task_with_release_can_be_abandoned, a_task_cannot_abandon_itself,
      a_lost_thread_runs_at_exit_and_ends_when_it_wakes,
      tasks_closed_behind_a_lost_thread_are_still_done,
      an_abandon_races_with_the_return_and_one_of_them_wins,
      a_refused_replacement_changes_nothing_or_leaves_another_thread,
      a_lost_thread_counts_as_blocked_no_more, a_lost_thread_leaves_its_levels_limit_to_others,
      a_replacement_that_fails_its_init_closes_a_pool_without_another_thread)
