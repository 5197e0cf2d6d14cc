/* SPDX-License-Identifier: ISC
 *
 * test_rings.c: the rings of records: what they lose, and when they go.
 */
#include "harness.h"

#include <sched.h>
#include <unistd.h>

enum { MOST = 1024 };

static weir_record kept[MOST];

typedef struct {
    gate recorded, leave;
} recorder;

enum { SOME = 100 };

static void records_some(void *arg)
{
    recorder *r = arg;
    for (int i = 0; i < SOME; i++)
        weir_trace_begin("step");
    gate_open(&r->recorded);
    gate_wait(&r->leave);
}

TEST(what_was_lost_is_counted_until_a_new_trace)
{
    enum { ROOM = 16 };
    helper   h;
    recorder r = {GATE, GATE};
    expect_eq(weir_trace_start(ROOM), 0);
    helper_start(&h, records_some, &r);
    gate_wait(&r.recorded);
    expect_eq(weir_trace_lost(), SOME - ROOM);
    weir_trace_stop();
    expect_eq(weir_trace_start(ROOM), 0); /* the thread has a ring of before */
    expect_eq(weir_trace_lost(), 0);
    expect_eq(weir_trace_read(kept, MOST), 0);
    gate_open(&r.leave);
    helper_join(&h);
    helper_start(&h, records_some, &r);
    helper_join(&h);
    expect_eq(weir_trace_read(kept, MOST), ROOM); /* and its ring is gone */
    expect_eq(weir_trace_lost(), SOME - ROOM);
    weir_trace_stop();
    expect_eq(weir_trace_start(0), 0);
    expect_eq(weir_trace_lost(), 0);
    weir_trace_stop();
}

/* Else a program that makes threads all day would keep the ring of each. */
TEST(the_ring_of_a_thread_that_has_ended_goes_when_it_was_read)
{
    helper   h;
    recorder r = {GATE, GATE};
    expect_eq(weir_trace_start(0), 0);
    gate_open(&r.leave);
    records_some(&r); /* this thread's ring stays */
    expect_eq(weir_trace_read(kept, MOST), SOME);
    long before = fault_live_blocks();
    for (int i = 0; i < 3; i++) {
        helper_start(&h, records_some, &r);
        helper_join(&h);
        expect_eq(weir_trace_read(kept, SOME / 2), SOME / 2);
        expect_eq(weir_trace_read(kept, MOST), SOME / 2);
        expect_eq(fault_live_blocks(), before);
    }
    weir_trace_stop();
}

static _Atomic bool looks;

static void looks_on(void *arg)
{
    (void)arg;
    while (looks)
        weir_trace_lost();
}

TEST(a_child_of_fork_finds_the_lock_free_whatever_others_do)
{
    rig    r;
    helper h;
    expect(rig_open(&r, 1));
    looks = others_stay_busy = true;
    helper_start(&h, looks_on, NULL);
    for (unsigned i = 0; i < scaled(100); i++) {
        pid_t child = child_begin();
        if (child == 0)
            _exit(weir_trace_lost() == 0 ? 0 : 1);
        child_reap(child);
    }
    looks = others_stay_busy = false;
    helper_join(&h);
    rig_close(&r);
}

static void starts_and_stops(void *arg)
{
    (void)arg;
    expect_eq(weir_trace_start(0), 0);
    weir_trace_begin("step");
    weir_trace_stop();
}

TEST(a_thread_may_stop_the_trace_and_end)
{
    helper h;
    helper_start(&h, starts_and_stops, NULL);
    helper_join(&h);
    starts_and_stops(NULL);
}

static _Atomic bool works;

static void works_on(void *arg)
{
    rig r;
    (void)arg;
    expect(rig_open(&r, 1));
    while (works) {
        probe t = PROBE;
        expect_eq(weir_run(r.p, &t.task, r.m), 0);
        while (t.dones == 0)
            weir_main_wait(r.m, -1);
    }
    rig_close(&r);
}

/* Who starts it shares no lock with who records, and whose ring is there since the first. */
TEST(a_trace_begins_beside_tasks)
{
    helper h;
    works = others_stay_busy = true;
    helper_start(&h, works_on, NULL);
    for (unsigned i = 0; i < 20; i++) {
        expect_eq(weir_trace_start(0), 0);
        while (weir_trace_read(kept, MOST) == 0)
            sched_yield();
        weir_trace_stop();
    }
    works = others_stay_busy = false;
    helper_join(&h);
}

SUITE(rings, a_trace_begins_beside_tasks, what_was_lost_is_counted_until_a_new_trace,
      the_ring_of_a_thread_that_has_ended_goes_when_it_was_read,
      a_child_of_fork_finds_the_lock_free_whatever_others_do, a_thread_may_stop_the_trace_and_end)
