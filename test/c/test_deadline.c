/* SPDX-License-Identifier: ISC
 *
 * test_deadline.c: tasks that must start in time.
 */
#include "harness.h"

static int run_within(rig *r, probe *t, weir_main *m, int64_t ns)
{
    weir_run_options o = {.size = sizeof o, .deliver_to = m, .start_within_ns = ns};
    return weir_run_with(r->p, &t->task, &o);
}

/* Runs it with a deadline that a slow machine may miss: then again with a longer
 * one. Returns the one that it met, with the task past `state`. */
static int64_t run_in_time(rig *r, probe *t, weir_task_state state)
{
    for (int64_t within = MILLIS(100);; within *= 4) {
        int dones = t->dones;
        expect_eq(run_within(r, t, r->m, within), 0);
        while (weir_task_get_state(&t->task) != state && t->dones == dones)
            weir_main_dispatch(r->m, 0);
        if (t->dones == dones)
            return within;
        expect_eq(t->outcome, WEIR_EEXPIRED);
        t->dones = dones;
    }
}

SCENARIO(a_task_expires_on_time_though_every_worker_is_stuck)
{
    rig   r;
    plug  p;
    probe t = PROBE;
    bool  stuck = rig_open(&r, 1) && plug_in(&p, r.p, r.m);
    if (stuck) {
        int64_t before = now_ns();
        if (given(run_within(&r, &t, r.m, MILLIS(3)))) {
            expect_eq(weir_main_wait(r.m, -1), 1);
            expect_op(now_ns() - before, >=, MILLIS(3));
            expect_eq(t.outcome, WEIR_EEXPIRED);
            expect_eq(t.runs, 0);
            weir_pool_stats s = stats_of(r.p);
            expect(s.expired == 1 && s.queued == 0);
        } else {
            expect_eq(weir_task_get_state(&t.task), WEIR_TASK_IDLE);
            expect_eq(weir_main_pending(r.m), 1);
        }
        plug_pull(&p);
    }
    rig_close(&r);
    expect_eq(t.dones, weir_task_outcome(&t.task) == WEIR_EEXPIRED);
}

TEST(a_thousand_tasks_expire_before_any_of_four_stuck_workers_ends)
{
    enum { N = 1000, STUCK = 4 };
    static probe t[N];
    rig          r;
    plug         p[STUCK];
    tally        settled = TALLY;
    expect(rig_open(&r, STUCK));
    for (int i = 0; i < STUCK; i++)
        expect(plug_in(&p[i], r.p, r.m));
    for (int i = 0; i < N; i++) {
        t[i] = (probe)PROBE;
        t[i].settled = &settled;
        expect_eq(run_within(&r, &t[i], r.m, MILLIS(50)), 0);
    }
    main_until(r.m, &settled, N);
    for (int i = 0; i < STUCK; i++)
        expect_eq(weir_task_get_state(&p[i].probe.task), WEIR_TASK_RUNNING);
    weir_pool_stats s = stats_of(r.p);
    expect(s.expired == N && s.running == STUCK && s.queued == 0);
    for (int i = 0; i < N; i++)
        expect(t[i].outcome == WEIR_EEXPIRED && t[i].runs == 0 && t[i].dones == 1);
    for (int i = 0; i < STUCK; i++)
        plug_pull(&p[i]);
    rig_close(&r);
}

TEST(a_task_expires_in_a_paused_pool_with_idle_workers)
{
    rig   r;
    probe t = PROBE;
    expect(rig_open(&r, 2) && weir_pool_pause(r.p) == 0);
    expect_eq(run_within(&r, &t, r.m, MILLIS(2)), 0);
    expect_eq(weir_main_wait(r.m, -1), 1);
    expect_eq(t.outcome, WEIR_EEXPIRED);
    rig_close(&r);
}

TEST(a_task_that_starts_in_time_never_expires)
{
    rig   r;
    gate  entered = GATE, leave = GATE;
    probe t = PROBE;
    t.entered = &entered, t.leave = &leave;
    expect(rig_open(&r, 1));
    int64_t within = run_in_time(&r, &t, WEIR_TASK_RUNNING);
    while (weir_main_wait(r.m, within + MILLIS(10)) != 0)
        continue;
    expect_eq(t.dones, 0);
    gate_open(&leave);
    expect_eq(weir_main_wait(r.m, -1), 1);
    expect_eq(t.outcome, 0);
    rig_close(&r);
}

/* Whoever is accepted expires in time, is taken back, or is closed. */
SCENARIO(deadlines_cancels_and_closes_meet_a_timer_that_may_be_refused)
{
    static const int outcomes[] = {WEIR_EEXPIRED, WEIR_ECANCELED, WEIR_ECLOSED};
    rig              r;
    plug             p;
    probe            t[3] = {PROBE, PROBE, PROBE};
    bool             in[3] = {false}, stuck = rig_open(&r, 1) && plug_in(&p, r.p, r.m);
    for (int i = 0; stuck && i < 3; i++)
        in[i] = given(run_within(&r, &t[i], r.m, i ? SECONDS(3600) : MILLIS(2)));
    if (in[1])
        expect_eq(weir_cancel(&t[1].task), 0);
    while (in[0] && t[0].dones == 0)
        weir_main_wait(r.m, -1);
    if (stuck) {
        expect_eq(weir_close_async(r.p, WEIR_CLOSE, NULL, NULL), 0);
        plug_pull(&p);
    }
    rig_close(&r);
    for (int i = 0; i < 3; i++)
        expect(t[i].dones == in[i] && t[i].runs == 0 && (!in[i] || t[i].outcome == outcomes[i]));
}

static int64_t told_at[64];

static void done_notes_when(weir_task *task)
{
    told_at[((probe *)task)->id] = now_ns();
    probe_done(task);
}

TEST(many_deadlines_are_kept_in_their_order_and_never_early)
{
    enum { N = 40 };
    static probe t[N];
    rig          r;
    plug         p;
    int64_t      due[N];
    uint64_t     seed = test_seed();
    tally        settled = TALLY;
    expect(rig_open(&r, 1) && plug_in(&p, r.p, r.m));
    for (int i = 0; i < N; i++) {
        int64_t within = i == 0 ? SECONDS(3600) : MILLIS(1) + rnd(&seed) % MILLIS(20);
        t[i] = (probe){.task = {.run = probe_run, .done = done_notes_when}, .settled = &settled};
        t[i].id = i;
        due[i] = now_ns() + within;
        expect_eq(run_within(&r, &t[i], r.m, within), 0);
    }
    expect_eq(weir_cancel(&t[0].task), 0);
    main_until(r.m, &settled, N);
    expect_eq(t[0].outcome, WEIR_ECANCELED);
    for (int i = 1; i < N; i++) {
        expect_eq(t[i].outcome, WEIR_EEXPIRED);
        expect_op(told_at[i], >=, due[i]);
    }
    plug_pull(&p);
    rig_close(&r);
}

TEST(deadlines_taken_back_in_any_order_leave_the_others)
{
    enum { N = 60 };
    static probe t[N];
    rig          r;
    plug         p;
    uint64_t     seed = test_seed();
    tally        settled = TALLY;
    expect(rig_open(&r, 1) && plug_in(&p, r.p, r.m));
    for (int i = 0; i < N; i++) {
        t[i] = (probe)PROBE;
        t[i].settled = &settled;
        int64_t far = i % 3 ? SECONDS(3600) : MILLIS(3);
        expect_eq(run_within(&r, &t[i], r.m, far + rnd(&seed) % MILLIS(5)), 0);
    }
    for (int n = N - N / 3, i; n > 0;)
        if ((i = (int)(rnd(&seed) % N)) % 3 && !t[i].code) {
            expect_eq(weir_cancel(&t[i].task), 0);
            t[i].code = 1, n--;
        }
    main_until(r.m, &settled, N);
    for (int i = 0; i < N; i++)
        expect(t[i].dones == 1 && t[i].outcome == (i % 3 ? WEIR_ECANCELED : WEIR_EEXPIRED));
    plug_pull(&p);
    rig_close(&r);
}

TEST(a_deadline_beyond_the_clocks_end_is_none)
{
    rig   r;
    probe t = PROBE;
    expect(rig_open(&r, 1));
    int threads = count_threads();
    expect_eq(run_within(&r, &t, r.m, INT64_MAX), 0);
    expect_eq(weir_main_wait(r.m, -1), 1);
    expect_eq(t.outcome, 0);
    expect_eq(count_threads(), threads); /* no timer */
    rig_close(&r);
}

TEST(a_later_task_may_be_due_earlier)
{
    rig   r;
    plug  p;
    probe far = PROBE, near[2] = {PROBE, PROBE};
    expect(rig_open(&r, 1) && plug_in(&p, r.p, r.m));
    expect_eq(run_within(&r, &far, r.m, SECONDS(3600)), 0);
    for (int i = 0; i < 2; i++) { /* the second finds the timer asleep for an hour */
        expect_eq(run_within(&r, &near[i], r.m, MILLIS(2)), 0);
        expect_eq(weir_main_wait(r.m, -1), 1);
        expect_eq(near[i].outcome, WEIR_EEXPIRED);
    }
    plug_pull(&p);
    rig_close(&r);
}

TEST(an_expired_task_makes_room_in_the_queue)
{
    rig               r;
    plug              p;
    probe             t = PROBE, next = PROBE;
    weir_pool_options opts = pool_of(1);
    opts.queue_limit = 1, opts.when_full = WEIR_BLOCK;
    expect(rig_open_with(&r, &opts) && plug_in(&p, r.p, r.m));
    expect_eq(run_within(&r, &t, r.m, MILLIS(2)), 0);
    expect_eq(weir_run(r.p, &next.task, r.m), 0); /* blocks until then */
    expect_eq(weir_main_dispatch(r.m, 0), 1);
    expect_eq(t.outcome, WEIR_EEXPIRED);
    plug_pull(&p);
    while (next.dones == 0)
        weir_main_wait(r.m, -1);
    rig_close(&r);
}

TEST(an_expired_task_can_be_waited_for_and_run_again)
{
    rig   r;
    plug  p;
    probe t = PROBE;
    t.task.done = NULL;
    expect(rig_open(&r, 1) && plug_in(&p, r.p, r.m));
    expect_eq(run_within(&r, &t, NULL, MILLIS(2)), 0);
    expect_eq(weir_wait(&t.task, -1), 0);
    expect_eq(weir_task_outcome(&t.task), WEIR_EEXPIRED);
    plug_pull(&p);
    expect_eq(run_within(&r, &t, NULL, SECONDS(1000)), 0);
    expect_eq(weir_wait(&t.task, -1), 0);
    expect_eq(weir_task_outcome(&t.task), 0);
    rig_close(&r);
}

static int run_parks_once(weir_task *task, void *state)
{
    probe_run(task, state);
    return ((probe *)task)->runs == 1 ? WEIR_PARK : 0;
}

TEST(a_task_that_has_started_and_parked_does_not_expire)
{
    rig   r;
    probe t = {.task = {.run = run_parks_once, .done = probe_done}};
    expect(rig_open(&r, 1));
    int64_t within = run_in_time(&r, &t, WEIR_TASK_PARKED);
    expect_eq(weir_main_wait(r.m, within + MILLIS(10)), 0);
    expect_eq(weir_task_unpark(&t.task), 0);
    expect_eq(weir_main_wait(r.m, -1), 1);
    expect_eq(t.outcome, 0);
    rig_close(&r);
}

TEST(a_task_queued_again_has_no_deadline_left)
{
    rig   r;
    plug  p;
    probe t = {.task = {.run = run_parks_once, .done = probe_done}}, others[2] = {PROBE, PROBE};
    expect(rig_open(&r, 1));
    expect_eq(run_within(&r, &t, r.m, SECONDS(3600)), 0);
    while (weir_task_get_state(&t.task) != WEIR_TASK_PARKED)
        sched_yield();
    expect(plug_in(&p, r.p, NULL));
    for (int i = 0; i < 2; i++)
        expect_eq(run_within(&r, &others[i], r.m, MILLIS(5)), 0);
    expect_eq(weir_task_unpark(&t.task), 0);
    expect_eq(weir_cancel(&t.task), 0); /* takes it out of the queue only */
    while (weir_main_pending(r.m))
        weir_main_wait(r.m, -1);
    expect_eq(t.outcome, WEIR_ECANCELED);
    for (int i = 0; i < 2; i++)
        expect_eq(others[i].outcome, WEIR_EEXPIRED);
    plug_pull(&p);
    rig_close(&r);
}

TEST(a_close_does_not_wait_for_deadlines)
{
    rig   r;
    plug  p;
    probe t = PROBE;
    expect(rig_open(&r, 1) && plug_in(&p, r.p, r.m));
    expect_eq(run_within(&r, &t, r.m, SECONDS(3600)), 0);
    plug_pull(&p);
    rig_close(&r);
    expect(t.outcome == WEIR_ECLOSED || t.outcome == 0);
}

/* Deadline and worker meet: either wins, done comes once. */
TEST(a_start_races_with_its_deadline_and_one_of_them_wins)
{
    rig   r;
    tally settled = TALLY;
    probe t[8];
    long  n = 0;
    expect(rig_open(&r, 2));
    for (unsigned round = 0; round < scaled(200); round++) {
        for (int i = 0; i < 8; i++) {
            t[i] = (probe)PROBE;
            t[i].settled = &settled;
            expect_eq(run_within(&r, &t[i], r.m, 1 + (int64_t)round * 500), 0);
        }
        main_until(r.m, &settled, n += 8);
        for (int i = 0; i < 8; i++) {
            expect(t[i].outcome == 0 || t[i].outcome == WEIR_EEXPIRED);
            expect_eq(t[i].runs, t[i].outcome == 0);
            expect_eq(t[i].dones, 1);
        }
    }
    rig_close(&r);
}

SUITE(deadline, a_task_expires_on_time_though_every_worker_is_stuck,
      a_thousand_tasks_expire_before_any_of_four_stuck_workers_ends,
      deadlines_cancels_and_closes_meet_a_timer_that_may_be_refused,
      a_task_expires_in_a_paused_pool_with_idle_workers, a_task_that_starts_in_time_never_expires,
      many_deadlines_are_kept_in_their_order_and_never_early, a_later_task_may_be_due_earlier,
      an_expired_task_makes_room_in_the_queue, an_expired_task_can_be_waited_for_and_run_again,
      a_task_that_has_started_and_parked_does_not_expire, a_task_queued_again_has_no_deadline_left,
      a_close_does_not_wait_for_deadlines, a_start_races_with_its_deadline_and_one_of_them_wins,
      deadlines_taken_back_in_any_order_leave_the_others, a_deadline_beyond_the_clocks_end_is_none)
