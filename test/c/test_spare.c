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

/* ---- by hand ------------------------------------------------------------ */

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
      spares_go_when_they_are_no_more_needed,
      a_refused_spare_is_a_deadlock_told_and_not_suffered,
      a_worker_that_says_it_blocks_gets_a_spare,
      a_spare_comes_for_tasks_queued_before_the_worker_blocked, blocking_has_no_effect_elsewhere)
