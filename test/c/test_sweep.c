/* SPDX-License-Identifier: ISC
 *
 * test_sweep.c: every scenario with the n-th request to the system refused, for
 * n = 1, 2, 3 ... until a run asks no further; each kind of request in turn.
 *
 * A scenario must come to its end, as it would without the fault or with an
 * honest error, and leave nothing behind. WEIR_SWEEP=N goes on up to N where an ordinary run
 * ends early: threads may ask in another order each time.
 */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>

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

static unsigned least(void)
{
    const char *n = getenv("WEIR_SWEEP");
    return n ? (unsigned)atoi(n) : 0;
}

/* Requests come from several threads, so one quiet run may be luck: two in a row. */
static unsigned sweep(const scenario *s, enum fault kind, unsigned burst)
{
    unsigned most = scaled(MOST), injected = 0;
    int      quiet = 0;
    for (unsigned n = 1; n <= most && (n <= least() || quiet < 2); n++) {
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
    unsigned injected = 0, n = 0;
    for (const scenario *s = scenarios; s; s = s->next, n++)
        injected += sweep(s, kind, burst);
    printf("faults injected: %u (%s, rows of %u, %u scenarios)\n", injected, fault_names[kind],
           burst, n);
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

TEST(waits_that_end_early_lose_no_wake_up) { sweep_all(FAULT_WAIT, 1); }
TEST(refused_sockets_and_files_leave_nothing) { sweep_all(FAULT_FILE, 1); }
TEST(a_full_disk_ends_a_file_and_nothing_else) { sweep_all(FAULT_ENOSPC, 1); }

TEST(rows_of_refusals_lose_nothing_either)
{
    for (int kind = FAULT_ALLOC; kind < FAULTS; kind++)
        sweep_all((enum fault)kind, 3);
}

SUITE(sweep, refused_memory_loses_and_leaks_nothing, refused_threads_lose_and_leak_nothing,
      refused_descriptors_lose_and_leak_nothing, interrupted_reads_lose_no_wake_up,
      refused_reads_lose_no_wake_up, interrupted_writes_lose_no_wake_up,
      refused_writes_lose_no_wake_up, waits_that_end_early_lose_no_wake_up,
      refused_sockets_and_files_leave_nothing, a_full_disk_ends_a_file_and_nothing_else,
      rows_of_refusals_lose_nothing_either)
