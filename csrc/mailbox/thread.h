/* SPDX-License-Identifier: ISC
 *
 * thread.h: a thread that owns mains; whose pool's a thread is.
 */
#pragma once

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

extern _Thread_local wi_thread *wi_the_thread;

/* NULL when it owns no main. */
static inline wi_thread *wi_thread_self(void) { return wi_the_thread; }
wi_thread *wi_thread_make(void); /* as wi_thread_self, made if need be; NULL: out of memory */
void       wi_thread_drop(wi_thread *t);
void       wi_thread_forget(void); /* the calling thread's last main has closed */

/* The calling thread belongs to the pool of that serial number from now on, to its very
 * end or until another call: a thread that we made is in the pool's destructors of
 * thread-specific data even after it has left. A number, because the pool may be gone by
 * then. 0: to none. */
void     wi_thread_belong(uint64_t pool);
uint64_t wi_thread_pool(void);

#pragma GCC visibility pop
