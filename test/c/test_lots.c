/* SPDX-License-Identifier: ISC
 *
 * test_lots.c: so many tasks and deliveries that they are put in order lot by lot.
 */
#include "harness.h"

enum { MANY = 900 };

static probe t[MANY];
static order delivered;

static void done_notes(weir_task *task)
{
    order_note(&delivered, ((probe *)task)->id);
    probe_done(task);
}

static void note_deliveries(int n)
{
    delivered = (order)ORDER;
    for (int i = 0; i < n; i++)
        t[i].task.done = done_notes;
}

static void expect_order(const order *o, int n)
{
    expect_eq(o->n, n);
    for (int i = 0; i < n; i++)
        expect_eq(o->id[i], i);
}

TEST(many_deliveries_come_in_order_and_cost_one_write)
{
    rig r;
    expect(rig_open(&r, 1));
    long before = fault_writes();
    settle_undelivered(&r, t, MANY);
    expect_eq(fault_writes() - before, 1);
    note_deliveries(MANY);
    expect_eq(weir_main_dispatch(r.m, 10), 10);
    expect(readable(weir_main_fd(r.m)));
    expect_eq(weir_main_dispatch(r.m, 0), MANY - 10);
    expect(!readable(weir_main_fd(r.m)));
    expect_order(&delivered, MANY);
    rig_close(&r);
}

static void offer_many(rig *r, order *o)
{
    for (int i = 0; i < MANY; i++) {
        t[i] = (probe)PROBE;
        t[i].id = i, t[i].order = o;
        expect_eq(weir_run(r->p, &t[i].task, r->m), 0);
    }
}

TEST(many_offered_tasks_start_in_order)
{
    order o = ORDER;
    rig   r;
    plug  p;
    expect(rig_open(&r, 1) && plug_in(&p, r.p, r.m));
    offer_many(&r, &o);
    expect_eq(stats_of(r.p).queued, MANY);
    plug_pull(&p);
    expect_eq(weir_close(r.p, WEIR_DRAIN), 0);
    rig_close(&r);
    expect_order(&o, MANY);
}

TEST(a_busy_worker_counts_what_fails)
{
    rig  r;
    plug p;
    expect(rig_open(&r, 1) && plug_in(&p, r.p, r.m));
    for (int i = 0; i < 3; i++) {
        t[i] = (probe)PROBE;
        t[i].code = i == 1 ? 9 : 0;
        expect_eq(weir_run(r.p, &t[i].task, r.m), 0);
    }
    plug_pull(&p);
    while (t[2].dones == 0)
        weir_main_wait(r.m, -1);
    expect_eq(stats_of(r.p).failed, 1);
    rig_close(&r);
}

/* Of the first, of one in the middle, and of the last. */
TEST(any_of_many_offered_tasks_can_be_cancelled)
{
    const int taken[] = {0, MANY / 2, MANY - 1};
    order     o = ORDER;
    rig       r;
    plug      p;
    expect(rig_open(&r, 1) && plug_in(&p, r.p, r.m));
    offer_many(&r, &o);
    for (int i = 0; i < 3; i++)
        expect_eq(weir_cancel(&t[taken[i]].task), 0);
    plug_pull(&p);
    expect_eq(weir_close(r.p, WEIR_DRAIN), 0);
    rig_close(&r);
    expect_eq(o.n, MANY - 3);
    for (int i = 1; i < o.n; i++)
        expect_op(o.id[i], >, o.id[i - 1]);
    for (int i = 0; i < 3; i++)
        expect_eq(t[taken[i]].outcome, WEIR_ECANCELED);
}

static void answer(weir_call *call, void *arg)
{
    (void)arg;
    weir_call_finish(call, 0, NULL);
}

/* The call stands in the middle of a lot. */
static int run_calls(weir_task *task, void *state)
{
    probe_run(task, state);
    return weir_run_in_main(NULL, answer, NULL, NULL);
}

TEST(a_wait_serves_a_call_among_many_deliveries)
{
    rig   r;
    probe calls = {.task = {.run = run_calls}};
    expect(rig_open(&r, 1));
    settle_undelivered(&r, t, MANY);
    note_deliveries(MANY);
    expect_eq(weir_run(r.p, &calls.task, r.m), 0);
    expect_eq(weir_wait(&calls.task, -1), 0);
    expect_eq(weir_task_outcome(&calls.task), 0);
    expect_eq(delivered.n, 0);
    expect(readable(weir_main_fd(r.m)));
    expect_eq(weir_main_dispatch(r.m, 0), MANY);
    expect_order(&delivered, MANY);
    rig_close(&r);
}

static rig parents;

static void dispatch_in_child(void *arg)
{
    (void)arg;
    expect(readable(weir_main_fd(parents.m)));
    expect_eq(weir_main_dispatch(parents.m, 0), MANY);
    expect_order(&delivered, MANY);
}

TEST(a_child_of_fork_gets_many_deliveries_in_order)
{
    expect(rig_open(&parents, 1));
    settle_undelivered(&parents, t, MANY);
    note_deliveries(MANY);
    child_reap(child_start(dispatch_in_child, NULL));
    expect_eq(weir_main_dispatch(parents.m, 0), MANY);
    expect_order(&delivered, MANY);
    rig_close(&parents);
}

SUITE(lots, many_deliveries_come_in_order_and_cost_one_write, many_offered_tasks_start_in_order,
      any_of_many_offered_tasks_can_be_cancelled, a_wait_serves_a_call_among_many_deliveries,
      a_child_of_fork_gets_many_deliveries_in_order, a_busy_worker_counts_what_fails)
