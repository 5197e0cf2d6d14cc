/* SPDX-License-Identifier: ISC
 *
 * waiter.h: how a thread waits for a condition inside weir.
 *
 * A waiter stands on a list that a lock guards. The thread that makes its condition
 * true wakes it under that lock. A token is only a hint: the waiter looks again
 * under the lock. A thread that owns mains waits on the parker in its record and
 * serves their posted run_in_main calls and lends meanwhile; any other thread waits on a
 * parker on its stack.
 */
#pragma once

#include "mailbox/thread.h"

#pragma GCC visibility push(hidden)

typedef struct {
    weir_link   link;
    wi_parker   own, *parker;
    wi_thread  *thread;
    const void *what; /* what it waits for, to be woken alone */
} wi_waiter;

void wi_wait_begin(wi_waiter *w, const void *what);
void wi_wait_end(wi_waiter *w);
/* The same, but m's descriptor is left as it is, because the caller looks into m next. */
void wi_wait_end_but(wi_waiter *w, const weir_main *m);

/* With `lock` held: waits on `list` until ready(arg). 0 or WEIR_ETIMEDOUT. */
int wi_wait_until(wi_waiter *w, wi_mutex *lock, wi_list *list, bool (*ready)(void *), void *arg,
                  int64_t deadline);

/* With the list's lock held: wakes those that wait for `what`, or all when it is NULL. */
void wi_wake_waiters_locked(wi_list *list, const void *what);

#pragma GCC visibility pop
