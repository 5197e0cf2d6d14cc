/* SPDX-License-Identifier: ISC
 *
 * test_late.c: how late a main says that it is, where lots, other rounds and other deliveries
 * come in between.
 */
#include "harness.h"

#include <sched.h>

enum { LOT = 64 }; /* deliveries, which the last one's poster puts in order */

static weir_main_stats of_main(weir_main *m)
{
    weir_main_stats s = {.size = sizeof s};
    expect_eq(weir_main_get_stats(m, &s), 0);
    return s;
}

static void pass(int64_t ns)
{
    int64_t until = now_ns() + ns;
    while (now_ns() < until)
        sched_yield();
}

/* As settle_undelivered, but this thread does not wait: it would take what has arrived. */
static void settle_untaken(rig *r, probe *t, int n)
{
    probe fence = PROBE;
    fence.task.done = NULL;
    for (int i = 0; i < n; i++) {
        t[i] = (probe)PROBE;
        expect_eq(weir_run(r->p, &t[i].task, r->m), 0);
    }
    expect_eq(weir_run(r->p, &fence.task, NULL), 0);
    while (weir_task_get_state(&fence.task) != WEIR_TASK_SETTLED)
        sched_yield();
}

TEST(a_lot_that_was_put_in_order_is_as_late_as_it_was)
{
    rig   r;
    probe first[LOT], next[LOT];
    expect(rig_open(&r, 1));
    settle_untaken(&r, first, LOT);
    pass(MILLIS(30));
    for (int i = 0; i < LOT; i++) { /* one of them ends a lot, and leaves nothing behind it */
        settle_untaken(&r, &next[i], 1);
        expect_op(of_main(r.m).lag_ns, >=, MILLIS(20));
    }
    rig_close(&r);
}

TEST(what_was_delivered_is_late_no_more_while_others_are_to_come)
{
    rig   r;
    plug  p;
    probe t[1];
    expect(rig_open(&r, 2) && plug_in(&p, r.p, r.m)); /* one thread is left for the others */
    settle_undelivered(&r, t, 1);
    expect_op(of_main(r.m).lag_ns, >, 0);
    expect_eq(weir_main_dispatch(r.m, 0), 1);
    weir_main_stats s = of_main(r.m);
    expect_eq(s.pending, 1);
    expect(s.lag_ns == 0 && s.unturned_ns == 0);
    plug_pull(&p);
    rig_close(&r);
}

static weir_main *turning;
static int64_t    began;

static void done_turns(weir_task *task)
{
    weir_main_dispatch(turning, 0);
    int64_t unturned = of_main(turning).unturned_ns;
    expect_op(unturned, <=, now_ns() - began + MILLIS(20)); /* a coarse clock's step, or two */
    probe_done(task);
}

TEST(a_round_inside_another_is_no_new_turn_and_ends_none)
{
    rig   r;
    probe t[1];
    expect(rig_open(&r, 1));
    settle_undelivered(&r, t, 1);
    t[0].task.done = done_turns;
    turning = r.m;
    pass(MILLIS(200)); /* which are no part of the round */
    began = now_ns();
    expect_eq(weir_main_dispatch(r.m, 0), 1);
    expect_eq(of_main(r.m).unturned_ns, 0);
    rig_close(&r);
}

SUITE(late, a_lot_that_was_put_in_order_is_as_late_as_it_was,
      what_was_delivered_is_late_no_more_while_others_are_to_come,
      a_round_inside_another_is_no_new_turn_and_ends_none)
