/* SPDX-License-Identifier: ISC
 *
 * test_deadlock.c: the main would wait for a worker that waits for the main.
 */
#include "harness.h"

static rig        here;
static int        answer; /* what the main got inside the call */
static weir_call *kept;
static bool       keeps;
static int (*tries)(void);

static void on_main(weir_call *call, void *arg)
{
    (void)arg;
    answer = tries ? tries() : 0;
    kept = call;
    if (!keeps)
        weir_call_finish(call, 0, NULL);
}

static int run_asks(weir_task *task, void *state)
{
    probe_run(task, state);
    return weir_run_in_main(NULL, on_main, NULL, NULL);
}

static probe asking(void) { return (probe){.task = {.run = run_asks, .done = probe_done}}; }

static void begin(unsigned threads, int (*fn)(void), bool keep)
{
    weir_pool_options opts = pool_of(threads);
    opts.queue_limit = 1, opts.when_full = WEIR_BLOCK;
    tries = fn, keeps = keep, answer = 1, kept = NULL;
    expect(rig_open_with(&here, &opts));
}

static void until_done(probe *t)
{
    while (t->dones == 0)
        expect_op(weir_main_wait(here.m, -1), >=, 0);
}

static int closes(void) { return weir_close(here.p, WEIR_CLOSE); }
static int drains(void) { return weir_close(here.p, WEIR_DRAIN); }

TEST(a_call_may_not_close_the_pool_whose_task_waits_for_it)
{
    for (int drain = 0; drain < 2; drain++)
        for (int served = 0; served < 2; served++) {
            probe t = asking();
            begin(2, drain ? drains : closes, false);
            if (served)
                t.task.done = NULL;
            expect_eq(weir_run(here.p, &t.task, here.m), 0);
            if (served)
                expect_eq(weir_wait(&t.task, -1), 0);
            else
                until_done(&t);
            expect_eq(answer, WEIR_EDEADLK);
            expect_eq(weir_task_outcome(&t.task), 0);
            probe next = PROBE; /* nothing was changed */
            expect_eq(weir_run(here.p, &next.task, here.m), 0);
            until_done(&next);
            rig_close(&here);
        }
}

static int closes_within(void) { return weir_close_within(here.p, WEIR_CLOSE, MILLIS(2)); }

TEST(a_call_may_close_the_pool_of_its_task_for_some_time)
{
    probe t = asking();
    begin(2, closes_within, false);
    expect_eq(weir_run(here.p, &t.task, here.m), 0);
    until_done(&t);
    expect_eq(answer, WEIR_ETIMEDOUT);
    expect_eq(t.outcome, 0);
    rig_close(&here);
}

static probe others[2];

static int fills_the_queue(void)
{
    others[0] = others[1] = (probe)PROBE;
    int rc = weir_run(here.p, &others[0].task, here.m);
    return rc ? rc : weir_run(here.p, &others[1].task, here.m);
}

TEST(a_call_may_not_block_on_the_queue_of_a_pool_that_waits_for_it_whole)
{
    probe t = asking();
    begin(1, fills_the_queue, false);
    expect_eq(weir_run(here.p, &t.task, here.m), 0);
    until_done(&t);
    expect_eq(answer, WEIR_EDEADLK);
    until_done(&others[0]);
    expect_eq(others[1].runs, 0);
    rig_close(&here);
}

static int runs_and_waits(void)
{
    others[0] = (probe)PROBE;
    others[0].task.done = NULL;
    expect_eq(weir_run(here.p, &others[0].task, NULL), 0);
    return weir_wait(&others[0].task, -1);
}

TEST(a_call_may_not_wait_for_a_task_of_a_pool_that_waits_for_it_whole)
{
    for (unsigned threads = 1; threads <= 2; threads++) {
        probe t = asking();
        begin(threads, runs_and_waits, false);
        expect_eq(weir_run(here.p, &t.task, here.m), 0);
        until_done(&t);
        expect_eq(answer, threads == 1 ? WEIR_EDEADLK : 0);
        expect_eq(weir_wait(&others[0].task, -1), 0);
        rig_close(&here);
    }
}

TEST(an_endless_wait_fails_the_calls_that_only_its_loop_could_finish)
{
    uint64_t late = weir_main_late_finishes();
    probe    t = asking();
    begin(1, NULL, true);
    expect_eq(weir_run(here.p, &t.task, here.m), 0);
    while (!kept)
        weir_main_wait(here.m, MILLIS(1));
    expect_eq(t.dones, 0);
    expect_eq(weir_close(here.p, WEIR_CLOSE), 0); /* would wait for itself */
    until_done(&t);
    expect_eq(t.outcome, WEIR_EDEADLK);
    weir_call_finish(kept, 0, NULL);
    expect_eq(weir_main_late_finishes(), late + 1);
    rig_close(&here);
}

TEST(a_call_of_another_pool_may_be_waited_beside)
{
    rig   other;
    probe t = asking();
    plug  p;
    begin(1, NULL, true);
    other.m = NULL;
    weir_pool_options opts = pool_of(1);
    expect_eq(weir_pool_open(&other.p, &opts), 0);
    expect_eq(weir_run(here.p, &t.task, here.m), 0);
    while (!kept)
        weir_main_wait(here.m, MILLIS(1));
    expect(plug_in(&p, other.p, NULL));
    plug_pull(&p);
    expect_eq(weir_close(other.p, WEIR_DRAIN), 0);
    weir_pool_release(other.p);
    expect_eq(t.dones, 0);
    weir_call_finish(kept, 0, NULL);
    until_done(&t);
    expect_eq(t.outcome, 0);
    rig_close(&here);
}

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

static int run_asks_here(weir_task *task, void *state)
{
    (void)task, (void)state;
    return weir_run_in_main(here.m, on_main, NULL, NULL);
}

static gate asked_inside;

static int waits_for_the_queued(void)
{
    gate_open(&asked_inside);
    return weir_wait(&stuck.waited, -1);
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
    tries = waits_for_the_queued, keeps = false, answer = 1;
    asked_inside = (gate)GATE;
    expect(plug_in(&p, here.p, NULL));
    expect_eq(weir_run(here.p, &stuck.waited, NULL), 0);
    helper_start(&puller, pulls_when_asked, &p);
    helper_start(&visitor, visits_when_full, here.p);
    while (!visitor.returned)
        weir_main_wait(here.m, MILLIS(1));
    expect_eq(answer, 0);
    helper_join(&visitor);
    helper_join(&puller);
    rig_close(&here);
}

SUITE(deadlock, a_call_may_not_close_the_pool_whose_task_waits_for_it,
      a_call_may_close_the_pool_of_its_task_for_some_time,
      a_call_may_not_block_on_the_queue_of_a_pool_that_waits_for_it_whole,
      a_call_may_not_wait_for_a_task_of_a_pool_that_waits_for_it_whole,
      an_endless_wait_fails_the_calls_that_only_its_loop_could_finish,
      a_call_of_another_pool_may_be_waited_beside, a_wait_ends_when_a_resize_takes_the_last_spare,
      a_wait_ends_when_the_last_visitor_leaves, a_wait_is_stuck_where_nobody_lends_the_spare,
      a_thread_that_leaves_may_wait_for_a_task_that_the_others_run,
      the_last_thread_may_not_wait_for_a_task_while_it_leaves,
      a_worker_that_runs_its_own_submission_is_no_other_thread,
      a_lost_worker_that_runs_its_own_submission_is_another_thread,
      a_call_of_a_visitor_may_wait_for_a_task_that_a_worker_will_run)
