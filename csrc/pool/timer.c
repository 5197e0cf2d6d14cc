/* SPDX-License-Identifier: ISC
 *
 * timer.c: start deadlines expire on time, and parks that have one end.
 *
 * A pool's timer is a thread of ours, started with its first deadline. It sleeps
 * until the earliest one, unlinks what is due and settles it as expired, or queues it
 * again if it was parked; workers are not needed, so a pool of stuck ones expires its
 * queue all the same. It ends when the pool is closing, for then nothing is queued or
 * parked; the pool is not CLOSED before it has.
 */
#include "pool/timer.h"

#include "base/background.h"
#include "pool/hire.h"
#include "pool/holdings.h"
#include "pool/life.h"
#include "pool/owed.h"

static int64_t expire_locked(weir_pool *p)
{
    int64_t    now = p->deadlines.root ? weir_now() : 0;
    weir_task *t;
    while ((t = p->deadlines.root) && t->weir.deadline <= now) {
        if (wi_task_state(t) == WEIR_TASK_PARKED) {
            wi_pool_unpark_locked(p, t);
            continue;
        }
        wi_pool_unqueue_locked(p, t);
        wi_pool_settle_locked(p, t, WEIR_EEXPIRED);
    }
    wi_pool_advance_locked(p);
    return p->timer_until = t ? t->weir.deadline : -1;
}

static void leave(weir_pool *p)
{
    wi_pool_join_before(p);
    wi_lock(&p->lock);
    p->timer = false;
    wi_pool_advance_locked(p);
    wi_pool_unlock(p);
}

static void *timer(void *arg)
{
    weir_pool *p = arg;
    wi_pin     pin; /* the thread's reference */
    wi_pool_pin(&pin, p);
    wi_thread_belong(p->serial);
    wi_spawning_serve(&p->commands);
    wi_nature_take(&p->nature, !p->cpus); /* whoever had the first deadline */
    wi_thread_name(p->name, "timer");
    wi_lock(&p->lock);
    while (p->state < WI_CLOSING) {
        int64_t until = expire_locked(p);
        wi_pool_unlock(p);
        wi_park(&p->timer_parker, until);
        wi_lock(&p->lock);
    }
    wi_unlock(&p->lock);
    leave(p);
    wi_pool_unpin(&pin);
    return NULL;
}

/* The next one that needs a timer tries again. */
static void forget_timer(weir_pool *p)
{
    wi_lock(&p->lock);
    p->timer = false;
    wi_unlock(&p->lock);
}

static int make_timer(weir_pool *p)
{
    wi_thread_kind kind = {p->opts.stack_size, p->cpus, p->opts.n_cpus};
    pthread_t      thread;
    wi_lock(&p->lock);
    bool make = !p->timer && p->state < WI_CLOSING && !p->forked;
    if (make) {
        p->timer = true;
        p->timer_until = 0; /* it looks before it first sleeps */
        wi_pool_ref_locked(p);
    }
    wi_unlock(&p->lock);
    if (!make)
        return 0;
    int rc = wi_background_thread(&thread, &kind, timer, p);
    if (rc != 0)
        forget_timer(p);
    return rc;
}

/* Two submitters of first deadlines meet here, so that neither goes on without a
 * timer. A pool that waited for the refused one to end moves on when that is unlocked. */
int wi_timer_need(weir_pool *p)
{
    wi_lock(&p->timer_lock);
    int rc = make_timer(p);
    wi_unlock(&p->timer_lock);
    if (rc != 0) {
        wi_lock(&p->lock);
        p->refs--; /* the refused thread's; the caller has a handle */
        wi_pool_advance_locked(p);
        wi_pool_unlock(p);
    }
    return rc;
}
