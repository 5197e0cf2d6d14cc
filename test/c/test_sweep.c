/* SPDX-License-Identifier: ISC
 *
 * test_sweep.c: every scenario with the n-th request to the system refused, for
 * n = 1, 2, 3 ... until a run asks no further; each kind of request in turn.
 *
 * A scenario must come to its end, as it would without the fault or with an
 * honest error, and leave nothing behind.
 */
#include "harness.h"

#include <stdio.h>

enum { MOST = 400 };

static void run_with_fault(const scenario *s, enum fault kind, unsigned n, unsigned burst)
{
    static char name[200];
    snprintf(name, sizeof name, "%s, %s request %u refused, %u in a row", s->name,
             fault_names[kind], n, burst);
    test_begin(name);
    fault_arm(kind, n, burst);
    s->body();
}

/* Requests come from several threads, so one quiet run may be luck: two in a row. */
static unsigned sweep(const scenario *s, enum fault kind, unsigned burst)
{
    unsigned most = scaled(MOST), injected = 0;
    int      quiet = 0;
    for (unsigned n = 1; n <= most && quiet < 2; n++) {
        run_with_fault(s, kind, n, burst);
        bool hit = fault_disarm();
        test_end();
        injected += hit;
        quiet = hit ? 0 : quiet + 1;
    }
    return injected;
}

static void sweep_all(enum fault kind, unsigned burst)
{
    unsigned injected = 0;
    for (const scenario *s = scenarios; s; s = s->next)
        injected += sweep(s, kind, burst);
    test_begin("sweep");
    expect_op(injected, >, 0);
}

TEST(refused_memory_loses_and_leaks_nothing) { sweep_all(FAULT_ALLOC, 1); }
TEST(refused_threads_lose_and_leak_nothing) { sweep_all(FAULT_THREAD, 1); }
TEST(refused_descriptors_lose_and_leak_nothing) { sweep_all(FAULT_FD, 1); }
TEST(interrupted_reads_lose_no_wake_up) { sweep_all(FAULT_READ_EINTR, 1); }
TEST(refused_reads_lose_no_wake_up) { sweep_all(FAULT_READ_EAGAIN, 1); }
TEST(interrupted_writes_lose_no_wake_up) { sweep_all(FAULT_WRITE_EINTR, 1); }
TEST(refused_writes_lose_no_wake_up) { sweep_all(FAULT_WRITE_EAGAIN, 1); }

TEST(rows_of_refusals_lose_nothing_either)
{
    for (int kind = FAULT_ALLOC; kind < FAULTS; kind++)
        sweep_all((enum fault)kind, 3);
}

SUITE(sweep, refused_memory_loses_and_leaks_nothing, refused_threads_lose_and_leak_nothing,
      refused_descriptors_lose_and_leak_nothing, interrupted_reads_lose_no_wake_up,
      refused_reads_lose_no_wake_up, interrupted_writes_lose_no_wake_up,
      refused_writes_lose_no_wake_up, rows_of_refusals_lose_nothing_either)
