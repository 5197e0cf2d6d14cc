/* SPDX-License-Identifier: ISC
 *
 * test_main_wait.c: waiting in a main: how it looks, sleeps, is woken, and ends.
 */
#include "harness.h"

typedef struct {
    probe      probe; /* first: the task is its beginning */
    weir_main *m;
} caller;

static void finish_at_once(weir_call *call, void *arg)
{
    (void)arg;
    weir_call_finish(call, 0, NULL);
}

static int call_main(weir_task *t, void *state)
{
    (void)state;
    expect_eq(weir_run_in_main(((caller *)(void *)t)->m, finish_at_once, NULL, NULL), 0);
    return 0;
}

/* No look ends by itself here, so each wait ends by what its look has seen. */
TEST(a_wait_that_looks_sees_completions_calls_and_its_time)
{
    rig    r;
    plug   p;
    probe  t = PROBE;
    caller c = {.probe = PROBE};
    expect(rig_open(&r, 1));
    expect_eq(weir_main_open(&c.m), 0);
    expect_eq(weir_main_linger(r.m, INT64_MAX), 0);
    for (int i = 1; i <= 300; i++) {
        expect_eq(weir_run(r.p, &t.task, r.m), 0);
        expect_eq(weir_main_wait(r.m, -1), 1);
        expect_eq(t.dones, i);
    }
    c.probe.task.run = call_main;
    expect_eq(weir_run(r.p, &c.probe.task, r.m), 0);
    expect_eq(weir_main_wait(r.m, -1), 1); /* the other main's call is served meanwhile */
    expect_eq(c.probe.dones, 1);
    expect(plug_in(&p, r.p, r.m));
    expect_eq(weir_main_wait(r.m, MILLIS(2)), 0);
    plug_pull(&p);
    main_end(c.m);
    rig_close(&r);
}

TEST(linger_is_refused_for_no_main_and_less_than_no_time)
{
    rig r;
    expect(rig_open(&r, 1));
    expect_eq(weir_main_linger(NULL, 0), WEIR_EINVAL);
    expect_eq(weir_main_linger(r.m, -1), WEIR_EINVAL);
    expect_eq(weir_main_linger(r.m, 0), 0);
    rig_close(&r);
}

/* Its owner sleeps in the wait while the worker settles: that wakes it. */
TEST(a_quiet_main_wakes_its_wait)
{
    rig r;
    expect(rig_open(&r, 1));
    expect_eq(weir_main_quiet(r.m, true), 0);
    for (int i = 0; i < 300; i++) {
        probe t = PROBE;
        expect_eq(weir_run(r.p, &t.task, r.m), 0);
        expect_eq(weir_main_wait(r.m, -1), 1);
        expect_eq(t.dones, 1);
    }
    rig_close(&r);
}

TEST(wait_ends_at_once_when_nothing_can_come)
{
    rig r;
    expect(rig_open(&r, 1));
    expect_eq(weir_main_wait(r.m, -1), 0);
    expect_eq(weir_main_wait(r.m, 0), 0);
    rig_close(&r);
}

TEST(wait_ends_when_its_time_is_up)
{
    rig     r;
    plug    p;
    int64_t before;
    expect(rig_open(&r, 1) && plug_in(&p, r.p, r.m));
    before = now_ns();
    expect_eq(weir_main_wait(r.m, MILLIS(5)), 0);
    expect_op(now_ns() - before, >=, MILLIS(5));
    plug_pull(&p);
    expect_eq(weir_main_wait(r.m, INT64_MAX), 1);
    rig_close(&r);
}

SCENARIO(wait_is_woken_by_each_completion)
{
    rig   r;
    probe t = PROBE;
    if (rig_open(&r, 1))
        for (int i = 0; i < 50; i++) {
            expect(given(weir_run(r.p, &t.task, r.m)));
            expect_eq(weir_main_wait(r.m, -1), 1);
            expect_eq(t.dones, i + 1);
        }
    rig_close(&r);
}

SUITE(main_wait, a_wait_that_looks_sees_completions_calls_and_its_time,
      linger_is_refused_for_no_main_and_less_than_no_time, a_quiet_main_wakes_its_wait,
      wait_ends_at_once_when_nothing_can_come, wait_ends_when_its_time_is_up,
      wait_is_woken_by_each_completion)
