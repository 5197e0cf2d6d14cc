/* SPDX-License-Identifier: ISC
 *
 * test_spare.c: spare threads for workers that wait for another task.
 */
#include "harness.h"

enum { DEEP = 5 };

/* A chain: each task runs the next one on the same pool and waits for it. */
static probe link_of[DEEP + 1];

static int run_waits_for_the_next(weir_task *task, void *state)
{
    probe *p = (probe *)task, *next = p + 1;
    (void)state;
    if (p->id == DEEP)
        return 0;
    int rc = weir_run(weir_pool_current(), &next->task, NULL);
    if (rc == 0)
        rc = weir_wait(&next->task, -1);
    return rc ? rc : weir_task_outcome(&next->task);
}

static int chain(weir_pool *pool)
{
    for (int i = 0; i <= DEEP; i++)
        link_of[i] = (probe){.task = {.run = run_waits_for_the_next}, .id = i};
    if (!given(weir_run(pool, &link_of[0].task, NULL)))
        return 1;
    expect_eq(weir_wait(&link_of[0].task, -1), 0);
    return weir_task_outcome(&link_of[0].task);
}

static weir_pool_options with_spares(unsigned threads, unsigned spares)
{
    weir_pool_options o = pool_of(threads);
    o.max_blocked = spares;
    o.idle_ns = MILLIS(1);
    return o;
}

TEST(each_waiting_worker_may_have_a_spare)
{
    rig               r;
    weir_pool_options opts = with_spares(1, DEEP);
    expect(rig_open_with(&r, &opts));
    for (int i = 0; i < 3; i++)
        expect_eq(chain(r.p), 0);
    expect_eq(stats_of(r.p).blocked, 0);
    rig_close(&r);
}

TEST(with_one_spare_too_few_the_last_wait_is_a_deadlock)
{
    rig               r;
    weir_pool_options opts = with_spares(1, DEEP - 1);
    expect(rig_open_with(&r, &opts));
    expect_eq(chain(r.p), WEIR_EDEADLK);
    rig_close(&r);
}

enum { TOPS = 200 };
static probe top[TOPS], leaf[TOPS];

static int run_waits_for_its_leaf(weir_task *task, void *state)
{
    int        i = (int)((probe *)task - top);
    weir_pool *pool = weir_pool_current();
    (void)state;
    expect_eq(weir_run(pool, &leaf[i].task, NULL), 0);
    if (i + 1 < TOPS)
        expect_eq(weir_run(pool, &top[i + 1].task, NULL), 0);
    return weir_wait(&leaf[i].task, -1);
}

/* While one of two waits, the other runs the leaf that ends this, and then waits itself. */
TEST(a_wait_whose_task_has_settled_is_no_part_of_a_deadlock)
{
    rig r;
    expect(rig_open(&r, 2));
    for (int i = 0; i < TOPS; i++) {
        top[i] = (probe){.task = {.run = run_waits_for_its_leaf}};
        leaf[i] = (probe){.task = {.run = probe_run}};
    }
    expect_eq(weir_run(r.p, &top[0].task, NULL), 0);
    for (int i = 0; i < TOPS; i++) {
        expect_eq(weir_wait(&top[i].task, -1), 0);
        expect_eq(weir_task_outcome(&top[i].task), 0);
    }
    rig_close(&r);
}

TEST(spares_go_when_they_are_no_more_needed)
{
    rig               r;
    weir_pool_options opts = with_spares(1, DEEP);
    expect(rig_open_with(&r, &opts));
    expect_eq(chain(r.p), 0);
    test_stage("waits for the spares to go");
    while (stats_of(r.p).threads > 1)
        sched_yield();
    rig_close(&r);
}

SCENARIO(a_refused_spare_is_a_deadlock_told_and_not_suffered)
{
    rig               r;
    weir_pool_options opts = with_spares(1, DEEP);
    if (rig_open_with(&r, &opts)) {
        int rc = chain(r.p);
        expect(rc == 0 || (fault_injected() && (rc == WEIR_EDEADLK || rc == 1)));
    }
    rig_close(&r);
}

/* ---- who may still come ------------------------------------------------- */

static probe *const asker = &link_of[DEEP - 1], *const asked = &link_of[DEEP];

static void ask_for_another(weir_pool *pool)
{
    for (int i = DEEP - 1; i <= DEEP; i++)
        link_of[i] = (probe){.task = {.run = run_waits_for_the_next}, .id = i};
    expect_eq(weir_run(pool, &asker->task, NULL), 0);
}

static int outcome_of(probe *p)
{
    expect_eq(weir_wait(&p->task, -1), 0);
    return weir_task_outcome(&p->task);
}

TEST(a_wait_asks_for_a_spare_again_after_a_refusal)
{
    rig               r;
    weir_pool_options opts = with_spares(1, 1);
    expect(rig_open_with(&r, &opts));
    fault_arm(FAULT_THREAD, 1, 1);
    ask_for_another(r.p);
    expect_eq(outcome_of(asker), WEIR_EDEADLK);
    expect_eq(outcome_of(asked), 0);
    expect(fault_disarm());
    ask_for_another(r.p);
    expect_eq(outcome_of(asker), 0);
    rig_close(&r);
}

static tally entered;
static gate  comers;

static int init_waits_but_once(void *arg, void **state)
{
    (void)arg, (void)state;
    if (tally_add(&entered, 1) > 1)
        gate_wait(&comers);
    return 0;
}

TEST(a_refusal_is_no_deadlock_while_a_thread_is_on_its_way)
{
    rig               r;
    weir_pool_options opts = with_spares(1, 1);
    opts.init = init_waits_but_once;
    entered = (tally)TALLY, comers = (gate)GATE;
    expect(rig_open_with(&r, &opts));
    ask_for_another(r.p);
    tally_wait(&entered, 2);
    while (stats_of(r.p).blocked == 0)
        sched_yield();
    fault_arm(FAULT_THREAD, 1, 1);
    expect_eq(weir_pool_resize(r.p, 3, 3), WEIR_EAGAIN);
    fault_disarm();
    expect_eq(weir_wait(&asker->task, MILLIS(10)), WEIR_ETIMEDOUT); /* it has looked again */
    gate_open(&comers);
    expect_eq(outcome_of(asker), 0);
    rig_close(&r);
}

TEST(a_wait_is_a_deadlock_once_the_last_other_worker_has_left)
{
    rig               r;
    plug              p;
    weir_pool_options opts = with_spares(2, 0);
    expect(rig_open_with(&r, &opts) && plug_in(&p, r.p, r.m));
    ask_for_another(r.p);
    while (stats_of(r.p).blocked == 0)
        sched_yield();
    expect_eq(weir_pool_resize(r.p, 1, 1), 0);
    plug_pull(&p);
    expect_eq(outcome_of(asker), WEIR_EDEADLK);
    expect_eq(outcome_of(asked), 0);
    rig_close(&r);
}

static int init_fails_but_once(void *arg, void **state)
{
    init_waits_but_once(arg, state);
    return tally_get(&entered) == 1 ? 0 : 5;
}

TEST(a_wait_is_a_deadlock_once_the_spare_on_its_way_has_failed)
{
    rig               r;
    weir_pool_options opts = with_spares(1, 1);
    opts.init = init_fails_but_once;
    entered = (tally)TALLY, comers = (gate)GATE;
    expect(rig_open_with(&r, &opts));
    ask_for_another(r.p);
    tally_wait(&entered, 2);
    gate_open(&comers);
    expect_eq(outcome_of(asker), WEIR_EDEADLK);
    expect_eq(outcome_of(asked), 0);
    rig_close(&r);
}

static void release_opens(weir_task *task)
{
    (void)task;
    gate_open(&comers);
}

TEST(a_wait_is_a_deadlock_once_the_last_other_thread_is_lost)
{
    rig               r;
    plug              p;
    weir_pool_options opts = with_spares(2, 0);
    comers = (gate)GATE;
    expect(rig_open_with(&r, &opts) && plug_in(&p, r.p, r.m));
    p.probe.task.release = release_opens;
    ask_for_another(r.p);
    while (stats_of(r.p).blocked == 0)
        sched_yield();
    fault_arm(FAULT_THREAD, 1, 1); /* the replacement */
    expect_eq(weir_task_abandon(&p.probe.task), 0);
    expect(fault_disarm());
    expect_eq(outcome_of(asker), WEIR_EDEADLK);
    expect_eq(outcome_of(asked), 0);
    plug_pull(&p);
    while (weir_main_pending(r.m))
        weir_main_wait(r.m, -1);
    gate_wait(&comers);
    rig_close(&r);
}

/* ---- by hand ------------------------------------------------------------ */

TEST(no_spare_comes_while_nobody_blocks)
{
    rig               r;
    plug              p;
    probe             t[3];
    tally             settled = TALLY;
    weir_pool_options opts = with_spares(1, 3);
    expect(rig_open_with(&r, &opts) && plug_in(&p, r.p, r.m));
    for (int i = 0; i < 3; i++) {
        t[i] = (probe)PROBE;
        t[i].settled = &settled;
        expect_eq(weir_run(r.p, &t[i].task, r.m), 0);
    }
    expect_eq(stats_of(r.p).grown, 0);
    plug_pull(&p);
    main_until(r.m, &settled, 3);
    rig_close(&r);
}

static int run_says_it_blocks(weir_task *task, void *state)
{
    weir_blocking_begin();
    probe_run(task, state);
    weir_blocking_end();
    return 0;
}

SCENARIO(a_refused_spare_leaves_its_tasks_to_the_others)
{
    rig               r;
    weir_pool_options opts = with_spares(1, 2);
    tally             settled = TALLY;
    gate              leave = GATE;
    probe             t[3] = {PROBE, PROBE, PROBE};
    t[0].task.run = run_says_it_blocks, t[0].leave = &leave;
    if (rig_open_with(&r, &opts)) {
        for (int i = 0; i < 3; i++) {
            t[i].settled = &settled;
            expect(given(weir_run(r.p, &t[i].task, r.m)));
        }
        gate_open(&leave);
        main_until(r.m, &settled, 3);
        expect_eq(stats_of(r.p).blocked, 0);
    }
    rig_close(&r);
}

static gate opened;

static int run_blocks(weir_task *task, void *state)
{
    (void)task, (void)state;
    weir_blocking_begin();
    weir_blocking_begin();
    weir_blocking_end();
    gate_wait(&opened); /* still blocked: they nest */
    weir_blocking_end();
    return 0;
}

static int run_opens(weir_task *task, void *state)
{
    (void)task, (void)state;
    gate_open(&opened);
    return 0;
}

TEST(a_worker_that_says_it_blocks_gets_a_spare)
{
    rig               r;
    weir_pool_options opts = with_spares(1, 1);
    probe             blocks = {.task = {.run = run_blocks}}, opens = {.task = {.run = run_opens}};
    opened = (gate)GATE;
    expect(rig_open_with(&r, &opts));
    expect_eq(weir_run(r.p, &blocks.task, NULL), 0);
    while (stats_of(r.p).blocked == 0)
        sched_yield();
    expect_eq(weir_run(r.p, &opens.task, NULL), 0);
    expect_eq(weir_wait(&blocks.task, -1), 0);
    expect_eq(weir_wait(&opens.task, -1), 0);
    expect_eq(stats_of(r.p).blocked, 0);
    rig_close(&r);
}

TEST(a_spare_comes_for_tasks_queued_before_the_worker_blocked)
{
    rig               r;
    weir_pool_options opts = with_spares(1, 1);
    probe             blocks = {.task = {.run = run_blocks}}, opens = {.task = {.run = run_opens}};
    opened = (gate)GATE;
    expect(rig_open_with(&r, &opts) && weir_pool_pause(r.p) == 0);
    expect_eq(weir_run(r.p, &blocks.task, NULL), 0);
    expect_eq(weir_run(r.p, &opens.task, NULL), 0);
    expect_eq(weir_pool_resume(r.p), 0);
    expect_eq(weir_wait(&blocks.task, -1), 0);
    expect_eq(weir_wait(&opens.task, -1), 0);
    rig_close(&r);
}

TEST(blocking_has_no_effect_elsewhere)
{
    weir_blocking_begin();
    weir_blocking_end();
    weir_blocking_end();
}

SUITE(spare, each_waiting_worker_may_have_a_spare,
      with_one_spare_too_few_the_last_wait_is_a_deadlock,
      a_wait_whose_task_has_settled_is_no_part_of_a_deadlock,
      spares_go_when_they_are_no_more_needed, a_refused_spare_is_a_deadlock_told_and_not_suffered,
      a_wait_asks_for_a_spare_again_after_a_refusal,
      a_refusal_is_no_deadlock_while_a_thread_is_on_its_way,
      a_wait_is_a_deadlock_once_the_last_other_worker_has_left, no_spare_comes_while_nobody_blocks,
      a_refused_spare_leaves_its_tasks_to_the_others, a_worker_that_says_it_blocks_gets_a_spare,
      a_spare_comes_for_tasks_queued_before_the_worker_blocked, blocking_has_no_effect_elsewhere,
      a_wait_is_a_deadlock_once_the_spare_on_its_way_has_failed,
      a_wait_is_a_deadlock_once_the_last_other_thread_is_lost)
