/* SPDX-License-Identifier: ISC
 *
 * Every SCENARIO with the n-th request to the system refused, as in the core's test_sweep.c.
 */
#include "harness.h"

#include <stdio.h>

static unsigned sweep(const scenario *s, enum fault kind)
{
    static char name[200];
    unsigned    injected = 0;
    int         quiet = 0;
    for (unsigned n = 1; n <= scaled(300) && quiet < 2; n++) {
        snprintf(name, sizeof name, "%s, %s request %u refused", s->name, fault_names[kind], n);
        test_begin(name);
        fault_arm(kind, n, 1);
        s->body();
        bool hit = fault_disarm();
        test_end();
        injected += hit;
        quiet = hit ? 0 : quiet + 1;
    }
    return injected;
}

static void sweep_all(enum fault kind)
{
    unsigned injected = 0;
    for (const scenario *s = scenarios; s; s = s->next)
        injected += sweep(s, kind);
    expect_op(injected, >, 0);
}

TEST(no_memory_for_any_request) { sweep_all(FAULT_ALLOC); }
TEST(no_thread_for_any_request) { sweep_all(FAULT_THREAD); }
TEST(no_descriptor_for_any_request) { sweep_all(FAULT_FD); }

SUITE(sweep, no_memory_for_any_request, no_thread_for_any_request, no_descriptor_for_any_request)
