/* SPDX-License-Identifier: ISC
 *
 * forks.c: what the suites of forks from callbacks share.
 */
#include "forks.h"

#include <unistd.h>

rig   live;
pid_t child;
int   releases;

void fork_here(void)
{
    child = child_begin();
    if (child > 0)
        child_reap(child);
}

void done_forks(weir_task *task)
{
    fork_here();
    probe_done(task);
}

void forks_and_answers(weir_call *call, void *arg)
{
    (void)arg;
    fork_here();
    weir_call_finish(call, 0, NULL);
}

void notes_release(weir_task *task)
{
    (void)task;
    releases++;
}

void child_leaves_nothing(weir_pool *p, weir_main *m)
{
    expect_eq(weir_main_pending(m), 0);
    weir_pool_release(p);
    long held = fault_live_blocks();
    expect_eq(weir_main_close(m, 0), 0);
    expect_eq(fault_live_blocks(), held - 2);
    _exit(0);
}

void live_close(void)
{
    if (child == 0) {
        expect_eq(weir_main_pending(live.m), 0);
        weir_pool_release(live.p);
        expect_eq(weir_main_close(live.m, 0), 0);
        _exit(0);
    }
    rig_close(&live);
}
