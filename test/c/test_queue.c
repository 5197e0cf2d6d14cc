/* SPDX-License-Identifier: ISC
 *
 * test_queue.c: which task starts next.
 */
#include "harness.h"

#include <sched.h>

static weir_run_options level(weir_main *m, weir_priority priority)
{
    return (weir_run_options){
        .size = sizeof(weir_run_options), .deliver_to = m, .priority = priority};
}

static void run_at(rig *r, probe *t, weir_priority priority)
{
    weir_run_options opts = level(r->m, priority);
    expect_eq(weir_run_with(r->p, &t->task, &opts), 0);
}

/* n probes that note their number, from `first` on. */
static void number(probe *t, int n, int first, order *o)
{
    for (int i = 0; i < n; i++) {
        t[i] = (probe)PROBE;
        t[i].id = first + i, t[i].order = o;
    }
}

SCENARIO(tasks_start_in_the_order_of_submission)
{
    enum { N = 100 };
    static probe t[N];
    order        o = ORDER;
    rig          r;
    int          accepted = 0;
    number(t, N, 0, &o);
    if (rig_open(&r, 1))
        for (int i = 0; i < N; i++)
            accepted += given(weir_run(r.p, &t[i].task, r.m));
    if (r.p)
        expect_eq(weir_close(r.p, WEIR_DRAIN), 0);
    rig_close(&r);
    expect_eq(o.n, accepted);
    for (int i = 0; i < accepted; i++)
        expect_eq(o.id[i], i);
}

/* Some go by the inbox, others not. */
TEST(tasks_with_a_deadline_keep_their_place_among_those_without)
{
    enum { N = 40 };
    static probe t[N];
    order        o = ORDER;
    rig          r;
    plug         p;
    number(t, N, 0, &o);
    expect(rig_open(&r, 1) && plug_in(&p, r.p, r.m));
    for (int i = 0; i < N; i++) {
        weir_run_options ro = {.size = sizeof ro, .deliver_to = r.m};
        ro.start_within_ns = i % 3 == 2 ? SECONDS(3600) : 0;
        ro.priority = i % 5 == 4 ? WEIR_LOW : WEIR_NORMAL;
        expect_eq(weir_run_with(r.p, &t[i].task, &ro), 0);
    }
    plug_pull(&p);
    expect_eq(weir_close(r.p, WEIR_DRAIN), 0);
    rig_close(&r);
    int last[2] = {-1, -1};
    expect_eq(o.n, N);
    for (int i = 0; i < N; i++) {
        int low = o.id[i] % 5 == 4;
        expect_op(o.id[i], >, last[low]);
        last[low] = o.id[i];
    }
}

TEST(a_higher_level_starts_first)
{
    rig   r;
    plug  p;
    order o = ORDER;
    probe low[3], normal[3], high[3];
    number(low, 3, 6, &o), number(normal, 3, 3, &o), number(high, 3, 0, &o);
    expect(rig_open(&r, 1) && plug_in(&p, r.p, r.m));
    for (int i = 0; i < 3; i++) {
        run_at(&r, &low[i], WEIR_LOW);
        run_at(&r, &normal[i], WEIR_NORMAL);
        run_at(&r, &high[i], WEIR_HIGH);
    }
    plug_pull(&p);
    expect_eq(weir_close(r.p, WEIR_DRAIN), 0);
    expect_eq(o.n, 9);
    for (int i = 0; i < 9; i++)
        expect_eq(o.id[i], i);
    rig_close(&r);
}

/* Where, among 128 high tasks, four of a lower level started. */
static void starts_every_32nd(weir_priority lower)
{
    enum { HIGH = 128, LOWER = 4 };
    static probe high[HIGH], low[LOWER];
    rig          r;
    plug         p;
    order        o = ORDER;
    int          at[LOWER], n = 0;
    number(high, HIGH, 0, &o), number(low, LOWER, 1000, &o);
    expect(rig_open(&r, 1) && plug_in(&p, r.p, r.m));
    for (int i = 0; i < LOWER; i++)
        run_at(&r, &low[i], lower);
    for (int i = 0; i < HIGH; i++)
        run_at(&r, &high[i], WEIR_HIGH);
    plug_pull(&p);
    expect_eq(weir_close(r.p, WEIR_DRAIN), 0);
    expect_eq(o.n, HIGH + LOWER);
    for (int i = 0; i < o.n; i++)
        if (o.id[i] >= 1000) {
            expect_eq(o.id[i], 1000 + n);
            at[n++] = i;
        }
    expect_eq(n, LOWER);
    expect_op(at[0], <, 32);
    for (int i = 1; i < LOWER; i++)
        expect_eq(at[i] - at[i - 1], 32);
    rig_close(&r);
}

TEST(every_32nd_pick_serves_the_lowest_level)
{
    starts_every_32nd(WEIR_LOW);
    starts_every_32nd(WEIR_NORMAL);
}

TEST(the_32nd_pick_passes_over_the_middle_level)
{
    enum { HIGH = 64 };
    static probe high[HIGH];
    probe        normal, low;
    rig          r;
    plug         p;
    order        o = ORDER;
    number(high, HIGH, 0, &o), number(&normal, 1, 1000, &o), number(&low, 1, 2000, &o);
    expect(rig_open(&r, 1) && plug_in(&p, r.p, r.m));
    run_at(&r, &normal, WEIR_NORMAL);
    run_at(&r, &low, WEIR_LOW);
    for (int i = 0; i < HIGH; i++)
        run_at(&r, &high[i], WEIR_HIGH);
    plug_pull(&p);
    expect_eq(weir_close(r.p, WEIR_DRAIN), 0);
    int at_normal = -1, at_low = -1;
    for (int i = 0; i < o.n; i++) {
        at_normal = o.id[i] == 1000 ? i : at_normal;
        at_low = o.id[i] == 2000 ? i : at_low;
    }
    expect_op(at_low, <, at_normal);
    expect_eq(at_normal - at_low, 32);
    rig_close(&r);
}

/* ---- max_running -------------------------------------------------------- */

static _Atomic int low_now, low_most;

static int run_low(weir_task *task, void *state)
{
    int now = atomic_fetch_add(&low_now, 1) + 1, most = atomic_load(&low_most);
    while (now > most && !atomic_compare_exchange_weak(&low_most, &most, now))
        continue;
    probe_run(task, state);
    sched_yield();
    atomic_fetch_sub(&low_now, 1);
    return 0;
}

TEST(a_capped_level_leaves_the_other_threads_to_the_others)
{
    rig               r;
    weir_pool_options opts = pool_of(3);
    gate              leave = GATE;
    tally             entered = TALLY;
    probe             low[3], high[2];
    opts.max_running[WEIR_LOW] = 1;
    expect(rig_open_with(&r, &opts));
    number(low, 3, 0, NULL), number(high, 2, 0, NULL);
    for (int i = 0; i < 3; i++) {
        low[i].leave = &leave, low[i].entered = &entered;
        run_at(&r, &low[i], WEIR_LOW);
    }
    for (int i = 0; i < 2; i++) {
        high[i].leave = &leave, high[i].entered = &entered;
        run_at(&r, &high[i], WEIR_HIGH);
    }
    tally_wait(&entered, 3); /* both high and one low */
    weir_pool_stats s = stats_of(r.p);
    expect_eq(s.running, 3);
    expect_eq(s.queued, 2);
    expect_eq(low[0].runs + low[1].runs + low[2].runs, 1);
    gate_open(&leave);
    expect_eq(weir_close(r.p, WEIR_DRAIN), 0);
    rig_close(&r);
    expect_eq(low[0].dones + low[1].dones + low[2].dones, 3);
}

TEST(a_cap_is_never_passed_and_no_capped_task_is_forgotten)
{
    enum { N = 600 };
    static probe      t[N];
    rig               r;
    weir_pool_options opts = pool_of(4);
    tally             settled = TALLY;
    int               n = (int)scaled(N);
    opts.max_running[WEIR_LOW] = 2;
    low_most = low_now = 0;
    expect(n <= N && rig_open_with(&r, &opts));
    number(t, n, 0, NULL);
    for (int i = 0; i < n; i++) {
        t[i].settled = &settled;
        if (i % 3 == 0)
            t[i].task.run = run_low;
        run_at(&r, &t[i], i % 3 == 0 ? WEIR_LOW : i % 3 == 1 ? WEIR_NORMAL : WEIR_HIGH);
    }
    main_until(r.m, &settled, n); /* without a close to push them */
    expect_op(low_most, <=, 2);
    rig_close(&r);
}

/* The worker whose task ends looks at once for another. */
TEST(a_worker_between_two_tasks_keeps_to_the_cap_of_normal_ones)
{
    rig               r;
    plug              p;
    gate              entered = GATE, leave = GATE;
    probe             high = PROBE, next = PROBE;
    weir_pool_options opts = pool_of(2);
    opts.max_running[WEIR_NORMAL] = 1;
    high.entered = &entered, high.leave = &leave;
    expect(rig_open_with(&r, &opts) && plug_in(&p, r.p, r.m));
    run_at(&r, &high, WEIR_HIGH);
    gate_wait(&entered);
    run_at(&r, &next, WEIR_NORMAL);
    gate_open(&leave);
    while (high.dones == 0)
        weir_main_wait(r.m, -1);
    expect(stats_of(r.p).running == 1 && stats_of(r.p).queued == 1);
    plug_pull(&p);
    while (next.dones == 0)
        weir_main_wait(r.m, -1);
    rig_close(&r);
}

static tally next_entered;

static void done_waits_for_the_next(weir_task *task)
{
    tally_wait(&next_entered, 1);
    probe_done(task);
}

TEST(a_done_may_wait_for_the_task_that_its_end_lets_start)
{
    rig               r;
    weir_pool_options opts = pool_of(2);
    gate              entered = GATE, leave = GATE;
    tally             settled = TALLY;
    probe             first = {.task = {.run = probe_run, .done = done_waits_for_the_next}};
    probe             next = PROBE;
    opts.max_running[WEIR_NORMAL] = 1, next_entered = (tally)TALLY;
    first.entered = &entered, first.leave = &leave;
    next.entered = &next_entered, next.settled = &settled;
    expect(rig_open_with(&r, &opts));
    expect_eq(weir_run(r.p, &first.task, NULL), 0);
    gate_wait(&entered);
    expect_eq(weir_run(r.p, &next.task, r.m), 0);
    gate_open(&leave);
    main_until(r.m, &settled, 1);
    rig_close(&r);
    expect_eq(first.dones, 1);
}

/* ---- pause and purge ---------------------------------------------------- */

TEST(nothing_starts_while_paused_and_running_tasks_go_on)
{
    rig   r;
    plug  p;
    tally settled = TALLY;
    probe t[3];
    expect(rig_open(&r, 2) && plug_in(&p, r.p, r.m));
    expect_eq(weir_pool_pause(r.p), 0);
    number(t, 3, 0, NULL);
    for (int i = 0; i < 3; i++) {
        t[i].settled = &settled;
        expect_eq(weir_run(r.p, &t[i].task, r.m), 0);
    }
    plug_pull(&p);
    while (p.probe.dones == 0)
        weir_main_wait(r.m, -1);
    expect_eq(weir_pool_pause(r.p), 0); /* twice is once */
    weir_pool_stats s = stats_of(r.p);
    expect_eq(s.queued, 3);
    expect_eq(s.running, 0);
    expect_eq(t[0].runs + t[1].runs + t[2].runs, 0);
    expect_eq(weir_pool_resume(r.p), 0);
    main_until(r.m, &settled, 3);
    rig_close(&r);
}

/* Two are sent at once, and each of them sends two. */
TEST(many_sleepers_come_to_tasks_that_wait_for_each_other)
{
    enum { N = 32 };
    static probe t[N];
    rig          r;
    gate         leave = GATE;
    tally        settled = TALLY;
    expect(rig_open(&r, N));
    for (unsigned round = 0; round < scaled(50); round++) {
        gate_shut(&leave);
        expect_eq(weir_pool_pause(r.p), 0);
        for (int i = 0; i < N; i++) {
            t[i] = (probe)PROBE;
            t[i].leave = &leave, t[i].settled = &settled;
            expect_eq(weir_run(r.p, &t[i].task, r.m), 0);
        }
        expect_eq(weir_pool_resume(r.p), 0);
        while (stats_of(r.p).running < N)
            sched_yield();
        gate_open(&leave);
        main_until(r.m, &settled, (long)(round + 1) * N);
    }
    rig_close(&r);
}

TEST(pause_and_resume_of_a_closed_pool_say_so)
{
    rig r;
    expect(rig_open(&r, 1));
    expect_eq(weir_close(r.p, WEIR_CLOSE), 0);
    expect_eq(weir_pool_pause(r.p), WEIR_ECLOSED);
    expect_eq(weir_pool_resume(r.p), WEIR_ECLOSED);
    rig_close(&r);
}

TEST(purge_cancels_every_queued_task_and_says_how_many)
{
    rig   r;
    plug  p;
    probe t[5];
    expect(rig_open(&r, 1) && plug_in(&p, r.p, r.m));
    number(t, 5, 0, NULL);
    for (int i = 0; i < 5; i++)
        run_at(&r, &t[i], (weir_priority)(i % WEIR_LEVELS));
    expect_eq(weir_pool_purge(r.p), 5);
    expect_eq(weir_pool_purge(r.p), 0);
    for (int i = 0; i < 5; i++)
        expect_eq(t[i].dones, 0);
    expect_eq(weir_main_dispatch(r.m, 0), 5);
    for (int i = 0; i < 5; i++)
        expect_eq(t[i].outcome, WEIR_ECANCELED);
    plug_pull(&p);
    rig_close(&r);
    expect_eq(p.probe.outcome, 0);
}

TEST(bad_run_options_are_refused)
{
    rig              r;
    probe            t = PROBE;
    weir_run_options opts;
    expect(rig_open(&r, 1));
    opts = level(r.m, (weir_priority)3);
    expect_eq(weir_run_with(r.p, &t.task, &opts), WEIR_EINVAL);
    opts = level(r.m, (weir_priority)-1);
    expect_eq(weir_run_with(r.p, &t.task, &opts), WEIR_EINVAL);
    opts = level(r.m, WEIR_NORMAL), opts.size = 0;
    expect_eq(weir_run_with(r.p, &t.task, &opts), WEIR_EINVAL);
    opts = level(r.m, WEIR_NORMAL), opts.start_within_ns = -1;
    expect_eq(weir_run_with(r.p, &t.task, &opts), WEIR_EINVAL);
    expect_eq(weir_task_get_state(&t.task), WEIR_TASK_IDLE);
    expect_eq(weir_main_pending(r.m), 0);
    expect_eq(weir_run_with(r.p, &t.task, NULL), 0);
    rig_close(&r);
    expect_eq(t.dones, 1);
}

SUITE(queue, many_sleepers_come_to_tasks_that_wait_for_each_other,
      tasks_start_in_the_order_of_submission,
      tasks_with_a_deadline_keep_their_place_among_those_without, a_higher_level_starts_first,
      every_32nd_pick_serves_the_lowest_level, the_32nd_pick_passes_over_the_middle_level,
      a_capped_level_leaves_the_other_threads_to_the_others,
      a_worker_between_two_tasks_keeps_to_the_cap_of_normal_ones,
      a_cap_is_never_passed_and_no_capped_task_is_forgotten,
      a_done_may_wait_for_the_task_that_its_end_lets_start,
      nothing_starts_while_paused_and_running_tasks_go_on, pause_and_resume_of_a_closed_pool_say_so,
      purge_cancels_every_queued_task_and_says_how_many, bad_run_options_are_refused)
