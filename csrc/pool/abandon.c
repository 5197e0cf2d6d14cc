/* SPDX-License-Identifier: ISC
 *
 * abandon.c: a pool gives up on a stuck thread and takes another.
 *
 * The replacement is had first, so that a refusal changes nothing. If the task
 * ends while the new thread is being made, the pool has one too many: the next
 * worker that looks for work leaves.
 */
#include "pool/holdings.h"
#include "pool/life.h"
#include "pool/owed.h"

static int have_one_more(weir_pool *p)
{
    wi_lock(&p->lock);
    bool open = p->state < WI_CLOSING;
    p->swapping++;
    p->expected += open && !p->opts.borrowed;
    wi_unlock(&p->lock);
    if (p->opts.borrowed)
        return wi_pool_ask_lend(p) ? 0 : WEIR_EAGAIN;
    return open ? wi_pool_spawn(p, 1, true) : WEIR_ECLOSED;
}

static bool is_running_locked(const weir_task *t, const weir_worker *w)
{
    return wi_task_state(t) == WEIR_TASK_RUNNING && t->weir.worker == w;
}

static void lose_locked(weir_pool *p, weir_task *t, weir_worker *w)
{
    w->lost = true;
    wi_unlink(&w->of_workers);
    p->serving--;
    p->leaving -= w->leaving;
    p->visiting += w->visits;
    p->blocked -= w->blocked > 0;
    p->in_wait -= w->awaited != NULL;
    w->leaving = false;
    w->awaited = NULL;
    w->blocked = w->visits = 0;
    p->lost++;
    p->stats.abandoned++;
    w->runs = NULL;
    wi_queue_ended(&p->queue, t);
    wi_task_flag(t, WI_CANCEL | WI_ABANDONED | (t->done ? 0 : WI_TOLD));
    if (t->weir.main && t->done)
        wi_main_hold(t->weir.main);                 /* until release: run may still call it */
    wi_wake_waiters_locked(&p->task_waiters, NULL); /* are they stuck now? */
    wi_pool_settle_locked(p, t, WEIR_ECANCELED);
    wi_pool_advance_locked(p);
}

/* The task ended while its replacement was on its way. An owned thread too many
 * leaves by itself. */
static void have_one_less_locked(weir_pool *p)
{
    if (p->opts.borrowed && p->wanted) {
        p->lends_due -= p->lends_due > 0;
        wi_pool_unwant_locked(p, 1); /* who comes all the same gets WEIR_EFULL */
    }
}

/* Without a replacement the pool must have somebody else, may hire somebody later, or
 * be ending anyway. */
static int swap_thread(weir_pool *p, weir_task *t, weir_worker *w, int replaced)
{
    wi_lock(&p->lock);
    p->swapping--;
    int rc = is_running_locked(t, w) ? 0 : WEIR_EINVAL;
    if (rc == 0 && replaced != 0 && p->state < WI_CLOSING && p->serving == 1 && !p->hires)
        rc = WEIR_EAGAIN;
    if (rc == 0)
        lose_locked(p, t, w);
    else if (replaced == 0)
        have_one_less_locked(p);
    if (rc != 0)
        wi_pool_wake_idle_locked(p); /* the one too many may be asleep */
    wi_pool_unlock(p);
    return rc;
}

int weir_task_abandon(weir_task *t)
{
    weir_pool *p = t ? wi_task_pool(t) : NULL;
    if (!p || !t->release)
        return WEIR_EINVAL;
    if (t == weir_task_current())
        return WEIR_EDEADLK;
    wi_lock(&p->lock);
    weir_worker *w = t->weir.worker;
    bool         running = is_running_locked(t, w) && wi_task_pool(t) == p && w && !p->forked;
    if (running)
        wi_pool_ref_locked(p);
    wi_unlock(&p->lock);
    if (!running)
        return WEIR_EINVAL;
    wi_pin pin;
    wi_pool_pin(&pin, p);
    int rc = swap_thread(p, t, w, have_one_more(p));
    wi_pool_unpin(&pin);
    return rc;
}
