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
    p->expected += p->opts.borrowed ? 0 : n;
    return n;
}

static int have_more(weir_pool *p, unsigned n)
{
    if (n == 0)
        return 0;
    if (!p->opts.borrowed)
        return wi_pool_spawn(p, n, true);
    while (n && wi_pool_ask_lend(p))
        n--;
    return n ? WEIR_EAGAIN : 0;
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
    unsigned n = set_bounds_locked(p, min, max);
    wi_kick  kick = n ? (wi_kick){0} : wi_pool_kick_locked(p);
    wi_unlock(&p->lock);
    wi_pool_pin(&pin, p);
    wi_pool_kick(p, kick);
    int rc = have_more(p, n);
    wi_pool_unpin(&pin);
    return rc;
}
