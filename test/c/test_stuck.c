/* SPDX-License-Identifier: ISC
 *
 * test_stuck.c: who counts when all workers wait for tasks of their own pool.
 */
#include "harness.h"

#include <string.h>

static rig here;

/* ---- waits that become stuck by what somebody else does ---------------------- */

static struct {
    weir_task waits, waited;
    gate      go;
    int       rc;
} stuck;

static int run_nothing(weir_task *task, void *state)
{
    (void)task, (void)state;
    return 0;
}

static int run_waits_for_the_queued(weir_task *task, void *state)
{
    (void)task, (void)state;
    gate_wait(&stuck.go);
    stuck.rc = weir_wait(&stuck.waited, -1);
    return 0;
}

/* One worker runs a task that will wait for another. */
static void begin_waiter(weir_pool *p)
{
    stuck.waits = (weir_task){.run = run_waits_for_the_queued};
    stuck.waited = (weir_task){.run = run_nothing};
    stuck.go = (gate)GATE, stuck.rc = 0;
    expect_eq(weir_run(p, &stuck.waits, NULL), 0);
    while (weir_task_get_state(&stuck.waits) != WEIR_TASK_RUNNING)
        sched_yield();
}

/* The other one is queued. */
static void begin_waits(weir_pool *p)
{
    begin_waiter(p);
    expect_eq(weir_pool_pause(p), 0);
    expect_eq(weir_run(p, &stuck.waited, NULL), 0);
}

static void wait_begins(weir_pool *p)
{
    gate_open(&stuck.go);
    while (stats_of(p).blocked == 0)
        sched_yield();
}

static void end_waits(weir_pool *p)
{
    expect_eq(weir_wait(&stuck.waits, -1), 0);
    expect_eq(stuck.rc, WEIR_EDEADLK);
    weir_pool_resume(p);
    expect_eq(weir_wait(&stuck.waited, -1), 0);
}

TEST(a_wait_ends_when_a_resize_takes_the_last_spare)
{
    rig               r;
    weir_pool_options opts = pool_of(1);
    opts.threads_max = 2;
    expect(rig_open_with(&r, &opts));
    begin_waits(r.p);
    wait_begins(r.p);
    expect_eq(weir_pool_resize(r.p, 1, 1), 0);
    end_waits(r.p);
    rig_close(&r);
}

static probe visits;

static void visits_when_full(void *pool) { expect_eq(weir_run(pool, &visits.task, NULL), 0); }

TEST(a_wait_ends_when_the_last_visitor_leaves)
{
    rig               r;
    helper            h;
    gate              entered = GATE, leave = GATE;
    weir_pool_options opts = pool_of(1);
    opts.queue_limit = 1, opts.when_full = WEIR_CALLER_RUNS;
    expect(rig_open_with(&r, &opts));
    begin_waits(r.p);
    visits = (probe){.task = {.run = probe_run}, .entered = &entered, .leave = &leave};
    helper_start(&h, visits_when_full, r.p);
    gate_wait(&entered);
    wait_begins(r.p);
    gate_open(&leave);
    end_waits(r.p);
    helper_join(&h);
    rig_close(&r);
}

static void lends_itself(void *pool)
{
    weir_worker *w;
    weir_task   *t;
    expect_eq(weir_worker_enter(pool, &w), 0);
    while (weir_worker_next(w, true, &t) == 0 && weir_worker_settle(w, t, t->run(t, NULL)) == 0)
        continue;
    weir_worker_leave(w, false, 0);
}

TEST(a_wait_is_stuck_where_nobody_lends_the_spare)
{
    helper            h;
    weir_pool        *p;
    weir_pool_options opts = pool_of(1);
    opts.borrowed = true, opts.max_blocked = 1;
    expect_eq(weir_pool_open_async(&p, &opts, NULL, NULL), 0);
    helper_start(&h, lends_itself, p);
    begin_waits(p);
    gate_open(&stuck.go);
    end_waits(p);
    pool_end(p);
    helper_join(&h);
}

/* ---- threads that leave ---------------------------------------------------- */

static weir_pool *leaves_from;
static tally      exits;
static gate       left_waits, left_ends;
static int        left_rc;

static void at_exit_waits_once(void *arg, void *state)
{
    (void)arg, (void)state;
    if (tally_add(&exits, 1) > 1)
        return;
    expect_eq(weir_run(leaves_from, &stuck.waited, NULL), 0);
    gate_open(&left_waits);
    left_rc = weir_wait(&stuck.waited, -1);
    gate_open(&left_ends);
}

static void leave_and_wait_beside(weir_pool *p, unsigned stay)
{
    leaves_from = p;
    expect_eq(weir_pool_resize(p, stay, stay), 0);
    gate_wait(&left_waits);
    expect_eq(weir_wait(&stuck.waited, MILLIS(10)), WEIR_ETIMEDOUT); /* it has looked */
    gate_open(&stuck.go);
    expect_eq(weir_wait(&stuck.waited, MILLIS(10)), WEIR_ETIMEDOUT); /* and who waits as well */
}

/* It takes nothing from the queue any more, so its wait takes no thread away. */
TEST(a_thread_that_leaves_may_wait_for_a_task_that_the_others_run)
{
    for (unsigned stay = 1; stay <= 2; stay++) {
        rig               r;
        plug              p;
        weir_pool_options opts = pool_of(stay + 1);
        opts.at_exit = at_exit_waits_once;
        exits = (tally)TALLY, left_waits = (gate)GATE, left_ends = (gate)GATE, left_rc = 1;
        expect(rig_open_with(&r, &opts) && plug_in(&p, r.p, NULL));
        stuck.waited = (weir_task){.run = run_nothing};
        stuck.go = (gate)GATE, stuck.rc = 0;
        if (stay > 1)
            begin_waiter(r.p);
        leave_and_wait_beside(r.p, stay);
        plug_pull(&p);
        gate_wait(&left_ends);
        expect_eq(left_rc, 0);
        if (stay > 1)
            expect_eq(weir_wait(&stuck.waits, -1), 0);
        expect_eq(stuck.rc, 0);
        rig_close(&r);
    }
}

static void done_waits_for_another(weir_task *task)
{
    (void)task;
    expect_eq(weir_run(leaves_from, &stuck.waited, NULL), 0);
    stuck.rc = weir_wait(&stuck.waited, -1);
}

static void takes_one_and_is_lost(void *pool)
{
    weir_worker *w;
    weir_task   *t;
    expect_eq(weir_worker_enter(pool, &w), 0);
    expect_eq(weir_worker_next(w, true, &t), 0);
    weir_worker_leave(w, true, 7);
}

TEST(the_last_thread_may_not_wait_for_a_task_while_it_leaves)
{
    helper            h;
    weir_pool_options opts = pool_of(1);
    opts.borrowed = true;
    expect_eq(weir_pool_open_async(&leaves_from, &opts, NULL, NULL), 0);
    helper_start(&h, takes_one_and_is_lost, leaves_from);
    stuck.waits = (weir_task){.run = run_nothing, .done = done_waits_for_another};
    stuck.waited = (weir_task){.run = run_nothing};
    stuck.rc = 1;
    expect_eq(weir_run(leaves_from, &stuck.waits, NULL), 0);
    helper_join(&h);
    expect_eq(stuck.rc, WEIR_EDEADLK);
    expect_eq(weir_task_outcome(&stuck.waited), WEIR_ECLOSED);
    pool_end(leaves_from);
}

/* ---- a worker that runs another task as the caller of a full queue ------------- */

static weir_pool *full;
static probe      inner_visit;
static weir_task  outer_visit;
static tally      released;

static int run_visits(weir_task *task, void *state)
{
    (void)task, (void)state;
    expect_eq(weir_run(full, &stuck.waited, NULL), 0);
    expect_eq(weir_run(full, &inner_visit.task, NULL), 0); /* runs it */
    return 0;
}

static int run_waits_for_the_visited(weir_task *task, void *state)
{
    (void)task, (void)state;
    stuck.rc = weir_wait(&inner_visit.task, -1);
    return 0;
}

static void release_tells(weir_task *task)
{
    (void)task;
    tally_add(&released, 1);
}

/* Its queue has place for one. */
static void begin_visits(rig *r, unsigned threads, probe inner)
{
    weir_pool_options opts = pool_of(threads);
    opts.queue_limit = 1, opts.when_full = WEIR_CALLER_RUNS;
    expect(rig_open_with(r, &opts));
    full = r->p;
    inner_visit = inner;
    outer_visit = (weir_task){.run = run_visits, .release = release_tells};
    stuck.waited = (weir_task){.run = run_nothing};
    stuck.go = (gate)GATE, stuck.rc = 1;
}

TEST(a_worker_that_runs_its_own_submission_is_no_other_thread)
{
    rig r;
    begin_visits(&r, 1, (probe){.task = {.run = run_waits_for_the_queued}});
    gate_open(&stuck.go);
    expect_eq(weir_run(r.p, &outer_visit, NULL), 0);
    expect_eq(weir_wait(&outer_visit, -1), 0);
    expect_eq(stuck.rc, WEIR_EDEADLK);
    expect_eq(weir_wait(&stuck.waited, -1), 0);
    rig_close(&r);
}

/* B waits for the visited task, which a thread runs that is not the pool's any more. */
TEST(a_lost_worker_that_runs_its_own_submission_is_another_thread)
{
    rig  r;
    plug p;
    gate entered = GATE, leave = GATE;
    begin_visits(&r, 2, (probe){.task = {.run = probe_run}, .entered = &entered, .leave = &leave});
    released = (tally)TALLY;
    expect(plug_in(&p, r.p, NULL));
    expect_eq(weir_run(r.p, &outer_visit, NULL), 0);
    gate_wait(&entered);
    weir_pool_stats s = stats_of(r.p);
    expect(s.threads == 2 && s.running == 3 && s.idle == 0);
    fault_arm(FAULT_THREAD, 1, 1); /* the replacement */
    expect_eq(weir_task_abandon(&outer_visit), 0);
    expect(fault_disarm());
    expect_eq(weir_pool_resize(r.p, 1, 1), 0);
    expect_eq(weir_wait(&stuck.waited, MILLIS(1)), WEIR_ETIMEDOUT);
    plug_pull(&p);
    expect_eq(weir_wait(&stuck.waited, -1), 0);
    stuck.waits = (weir_task){.run = run_waits_for_the_visited};
    expect_eq(weir_run(r.p, &stuck.waits, NULL), 0);
    expect_eq(weir_wait(&stuck.waits, MILLIS(10)), WEIR_ETIMEDOUT);
    gate_open(&leave);
    expect_eq(weir_wait(&stuck.waits, -1), 0);
    expect_eq(stuck.rc, 0);
    tally_wait(&released, 1);
    rig_close(&r);
}

static gate asked_inside;

static void waits_for_the_queued(weir_call *call, void *arg)
{
    (void)arg;
    gate_open(&asked_inside);
    stuck.rc = weir_wait(&stuck.waited, -1);
    weir_call_finish(call, 0, NULL);
}

static int run_asks_here(weir_task *task, void *state)
{
    (void)task, (void)state;
    return weir_run_in_main(here.m, waits_for_the_queued, NULL, NULL);
}

static void pulls_when_asked(void *plugged)
{
    gate_wait(&asked_inside);
    expect_eq(weir_wait(&stuck.waited, MILLIS(10)), WEIR_ETIMEDOUT); /* the main has looked */
    plug_pull(plugged);
}

/* The caller of a full queue is no worker, so what it asks for holds none up. */
TEST(a_call_of_a_visitor_may_wait_for_a_task_that_a_worker_will_run)
{
    plug   p;
    helper visitor, puller;
    begin_visits(&here, 1, (probe){.task = {.run = run_asks_here}});
    visits = inner_visit;
    asked_inside = (gate)GATE;
    expect(plug_in(&p, here.p, NULL));
    expect_eq(weir_run(here.p, &stuck.waited, NULL), 0);
    helper_start(&puller, pulls_when_asked, &p);
    helper_start(&visitor, visits_when_full, here.p);
    while (!visitor.returned)
        weir_main_wait(here.m, MILLIS(1));
    expect_eq(stuck.rc, 0);
    helper_join(&visitor);
    helper_join(&puller);
    rig_close(&here);
}

/* ---- a wait inside a call that a wait serves ----------------------------------- */

static struct {
    weir_main *m; /* a worker's */
    weir_task  outer, first, inner;
    gate       opened, goes, inner_waits;
    bool       first_waits;
    int        outer_rc, inner_rc;
    int64_t    timeout;
    helper     asker;
} nested;

static int run_waits_outside(weir_task *task, void *state)
{
    (void)task, (void)state;
    expect_eq(weir_main_open(&nested.m), 0);
    expect_eq(weir_run(here.p, &nested.first, NULL), 0);
    gate_open(&nested.opened);
    nested.outer_rc = weir_wait(&nested.first, -1);
    expect_eq(weir_main_close(nested.m, 0), 0);
    return 0;
}

static int run_first(weir_task *task, void *state)
{
    (void)task, (void)state;
    gate_wait(&nested.goes);
    if (nested.first_waits)
        stuck.rc = weir_wait(&stuck.waited, -1);
    return 0;
}

static void waits_inside(weir_call *call, void *arg)
{
    (void)arg;
    expect_eq(weir_run(here.p, &nested.inner, NULL), 0);
    gate_open(&nested.inner_waits);
    nested.inner_rc = weir_wait(&nested.inner, nested.timeout);
    weir_call_finish(call, 0, NULL);
}

static void asks_the_worker(void *arg)
{
    (void)arg;
    gate_wait(&nested.opened);
    expect_eq(weir_run_in_main(nested.m, waits_inside, NULL, NULL), 0);
}

/* One of two workers waits, and inside that again; the other one runs what is waited for. */
static void begin_nested(int64_t timeout, bool first_waits)
{
    memset(&nested, 0, sizeof nested);
    nested.outer = (weir_task){.run = run_waits_outside, .release = release_tells};
    nested.first = (weir_task){.run = run_first};
    nested.inner = (weir_task){.run = run_nothing};
    nested.opened = nested.goes = nested.inner_waits = (gate)GATE;
    nested.timeout = timeout, nested.first_waits = first_waits;
    nested.outer_rc = nested.inner_rc = 1;
    expect(rig_open(&here, 2));
    helper_start(&nested.asker, asks_the_worker, NULL);
    expect_eq(weir_run(here.p, &nested.outer, NULL), 0);
    gate_wait(&nested.inner_waits);
}

/* A worker waits beside one that is busy: that is no deadlock. */
static void expect_no_wait_counts_on(void)
{
    begin_waiter(here.p);
    expect_eq(weir_run(here.p, &stuck.waited, NULL), 0);
    gate_open(&stuck.go);
    expect_eq(weir_wait(&stuck.waited, MILLIS(10)), WEIR_ETIMEDOUT);
}

TEST(a_wait_inside_a_wait_counts_its_thread_once)
{
    plug p;
    begin_nested(-1, false);
    expect_eq(weir_wait(&nested.inner, MILLIS(10)), WEIR_ETIMEDOUT); /* it has looked */
    gate_open(&nested.goes);
    expect_eq(weir_wait(&nested.outer, -1), 0);
    helper_join(&nested.asker);
    expect_eq(nested.inner_rc, 0);
    expect_eq(nested.outer_rc, 0);
    expect(plug_in(&p, here.p, NULL));
    expect_no_wait_counts_on();
    plug_pull(&p);
    expect_eq(weir_wait(&stuck.waits, -1), 0);
    expect_eq(stuck.rc, 0);
    rig_close(&here);
}

TEST(a_wait_counts_again_when_the_one_inside_it_has_ended)
{
    begin_nested(MILLIS(1), true);
    helper_join(&nested.asker);
    expect_eq(nested.inner_rc, WEIR_ETIMEDOUT);
    stuck.waited = (weir_task){.run = run_nothing};
    expect_eq(weir_run(here.p, &stuck.waited, NULL), 0);
    gate_open(&nested.goes);
    expect_eq(weir_wait(&nested.outer, -1), 0);
    expect_eq(stuck.rc, WEIR_EDEADLK);
    expect_eq(nested.outer_rc, 0);
    expect_eq(weir_wait(&stuck.waited, -1), 0);
    rig_close(&here);
}

TEST(a_lost_worker_in_a_wait_inside_a_wait_counts_no_more)
{
    released = (tally)TALLY;
    begin_nested(-1, false);
    expect_eq(weir_wait(&nested.inner, MILLIS(10)), WEIR_ETIMEDOUT); /* it waits */
    expect_eq(weir_task_abandon(&nested.outer), 0); /* the replacement runs what is queued */
    helper_join(&nested.asker);
    expect_eq(nested.inner_rc, 0);
    expect_no_wait_counts_on();
    gate_open(&nested.goes);
    expect_eq(weir_wait(&stuck.waits, -1), 0);
    expect_eq(stuck.rc, 0);
    tally_wait(&released, 1);
    rig_close(&here);
}

SUITE(stuck, a_wait_ends_when_a_resize_takes_the_last_spare,
      a_wait_ends_when_the_last_visitor_leaves, a_wait_is_stuck_where_nobody_lends_the_spare,
      a_thread_that_leaves_may_wait_for_a_task_that_the_others_run,
      the_last_thread_may_not_wait_for_a_task_while_it_leaves,
      a_worker_that_runs_its_own_submission_is_no_other_thread,
      a_lost_worker_that_runs_its_own_submission_is_another_thread,
      a_call_of_a_visitor_may_wait_for_a_task_that_a_worker_will_run,
      a_wait_inside_a_wait_counts_its_thread_once,
      a_wait_counts_again_when_the_one_inside_it_has_ended,
      a_lost_worker_in_a_wait_inside_a_wait_counts_no_more)
