/* SPDX-License-Identifier: ISC
 *
 * life.c: every write of a pool's state.
 *
 *   OPENING --every thread reported--> OPEN --> DRAINING --> CLOSING --> CLOSED
 *      |                                |                      ^
 *      +--an init failed, or a close----+----------------------+
 *
 * Never back. A lazy pool has no thread to report, and is OPEN from the start. Nothing
 * is queued or parked once CLOSING. CLOSED comes when no thread serves and none is
 * expected, no caller runs a task of the pool itself, and its timer has ended. Whoever
 * takes the last of these away makes it CLOSED, and gives the notices.
 */
#include "pool/life.h"

#include "pool/holdings.h"
#include "pool/staff.h"

/* ---- the end ------------------------------------------------------------ */

/* They find the pool closing, and return. */
static void wake_submitters_locked(weir_pool *p)
{
    weir_link *e;
    while ((e = wi_list_pop(&p->space_waiters)))
        wi_unpark(wi_container(e, wi_waiter, link)->parker);
    wi_pool_tell_space_locked(p, WEIR_ECLOSED);
}

static void empty_locked(weir_pool *p)
{
    weir_link *e;
    p->state = WI_CLOSING;
    wi_queue_shut(&p->queue);
    wake_submitters_locked(p);
    wi_pool_empty_queue_locked(p, WEIR_ECLOSED);
    while ((e = wi_list_first(&p->parked))) {
        wi_pool_unlist_parked_locked(p, wi_task_of(e));
        wi_pool_settle_locked(p, wi_task_of(e), WEIR_ECLOSED);
    }
    wi_pool_wake_idle_locked(p);
    if (p->timer)
        wi_unpark(&p->timer_parker);
}

bool wi_pool_is_deserted(const weir_pool *p) { return p->serving + p->expected == 0; }

/* A drain needs a thread that runs what is queued: with none it is a close, where the
 * pool may not hire one. */
static bool has_run_dry(weir_pool *p)
{
    if (p->state != WI_DRAINING)
        return false;
    bool dry = wi_queue_count(&p->queue) == 0 && wi_queue_running(&p->queue) == 0;
    return dry || (wi_pool_is_deserted(p) && !p->hires);
}

void wi_pool_owe_notices_locked(weir_pool *p)
{
    p->notices = WI_DUE;
    p->teller = pthread_self();
}

static void over_locked(weir_pool *p)
{
    p->state = WI_CLOSED;
    wi_pool_owe_notices_locked(p);
    if (p->ready && !p->reported) {
        p->ready->weir.outcome = p->open_rc;
        wi_list_push(&p->closed, &p->ready->weir.link);
    }
    p->reported = true;
    wi_wake_waiters_locked(&p->waiters, NULL);
}

void wi_pool_advance_locked(weir_pool *p)
{
    if (has_run_dry(p))
        empty_locked(p);
    bool lost = wi_pool_is_deserted(p) && p->wanted == 0 && p->visiting == 0 && !p->hires;
    if (p->state < WI_CLOSING && lost)
        empty_locked(p); /* nobody will ever serve it again */
    if (p->state == WI_CLOSING && wi_pool_is_deserted(p) && p->visiting == 0 && !p->timer)
        over_locked(p);
}

void wi_pool_begin_close_locked(weir_pool *p, weir_close_mode mode)
{
    bool fails = p->state == WI_OPENING && !p->reported; /* the open does */
    if (fails && p->open_rc == 0)
        p->open_rc = WEIR_ECLOSED;
    p->paused = false;
    if (p->state < WI_CLOSING && (mode == WEIR_CLOSE || fails))
        empty_locked(p);
    else if (p->state < WI_DRAINING) {
        p->state = WI_DRAINING;
        wi_queue_shut(&p->queue);
    }
    wake_submitters_locked(p);
    wi_pool_advance_locked(p);
}

bool wi_pool_is_over_locked(const weir_pool *p)
{
    return p->state == WI_CLOSED && p->notices == WI_NOTHING && wi_list_empty(&p->closed);
}

void wi_pool_forked_locked(weir_pool *p)
{
    p->forked |= p->state != WI_CLOSED; /* now, or in a fork before */
    p->state = WI_CLOSED;
    p->notices = WI_NOTHING;
}

/* ---- threads report ----------------------------------------------------- */

void wi_pool_entered_locked(weir_pool *p, weir_worker *w)
{
    p->serving++;
    wi_list_append(&p->workers, &w->of_workers);
}

/* Tasks start after `ready` was posted, so that no done comes before it. */
bool wi_pool_must_report(weir_pool *p)
{
    wi_lock(&p->lock);
    bool must = p->state == WI_OPENING && p->expected == 0 && !p->reported;
    p->reported |= must;
    wi_unlock(&p->lock);
    return must;
}

void wi_pool_opened_locked(weir_pool *p)
{
    p->held = false;
    if (p->state == WI_OPENING)
        p->state = WI_OPEN;
    else
        wi_pool_wake_idle_locked(p); /* a drain that came meanwhile has tasks for them */
    wi_wake_waiters_locked(&p->waiters, NULL);
}

/* A thread that is on its way out takes nothing from the queue any more. */
static bool nobody_comes_locked(const weir_pool *p)
{
    return wi_pool_present_locked(p) + p->expected + p->wanted == 0;
}

/* After the open a refusal only matters when nobody is left to serve: then what waits
 * settles with the reason, and a pool that may hire tries again with its next task. */
void wi_pool_refused_locked(weir_pool *p, unsigned n, int code)
{
    if (p->state == WI_OPENING && !p->reported) {
        p->open_rc = code;
        wi_pool_begin_close_locked(p, WEIR_CLOSE);
    } else if (p->state < WI_CLOSING) {
        p->stats.lends_refused += n;
        p->refused_until = weir_now() + (int64_t)WI_RETRY_MS * 1000000;
        wi_pool_set_must_lock_locked(p);                /* a later submit tries again */
        wi_wake_waiters_locked(&p->task_waiters, NULL); /* are they stuck now? */
        if (p->hires && nobody_comes_locked(p))
            wi_pool_empty_queue_locked(p, code);
    }
    wi_pool_advance_locked(p);
}
