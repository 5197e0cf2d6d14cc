/* SPDX-License-Identifier: ISC
 *
 * staff.h: how many threads a pool has, who sleeps, who is woken.
 */
#pragma once

#include "pool/pool.h"

#pragma GCC visibility push(hidden)

/* What is owed after the unlock, besides a wake: one thread more, the timer unparked for an
 * earlier deadline, the user's code. */
enum {
    WI_HIRE = 1, /* counted as expected or wanted */
    WI_TIMER = 2,
    WI_TELL = 4 /* what has settled, notices: see owed.c */
};

typedef struct {
    weir_worker *wake; /* off the idle list, to be unparked; or NULL */
    weir_worker *too;  /* a second one, or NULL */
    unsigned     more; /* of the enum */
} wi_need;

wi_need wi_pool_need_locked(weir_pool *p);
/* Sets p->must_lock: after what may make a queued task need a wake or a thread. */
bool wi_pool_set_must_lock_locked(weir_pool *p);
/* Pops the worker that fell asleep last, or NULL. */
weir_worker *wi_pool_pop_idle_locked(weir_pool *p);
/* Unparks every idle worker, under the lock. */
void wi_pool_wake_idle_locked(weir_pool *p);
/* Whether this worker is one too many, or the pool is closing. */
bool wi_pool_must_leave_locked(weir_pool *p, weir_worker *w);
/* Whether a worker of a plain pool may go on with the next task and think of nothing else: it
 * need not leave, and nothing is to be told, woken, hired or ended. */
static inline bool wi_pool_is_steady_locked(const weir_pool *p, const weir_worker *w)
{
    return p->state == WI_OPEN && !w->lost && p->serving - p->leaving <= p->opts.threads_max &&
           wi_list_empty(&p->settled) && wi_list_empty(&p->outbox) &&
           wi_list_empty(&p->space_told) && !atomic_load(&((weir_pool *)(uintptr_t)p)->must_lock);
}

void wi_pool_sleep_relocks(weir_pool *p, weir_worker *w);
/* Looks out for a task before it sleeps. False: that is not for this worker now. */
bool wi_pool_linger_relocks(weir_pool *p, weir_worker *w);
/* Whoever lingers has something else to do. */
void wi_pool_hail_locked(weir_pool *p);
/* Serving and not on its way out, and the most there may be of those now. */
unsigned wi_pool_present_locked(const weir_pool *p);
unsigned wi_pool_limit_locked(const weir_pool *p);
bool     wi_pool_can_ask(const weir_pool *p); /* for a thread: its own, or its host's */
/* So many lends less are wanted: a thread has come, or none will. What is not asked for yet
 * is part of what is wanted, so it shrinks as well. */
void wi_pool_unwant_locked(weir_pool *p, unsigned n);
/* The calling thread is about to wait without end for p. True: every worker that there may
 * be waits for a call on this stack. Calls that only the loop could finish have failed. */
bool wi_pool_waits_for_us_relocks(weir_pool *p);
void wi_pool_block_locked(weir_pool *p, weir_worker *w);
void wi_pool_unblock_locked(weir_pool *p, weir_worker *w);

#pragma GCC visibility pop
