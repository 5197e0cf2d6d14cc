/* SPDX-License-Identifier: ISC
 *
 * test_task.c: one task: its states, outcome and cancel.
 */
#include "harness.h"

#include <stdlib.h>
#include <string.h>

SCENARIO(a_task_runs_once_on_a_worker_and_is_done_in_the_main)
{
    rig   r;
    probe t = PROBE;
    if (rig_open(&r, 1) && given(weir_run(r.p, &t.task, r.m))) {
        while (t.dones == 0)
            weir_main_wait(r.m, -1);
        expect_eq(t.runs, 1);
        expect_eq(t.outcome, 0);
        expect(!pthread_equal(t.ran_on, pthread_self()));
        expect(pthread_equal(t.done_on, pthread_self()));
        expect(!t.orphaned);
        expect(t.state == NULL);
    }
    rig_close(&r);
    expect_eq(t.dones, t.runs);
}

TEST(the_outcome_is_what_run_returned)
{
    static const int codes[] = {0, 1, -1, 7, WEIR_ECANCELED, WEIR_EINVAL, 1 << 30};
    rig              r;
    expect(rig_open(&r, 2));
    for (unsigned i = 0; i < sizeof codes / sizeof *codes; i++) {
        probe t = PROBE;
        t.code = codes[i];
        expect_eq(weir_run(r.p, &t.task, r.m), 0);
        while (t.dones == 0)
            weir_main_wait(r.m, -1);
        expect_eq(t.outcome, codes[i]);
    }
    rig_close(&r);
}

static weir_task_state seen_in_done;

static void done_looks_at_its_state(weir_task *task)
{
    seen_in_done = weir_task_get_state(task);
    probe_done(task);
}

TEST(a_task_goes_from_idle_over_queued_running_and_settled_to_idle)
{
    rig   r;
    plug  p;
    gate  entered = GATE, leave = GATE;
    probe t = PROBE;
    t.entered = &entered, t.leave = &leave;
    t.task.done = done_looks_at_its_state;
    expect(rig_open(&r, 1) && plug_in(&p, r.p, NULL));
    expect_eq(weir_task_get_state(&t.task), WEIR_TASK_IDLE);
    expect_eq(weir_run(r.p, &t.task, r.m), 0);
    expect_eq(weir_task_get_state(&t.task), WEIR_TASK_QUEUED);
    plug_pull(&p);
    gate_wait(&entered);
    expect_eq(weir_task_get_state(&t.task), WEIR_TASK_RUNNING);
    gate_open(&leave);
    expect_eq(weir_close(r.p, WEIR_CLOSE), 0);
    expect_eq(weir_task_get_state(&t.task), WEIR_TASK_SETTLED);
    expect_eq(weir_main_dispatch(r.m, 0), 1);
    expect_eq(seen_in_done, WEIR_TASK_IDLE);
    expect_eq(weir_task_get_state(&t.task), WEIR_TASK_IDLE);
    rig_close(&r);
}

TEST(a_task_that_is_not_idle_is_busy_and_unharmed)
{
    rig   r;
    plug  p;
    gate  entered = GATE, leave = GATE;
    probe t = PROBE;
    t.entered = &entered, t.leave = &leave;
    expect(rig_open(&r, 1) && plug_in(&p, r.p, NULL));
    expect_eq(weir_run(r.p, &t.task, r.m), 0);
    expect_eq(weir_run(r.p, &t.task, r.m), WEIR_EBUSY);
    plug_pull(&p);
    gate_wait(&entered);
    expect_eq(weir_run(r.p, &t.task, NULL), WEIR_EBUSY);
    gate_open(&leave);
    while (weir_task_get_state(&t.task) != WEIR_TASK_SETTLED)
        sched_yield();
    expect_eq(weir_run(r.p, &t.task, r.m), WEIR_EBUSY);
    rig_close(&r);
    expect_eq(t.runs, 1);
    expect_eq(t.dones, 1);
}

static void done_runs_again(weir_task *task)
{
    probe *p = (probe *)task;
    if (atomic_fetch_add(&p->dones, 1) < 9)
        expect_eq(weir_run((weir_pool *)p->state, task, (weir_main *)(void *)p->order), 0);
}

static int run_counts(weir_task *task, void *state)
{
    (void)state;
    atomic_fetch_add(&((probe *)task)->runs, 1);
    return 0;
}

TEST(done_may_run_its_task_again)
{
    rig   r;
    probe t = {.task = {.run = run_counts, .done = done_runs_again}};
    expect(rig_open(&r, 2));
    t.state = r.p, t.order = (order *)(void *)r.m;
    expect_eq(weir_run(r.p, &t.task, r.m), 0);
    while (t.dones < 10)
        weir_main_wait(r.m, -1);
    expect_eq(t.runs, 10);
    expect_eq(weir_main_pending(r.m), 0);
    rig_close(&r);
}

static void done_frees(weir_task *task)
{
    tally *settled = ((probe *)task)->settled;
    memset(task, 0xdb, sizeof(probe));
    free(task);
    tally_add(settled, 1);
}

static void freed_in_done(weir_pool *pool, weir_main *m, tally *settled)
{
    probe *t = real_zalloc(sizeof *t);
    *t = (probe){.task = {.run = probe_run, .done = done_frees}, .settled = settled};
    if (!given(weir_run(pool, &t->task, m)))
        free(t);
}

SCENARIO(done_may_free_its_task_in_the_main_and_on_a_worker)
{
    rig   r;
    tally settled = TALLY;
    if (rig_open(&r, 2)) {
        for (int i = 0; i < 50; i++)
            freed_in_done(r.p, i & 1 ? r.m : NULL, &settled);
        tally_wait(&settled, 25);
        main_until(r.m, &settled, 50);
    }
    rig_close(&r);
}

static weir_pool *pool_in_run, *pool_in_done;
static weir_task *task_in_run, *task_in_done;

static int run_looks_around(weir_task *task, void *state)
{
    pool_in_run = weir_pool_current();
    task_in_run = weir_task_current();
    return probe_run(task, state);
}

static void done_looks_around(weir_task *task)
{
    pool_in_done = weir_pool_current();
    task_in_done = weir_task_current();
    probe_done(task);
}

TEST(without_a_main_done_runs_on_a_worker)
{
    rig   r;
    tally settled = TALLY;
    probe t = {.task = {.run = run_looks_around, .done = done_looks_around}, .settled = &settled};
    expect(rig_open(&r, 1));
    expect(weir_pool_current() == NULL && weir_task_current() == NULL);
    expect_eq(weir_run(r.p, &t.task, NULL), 0);
    tally_wait(&settled, 1);
    expect(pthread_equal(t.done_on, t.ran_on));
    expect(pool_in_run == r.p && pool_in_done == r.p);
    expect(task_in_run == &t.task && task_in_done == NULL);
    expect(!t.orphaned);
    rig_close(&r);
}

TEST(a_run_without_pool_task_or_run_function_is_refused)
{
    rig   r;
    probe t = PROBE, empty = {.task = {.done = probe_done}};
    expect(rig_open(&r, 1));
    expect_eq(weir_run(NULL, &t.task, r.m), WEIR_EINVAL);
    expect_eq(weir_run(r.p, NULL, r.m), WEIR_EINVAL);
    expect_eq(weir_run(r.p, &empty.task, r.m), WEIR_EINVAL);
    expect_eq(weir_task_get_state(&empty.task), WEIR_TASK_IDLE);
    expect_eq(weir_main_pending(r.m), 0);
    rig_close(&r);
    expect_eq(t.dones + empty.dones, 0);
}

TEST(a_cancelled_queued_task_never_runs_and_is_done_later)
{
    rig   r;
    plug  p;
    probe t = PROBE;
    expect(rig_open(&r, 1) && plug_in(&p, r.p, r.m));
    expect_eq(weir_run(r.p, &t.task, r.m), 0);
    expect_eq(weir_cancel(&t.task), 0);
    expect_eq(t.dones, 0);
    expect_eq(weir_task_get_state(&t.task), WEIR_TASK_SETTLED);
    expect_eq(weir_cancel(&t.task), WEIR_EINVAL);
    expect(readable(weir_main_fd(r.m)));
    expect_eq(weir_main_dispatch(r.m, 0), 1);
    expect_eq(t.dones, 1);
    expect_eq(t.outcome, WEIR_ECANCELED);
    expect_eq(stats_of(r.p).cancelled, 1);
    plug_pull(&p);
    rig_close(&r);
    expect_eq(t.runs, 0);
    expect_eq(t.dones, 1);
}

TEST(a_cancelled_task_without_main_is_done_on_a_worker)
{
    rig   r;
    plug  p;
    tally settled = TALLY;
    probe t = PROBE;
    t.settled = &settled;
    expect(rig_open(&r, 1) && plug_in(&p, r.p, NULL));
    expect_eq(weir_run(r.p, &t.task, NULL), 0);
    expect_eq(weir_cancel(&t.task), 0);
    plug_pull(&p);
    tally_wait(&settled, 1);
    expect(pthread_equal(t.done_on, p.probe.ran_on));
    expect_eq(t.outcome, WEIR_ECANCELED);
    rig_close(&r);
}

TEST(a_cancel_wakes_an_idle_worker_for_the_done)
{
    rig   r;
    tally settled = TALLY;
    probe t = PROBE;
    t.settled = &settled;
    expect(rig_open(&r, 1) && weir_pool_pause(r.p) == 0);
    for (int i = 1; i <= 3; i++) { /* at first it may not sleep yet */
        expect_eq(weir_run(r.p, &t.task, NULL), 0);
        expect_eq(weir_cancel(&t.task), 0);
        tally_wait(&settled, i);
        expect_eq(t.outcome, WEIR_ECANCELED);
    }
    rig_close(&r);
}

static int run_until_cancelled(weir_task *task, void *state)
{
    probe *p = (probe *)task;
    (void)state;
    expect(!weir_cancel_requested(task));
    gate_open(p->entered);
    while (!weir_cancel_requested(task))
        sched_yield();
    return p->code;
}

static int cancel_while_running(rig *r, int code)
{
    gate  entered = GATE;
    probe t = {.task = {.run = run_until_cancelled, .done = probe_done}};
    t.entered = &entered, t.code = code;
    expect_eq(weir_run(r->p, &t.task, r->m), 0);
    gate_wait(&entered);
    expect_eq(weir_cancel(&t.task), WEIR_EBUSY);
    while (t.dones == 0)
        weir_main_wait(r->m, -1);
    /* The next run of the same task begins without the request. */
    t.task.run = probe_run, t.code = 0;
    expect_eq(weir_run(r->p, &t.task, r->m), 0);
    int outcome = t.outcome;
    while (t.dones == 1)
        weir_main_wait(r->m, -1);
    expect(!weir_cancel_requested(&t.task));
    return outcome;
}

TEST(cancel_asks_a_running_task_whose_return_decides)
{
    rig r;
    expect(rig_open(&r, 1));
    expect_eq(cancel_while_running(&r, WEIR_ECANCELED), WEIR_ECANCELED);
    expect_eq(cancel_while_running(&r, 0), 0);
    expect_eq(cancel_while_running(&r, 5), 5);
    weir_pool_stats s = stats_of(r.p);
    expect_eq(s.cancelled, 1);
    expect_eq(s.failed, 1);
    rig_close(&r);
}

enum { ERRNOS = 200 }; /* more than any system has */

TEST(every_negative_errno_that_run_returns_is_delivered)
{
    rig   r;
    probe t = PROBE;
    expect(rig_open(&r, 1));
    for (t.code = -1; t.code >= -ERRNOS; t.code--) {
        t.dones = 0;
        expect_eq(weir_run(r.p, &t.task, r.m), 0);
        while (t.dones == 0)
            weir_main_wait(r.m, -1);
        expect_eq(t.outcome, t.code);
    }
    expect_eq(stats_of(r.p).failed, ERRNOS - 1);
    expect_eq(stats_of(r.p).cancelled, 1); /* the one that is WEIR_ECANCELED */
    rig_close(&r);
}

TEST(cancel_of_an_idle_task_is_refused)
{
    rig   r;
    probe t = PROBE;
    expect(rig_open(&r, 1));
    expect_eq(weir_cancel(&t.task), WEIR_EINVAL);
    expect_eq(weir_cancel(NULL), WEIR_EINVAL);
    expect(!weir_cancel_requested(NULL));
    expect_eq(weir_run(r.p, &t.task, r.m), 0);
    rig_close(&r);
    expect_eq(weir_cancel(&t.task), WEIR_EINVAL);
}

TEST(every_error_has_its_sentence)
{
    for (int code = 0; code >= WEIR_EFORKED; code--) {
        const char *sentence = weir_strerror(code);
        expect(sentence && *sentence && strcmp(sentence, weir_strerror(WEIR_PARK)) != 0);
        for (int other = 0; other > code; other--)
            expect(strcmp(sentence, weir_strerror(other)) != 0);
    }
    expect(weir_strerror(1) && weir_strerror(-9999) && weir_strerror(123456));
    expect(strcmp(weir_version(), WEIR_VERSION) == 0);
}

static plug  other_worker;
static probe next_one;

static void done_frees_the_other_and_waits_for_the_next(weir_task *task)
{
    (void)task;
    plug_pull(&other_worker);
    gate_wait(next_one.entered);
}

TEST(a_done_on_a_worker_keeps_no_task_waiting)
{
    rig   r;
    gate  entered = GATE;
    probe first = {.task = {.run = probe_run, .done = done_frees_the_other_and_waits_for_the_next}};
    next_one = (probe)PROBE;
    next_one.entered = &entered;
    expect(rig_open(&r, 2) && plug_in(&other_worker, r.p, r.m) && weir_pool_pause(r.p) == 0);
    expect_eq(weir_run(r.p, &first.task, NULL), 0);
    expect_eq(weir_run(r.p, &next_one.task, r.m), 0);
    expect_eq(weir_pool_resume(r.p), 0);
    while (next_one.dones == 0)
        weir_main_wait(r.m, -1);
    rig_close(&r);
}

/* ---- a race ------------------------------------------------------------- */

static _Atomic bool moving;

static void cancels(void *task)
{
    while (moving)
        weir_cancel(task);
}

/* Its cancel looks which pool has it, and takes that one's lock: meanwhile another has it. */
TEST(a_task_that_moves_between_pools_is_cancelled_in_the_one_that_has_it)
{
    rig       r[2];
    helper    h[2];
    weir_task t = {.run = probe_run};

    weir_run_options how = {.size = sizeof how, .priority = WEIR_HIGH}; /* never only offered */
    moving = true;
    for (int i = 0; i < 2; i++) {
        expect(rig_open(&r[i], 1));
        expect_eq(weir_pool_pause(r[i].p), 0);
        helper_start(&h[i], cancels, &t);
    }
    for (unsigned i = 0; i < scaled(5000); i++) {
        expect_eq(weir_run_with(r[i % 2].p, &t, &how), 0);
        while (weir_task_get_state(&t) != WEIR_TASK_SETTLED)
            sched_yield();
    }
    moving = false;
    for (int i = 0; i < 2; i++) {
        helper_join(&h[i]);
        expect_eq(stats_of(r[i].p).queued, 0);
        rig_close(&r[i]);
    }
}

SUITE(task, a_task_that_moves_between_pools_is_cancelled_in_the_one_that_has_it,
      a_task_runs_once_on_a_worker_and_is_done_in_the_main, the_outcome_is_what_run_returned,
      a_task_goes_from_idle_over_queued_running_and_settled_to_idle,
      a_task_that_is_not_idle_is_busy_and_unharmed, done_may_run_its_task_again,
      done_may_free_its_task_in_the_main_and_on_a_worker, without_a_main_done_runs_on_a_worker,
      a_run_without_pool_task_or_run_function_is_refused,
      a_cancelled_queued_task_never_runs_and_is_done_later,
      a_cancelled_task_without_main_is_done_on_a_worker, a_cancel_wakes_an_idle_worker_for_the_done,
      cancel_asks_a_running_task_whose_return_decides,
      every_negative_errno_that_run_returns_is_delivered, cancel_of_an_idle_task_is_refused,
      every_error_has_its_sentence, a_done_on_a_worker_keeps_no_task_waiting)
