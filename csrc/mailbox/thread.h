/* SPDX-License-Identifier: ISC
 *
 * thread.h: how a thread waits for something of ours.
 *
 * A waiter stands on a list that a lock guards; whoever makes its condition
 * true wakes it under that lock. A token is only a hint: the waiter looks again
 * under the lock. A thread that owns mains waits on the parker in its record and
 * serves their posted run_in_main calls and lends meanwhile; any other thread waits on a
 * parker on its stack.
 */
#ifndef WI_THREAD_H
#define WI_THREAD_H

#include "base/list.h"
#include "base/platform.h"

#pragma GCC visibility push(hidden)

/* The record of a thread that owns at least one main. */
typedef struct {
    wi_parker        parker;
    _Atomic unsigned waiting; /* depth of waits; the owner sets it, then looks into its mailboxes */
    _Atomic unsigned refs;    /* the owner, and each main until its memory goes */
    wi_list          mains;   /* the owner's alone */
} wi_thread;

wi_thread *wi_thread_self(void); /* NULL when it owns no main */
wi_thread *wi_thread_make(void); /* the same, made if need be; NULL: out of memory */
void       wi_thread_drop(wi_thread *t);
void       wi_thread_forget(void); /* the calling thread's last main has closed */

/* The calling thread belongs to the pool of that serial number from now on, to its very
 * end or until another call: a thread that we made is in the pool's destructors of
 * thread-specific data even after it has left. A number, because the pool may be gone by
 * then. 0: to none. */
void     wi_thread_belong(uint64_t pool);
uint64_t wi_thread_pool(void);

typedef struct {
    weir_link   link;
    wi_parker   own, *parker;
    wi_thread  *thread;
    const void *what; /* what it waits for, to be woken alone */
} wi_waiter;

void wi_wait_begin(wi_waiter *w, const void *what);
void wi_wait_end(wi_waiter *w);

/* With `lock` held: waits on `list` until ready(arg). 0 or WEIR_ETIMEDOUT. */
int wi_wait_until(wi_waiter *w, wi_mutex *lock, wi_list *list, bool (*ready)(void *), void *arg,
                  int64_t deadline);

/* With the list's lock held: wakes who waits for `what`, everybody when NULL. */
void wi_wake_waiters_locked(wi_list *list, const void *what);

#pragma GCC visibility pop
#endif
