/* SPDX-License-Identifier: ISC
 *
 * mains.c: a main comes and goes. It stands above the pools, for a main that
 * closes takes back the tasks that are aimed at it.
 */
#include "base/registry.h"
#include "mailbox/dispatch.h"
#include "pool/fork.h"
#include "pool/holdings.h"
#include "pool/life.h"
#include "pool/owed.h"
#include "pool/trace_file.h"

static unsigned number_locked(const struct wi_registry *r)
{
    wi_numbers taken = {0};
    for (weir_link *e = wi_list_first(&r->mains); e; e = wi_list_after(&r->mains, e)) {
        const weir_main *m = wi_container(e, weir_main, registered);
        if (!m->served)
            wi_numbers_note(&taken, m->number);
    }
    return wi_numbers_free(&taken);
}

static void enlist_main(weir_main *m)
{
    struct wi_registry *r = wi_registry();
    wi_lock(&r->lock);
    if (!m->served)
        m->number = number_locked(r);
    wi_list_append(&r->mains, &m->registered);
    wi_unlock(&r->lock);
}

int weir_main_open(weir_main **out)
{
    if (!out)
        return WEIR_EINVAL;
    weir_main *m;
    wi_trace_as_asked();
    int rc = wi_main_make(&m);
    if (rc != 0)
        return rc;
    wi_fork_init();
    enlist_main(m);
    *out = m;
    return 0;
}

/* They go straight into the batch and not through the outbox: we are its owner. */
static void settle_aimed_locked(weir_pool *p, weir_main *m, wi_list *from, bool queued)
{
    for (weir_link *e = wi_list_first(from), *next; e; e = next) {
        weir_task *t = wi_task_of(e);
        next = wi_list_after(from, e);
        if (t->weir.main != m)
            continue;
        bool has_done = t->done != NULL;
        if (queued)
            wi_pool_unqueue_locked(p, t);
        else
            wi_pool_unlist_parked_locked(p, t);
        wi_pool_settle_locked(p, t, WEIR_ECLOSED);
        if (!has_done)
            continue;
        wi_unlink(e);
        wi_list_append(&m->batch.later, e);
    }
}

/* Whether something has settled. */
static bool settle_pool_locked(weir_pool *p, weir_main *m)
{
    uint64_t closed = p->stats.closed;
    wi_queue_take_in(&p->queue);
    for (int i = 0; i < WEIR_LEVELS; i++)
        settle_aimed_locked(p, m, &p->queue.level[i], true);
    settle_aimed_locked(p, m, &p->parked, false);
    return p->stats.closed != closed;
}

/* Settles what one pool has for m, and holds that; NULL when none has anything. */
static weir_pool *settle_one(weir_main *m)
{
    struct wi_registry *r = wi_registry();
    weir_pool          *found = NULL;
    wi_lock(&r->lock);
    for (weir_link *e = wi_list_first(&r->pools); e && !found; e = wi_list_after(&r->pools, e)) {
        weir_pool *p = wi_container(e, weir_pool, registered);
        wi_lock(&p->lock);
        if (settle_pool_locked(p, m)) {
            wi_pool_ref_locked(p);
            found = p;
        }
        wi_unlock(&p->lock);
    }
    wi_unlock(&r->lock);
    return found;
}

static void trace_settled(weir_pool *p, weir_main *m, weir_link *after)
{
    for (weir_link *e = after->next; e != &m->batch.later.head; e = e->next)
        wi_trace(WEIR_TRACE_SETTLED, p, wi_task_of(e), WEIR_ECLOSED);
}

/* What the pool owes now: workers look whether a drain has run dry, who waits for space
 * is told. */
static void pay(weir_pool *p)
{
    wi_lock(&p->lock);
    if (p->state == WI_DRAINING)
        wi_pool_wake_idle_locked(p);
    wi_pool_advance_locked(p);
    wi_pool_unlock(p);
}

/* Pool by pool, and each is paid for outside every lock: that may run user code, which
 * must not close m, hence the depth. */
static void settle_aimed(weir_main *m)
{
    weir_pool *p;
    weir_link *last = m->batch.later.head.prev;
    while ((p = settle_one(m))) {
        wi_pin pin;
        wi_pool_pin(&pin, p);
        trace_settled(p, m, last);
        m->depth++;
        pay(p);
        m->depth--;
        wi_pool_unpin(&pin);
        last = m->batch.later.head.prev;
    }
}

int weir_main_close(weir_main *m, unsigned flags)
{
    if (!m)
        return 0;
    if (flags & ~(unsigned)WEIR_DETACH)
        return WEIR_EINVAL;
    if (m->owner != wi_thread_self())
        return WEIR_EPERM;
    if (m->depth)
        return WEIR_EBUSY;
    wi_main_flush(m);
    settle_aimed(m);
    wi_main_flush(m);
    if (weir_main_pending(m) != 0) {
        wi_main_fail_calls(m);
        wi_main_flush(m);
    }
    if (weir_main_pending(m) != 0 && !(flags & WEIR_DETACH))
        return WEIR_EBUSY;
    wi_main_shut(m);
    return 0;
}
