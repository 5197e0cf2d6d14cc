/* SPDX-License-Identifier: ISC
 *
 * resize.c: other bounds for the number of threads.
 */
#include "pool/owed.h"

static unsigned set_bounds_locked(weir_pool *p, unsigned min, unsigned max)
{
    p->opts.threads = min, p->opts.threads_max = max;
    p->opts.lazy = min == 0;
    p->hires |= min == 0;
    p->refused_until = 0;
    wi_pool_set_must_lock_locked(p);
    wi_pool_wake_idle_locked(p);                    /* some must leave, others get a timeout now */
    wi_wake_waiters_locked(&p->task_waiters, NULL); /* are they stuck now? */
    unsigned there = wi_pool_present_locked(p) + p->expected + p->wanted;
    unsigned n = there < min ? min - there : 0;
    p->stats.grown += n;
    if (!p->opts.borrowed)
        p->expected += n;
    else if (n && wi_pool_can_lend(p))
        p->wanted += n, p->lends_due += n;
    return n;
}

static int have_more(weir_pool *p, unsigned n)
{
    if (!p->opts.borrowed)
        return wi_pool_spawn(p, n, true);
    return wi_pool_can_lend(p) && wi_pool_lend(p) ? 0 : WEIR_EAGAIN;
}

int weir_pool_resize(weir_pool *p, unsigned min, unsigned max)
{
    if (!p || max == 0 || max < min || max > WEIR_MAX_THREADS || (min == 0 && !wi_pool_can_ask(p)))
        return WEIR_EINVAL;
    wi_pin pin;
    wi_lock(&p->lock);
    if (p->state > WI_OPEN) {
        wi_unlock(&p->lock);
        return WEIR_ECLOSED;
    }
    wi_pool_ref_locked(p);
    wi_pool_pin(&pin, p);
    unsigned n = set_bounds_locked(p, min, max);
    wi_pool_unlock(p);
    int rc = n ? have_more(p, n) : 0;
    wi_pool_unpin(&pin);
    return rc;
}
