/* SPDX-License-Identifier: ISC
 *
 * test_seen.c: what a pool and a main say of themselves: ages, what runs, how late a loop is.
 */
#include "harness.h"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- ages ----------------------------------------------------------------- */

static void until_running_for(weir_pool *p, int64_t ns)
{
    while (stats_of(p).oldest_running_ns < ns)
        sched_yield();
}

static void ages(bool measure)
{
    rig               r;
    plug              p;
    probe             t[3] = {PROBE, PROBE, PROBE};
    weir_pool_options opts = pool_of(1);
    opts.measure = measure;
    expect(rig_open_with(&r, &opts));
    expect_eq(stats_of(r.p).oldest_queued_ns, 0);
    expect_eq(stats_of(r.p).oldest_running_ns, 0);
    expect(plug_in(&p, r.p, r.m));
    expect_eq(stats_of(r.p).oldest_queued_ns, 0);
    until_running_for(r.p, MILLIS(20));
    weir_run_options high = labelled(NULL, r.m), low = high;
    high.priority = WEIR_HIGH, low.priority = WEIR_LOW;
    expect_eq(weir_run_with(r.p, &t[0].task, &high), 0);
    weir_pool_stats s = stats_of(r.p);
    expect_op(s.oldest_queued_ns, >, 0);
    expect_op(s.oldest_queued_ns, <, s.oldest_running_ns);
    while (stats_of(r.p).oldest_queued_ns < MILLIS(20))
        sched_yield();
    expect_eq(weir_run(r.p, &t[1].task, r.m), 0);
    expect_eq(weir_run_with(r.p, &t[2].task, &low), 0);
    expect_op(stats_of(r.p).oldest_queued_ns, >=, MILLIS(20)); /* of all levels */
    plug_pull(&p);
    expect_eq(weir_close(r.p, WEIR_DRAIN), 0);
    expect_eq(stats_of(r.p).oldest_queued_ns, 0);
    expect_eq(stats_of(r.p).oldest_running_ns, 0);
    rig_close(&r);
}

TEST(a_snapshot_tells_how_long_the_oldest_tasks_have_been_queued_and_have_run) { ages(false); }
TEST(it_does_so_in_a_pool_that_measures_as_well) { ages(true); }

TEST(the_age_of_the_oldest_running_task_is_of_that_one)
{
    rig  r;
    plug old, young;
    expect(rig_open(&r, 2) && plug_in(&old, r.p, r.m));
    until_running_for(r.p, MILLIS(30));
    expect(plug_in(&young, r.p, r.m));
    expect_op(stats_of(r.p).oldest_running_ns, >=, MILLIS(30));
    plug_pull(&old);
    while (old.probe.dones == 0)
        weir_main_wait(r.m, -1);
    expect_eq(stats_of(r.p).running, 1);
    plug_pull(&young);
    rig_close(&r);
}

TEST(a_task_that_has_waited_for_long_has_not_run_for_that_long)
{
    rig   r;
    plug  p;
    gate  entered = GATE, leave = GATE;
    probe t = PROBE;
    t.entered = &entered, t.leave = &leave;
    expect(rig_open(&r, 1) && plug_in(&p, r.p, r.m));
    expect_eq(weir_run(r.p, &t.task, r.m), 0);
    until_running_for(r.p, MILLIS(50)); /* the other */
    int64_t before = now_ns();
    plug_pull(&p);
    gate_wait(&entered);
    expect_op(stats_of(r.p).oldest_running_ns, <=, now_ns() - before + MILLIS(20));
    gate_open(&leave);
    rig_close(&r);
}

TEST(a_task_that_is_unparked_is_queued_anew)
{
    rig    r;
    plug   p;
    parker k = parking(1);
    expect(rig_open(&r, 1));
    expect_eq(weir_run(r.p, &k.p.task, r.m), 0);
    until_parked(&k.p.task);
    expect(plug_in(&p, r.p, r.m));
    until_running_for(r.p, MILLIS(30));
    expect_eq(stats_of(r.p).oldest_queued_ns, 0);
    int64_t before = now_ns();
    expect_eq(weir_task_unpark(&k.p.task), 0);
    expect_op(stats_of(r.p).oldest_queued_ns, <=, now_ns() - before + MILLIS(20));
    plug_pull(&p);
    while (k.p.dones == 0)
        weir_main_wait(r.m, -1);
    rig_close(&r);
}

/* A caller of before has a shorter struct. */
TEST(a_shorter_snapshot_is_left_alone_past_its_size)
{
    rig  r;
    plug p;
    expect(rig_open(&r, 1) && plug_in(&p, r.p, r.m));
    weir_pool_stats s = {.size = offsetof(weir_pool_stats, oldest_queued_ns)};
    s.oldest_queued_ns = s.oldest_running_ns = -7;
    expect_eq(weir_pool_get_stats(r.p, &s), 0);
    expect_eq(s.running, 1);
    expect_eq(s.oldest_queued_ns, -7);
    expect_eq(s.oldest_running_ns, -7);
    plug_pull(&p);
    rig_close(&r);
}

/* ---- what runs ------------------------------------------------------------ */

typedef struct {
    weir_running task[8];
    int          n;
} listing;

static void list_one(void *arg, const weir_running *task)
{
    listing *l = arg;
    expect_op(l->n, <, 8);
    l->task[l->n++] = *task;
}

static listing list_of(weir_pool *p)
{
    listing l = {0};
    expect_eq(weir_pool_each_running(p, list_one, &l), 0);
    return l;
}

TEST(what_runs_is_listed_by_name_the_oldest_first_then_what_is_parked)
{
    rig              r;
    plug             old = {.probe = PROBE, .entered = GATE, .leave = GATE}, young;
    parker           k = parking(1);
    weir_run_options import = labelled("import", NULL), nap = labelled("nap", NULL);
    import.deliver_to = NULL;
    expect(rig_open(&r, 2));
    expect_eq(list_of(r.p).n, 0);
    import.deliver_to = nap.deliver_to = r.m;
    expect_eq(weir_run_with(r.p, &k.p.task, &nap), 0);
    until_parked(&k.p.task);
    int64_t before = weir_now();
    old.probe.entered = &old.entered, old.probe.leave = &old.leave;
    expect_eq(weir_run_with(r.p, &old.probe.task, &import), 0);
    gate_wait(&old.entered);
    until_running_for(r.p, MILLIS(20)); /* more than the clock's inexactness */
    expect(plug_in(&young, r.p, r.m));
    expect_eq(weir_cancel(&young.probe.task), WEIR_EBUSY);
    listing l = list_of(r.p);
    expect_eq(l.n, 3);
    expect(l.task[0].task == &old.probe.task && l.task[0].label == import.label);
    expect(l.task[1].task == &young.probe.task && l.task[1].label == NULL);
    expect(l.task[2].task == &k.p.task && l.task[2].label == nap.label);
    expect(l.task[0].state == WEIR_TASK_RUNNING && l.task[1].state == WEIR_TASK_RUNNING);
    expect(!l.task[0].cancel_requested && l.task[1].cancel_requested);
    expect_eq(l.task[0].thread + l.task[1].thread, 1); /* 0 and 1, in any order */
    expect_op(l.task[0].since, <=, l.task[1].since);
    expect_op(l.task[0].since, >=, before - MILLIS(50)); /* the coarse clock lags */
    expect_op(l.task[1].since, <=, weir_now());
    expect(l.task[2].state == WEIR_TASK_PARKED && l.task[2].thread == -1);
    expect(!l.task[0].blocking);
    plug_pull(&old), plug_pull(&young);
    expect_eq(weir_task_unpark(&k.p.task), 0);
    rig_close(&r);
}

static int run_blocks(weir_task *task, void *state)
{
    weir_blocking_begin();
    int code = probe_run(task, state);
    weir_blocking_end();
    return code;
}

TEST(a_task_in_a_blocking_section_is_listed_as_blocking)
{
    rig   r;
    gate  entered = GATE, leave = GATE;
    probe t = {.task = {.run = run_blocks, .done = probe_done}};
    t.entered = &entered, t.leave = &leave;
    expect(rig_open(&r, 1));
    expect_eq(weir_run(r.p, &t.task, r.m), 0);
    gate_wait(&entered);
    expect(list_of(r.p).n == 1 && list_of(r.p).task[0].blocking);
    gate_open(&leave);
    rig_close(&r);
}

static weir_pool *visited;

static int run_lists_itself(weir_task *task, void *state)
{
    (void)state;
    listing l = list_of(visited);
    expect_eq(l.n, 2);
    expect(l.task[1].task == task && l.task[1].thread == -1);
    expect_eq(l.task[1].state, WEIR_TASK_RUNNING);
    return 0;
}

TEST(a_task_that_its_submitter_runs_is_listed_without_a_thread)
{
    rig               r;
    plug              p;
    probe             queued = PROBE, t = {.task = {.run = run_lists_itself, .done = probe_done}};
    weir_pool_options opts = pool_of(1);
    opts.queue_limit = 1, opts.when_full = WEIR_CALLER_RUNS;
    expect(rig_open_with(&r, &opts) && plug_in(&p, r.p, r.m));
    visited = r.p;
    expect_eq(weir_run(r.p, &queued.task, r.m), 0);
    expect_eq(weir_run(r.p, &t.task, r.m), 0);
    plug_pull(&p);
    rig_close(&r);
}

static void cancels_what_it_is_told_of(void *pool, const weir_running *task)
{
    expect_eq(weir_cancel((weir_task *)(uintptr_t)task->task), WEIR_EBUSY);
    expect_eq(stats_of(pool).running, 1);
}

TEST(who_is_told_what_runs_may_call_anything)
{
    rig  r;
    plug p;
    expect(rig_open(&r, 1) && plug_in(&p, r.p, r.m));
    expect_eq(weir_pool_each_running(r.p, cancels_what_it_is_told_of, r.p), 0);
    expect(weir_cancel_requested(&p.probe.task));
    plug_pull(&p);
    expect_eq(weir_pool_each_running(NULL, list_one, NULL), WEIR_EINVAL);
    expect_eq(weir_pool_each_running(r.p, NULL, NULL), WEIR_EINVAL);
    rig_close(&r);
}

SCENARIO(without_memory_nothing_is_listed)
{
    rig  r;
    plug p;
    if (rig_open(&r, 1) && plug_in(&p, r.p, r.m)) {
        listing l = {0};
        if (given(weir_pool_each_running(r.p, list_one, &l)))
            expect_eq(l.n, 1);
        else
            expect_eq(l.n, 0);
        plug_pull(&p);
    }
    rig_close(&r);
}

/* ---- all pools, all mains ------------------------------------------------- */

typedef struct {
    weir_pool *pools[4];
    weir_main *mains[4];
    int        n_pools, n_mains;
} all;

static void note_pool(void *arg, weir_pool *p)
{
    all *a = arg;
    expect_op(a->n_pools, <, 4);
    a->pools[a->n_pools++] = p;
    expect_eq(stats_of(p).running, 0); /* under no lock */
}

static void note_main(void *arg, weir_main *m)
{
    all *a = arg;
    expect_op(a->n_mains, <, 4);
    a->mains[a->n_mains++] = m;
}

static all look(void)
{
    all a = {0};
    expect_eq(weir_each_pool(note_pool, &a), 0);
    expect_eq(weir_each_main(note_main, &a), 0);
    return a;
}

TEST(each_pool_and_each_main_is_visited_once)
{
    rig r, s;
    expect_eq(look().n_pools, 0);
    expect_eq(look().n_mains, 0);
    expect(rig_open(&r, 1) && rig_open(&s, 1));
    all a = look();
    expect_eq(a.n_pools, 2);
    expect_eq(a.n_mains, 2);
    expect(a.pools[0] == r.p && a.pools[1] == s.p && a.mains[0] == r.m && a.mains[1] == s.m);
    rig_close(&r);
    a = look();
    expect(a.n_pools == 1 && a.pools[0] == s.p && a.n_mains == 1 && a.mains[0] == s.m);
    rig_close(&s);
    expect_eq(weir_each_pool(NULL, NULL), WEIR_EINVAL);
    expect_eq(weir_each_main(NULL, NULL), WEIR_EINVAL);
}

static rig ending;

static void ends_the_pool(void *arg, weir_pool *p)
{
    (void)arg;
    if (ending.p)
        pool_end(ending.p);
    ending.p = NULL;
    weir_pool_stats s = {.size = sizeof s};
    expect_eq(weir_pool_get_stats(p, &s), 0); /* it is held */
    expect_eq(s.threads, 0);
}

static void closes_the_main(void *arg, weir_main *m)
{
    weir_main_stats s = {.size = sizeof s};
    (void)arg;
    main_end(m);
    expect_eq(weir_main_get_stats(m, &s), 0); /* of an idle one */
    expect(s.pending == 0 && s.lag_ns == 0 && s.unturned_ns == 0);
}

TEST(what_is_visited_lives_until_the_visit_ends)
{
    expect(rig_open(&ending, 1));
    expect_eq(weir_each_pool(ends_the_pool, NULL), 0);
    expect_eq(weir_each_main(closes_the_main, NULL), 0);
    expect_eq(look().n_pools + look().n_mains, 0);
}

static _Atomic bool comes_and_goes;

static void opens_and_releases(void *arg)
{
    weir_pool_options opts = pool_of(1);
    (void)arg;
    while (comes_and_goes) {
        weir_pool *p = NULL;
        expect_eq(weir_pool_open(&p, &opts), 0);
        pool_end(p);
    }
}

static void looks_at(void *arg, weir_pool *p)
{
    weir_pool_stats s = {.size = sizeof s};
    (void)arg;
    expect_eq(weir_pool_get_stats(p, &s), 0);
}

TEST(pools_may_come_and_go_while_others_are_visited)
{
    helper h;
    comes_and_goes = true;
    helper_start(&h, opens_and_releases, NULL);
    for (unsigned i = 0; i < scaled(10000); i++)
        expect_eq(weir_each_pool(looks_at, NULL), 0);
    comes_and_goes = false;
    helper_join(&h);
}

static void forks(void *arg, weir_pool *p)
{
    pid_t child = child_begin();
    (void)arg;
    if (child == 0) {
        expect_eq(stats_of(p).threads, 0);
        return;
    }
    child_reap(child);
}

static void forks_too(void *arg, weir_main *m)
{
    pid_t child = child_begin();
    (void)arg, (void)m;
    if (child != 0)
        child_reap(child);
}

TEST(a_fork_inside_a_visit_leaves_both_processes_whole)
{
    rig   r;
    pid_t self = getpid();
    expect(rig_open(&r, 1));
    expect_eq(weir_each_pool(forks, NULL), 0);
    if (getpid() == self)
        expect_eq(weir_each_main(forks_too, NULL), 0);
    bool child = getpid() != self;
    rig_close(&r);
    if (child)
        _exit(0);
}

/* ---- how late a loop is --------------------------------------------------- */

static weir_main_stats of_main(weir_main *m)
{
    weir_main_stats s = {.size = sizeof s};
    expect_eq(weir_main_get_stats(m, &s), 0);
    return s;
}

TEST(a_main_tells_how_long_what_came_has_waited)
{
    rig   r;
    probe t[3];
    expect(rig_open(&r, 1));
    weir_main_stats s = of_main(r.m);
    expect(s.pending == 0 && s.lag_ns == 0 && s.unturned_ns == 0);
    expect_eq(s.thread, syscall(SYS_gettid));
    settle_undelivered(&r, t, 3);
    while (of_main(r.m).lag_ns < MILLIS(20))
        sched_yield();
    s = of_main(r.m);
    expect_eq(s.pending, 3);
    expect_op(s.unturned_ns, >=, MILLIS(20));
    expect_eq(weir_main_dispatch(r.m, 1), 1);
    expect_op(of_main(r.m).lag_ns, >=, MILLIS(20)); /* two are there still */
    expect_eq(weir_main_dispatch(r.m, 0), 2);
    s = of_main(r.m);
    expect(s.pending == 0 && s.lag_ns == 0 && s.unturned_ns == 0);
    settle_undelivered(&r, t, 1);
    expect_op(of_main(r.m).lag_ns, >, 0);
    weir_main_dispatch(r.m, 0);
    rig_close(&r);
}

static weir_main *stuck_main;
static int64_t    seen_inside;

static void done_takes_its_time(weir_task *task)
{
    do
        seen_inside = of_main(stuck_main).unturned_ns;
    while (seen_inside < MILLIS(30));
    expect_op(of_main(stuck_main).lag_ns, >, 0);
    probe_done(task);
}

TEST(a_main_tells_how_long_its_round_has_lasted)
{
    rig   r;
    probe t = {.task = {.run = probe_run, .done = done_takes_its_time}};
    expect(rig_open(&r, 1));
    stuck_main = r.m;
    expect_eq(weir_run(r.p, &t.task, r.m), 0);
    while (t.dones == 0)
        weir_main_wait(r.m, -1);
    expect_op(seen_inside, >=, MILLIS(30));
    expect_eq(of_main(r.m).unturned_ns, 0);
    expect_eq(weir_main_get_stats(NULL, NULL), WEIR_EINVAL);
    weir_main_stats none = {0};
    expect_eq(weir_main_get_stats(r.m, &none), WEIR_EINVAL);
    rig_close(&r);
}

/* Taken one by one, a delivery lasts until the next. */
TEST(a_delivery_that_lasts_keeps_its_main_from_turning)
{
    rig           r;
    probe         t[1];
    weir_delivery d = fresh();
    expect(rig_open(&r, 1));
    settle_undelivered(&r, t, 1);
    expect_eq(weir_main_next(r.m, &d), 0);
    while (of_main(r.m).unturned_ns < MILLIS(20))
        sched_yield();
    expect_eq(weir_main_next(r.m, &d), WEIR_EAGAIN);
    expect_eq(of_main(r.m).unturned_ns, 0);
    rig_close(&r);
}

SUITE(seen, a_snapshot_tells_how_long_the_oldest_tasks_have_been_queued_and_have_run,
      it_does_so_in_a_pool_that_measures_as_well, the_age_of_the_oldest_running_task_is_of_that_one,
      a_task_that_has_waited_for_long_has_not_run_for_that_long,
      a_task_that_is_unparked_is_queued_anew, a_shorter_snapshot_is_left_alone_past_its_size,
      what_runs_is_listed_by_name_the_oldest_first_then_what_is_parked,
      a_task_in_a_blocking_section_is_listed_as_blocking,
      a_task_that_its_submitter_runs_is_listed_without_a_thread,
      who_is_told_what_runs_may_call_anything, without_memory_nothing_is_listed,
      each_pool_and_each_main_is_visited_once, pools_may_come_and_go_while_others_are_visited,
      what_is_visited_lives_until_the_visit_ends, a_fork_inside_a_visit_leaves_both_processes_whole,
      a_main_tells_how_long_what_came_has_waited, a_main_tells_how_long_its_round_has_lasted,
      a_delivery_that_lasts_keeps_its_main_from_turning)
