/* SPDX-License-Identifier: ISC
 *
 * pending.c: how much is still to come to a main, and who is told when that begins and ends.
 *
 * Other threads count in `refs`; the owner counts apart, because it needs no atomic step for
 * that. Only the owner calls on_busy. Whoever else changes the count posts the nudge, which
 * makes the owner look; one that is posted already serves for all.
 */
#include "mailbox/pending.h"

#include "base/at_fork.h"
#include "mailbox/lag.h"

size_t weir_main_pending(const weir_main *m)
{
    weir_main *mutable = (weir_main *)(uintptr_t)m;
    int64_t n = (uint32_t)atomic_load(&mutable->refs) + atomic_load(&mutable->own);
    return n > 0 ? (size_t)n : 0; /* the two were not read at once */
}

/* Whether the nudge is to be posted, which nobody else does meanwhile. */
static bool note_nudge_locked(weir_main *m)
{
    static const struct weir_kind no_delivery = {.lane = WI_OTHERS};
    bool                          nudge = !m->nudged;
    m->nudged = true;
    if (nudge)
        m->nudge.kind = &no_delivery;
    return nudge;
}

/* Asks the owner to look at its pending count, for on_busy and weir_main_wait. */
void wi_main_nudge(weir_main *m)
{
    wi_lock(&m->lock);
    bool nudge = note_nudge_locked(m);
    wi_unlock(&m->lock);
    if (nudge)
        wi_main_post(m, &m->nudge);
}

void weir_main_nudge(weir_main *m) { wi_main_nudge(m); }

void wi_main_nudge_came(weir_main *m)
{
    wi_lock(&m->lock);
    m->nudged = false;
    wi_unlock(&m->lock);
}

static bool must_tell_busy(const weir_main *m) { return (weir_main_pending(m) != 0) != m->busy; }

void wi_main_look_busy_later(weir_main *m)
{
    if (must_tell_busy(m))
        wi_main_nudge(m);
}

/* Until it agrees: on_busy may submit. It must not close us, hence the depth. */
void wi_main_look_busy(weir_main *m)
{
    while (!m->depth && must_tell_busy(m)) {
        m->busy = !m->busy;
        wi_lag_busy(m);
        m->depth++;
        if (m->on_busy)
            m->on_busy(m, m->busy, m->on_busy_arg);
        m->depth--;
    }
}

bool wi_main_expect_first(weir_main *m)
{
    if (m->owner == wi_thread_self()) {
        if (m->closed)
            return false;
        wi_main_count_own(m, 1);
        wi_main_look_busy(m);
        return true;
    }
    atomic_fetch_add(&m->refs, 1);
    if (atomic_load(&m->closed)) {
        wi_main_uncount(m, 1);
        return false;
    }
    if (!atomic_load(&m->busy)) {
        wi_lag_arrives(m); /* a nudge of a time when nobody polled may be there */
        wi_main_nudge(m);
    }
    return true;
}

/* The owner cannot lose the main under its feet unless it has closed it. */
void wi_main_came(weir_main *m)
{
    if (m->owner == wi_thread_self()) {
        bool closed = m->closed;
        wi_main_own_came(m);
        if (!closed)
            wi_main_look_busy(m);
        return;
    }
    wi_main_hold(m);
    wi_main_uncount(m, 1);
    if (!atomic_load(&m->closed)) /* else its lock may have stayed behind in a fork */
        wi_main_nudge(m);         /* whether it was the last, the owner knows */
    wi_main_release(m);
}

int weir_main_on_busy(weir_main *m, void (*fn)(weir_main *, bool, void *), void *arg)
{
    if (!m)
        return WEIR_EINVAL;
    if (m->owner != wi_thread_self())
        return WEIR_EPERM;
    m->on_busy = fn, m->on_busy_arg = arg;
    if (fn && m->busy)
        fn(m, true, arg);
    return 0;
}

/* ---- fork -------------------------------------------------------------- */

/* Notes whether the nudge is among them: its poster may have stayed behind before its push. */
static unsigned undelivered(weir_main *m, const wi_list *l)
{
    unsigned n = 0;
    for (weir_link *e = wi_list_first(l); e; e = wi_list_after(l, e)) {
        m->nudged |= e == &m->nudge;
        n += e != &m->nudge;
    }
    return n;
}

void wi_main_recount_locked(weir_main *m)
{
    m->nudged = false;
    uint64_t pending = undelivered(m, &m->batch.now) + undelivered(m, &m->batch.later);
    uint64_t holders = 1 + m->handed + m->beginning + m->kept + m->notices;
    pending += m->telling + m->coming;
    m->forks = wi_forks;
    atomic_store(&m->refs, holders * WI_HOLDER + pending);
    atomic_store(&m->own, 0);
    if (must_tell_busy(m) && note_nudge_locked(m))
        wi_list_append(&m->batch.later, &m->nudge);
    m->kept = m->coming = 0;
    m->waited = false;
    m->signalled = !m->quiet && !wi_box_is_empty(&m->batch);
    wi_wake_reopen(&m->wake);
    if (m->signalled)
        wi_wake_raise(&m->wake);
}
