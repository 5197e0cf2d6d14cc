/* SPDX-License-Identifier: ISC
 *
 * holdings.h: the sets of a pool that a task can stand in.
 */
#pragma once

#include "pool/pool.h"

#pragma GCC visibility push(hidden)

bool wi_pool_is_full(weir_pool *p);
bool wi_pool_has_space(void *pool); /* or is closing: nobody need wait for it */
void wi_pool_tell_of_space_locked(weir_pool *p);
/* Something has left the queue. Only to one with a limit does that matter. */
static inline void wi_pool_wake_space_locked(weir_pool *p)
{
    if (p->opts.queue_limit)
        wi_pool_tell_of_space_locked(p);
}
/* Every notice of space is to be posted. */
void wi_pool_tell_space_locked(weir_pool *p, int outcome);

void wi_pool_enqueue_locked(weir_pool *p, weir_task *t);
/* Takes a queued task out of the queue and its deadline off the heap. */
void wi_pool_unqueue_locked(weir_pool *p, weir_task *t);
void wi_pool_drop_deadline_locked(weir_pool *p, weir_task *t);
/* The next task, which runs on w from now on; NULL: none, or not now. */
static inline weir_task *wi_pool_pick_locked(weir_pool *p, weir_worker *w)
{
    weir_task *t = p->paused || p->held ? NULL : wi_queue_pick(&p->queue);
    if (!t)
        return NULL;
    if (t->weir.deadline)
        wi_pool_drop_deadline_locked(p, t);
    wi_task_unflag(t, WI_UNPARKED);
    t->weir.worker = w;
    if (p->opts.measure)
        wi_note_time_locked(p, WEIR_QUEUE_TIME, t);
    else
        t->weir.since = wi_now_coarse();
    wi_task_move(t, WEIR_TASK_RUNNING);
    w->runs = t;
    if (!w->patience.in_flight && t->weir.main)
        w->patience.in_flight = weir_main_pending(t->weir.main);
    wi_pool_wake_space_locked(p);
    return t;
}

/* The one place where a task settles: it goes to the outbox or to `settled`; one
 * without done is not ours any more. */
void wi_pool_settle_locked(weir_pool *p, weir_task *t, int outcome);
/* Whether something for a main is to be posted after the unlock. */
static inline bool wi_pool_has_posts(const weir_pool *p)
{
    return !wi_list_empty(&p->outbox) || !wi_list_empty(&p->space_told);
}
typedef enum {
    WI_STAYS,  /* it is parked, or queued again */
    WI_GONE,   /* it has settled without a done, and is not ours any more */
    WI_TO_TELL /* it has settled, and its done is still to be told */
} wi_end;

/* Ends a task that ran, and is off every list: settles, parks or requeues it. */
wi_end wi_pool_end_task_locked(weir_pool *p, weir_task *t, int code);
/* The same for one that has a done and returned 0, in a steady pool. */
static inline void wi_pool_end_well_locked(weir_pool *p, weir_task *t)
{
    wi_queue_ended(&p->queue, t);
    p->stats.ok++;
    t->weir.outcome = 0;
    wi_task_move(t, WEIR_TASK_SETTLED);
}
/* Puts a settled task that is to be told into the outbox, or to `settled`. */
void wi_pool_list_settled_locked(weir_pool *p, weir_task *t);
/* Makes room by settling the oldest of the lowest level not above priority. */
bool wi_pool_drop_oldest_locked(weir_pool *p, weir_priority priority);
/* Settles all that is queued; how many that was. */
size_t wi_pool_empty_queue_locked(weir_pool *p, int outcome);

/* Takes a parked task off the list of those, and its deadline off the heap. */
void wi_pool_unlist_parked_locked(weir_pool *p, weir_task *t);
/* The same, and queues it again. */
void wi_pool_unpark_locked(weir_pool *p, weir_task *t);

#pragma GCC visibility pop
