/* SPDX-License-Identifier: ISC
 *
 * test_park.c: tasks that leave their thread and come back.
 */
#include "harness.h"

SCENARIO(a_parked_task_leaves_its_thread_and_runs_again_when_unparked)
{
    rig    r;
    parker k = parking(3);
    k.p.code = 6;
    if (rig_open(&r, 1)) {
        probe other = PROBE;
        expect(given(weir_run(r.p, &k.p.task, r.m)));
        for (int i = 1; i <= 3; i++) {
            until_parked(&k.p.task);
            expect_eq(k.p.runs, i);
            expect_eq(stats_of(r.p).parked, 1);
            other.dones = 0;
            expect(given(weir_run(r.p, &other.task, r.m)));
            while (other.dones == 0)
                weir_main_wait(r.m, -1);
            expect_eq(k.p.dones, 0);
            expect_eq(weir_task_unpark(&k.p.task), 0);
        }
        while (k.p.dones == 0)
            weir_main_wait(r.m, -1);
        expect_eq(k.p.outcome, 6);
        expect_eq(k.p.runs, 4);
        expect_eq(stats_of(r.p).submitted, 4);
    }
    rig_close(&r);
}

TEST(an_unpark_that_comes_while_it_runs_is_remembered_once)
{
    rig    r;
    gate   entered = GATE, leave = GATE;
    parker k = parking(2);
    k.p.entered = &entered, k.p.leave = &leave;
    expect(rig_open(&r, 1));
    expect_eq(weir_run(r.p, &k.p.task, r.m), 0);
    gate_wait(&entered);
    expect_eq(weir_task_unpark(&k.p.task), 0);
    expect_eq(weir_task_unpark(&k.p.task), 0);
    gate_open(&leave);
    until_parked(&k.p.task); /* the second park finds nothing remembered */
    expect_eq(k.p.runs, 2);
    expect_eq(weir_task_unpark(&k.p.task), 0);
    while (k.p.dones == 0)
        weir_main_wait(r.m, -1);
    expect_eq(k.p.runs, 3);
    rig_close(&r);
}

TEST(an_unpark_of_an_idle_or_settled_task_is_refused)
{
    rig    r;
    parker k = parking(0);
    expect(rig_open(&r, 1));
    expect_eq(weir_task_unpark(&k.p.task), WEIR_EINVAL);
    expect_eq(weir_task_unpark(NULL), WEIR_EINVAL);
    expect_eq(weir_run(r.p, &k.p.task, r.m), 0);
    expect_eq(weir_close(r.p, WEIR_DRAIN), 0);
    expect_eq(weir_task_get_state(&k.p.task), WEIR_TASK_SETTLED);
    expect_eq(weir_task_unpark(&k.p.task), WEIR_EINVAL);
    rig_close(&r);
}

TEST(an_unparked_task_passes_the_queue_limit)
{
    rig               r;
    plug              p;
    parker            k = parking(1);
    probe             t = PROBE, extra = PROBE;
    weir_pool_options opts = pool_of(1);
    opts.queue_limit = 1;
    expect(rig_open_with(&r, &opts));
    expect_eq(weir_run(r.p, &k.p.task, r.m), 0);
    until_parked(&k.p.task);
    expect(plug_in(&p, r.p, r.m));
    expect_eq(weir_run(r.p, &t.task, r.m), 0);
    expect_eq(weir_task_unpark(&k.p.task), 0);
    expect_eq(stats_of(r.p).queued, 2);
    expect_eq(weir_run(r.p, &extra.task, r.m), WEIR_EFULL);
    plug_pull(&p);
    while (weir_main_pending(r.m))
        weir_main_wait(r.m, -1);
    expect_eq(k.p.outcome, 0);
    rig_close(&r);
}

TEST(a_parked_task_can_be_cancelled)
{
    rig    r;
    parker k = parking(1);
    expect(rig_open(&r, 1));
    expect_eq(weir_run(r.p, &k.p.task, r.m), 0);
    until_parked(&k.p.task);
    expect_eq(weir_cancel(&k.p.task), 0);
    expect_eq(k.p.dones, 0);
    expect_eq(weir_task_unpark(&k.p.task), WEIR_EINVAL);
    expect_eq(weir_main_dispatch(r.m, 0), 1);
    expect_eq(k.p.outcome, WEIR_ECANCELED);
    expect_eq(k.p.runs, 1);
    rig_close(&r);
}

TEST(a_close_settles_parked_tasks_and_a_drain_does_when_nothing_else_is_left)
{
    for (int drain = 0; drain < 2; drain++) {
        rig    r;
        plug   p;
        parker k = parking(1);
        expect(rig_open(&r, 1));
        expect_eq(weir_run(r.p, &k.p.task, r.m), 0);
        until_parked(&k.p.task);
        expect(plug_in(&p, r.p, r.m));
        expect_eq(weir_close_async(r.p, drain ? WEIR_DRAIN : WEIR_CLOSE, NULL, NULL), 0);
        expect_eq(weir_main_dispatch(r.m, 0), drain ? 0 : 1);
        plug_pull(&p);
        expect_eq(weir_close(r.p, WEIR_DRAIN), 0);
        rig_close(&r);
        expect_eq(k.p.outcome, WEIR_ECLOSED);
        expect_eq(k.p.runs, 1);
    }
}

TEST(a_running_task_may_unpark_a_parked_one_while_draining)
{
    rig    r;
    plug   p;
    parker k = parking(1);
    expect(rig_open(&r, 1));
    expect_eq(weir_run(r.p, &k.p.task, r.m), 0);
    until_parked(&k.p.task);
    expect(plug_in(&p, r.p, r.m));
    expect_eq(weir_close_async(r.p, WEIR_DRAIN, NULL, NULL), 0);
    expect_eq(weir_task_unpark(&k.p.task), 0);
    plug_pull(&p);
    expect_eq(weir_close(r.p, WEIR_DRAIN), 0);
    rig_close(&r);
    expect_eq(k.p.outcome, 0);
    expect_eq(k.p.runs, 2);
}

/* ---- races -------------------------------------------------------------- */

static void unparks_until_done(void *arg)
{
    parker *k = arg;
    while (atomic_load(&k->p.dones) == 0) {
        weir_task_unpark(&k->p.task);
        sched_yield();
    }
}

/* Every park is ended by an unpark, whenever it comes; no run is lost or doubled. */
TEST(park_and_unpark_race_and_no_unpark_is_lost)
{
    int    parks = (int)scaled(2000);
    rig    r;
    helper h[2];
    parker k = parking(parks);
    expect(rig_open(&r, 2));
    expect_eq(weir_run(r.p, &k.p.task, r.m), 0);
    helper_start(&h[0], unparks_until_done, &k);
    helper_start(&h[1], unparks_until_done, &k);
    while (k.p.dones == 0)
        weir_main_wait(r.m, -1);
    expect_eq(k.p.runs, parks + 1);
    helper_join(&h[0]);
    helper_join(&h[1]);
    rig_close(&r);
}

/* Two tasks that wake each other: one unpark too few and both sleep for ever. */
static parker pair[2];

static int run_wakes_the_other(weir_task *task, void *state)
{
    int rc = parker_run(task, state);
    weir_task_unpark(&pair[task == &pair[0].p.task].p.task);
    return rc;
}

TEST(two_tasks_may_wake_each_other_for_long)
{
    tally settled = TALLY;
    rig   r;
    expect(rig_open(&r, 2));
    for (int i = 0; i < 2; i++) {
        pair[i] = parking((int)scaled(3000));
        pair[i].p.task.run = run_wakes_the_other;
        pair[i].p.settled = &settled;
    }
    for (int i = 0; i < 2; i++)
        expect_eq(weir_run(r.p, &pair[i].p.task, r.m), 0);
    while (tally_get(&settled) < 1)
        weir_main_wait(r.m, -1);
    while (tally_get(&settled) < 2) { /* the one left has nobody to wake it */
        weir_task_unpark(&pair[0].p.task);
        weir_task_unpark(&pair[1].p.task);
        weir_main_wait(r.m, MILLIS(1));
    }
    for (int i = 0; i < 2; i++) {
        expect_eq(pair[i].p.runs, scaled(3000) + 1);
        expect_eq(pair[i].p.dones, 1);
    }
    rig_close(&r);
}

TEST(unpark_cancel_and_close_race_and_the_task_settles_once)
{
    for (unsigned round = 0; round < scaled(200); round++) {
        rig    r;
        helper h;
        parker k = parking(round % 3 == 0 ? 1000000 : 5);
        expect(rig_open(&r, 2));
        expect_eq(weir_run(r.p, &k.p.task, r.m), 0);
        helper_start(&h, unparks_until_done, &k);
        if (round % 2)
            weir_cancel(&k.p.task);
        else
            expect_eq(weir_close_async(r.p, round % 4 ? WEIR_CLOSE : WEIR_DRAIN, NULL, NULL), 0);
        if (round % 3 == 0) /* or the drain would last */
            expect_eq(weir_close_async(r.p, WEIR_CLOSE, NULL, NULL), 0);
        while (k.p.dones == 0)
            weir_main_wait(r.m, -1);
        helper_join(&h);
        rig_close(&r);
        expect_eq(k.p.dones, 1);
        expect(k.p.outcome == 0 || k.p.outcome == WEIR_ECANCELED || k.p.outcome == WEIR_ECLOSED);
    }
}

/* ---- parks with a time ---------------------------------------------------- */

/* Each of its first `timed` parks ends after `within` at the latest. */
typedef struct {
    parker  k;
    int     timed;
    int64_t within, woken_at;
    int     rc;
} sleeper;

static int run_sleeps(weir_task *task, void *state)
{
    sleeper *s = (sleeper *)task;
    s->woken_at = now_ns();
    if (s->k.p.runs < s->timed && (s->rc = weir_task_park_within(task, s->within)) != 0)
        return s->rc;
    return parker_run(task, state);
}

static sleeper sleeping(int times, int64_t within)
{
    sleeper s = {.k = parking(times), .timed = times, .within = within};
    s.k.p.task.run = run_sleeps;
    return s;
}

SCENARIO(a_park_ends_by_itself_when_its_time_is_up)
{
    rig     r;
    sleeper s = sleeping(1, MILLIS(3));
    if (rig_open(&r, 1)) {
        int64_t before = now_ns();
        expect(given(weir_run(r.p, &s.k.p.task, r.m)));
        while (s.k.p.dones == 0)
            weir_main_wait(r.m, -1);
        if (given(s.rc)) {
            expect_op(s.woken_at - before, >=, MILLIS(3));
            expect_eq(s.k.p.runs, 2);
        }
        expect_eq(s.k.p.outcome, s.rc);
        expect_eq(stats_of(r.p).parked, 0);
    }
    rig_close(&r);
}

TEST(ten_thousand_parks_on_two_threads_end_each_in_its_time)
{
    enum { N = 10000 };
    static sleeper s[N];
    rig            r;
    tally          settled = TALLY;
    uint64_t       seed = test_seed();
    int64_t        began[N];
    expect(rig_open(&r, 2));
    for (int i = 0; i < N; i++) {
        s[i] = sleeping(1, MILLIS(1) + rnd(&seed) % MILLIS(50));
        s[i].k.p.settled = &settled;
        began[i] = now_ns();
        expect_eq(weir_run(r.p, &s[i].k.p.task, r.m), 0);
    }
    main_until(r.m, &settled, N);
    for (int i = 0; i < N; i++) {
        expect(s[i].k.p.runs == 2 && s[i].k.p.outcome == 0);
        expect_op(s[i].woken_at - began[i], >=, s[i].within);
    }
    rig_close(&r);
}

/* False: this machine was too slow for that time, which may have ended the first park. */
static bool second_park_has_no_end(rig *r, int64_t within, bool while_it_runs)
{
    gate    entered = GATE, leave = GATE;
    sleeper s = sleeping(2, within);
    s.timed = 1;
    s.k.p.entered = &entered, s.k.p.leave = &leave;
    int64_t began = now_ns();
    expect_eq(weir_run(r->p, &s.k.p.task, r->m), 0);
    gate_wait(&entered);
    if (while_it_runs)
        expect_eq(weir_task_unpark(&s.k.p.task), 0);
    gate_open(&leave);
    if (!while_it_runs) {
        until_parked(&s.k.p.task);
        expect_eq(weir_task_unpark(&s.k.p.task), 0);
    }
    bool in_time = now_ns() - began < within;
    if (in_time) {
        while (s.k.p.runs < 2)
            sched_yield();
        until_parked(&s.k.p.task);
        expect_eq(weir_main_wait(r->m, 2 * within), 0);
        expect_eq(s.k.p.runs, 2);
    }
    while (s.k.p.dones == 0) {
        weir_task_unpark(&s.k.p.task);
        weir_main_dispatch(r->m, 0);
    }
    return in_time;
}

TEST(the_time_of_a_park_that_was_ended_is_not_the_next_ones)
{
    rig r;
    expect(rig_open(&r, 1));
    for (int while_it_runs = 0; while_it_runs < 2; while_it_runs++)
        for (int64_t within = MILLIS(20); !second_park_has_no_end(&r, within, while_it_runs);
             within *= 4)
            continue;
    rig_close(&r);
}

TEST(a_park_with_a_time_can_be_ended_before_by_an_unpark)
{
    rig     r;
    sleeper s = sleeping(100, SECONDS(3600));
    expect(rig_open(&r, 2));
    expect_eq(weir_run(r.p, &s.k.p.task, r.m), 0);
    for (int i = 1; i <= 100; i++) {
        until_parked(&s.k.p.task);
        expect_eq(weir_task_unpark(&s.k.p.task), 0);
        while (s.k.p.runs == i)
            sched_yield();
    }
    expect_eq(weir_main_wait(r.m, -1), 1);
    expect_eq(s.k.p.runs, 101);
    rig_close(&r);
}

TEST(a_park_whose_time_is_negative_has_no_end)
{
    rig     r;
    sleeper s = sleeping(1, -1), late = sleeping(1, INT64_MAX);
    expect(rig_open(&r, 1));
    expect_eq(weir_run(r.p, &s.k.p.task, r.m), 0);
    expect_eq(weir_run(r.p, &late.k.p.task, r.m), 0);
    until_parked(&s.k.p.task);
    until_parked(&late.k.p.task);
    expect_eq(weir_main_wait(r.m, MILLIS(20)), 0);
    expect_eq(weir_task_unpark(&s.k.p.task), 0);
    expect_eq(weir_task_unpark(&late.k.p.task), 0);
    while (weir_main_pending(r.m))
        weir_main_wait(r.m, -1);
    expect(s.k.p.runs == 2 && late.k.p.runs == 2);
    rig_close(&r);
}

TEST(a_time_is_only_for_the_run_of_the_task_itself)
{
    rig    r;
    parker k = parking(1);
    expect(rig_open(&r, 1));
    expect_eq(weir_task_park_within(NULL, 0), WEIR_EINVAL);
    expect_eq(weir_task_park_within(&k.p.task, 0), WEIR_EINVAL);
    expect_eq(weir_run(r.p, &k.p.task, r.m), 0);
    until_parked(&k.p.task);
    expect_eq(weir_task_park_within(&k.p.task, 0), WEIR_EINVAL);
    expect_eq(weir_cancel(&k.p.task), 0);
    rig_close(&r);
}

/* What is cancelled, closed or loses its main leaves the heap, in which others are. */
TEST(a_park_that_ends_otherwise_leaves_the_times_of_others)
{
    enum { N = 30 };
    for (int how = 0; how < 3; how++) {
        rig        r;
        weir_main *other = NULL;
        sleeper    gone[N], s = sleeping(1, MILLIS(20));
        expect(rig_open(&r, 1) && weir_main_open(&other) == 0);
        for (int i = 0; i < N; i++) {
            gone[i] = sleeping(1, how == 2 ? SECONDS(3600) : MILLIS(10) + i * 1000);
            expect_eq(weir_run(r.p, &gone[i].k.p.task, other), 0);
        }
        expect_eq(weir_run(r.p, &s.k.p.task, r.m), 0);
        for (int i = 0; i < N; i++)
            while (gone[i].k.p.runs == 0)
                sched_yield();
        for (int i = 0; how == 0 && i < N; i++)
            weir_cancel(&gone[i].k.p.task); /* some had their time already */
        if (how == 2)
            expect_eq(weir_close_async(r.p, WEIR_CLOSE, NULL, NULL), 0);
        expect_eq(weir_main_close(other, WEIR_DETACH), 0);
        while (s.k.p.dones == 0)
            weir_main_wait(r.m, -1);
        expect(s.k.p.outcome == (how == 2 ? WEIR_ECLOSED : 0) || how == 2);
        rig_close(&r);
        for (int i = 0; i < N; i++)
            expect_eq(gone[i].k.p.dones, 1);
    }
}

/* An unpark, a cancel and the timer meet: each park ends once. */
TEST(the_time_races_with_unparks_and_a_cancel)
{
    for (unsigned round = 0; round < scaled(100); round++) {
        rig     r;
        helper  h;
        sleeper s = sleeping(round % 3 ? 50 : 1000000, 1 + (int64_t)round * 300);
        expect(rig_open(&r, 2));
        expect_eq(weir_run(r.p, &s.k.p.task, r.m), 0);
        helper_start(&h, unparks_until_done, &s.k);
        while (s.k.p.dones == 0 && s.k.p.runs < 20)
            weir_main_wait(r.m, 0);
        if (round % 3 == 0)
            while (s.k.p.dones == 0 && weir_cancel(&s.k.p.task) != 0)
                weir_main_wait(r.m, 0);
        while (s.k.p.dones == 0)
            weir_main_wait(r.m, -1);
        helper_join(&h);
        rig_close(&r);
        expect_eq(s.k.p.dones, 1);
        expect_eq(s.k.p.outcome, round % 3 ? 0 : WEIR_ECANCELED);
    }
}

TEST(a_running_task_that_was_cancelled_settles_instead_of_parking)
{
    rig    r;
    parker k = parking(1);
    gate   entered = GATE, leave = GATE;
    k.p.entered = &entered, k.p.leave = &leave;
    expect(rig_open(&r, 1));
    expect_eq(weir_run(r.p, &k.p.task, r.m), 0);
    gate_wait(&entered);
    expect_eq(weir_cancel(&k.p.task), WEIR_EBUSY);
    gate_open(&leave);
    expect_eq(weir_main_wait(r.m, -1), 1);
    expect_eq(k.p.outcome, WEIR_ECANCELED);
    rig_close(&r);
}

SUITE(park, a_parked_task_leaves_its_thread_and_runs_again_when_unparked,
      an_unpark_that_comes_while_it_runs_is_remembered_once,
      an_unpark_of_an_idle_or_settled_task_is_refused, an_unparked_task_passes_the_queue_limit,
      a_parked_task_can_be_cancelled,
      a_close_settles_parked_tasks_and_a_drain_does_when_nothing_else_is_left,
      a_running_task_may_unpark_a_parked_one_while_draining,
      park_and_unpark_race_and_no_unpark_is_lost, two_tasks_may_wake_each_other_for_long,
      unpark_cancel_and_close_race_and_the_task_settles_once,
      a_running_task_that_was_cancelled_settles_instead_of_parking,
      a_park_ends_by_itself_when_its_time_is_up,
      ten_thousand_parks_on_two_threads_end_each_in_its_time,
      the_time_of_a_park_that_was_ended_is_not_the_next_ones,
      a_park_with_a_time_can_be_ended_before_by_an_unpark, a_park_whose_time_is_negative_has_no_end,
      a_time_is_only_for_the_run_of_the_task_itself,
      a_park_that_ends_otherwise_leaves_the_times_of_others,
      the_time_races_with_unparks_and_a_cancel)
