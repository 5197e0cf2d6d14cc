/* SPDX-License-Identifier: ISC
 *
 * call.h: run_in_main.
 */
#pragma once

#include "mailbox/mailbox.h"
#include "mailbox/waiter.h"

#pragma GCC visibility push(hidden)

/* A run_in_main call, counted: its caller and the main's side. All but the
 * constants is guarded by the main's lock. */
struct weir_call {
    wi_call_links in;   /* a box, or its link alone among the begun */
    weir_main    *main; /* constant, and fn, arg */
    void (*fn)(weir_call *, void *);
    void      *arg;
    weir_pool *pool;     /* whose task waits for it, or NULL: a name, never followed */
    weir_task *task;     /* that, or NULL; it stays while somebody waits */
    uint64_t   of;       /* the pool whose thread waits for it, see wi_thread_pool */
    bool       returned; /* fn has, and nobody has finished the call */
    enum { WI_POSTED, WI_BEGUN, WI_ENDED } state;
    unsigned   refs;
    unsigned   number; /* in records */
    int        code;
    void      *result;
    wi_waiter *caller; /* NULL: gone, or not waiting yet */
};

/* The thread is about to wait without end for pool p, and its loops will not turn: begun
 * calls of p's tasks could be waited for in a circle. t may be NULL. No lock held.
 *
 * Whether fn of one is on this stack: of a task of p's, or made by a thread of p's, which
 * its serial number names, also in init and at_exit. And how many workers of p wait for
 * those: calls that p's threads made inside a task, whosever that is, because a worker may run
 * the task of another pool's full queue. A caller that is no thread of p's holds up no worker,
 * though it runs a task of p's; nor does a thread whose task was abandoned. */
bool     wi_mains_call_is_on_stack(wi_thread *t, const weir_pool *p, uint64_t serial);
unsigned wi_mains_workers_on_stack(wi_thread *t, const weir_pool *p, uint64_t serial);
/* Fails with WEIR_EDEADLK those whose fn has returned. A caller that waits for the end of
 * p's threads gives p's serial number: then calls of those threads fail as well. Else 0. */
void wi_mains_fail_returned(wi_thread *t, const weir_pool *p, uint64_t serial);
/* Fails every posted and begun call. The owner's thread. */
void wi_main_fail_calls(weir_main *m);
/* In fork's child, with the main's lock held. */
void wi_calls_forked_locked(weir_main *m);

#pragma GCC visibility pop
