/* SPDX-License-Identifier: ISC
 *
 * test_delivery.c: deliveries one by one: next, wait_next, run, end.
 */
#include "harness.h"

#include <stdlib.h>
#include <unistd.h>

static bool is_idle(const probe *t) { return weir_task_get_state(&t->task) == WEIR_TASK_IDLE; }

/* ---- one round ------------------------------------------------------------ */

TEST(next_gives_each_task_with_its_outcome_in_order_and_calls_no_done)
{
    rig           r;
    probe         t[5];
    weir_delivery d = fresh();
    expect(rig_open(&r, 1));
    settle_undelivered(&r, t, 5);
    for (int i = 0; i < 5; i++) {
        expect_eq(weir_task_get_state(&t[i].task), WEIR_TASK_SETTLED);
        expect_eq(weir_main_next(r.m, &d), 0);
        expect(d.task == &t[i].task && !d.notice && !d.call && !d.pool);
        expect_eq(d.outcome, 0);
        expect(is_idle(&t[i]));
    }
    expect_eq(weir_main_next(r.m, &d), WEIR_EAGAIN);
    expect(!d.task);
    expect_eq(t[0].dones + t[4].dones, 0);
    expect(!readable(weir_main_fd(r.m)));
    rig_close(&r);
}

TEST(next_gives_what_a_failed_run_returned)
{
    rig           r;
    probe         t = {.task = {.run = probe_run, .done = probe_done}, .code = 42};
    weir_delivery d = fresh();
    expect(rig_open(&r, 1));
    expect_eq(weir_run(r.p, &t.task, r.m), 0);
    expect_eq(weir_main_wait_next(r.m, -1, &d), 0);
    expect_eq(d.outcome, 42);
    weir_delivery_end(&d);
    rig_close(&r);
}

/* A task that is run again has come before the round is over, and waits for the next. */
TEST(a_round_ends_although_each_task_is_run_again)
{
    rig           r;
    probe         t[3];
    weir_delivery d = fresh();
    expect(rig_open(&r, 1));
    settle_undelivered(&r, t, 3);
    for (int round = 0; round < 3; round++) {
        int n = 0;
        for (; weir_main_next(r.m, &d) == 0; n++) {
            probe fence = {.task = {.run = probe_run}};
            expect_eq(weir_run(r.p, d.task, r.m), 0);
            expect_eq(weir_run(r.p, &fence.task, NULL), 0);
            expect_eq(weir_wait(&fence.task, -1), 0);
        }
        expect_eq(n, 3);
        expect(readable(weir_main_fd(r.m)));
    }
    rig_close(&r);
}

TEST(a_task_may_be_freed_while_its_delivery_lasts)
{
    rig           r;
    probe        *t = calloc(1, sizeof *t);
    weir_delivery d = fresh();
    *t = (probe)PROBE;
    expect(rig_open(&r, 1));
    expect_eq(weir_run(r.p, &t->task, r.m), 0);
    expect_eq(weir_main_wait_next(r.m, -1, &d), 0);
    free(d.task);
    weir_delivery_end(&d);
    expect_eq(weir_main_pending(r.m), 0);
    rig_close(&r);
}

TEST(the_end_leaves_the_rest_in_order_and_the_descriptor_readable)
{
    rig           r;
    probe         t[4];
    weir_delivery d = fresh();
    expect(rig_open(&r, 1));
    settle_undelivered(&r, t, 4);
    for (int i = 0; i < 4; i++) {
        expect(readable(weir_main_fd(r.m)));
        expect_eq(weir_main_next(r.m, &d), 0);
        expect(d.task == &t[i].task);
        weir_delivery_end(&d);
        expect(!d.task);
        weir_delivery_end(&d); /* nothing is left to end */
    }
    expect_eq(weir_main_next(r.m, &d), WEIR_EAGAIN);
    expect(!readable(weir_main_fd(r.m)));
    weir_delivery_end(NULL);
    rig_close(&r);
}

TEST(run_calls_the_callback_that_dispatch_would)
{
    rig           r;
    probe         t = PROBE;
    news          n = NEWS;
    weir_delivery d = fresh();
    expect(rig_open(&r, 1));
    expect_eq(weir_run(r.p, &t.task, r.m), 0);
    expect_eq(weir_main_wait_next(r.m, -1, &d), 0);
    weir_delivery_run(&d);
    expect_eq(t.dones, 1);
    expect_eq(weir_main_next(r.m, &d), WEIR_EAGAIN);
    weir_delivery_run(&d); /* nothing is there */
    expect_eq(weir_notice_expect(&n.notice, r.m), 0);
    weir_notice_post(&n.notice, 7);
    expect_eq(weir_main_next(r.m, &d), 0);
    expect(d.notice == &n.notice && !d.task);
    expect_eq(d.outcome, 7);
    weir_delivery_run(&d);
    expect(n.calls == 1 && n.outcome == 7);
    weir_delivery_end(&d);
    expect_eq(weir_main_pending(r.m), 0);
    rig_close(&r);
}

TEST(the_callers_mistakes_are_told)
{
    rig           r;
    weir_main    *other;
    probe         t[1];
    weir_delivery d = fresh(), small = {.size = sizeof d - 1};
    size_t       *size = malloc(sizeof *size);
    void         *smallest = size; /* nothing behind its size may be read */
    *size = sizeof *size;
    struct {
        weir_delivery known;
        long          more;
    } newer = {.known.size = sizeof newer, .more = 5};
    expect(rig_open(&r, 1));
    expect_eq(weir_main_open(&other), 0);
    settle_undelivered(&r, t, 1);
    expect_eq(weir_main_next(NULL, &d), WEIR_EINVAL);
    expect_eq(weir_main_next(r.m, NULL), WEIR_EINVAL);
    expect_eq(weir_main_next(r.m, &small), WEIR_EINVAL);
    expect_eq(weir_main_wait_next(NULL, -1, &d), WEIR_EINVAL);
    expect_eq(weir_main_wait_next(r.m, -1, NULL), WEIR_EINVAL);
    expect_eq(weir_main_wait_next(r.m, -1, smallest), WEIR_EINVAL);
    free(smallest);
    expect_eq(weir_main_next(r.m, &newer.known), 0);
    expect_eq(weir_main_next(other, &newer.known), WEIR_EBUSY);
    expect_eq(weir_main_next(NULL, &newer.known), WEIR_EINVAL);
    expect(newer.known.task == &t[0].task && newer.more == 5);
    weir_delivery_end(&newer.known);
    expect_eq(weir_main_next(other, &newer.known), WEIR_EAGAIN);
    main_end(other);
    rig_close(&r);
}

static weir_delivery taken;

static void uses_a_foreign_main(void *m)
{
    weir_delivery d = fresh();
    expect_eq(weir_main_next(m, &d), WEIR_EPERM);
    expect_eq(weir_main_wait_next(m, -1, &d), WEIR_EPERM);
    expect(!d.task);
    expect_eq(weir_main_next(m, &taken), WEIR_EPERM);
    expect_eq(weir_main_wait_next(m, -1, &taken), WEIR_EPERM);
}

TEST(only_the_mains_own_thread_may_take)
{
    rig    r;
    probe  t[2];
    helper h;
    taken = fresh();
    expect(rig_open(&r, 1));
    settle_undelivered(&r, t, 2);
    expect_eq(weir_main_next(r.m, &taken), 0);
    helper_start(&h, uses_a_foreign_main, r.m);
    helper_join(&h);
    expect(taken.task == &t[0].task); /* it still lasts */
    expect_eq(weir_main_pending(r.m), 2);
    weir_delivery_end(&taken);
    expect_eq(weir_main_pending(r.m), 1);
    expect_eq(weir_main_dispatch(r.m, 0), 1);
    rig_close(&r);
}

/* ---- while a delivery lasts ------------------------------------------------- */

static int  busy_calls;
static bool busy;

static void notes_busy(weir_main *m, bool is, void *arg)
{
    (void)m, (void)arg;
    busy = is;
    busy_calls++;
}

TEST(a_delivery_pends_until_the_next_or_its_end)
{
    rig           r;
    probe         t[2];
    weir_delivery d = fresh();
    busy_calls = 0;
    expect(rig_open(&r, 1));
    expect_eq(weir_main_on_busy(r.m, notes_busy, NULL), 0);
    settle_undelivered(&r, t, 2);
    expect(busy && busy_calls == 1);
    expect_eq(weir_main_next(r.m, &d), 0);
    expect_eq(weir_main_pending(r.m), 2);
    expect_eq(weir_main_next(r.m, &d), 0);
    expect_eq(weir_main_pending(r.m), 1);
    expect_eq(weir_main_close(r.m, 0), WEIR_EBUSY);
    expect_eq(weir_run(r.p, d.task, r.m), 0); /* so the main stays busy */
    weir_delivery_end(&d);
    expect(busy && busy_calls == 1);
    expect_eq(weir_main_wait_next(r.m, -1, &d), 0);
    expect(d.task == &t[1].task);
    expect(busy && busy_calls == 1);
    expect_eq(weir_main_next(r.m, &d), WEIR_EAGAIN);
    expect(!busy && busy_calls == 2);
    rig_close(&r);
}

typedef struct {
    probe       p;
    gate        entered, leave;
    _Atomic int releases;
} stuck;

static void release_counts(weir_task *task) { atomic_fetch_add(&((stuck *)task)->releases, 1); }

TEST(an_abandoned_task_is_released_when_its_delivery_ends)
{
    for (int by_next = 0; by_next < 2; by_next++) {
        rig           r;
        stuck         s = {.p = PROBE, .entered = GATE, .leave = GATE};
        weir_delivery d = fresh();
        s.p.task.release = release_counts;
        s.p.entered = &s.entered, s.p.leave = &s.leave;
        expect(rig_open(&r, 1));
        expect_eq(weir_run(r.p, &s.p.task, r.m), 0);
        gate_wait(&s.entered);
        expect_eq(weir_task_abandon(&s.p.task), 0);
        expect_eq(weir_main_wait_next(r.m, -1, &d), 0);
        expect(d.task == &s.p.task && d.outcome == WEIR_ECANCELED);
        gate_open(&s.leave);
        while (stats_of(r.p).lost)
            sched_yield();
        expect_eq(s.releases, 0);
        expect_eq(weir_run(r.p, &s.p.task, r.m), WEIR_EBUSY);
        if (by_next)
            expect_eq(weir_main_next(r.m, &d), WEIR_EAGAIN);
        else
            weir_delivery_end(&d);
        expect_eq(s.releases, 1);
        expect_eq(weir_main_pending(r.m), 0);
        rig_close(&r);
    }
}

/* ---- nesting ------------------------------------------------------------------ */

TEST(nested_rounds_go_on_with_the_same_ordered_list)
{
    rig           r;
    probe         t[5], late = PROBE;
    weir_delivery outer = fresh(), inner = fresh();
    expect(rig_open(&r, 1));
    settle_undelivered(&r, t, 5);
    expect_eq(weir_main_next(r.m, &outer), 0);
    expect_eq(weir_main_next(r.m, &inner), 0);
    expect(inner.task == &t[1].task);
    expect_eq(weir_main_dispatch(r.m, 1), 1);
    expect_eq(t[2].dones, 1);
    expect_eq(weir_main_pending(r.m), 4);
    expect_eq(weir_main_next(r.m, &outer), 0); /* ends the first, and inner lasts */
    expect(outer.task == &t[3].task && inner.task == &t[1].task);
    expect_eq(weir_main_pending(r.m), 3);
    weir_delivery_end(&outer);
    expect_eq(weir_main_close(r.m, 0), WEIR_EBUSY);
    weir_delivery_end(&inner);
    expect(readable(weir_main_fd(r.m)));
    expect_eq(weir_main_next(r.m, &outer), 0);
    expect(outer.task == &t[4].task);
    expect_eq(weir_run(r.p, &late.task, r.m), 0);
    expect_eq(weir_main_wait(r.m, -1), 1); /* with a delivery that lasts */
    expect_eq(late.dones, 1);
    expect_eq(weir_main_pending(r.m), 1);
    expect_eq(weir_main_next(r.m, &outer), WEIR_EAGAIN);
    rig_close(&r);
}

static rig   nest;
static probe inner_tasks[2];

static void done_takes(weir_task *task)
{
    weir_delivery d = fresh();
    probe_done(task);
    expect_eq(weir_main_next(nest.m, &d), 0);
    expect(d.task == &inner_tasks[1].task);
    weir_delivery_run(&d);
    weir_delivery_end(&d);
}

TEST(a_done_that_dispatch_calls_may_take)
{
    expect(rig_open(&nest, 1));
    settle_undelivered(&nest, inner_tasks, 2);
    inner_tasks[0].task.done = done_takes;
    expect_eq(weir_main_dispatch(nest.m, 0), 1);
    expect(inner_tasks[0].dones == 1 && inner_tasks[1].dones == 1);
    expect_eq(weir_main_pending(nest.m), 0);
    rig_close(&nest);
}

/* ---- waiting ------------------------------------------------------------------ */

TEST(wait_next_waits_where_a_round_begins_and_writes_nothing)
{
    rig           r;
    plug          p;
    probe         t[3];
    weir_delivery d = fresh();
    expect(rig_open(&r, 1));
    expect_eq(weir_main_wait_next(r.m, -1, &d), WEIR_EAGAIN); /* nothing can come */
    expect_eq(weir_main_wait_next(r.m, 0, &d), WEIR_ETIMEDOUT);
    expect(plug_in(&p, r.p, r.m));
    int64_t before = now_ns();
    expect_eq(weir_main_wait_next(r.m, MILLIS(5), &d), WEIR_ETIMEDOUT);
    expect_op(now_ns() - before, >=, MILLIS(5));
    expect_eq(weir_main_close(r.m, 0), WEIR_EBUSY); /* the plug's, no round */
    plug_pull(&p);
    expect_eq(weir_main_wait_next(r.m, INT64_MAX, &d), 0);
    expect(d.task == &p.probe.task);
    expect_eq(weir_run(r.p, d.task, r.m), 0);
    expect_eq(weir_main_wait_next(r.m, -1, &d), WEIR_EAGAIN); /* the round is over */
    expect_eq(weir_main_wait_next(r.m, -1, &d), 0);
    expect_eq(weir_main_wait_next(r.m, -1, &d), WEIR_EAGAIN);
    settle_undelivered(&r, t, 3);
    long writes = fault_writes();
    for (int i = 0; i < 3; i++)
        expect_eq(weir_main_wait_next(r.m, -1, &d), 0);
    expect_eq(weir_main_wait_next(r.m, -1, &d), WEIR_EAGAIN);
    expect_eq(fault_writes() - writes, 0);
    rig_close(&r);
}

/* The owner is asleep when they come, so it is unparked; none of it is written. */
TEST(what_wakes_wait_next_is_not_written)
{
    rig           r;
    weir_delivery d = fresh();
    expect(rig_open(&r, 1));
    expect_eq(weir_main_quiet(r.m, true), 0);
    long writes = fault_writes();
    for (int i = 0; i < 300; i++) {
        probe t = PROBE;
        expect_eq(weir_run(r.p, &t.task, r.m), 0);
        expect_eq(weir_main_wait_next(r.m, -1, &d), 0);
        weir_delivery_run(&d);
        weir_delivery_end(&d);
        expect_eq(t.dones, 1);
    }
    expect_eq(fault_writes() - writes, 0);
    rig_close(&r);
}

typedef struct {
    weir_pool *pool;
    gate       entered, leave;
} sleeper;

static void waits_for_one(void *arg)
{
    sleeper      *s = arg;
    probe         t = PROBE;
    weir_main    *m;
    weir_delivery d = fresh();
    t.entered = &s->entered, t.leave = &s->leave;
    expect_eq(weir_main_open(&m), 0);
    expect_eq(weir_run(s->pool, &t.task, m), 0);
    expect_eq(weir_main_wait_next(m, -1, &d), 0);
    weir_delivery_end(&d);
    expect_eq(weir_main_close(m, 0), 0);
}

/* Each time it is asleep when the task ends, as far as a test can know. */
TEST(what_wakes_a_sleeping_wait_next_is_not_written_when_it_ends)
{
    enum { TIMES = 20 };
    rig  r;
    long writes = fault_writes();
    expect(rig_open(&r, 1));
    for (int i = 0; i < TIMES; i++) {
        sleeper s = {r.p, GATE, GATE};
        helper  h;
        helper_start(&h, waits_for_one, &s);
        gate_wait(&s.entered);
        helper_until_asleep(&h);
        gate_open(&s.leave);
        helper_join(&h);
    }
    expect_op(fault_writes() - writes, <, TIMES);
    rig_close(&r);
}

static weir_main *main_of_call;

static void answers(weir_call *call, void *arg)
{
    (void)arg;
    expect_eq(weir_main_close(main_of_call, 0), WEIR_EBUSY); /* it waits */
    weir_call_finish(call, 0, NULL);
}

static void calls_the_other(void *other)
{
    expect_eq(weir_run_in_main(other, answers, NULL, NULL), 0);
}

TEST(wait_next_serves_the_calls_of_the_threads_other_mains)
{
    weir_main    *m, *other;
    news          n = NEWS;
    helper        h;
    weir_delivery d = fresh();
    expect_eq(weir_main_open(&m), 0);
    expect_eq(weir_main_open(&other), 0);
    main_of_call = m;
    expect_eq(weir_notice_expect(&n.notice, m), 0);
    helper_start(&h, calls_the_other, other);
    while (!h.returned)
        expect_eq(weir_main_wait_next(m, MILLIS(1), &d), WEIR_ETIMEDOUT);
    helper_join(&h);
    weir_notice_post(&n.notice, 0);
    expect_eq(weir_main_wait_next(m, -1, &d), 0);
    weir_delivery_end(&d);
    expect_eq(weir_main_close(other, 0), 0);
    expect_eq(weir_main_close(m, 0), 0);
}

/* A loop that polls the descriptor after each wait misses nothing. */
TEST(who_polls_after_wait_next_gets_what_came_meanwhile)
{
    rig           r;
    probe         t[2] = {PROBE, PROBE};
    weir_delivery d = fresh();
    expect(rig_open(&r, 2));
    for (unsigned i = 0; i < scaled(300); i++) {
        int got = 0;
        for (int k = 0; k < 2; k++)
            expect_eq(weir_run(r.p, &t[k].task, r.m), 0);
        if (weir_main_wait_next(r.m, -1, &d) == 0)
            got++;
        weir_delivery_end(&d);
        test_stage("polling");
        while (got < 2)
            if (!readable(weir_main_fd(r.m)))
                sched_yield();
            else
                for (; weir_main_next(r.m, &d) == 0; got++)
                    ;
        expect_eq(weir_main_pending(r.m), 0);
    }
    rig_close(&r);
}

SUITE(delivery, next_gives_each_task_with_its_outcome_in_order_and_calls_no_done,
      next_gives_what_a_failed_run_returned, a_round_ends_although_each_task_is_run_again,
      a_task_may_be_freed_while_its_delivery_lasts,
      the_end_leaves_the_rest_in_order_and_the_descriptor_readable,
      run_calls_the_callback_that_dispatch_would, the_callers_mistakes_are_told,
      only_the_mains_own_thread_may_take, a_delivery_pends_until_the_next_or_its_end,
      an_abandoned_task_is_released_when_its_delivery_ends,
      nested_rounds_go_on_with_the_same_ordered_list, a_done_that_dispatch_calls_may_take,
      wait_next_waits_where_a_round_begins_and_writes_nothing, what_wakes_wait_next_is_not_written,
      what_wakes_a_sleeping_wait_next_is_not_written_when_it_ends,
      wait_next_serves_the_calls_of_the_threads_other_mains,
      who_polls_after_wait_next_gets_what_came_meanwhile)
