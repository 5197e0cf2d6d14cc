/* SPDX-License-Identifier: ISC
 *
 * holdings.c: the sets of a pool that a task can stand in, and how it gets from one to
 * the next.
 *
 *   queue --pick--> running --+--> settled (for a worker) or outbox (for a main)
 *     |  ^             |      |
 *     |  +--- parked <-+      |     all of them under the pool's lock
 *     +----------+------------+
 *
 * A task that has a deadline is on the heap as well while it is queued or parked.
 * Whatever leaves the queue makes space, which is told here too.
 */
#include "pool/holdings.h"

/* ---- space -------------------------------------------------------------- */

bool wi_pool_is_full(weir_pool *p)
{
    return p->opts.queue_limit && wi_queue_count(&p->queue) >= p->opts.queue_limit;
}

bool wi_pool_has_space(void *pool)
{
    weir_pool *p = pool;
    return p->state > WI_OPEN || !wi_pool_is_full(p);
}

/* All of them: one alone might have no use for it any more, and would have to say so. */
void wi_pool_tell_space_locked(weir_pool *p, int outcome)
{
    weir_link *e;
    while ((e = wi_list_pop(&p->space_notices))) {
        wi_container(e, weir_notice, weir.link)->weir.outcome = outcome;
        wi_list_append(&p->space_told, e);
    }
}

/* The first waiter leaves the list with its token, so that the next token is the
 * next one's; it comes back if somebody else was quicker. */
void wi_pool_tell_of_space_locked(weir_pool *p)
{
    weir_link *e = wi_pool_is_full(p) ? NULL : wi_list_pop(&p->space_waiters);
    if (e)
        wi_unpark(wi_container(e, wi_waiter, link)->parker);
    if (!wi_pool_is_full(p))
        wi_pool_tell_space_locked(p, 0);
}

/* ---- the queue ---------------------------------------------------------- */

void wi_pool_enqueue_locked(weir_pool *p, weir_task *t)
{
    wi_task_set_pool(t, p);
    t->weir.since = wi_pool_clock(p);
    if (t->weir.deadline)
        wi_heap_insert(&p->deadlines, t);
    wi_task_move(t, WEIR_TASK_QUEUED);
    wi_queue_append(&p->queue, t);
    p->stats.submitted++;
    wi_pool_wake_space_locked(p);
}

void wi_pool_unqueue_locked(weir_pool *p, weir_task *t)
{
    wi_queue_remove(&p->queue, t);
    if (t->weir.deadline)
        wi_pool_drop_deadline_locked(p, t);
    wi_pool_wake_space_locked(p);
}

void wi_pool_drop_deadline_locked(weir_pool *p, weir_task *t)
{
    wi_heap_remove(&p->deadlines, t);
    t->weir.deadline = 0;
}

/* ---- settling ----------------------------------------------------------- */

static void count_outcome(weir_pool *p, int outcome)
{
    switch (outcome) {
    case 0: p->stats.ok++; break;
    case WEIR_ECANCELED: p->stats.cancelled++; break;
    case WEIR_EEXPIRED: p->stats.expired++; break;
    case WEIR_ECLOSED: p->stats.closed++; break;
    case WEIR_EFULL: p->stats.dropped++; break;
    default: p->stats.failed++;
    }
}

/* A worker that waited for t is about to go on: that is no part of a deadlock, even before
 * it wakes. */
static void end_waits_locked(weir_pool *p, const weir_task *t)
{
    weir_link *e = p->in_wait ? wi_list_first(&p->workers) : NULL;
    for (; e; e = wi_list_after(&p->workers, e)) {
        weir_worker *w = wi_container(e, weir_worker, of_workers);
        if (w->awaited != t)
            continue;
        w->awaited = NULL;
        p->in_wait--;
    }
}

void wi_pool_list_settled_locked(weir_pool *p, weir_task *t)
{
    wi_list_append(t->weir.main ? &p->outbox : &p->settled, &t->weir.link);
}

static wi_end settle_locked(weir_pool *p, weir_task *t, int outcome)
{
    t->weir.outcome = outcome;
    if (t->done) {
        wi_task_move(t, WEIR_TASK_SETTLED);
        return WI_TO_TELL;
    }
    if (!(wi_task_flags(t) & WI_ABANDONED))
        wi_task_unaim(t);
    end_waits_locked(p, t);
    wi_task_move(t, WEIR_TASK_SETTLED); /* a waiter may free it from here on */
    wi_wake_waiters_locked(&p->task_waiters, t);
    return WI_GONE;
}

void wi_pool_settle_locked(weir_pool *p, weir_task *t, int outcome)
{
    count_outcome(p, outcome);
    if (settle_locked(p, t, outcome) == WI_TO_TELL)
        wi_pool_list_settled_locked(p, t);
}

bool wi_pool_drop_oldest_locked(weir_pool *p, weir_priority priority)
{
    weir_task *victim = wi_queue_victim(&p->queue, priority);
    if (!victim)
        return false;
    wi_pool_unqueue_locked(p, victim);
    wi_pool_settle_locked(p, victim, WEIR_EFULL);
    return true;
}

size_t wi_pool_empty_queue_locked(weir_pool *p, int outcome)
{
    size_t     n = 0;
    weir_task *t;
    for (; (t = wi_queue_first(&p->queue)); n++) {
        wi_pool_unqueue_locked(p, t);
        wi_pool_settle_locked(p, t, outcome);
    }
    return n;
}

/* ---- parking ------------------------------------------------------------ */

void wi_pool_unlist_parked_locked(weir_pool *p, weir_task *t)
{
    wi_unlink(&t->weir.link);
    if (t->weir.deadline)
        wi_pool_drop_deadline_locked(p, t);
}

void wi_pool_unpark_locked(weir_pool *p, weir_task *t)
{
    wi_pool_unlist_parked_locked(p, t);
    wi_task_move(t, WEIR_TASK_QUEUED);
    t->weir.since = wi_pool_clock(p);
    wi_queue_append(&p->queue, t);
}

static wi_end park_or_requeue_locked(weir_pool *p, weir_task *t)
{
    unsigned flags = wi_task_flags(t);
    if (flags & WI_CANCEL) {
        p->stats.cancelled++;
        return settle_locked(p, t, WEIR_ECANCELED);
    }
    if (p->state >= WI_CLOSING) {
        p->stats.closed++;
        return settle_locked(p, t, WEIR_ECLOSED);
    }
    if (!p->opts.measure) /* else its end was noted */
        t->weir.since = wi_now_coarse();
    if (flags & WI_UNPARKED) {
        t->weir.deadline = 0; /* of the park, which is over */
        wi_task_move(t, WEIR_TASK_QUEUED);
        wi_queue_append(&p->queue, t);
    } else {
        wi_task_move(t, WEIR_TASK_PARKED);
        wi_list_append(&p->parked, &t->weir.link);
        if (t->weir.deadline)
            wi_heap_insert(&p->deadlines, t);
    }
    return WI_STAYS;
}

/* What comes from run counts as run's, whatever code it chose. A run that returns in a
 * child of fork was closed there. */
wi_end wi_pool_end_task_locked(weir_pool *p, weir_task *t, int code)
{
    wi_queue_ended(&p->queue, t);
    if (p->forked) {
        p->stats.closed++;
        return settle_locked(p, t, WEIR_ECLOSED);
    }
    if (p->opts.measure)
        wi_note_time_locked(p, WEIR_RUN_TIME, t);
    if (code == WEIR_PARK)
        return park_or_requeue_locked(p, t);
    if (code == 0)
        p->stats.ok++;
    else
        *(code == WEIR_ECANCELED ? &p->stats.cancelled : &p->stats.failed) += 1;
    return settle_locked(p, t, code);
}
