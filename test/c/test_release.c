/* SPDX-License-Identifier: ISC
 *
 * test_release.c: when a pool's memory goes, and who may still name its tasks.
 */
#include "harness.h"

#include <sched.h>
#include <stdio.h>

SCENARIO(a_release_closes_without_waiting)
{
    rig   r;
    plug  p;
    probe t = PROBE;
    bool  open = rig_open(&r, 1) && plug_in(&p, r.p, r.m);
    if (open) {
        expect(given(weir_run(r.p, &t.task, r.m)));
        weir_pool_release(r.p);
        r.p = NULL;
        expect_eq(weir_main_dispatch(r.m, 0), 1);
        expect_eq(t.outcome, WEIR_ECLOSED);
        expect_eq(p.probe.dones, 0);
        plug_pull(&p);
    }
    rig_close(&r);
    if (open)
        expect_eq(p.probe.dones, 1);
}

SCENARIO(only_the_last_of_several_releases_closes)
{
    rig   r;
    probe t = PROBE;
    if (rig_open(&r, 1)) {
        weir_pool_retain(r.p);
        weir_pool_retain(r.p);
        weir_pool_release(r.p);
        weir_pool_release(r.p);
        expect_eq(weir_run(r.p, &t.task, r.m), 0);
        while (t.dones == 0)
            weir_main_wait(r.m, -1);
        expect_eq(t.outcome, 0);
    }
    rig_close(&r);
}

static void done_releases(weir_task *task)
{
    gate_wait(((probe *)task)->leave);
    weir_pool_release(((probe *)task)->state);
    probe_done(task);
}

static int run_nothing(weir_task *task, void *state)
{
    (void)task, (void)state;
    return 0;
}

TEST(a_done_may_release_the_pool_in_a_main_and_on_a_worker)
{
    for (int on_worker = 0; on_worker < 2; on_worker++) {
        rig   r;
        tally settled = TALLY;
        gate  leave = GATE;
        probe t = {.task = {.run = run_nothing, .done = done_releases}, .settled = &settled};
        expect(rig_open(&r, 3));
        t.state = r.p, t.leave = &leave;
        expect_eq(weir_run(r.p, &t.task, on_worker ? NULL : r.m), 0);
        gate_open(&leave); /* no call is under way */
        main_until(r.m, &settled, 1);
        main_end(r.m);
    }
}

static rig crowded;

static void notice_releases(weir_notice *notice, int outcome)
{
    weir_pool_release(crowded.p);
    news_tell(notice, outcome);
}

static void runs_it_here(void *task) { expect_eq(weir_run(crowded.p, task, NULL), 0); }

/* The caller's thread is then the last one, and tells the notice. */
TEST(a_notice_may_release_a_pool_whose_caller_ran_the_last_task)
{
    helper            h;
    gate              entered = GATE, leave = GATE;
    plug              p;
    probe             queued = PROBE, t = {.task = {.run = probe_run}, .entered = &entered};
    news              n = {.notice = {.fn = notice_releases}};
    weir_pool_options opts = pool_of(1);
    opts.queue_limit = 1, opts.when_full = WEIR_CALLER_RUNS;
    t.leave = &leave;
    expect(rig_open_with(&crowded, &opts) && plug_in(&p, crowded.p, crowded.m));
    expect_eq(weir_run(crowded.p, &queued.task, crowded.m), 0);
    helper_start(&h, runs_it_here, &t.task);
    gate_wait(&entered);
    expect_eq(weir_close_async(crowded.p, WEIR_CLOSE, NULL, &n.notice), 0);
    plug_pull(&p);
    while (stats_of(crowded.p).threads)
        sched_yield();
    gate_open(&leave);
    helper_join(&h);
    expect(n.calls == 1 && pthread_equal(n.on, h.thread));
    main_end(crowded.m);
}

static int run_releases(weir_task *task, void *state)
{
    (void)state;
    gate_wait(((probe *)task)->leave);
    weir_pool_release(((probe *)task)->state);
    return 0;
}

TEST(a_task_may_release_its_own_pool)
{
    rig   r;
    gate  leave = GATE;
    probe t = {.task = {.run = run_releases, .done = probe_done}};
    expect(rig_open(&r, 2));
    t.state = r.p, t.leave = &leave;
    expect_eq(weir_run(r.p, &t.task, r.m), 0);
    gate_open(&leave); /* no call is under way */
    while (t.dones == 0)
        weir_main_wait(r.m, -1);
    expect_eq(t.outcome, 0);
    main_end(r.m);
}

TEST(a_pool_may_be_released_while_it_opens)
{
    for (unsigned round = 0; round < scaled(50); round++) {
        weir_main        *m;
        weir_pool        *p;
        weir_pool_options opts = pool_of(3);
        news              n = NEWS;
        expect_eq(weir_main_open(&m), 0);
        expect_eq(weir_pool_open_async(&p, &opts, m, &n.notice), 0);
        weir_pool_release(p);
        main_end(m);
        expect_eq(n.calls, 1);
        expect(n.outcome == 0 || n.outcome == WEIR_ECLOSED);
    }
}

/* ---- calls on tasks, while a handle lives ------------------------------- */

enum { TASKS = 8, POOLS = 60 };

static probe        poked[TASKS];
static _Atomic bool poking;

static void cancels(void *arg)
{
    (void)arg;
    while (atomic_load(&poking))
        for (int i = 0; i < TASKS; i++)
            weir_cancel(&poked[i].task);
}

static void unparks(void *arg)
{
    (void)arg;
    while (atomic_load(&poking))
        for (int i = 0; i < TASKS; i++)
            weir_task_unpark(&poked[i].task);
}

static int run_parks_sometimes(weir_task *task, void *state)
{
    (void)state;
    return atomic_fetch_add(&((probe *)task)->runs, 1) % 2 ? 0 : WEIR_PARK;
}

static void serve_and_close(rig *r, int (*run)(weir_task *, void *))
{
    tally settled = TALLY;
    for (int i = 0; i < TASKS; i++) {
        poked[i].settled = &settled;
        poked[i].task.run = run;
        expect_eq(weir_run(r->p, &poked[i].task, i & 1 ? r->m : NULL), 0);
    }
    expect_eq(weir_close(r->p, WEIR_CLOSE), 0);
    main_until(r->m, &settled, TASKS);
}

/* The same tasks go from pool to pool, each of which closes, while another thread
 * calls on them: it must never follow a task to a pool that it has left. */
static void poke_at_tasks(void (*poke)(void *), int (*run)(weir_task *, void *))
{
    helper     h;
    weir_pool *pools[POOLS];
    rig        r;
    unsigned   n = scaled(POOLS) < POOLS ? scaled(POOLS) : POOLS;
    for (int i = 0; i < TASKS; i++)
        poked[i] = (probe)PROBE;
    atomic_store(&poking, true);
    helper_start(&h, poke, NULL);
    for (unsigned i = 0; i < n; i++) {
        expect(rig_open(&r, 2));
        serve_and_close(&r, run);
        pools[i] = r.p;
        main_end(r.m);
    }
    atomic_store(&poking, false);
    helper_join(&h);
    for (unsigned i = 0; i < n; i++)
        weir_pool_release(pools[i]);
    for (int i = 0; i < TASKS; i++)
        expect_eq(poked[i].dones, n);
}

/* Both pools are paused, so each task waits in one or the other. */
TEST(a_cancel_may_meet_a_task_that_moves_to_another_pool)
{
    rig      r[2];
    helper   h;
    unsigned rounds = scaled(500);
    for (int i = 0; i < 2; i++)
        expect(rig_open(&r[i], 1) && weir_pool_pause(r[i].p) == 0);
    for (int i = 0; i < TASKS; i++)
        poked[i] = (probe){.task = {.run = run_nothing}};
    atomic_store(&poking, true);
    helper_start(&h, cancels, NULL);
    for (unsigned round = 0; round < rounds; round++) {
        for (int i = 0; i < TASKS; i++)
            expect_eq(weir_run(r[round & 1].p, &poked[i].task, NULL), 0);
        for (int i = 0; i < TASKS; i++)
            weir_cancel(&poked[i].task);
    }
    atomic_store(&poking, false);
    helper_join(&h);
    expect_eq(stats_of(r[0].p).queued + stats_of(r[1].p).queued, 0);
    expect_eq(stats_of(r[0].p).cancelled + stats_of(r[1].p).cancelled, rounds * TASKS);
    rig_close(&r[0]);
    rig_close(&r[1]);
}

TEST(a_cancel_may_meet_the_end_of_the_pool) { poke_at_tasks(cancels, run_nothing); }
TEST(an_unpark_may_meet_the_end_of_the_pool) { poke_at_tasks(unparks, run_parks_sometimes); }

typedef struct {
    weir_pool *pool;
    weir_task *task;
} waiter;

static void waits_and_releases(void *arg)
{
    waiter *w = arg;
    expect_eq(weir_wait(w->task, -1), 0);
    weir_pool_release(w->pool);
}

TEST(a_waiter_may_give_back_the_last_handle)
{
    for (unsigned round = 0; round < scaled(200); round++) {
        rig    r;
        plug   p;
        helper h;
        probe  t = PROBE;
        t.task.done = NULL;
        expect(rig_open(&r, 1) && plug_in(&p, r.p, r.m));
        expect_eq(weir_run(r.p, &t.task, r.m), 0);
        waiter w = {r.p, &t.task};
        weir_pool_retain(r.p);
        helper_start(&h, waits_and_releases, &w);
        plug_pull(&p);
        if (round % 2)
            helper_until_asleep(&h);
        expect_eq(weir_close_async(r.p, WEIR_CLOSE, NULL, NULL), 0);
        weir_pool_release(r.p);
        helper_join(&h);
        expect_eq(weir_task_outcome(&t.task), t.runs ? 0 : WEIR_ECLOSED);
        main_end(r.m);
    }
}

#ifdef __linux__
/* A stack and its guard are two. What malloc keeps for threads that came first are some more. */
static int count_mappings(void)
{
    int   n = 0;
    FILE *f = fopen("/proc/self/maps", "re");
    expect(f != NULL);
    for (int c; (c = getc(f)) != EOF;)
        n += c == '\n';
    fclose(f);
    return n;
}

/* Nobody joins it, so it must be detached. */
TEST(the_last_thread_of_a_released_pool_gives_its_stack_back)
{
    enum { TIMES = 100 };
    int threads = count_threads(), before = count_mappings();
    for (int i = 0; i < TIMES; i++) {
        weir_pool        *p;
        weir_pool_options opts = pool_of(1);
        expect_eq(weir_pool_open(&p, &opts), 0);
        weir_pool_release(p);
        while (count_threads() > threads)
            sched_yield();
    }
    expect_op(count_mappings() - before, <, TIMES);
}

#define OF_STACKS the_last_thread_of_a_released_pool_gives_its_stack_back,
#else
#define OF_STACKS
#endif

SUITE(release, OF_STACKS a_release_closes_without_waiting, only_the_last_of_several_releases_closes,
      a_done_may_release_the_pool_in_a_main_and_on_a_worker, a_task_may_release_its_own_pool,
      a_notice_may_release_a_pool_whose_caller_ran_the_last_task,
      a_pool_may_be_released_while_it_opens, a_cancel_may_meet_the_end_of_the_pool,
      a_cancel_may_meet_a_task_that_moves_to_another_pool, an_unpark_may_meet_the_end_of_the_pool,
      a_waiter_may_give_back_the_last_handle)
