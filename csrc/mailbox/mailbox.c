/* SPDX-License-Identifier: ISC
 *
 * mailbox.c: posts, the descriptor, what is pending, dispatch.
 *
 * Posting. Any thread pushes a delivery to `arrivals`, without a lock. The poster that finds
 * them empty tells the owner: one write to the descriptor covers every post until the owner
 * takes them. It sets `signalled` under the lock and writes after the unlock. The flag means
 * that a write is owed, or was done and not read yet, so a poster that finds it set need not
 * write.
 *
 * Taking. The owner reads the descriptor first and clears the flag only if the read got
 * something, because a write that is still on its way will make the descriptor readable once
 * more. Then it takes the arrivals. A post after that finds them empty again, and tells.
 *
 * Quiet. While the main is quiet nothing is written, because the owner has promised to look.
 * Where that ends, the owner looks at the arrivals under the lock, and a poster looks at
 * `quiet` under it after its push: one of the two writes.
 *
 * A round takes the arrivals once, into the batch, and gives what is for it one by one. A
 * delivery begins when next returns it and ends at the following next, or with the round; in
 * between the owner does what the callback would. A nested round takes too, and goes on with
 * the same list. A blocking wait takes as well, because it looks for calls and lends; it
 * leaves the rest for a later round, because a round whose tasks are run again in it would
 * never end otherwise. What a round leaves makes the descriptor readable again.
 */
#include "mailbox/mailbox.h"

#include "base/at_fork.h"

#include <stdlib.h>

/* ---- references --------------------------------------------------------- */

#define HOLDER ((uint64_t)1 << 32)

static void uncount(weir_main *m, uint64_t count)
{
    if (atomic_fetch_sub(&m->refs, count) != count)
        return;
    wi_mutex_destroy(&m->lock);
    wi_thread_drop(m->owner);
    free(m);
}

void wi_main_hold(weir_main *m) { atomic_fetch_add(&m->refs, HOLDER); }
void wi_main_release(weir_main *m) { uncount(m, HOLDER); }

size_t weir_main_pending(const weir_main *m)
{
    weir_main *mutable = (weir_main *)(uintptr_t)m;
    int64_t n = (uint32_t)atomic_load(&mutable->refs) + atomic_load(&mutable->own);
    return n > 0 ? (size_t)n : 0; /* the two were not read at once */
}

/* Written by the owner alone, so no read-modify-write. Relaxed: other threads
 * read it for a hint only. */
static void count_own(weir_main *m, int n)
{
    int64_t own = atomic_load_explicit(&m->own, memory_order_relaxed);
    atomic_store_explicit(&m->own, own + n, memory_order_relaxed);
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
static void nudge(weir_main *m)
{
    wi_lock(&m->lock);
    bool nudge = note_nudge_locked(m);
    wi_unlock(&m->lock);
    if (nudge)
        wi_main_post(m, &m->nudge);
}

/* Before the count is looked at, so that what changes it later nudges again. */
static void nudge_came(weir_main *m)
{
    wi_lock(&m->lock);
    m->nudged = false;
    wi_unlock(&m->lock);
}

static bool must_tell_busy(const weir_main *m) { return (weir_main_pending(m) != 0) != m->busy; }

void wi_main_look_busy_later(weir_main *m)
{
    if (must_tell_busy(m))
        nudge(m);
}

/* Until it agrees: on_busy may submit. It must not close us, hence the depth. */
void wi_main_look_busy(weir_main *m)
{
    while (!m->depth && must_tell_busy(m)) {
        m->busy = !m->busy;
        m->depth++;
        if (m->on_busy)
            m->on_busy(m, m->busy, m->on_busy_arg);
        m->depth--;
    }
}

bool wi_main_tells_busy(const weir_main *m)
{
    return m && m->owner == wi_thread_self() && m->on_busy && !m->busy;
}

bool wi_main_expect(weir_main *m)
{
    if (m->owner == wi_thread_self()) {
        if (m->closed)
            return false;
        count_own(m, 1);
        wi_main_look_busy(m);
        return true;
    }
    atomic_fetch_add(&m->refs, 1);
    if (atomic_load(&m->closed)) {
        uncount(m, 1);
        return false;
    }
    if (!atomic_load(&m->busy))
        nudge(m);
    return true;
}

/* By the owner. */
static void own_came(weir_main *m)
{
    if (m->closed)
        uncount(m, 1);
    else
        count_own(m, -1);
}

/* The owner cannot lose the main under its feet unless it has closed it. */
void wi_main_came(weir_main *m)
{
    if (m->owner == wi_thread_self()) {
        bool closed = m->closed;
        own_came(m);
        if (!closed)
            wi_main_look_busy(m);
        return;
    }
    wi_main_hold(m);
    uncount(m, 1);
    if (!atomic_load(&m->closed)) /* else its lock may have stayed behind in a fork */
        nudge(m);                 /* whether it was the last, the owner knows */
    wi_main_release(m);
}

static bool box_empty(const wi_box *b)
{
    return wi_list_empty(&b->now) && wi_list_empty(&b->later) && wi_list_empty(&b->lends);
}

bool wi_main_has_some(const weir_main *m)
{
    return !box_empty(&m->batch) || wi_stack_holds_some(&m->arrivals);
}

int weir_main_fd(const weir_main *m) { return m ? m->wake.rfd : WEIR_EINVAL; }

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

/* ---- posting ------------------------------------------------------------ */

/* The system may give the number to another file at once, so no write may come after. */
void wi_main_close_wake(weir_main *m, bool writer)
{
    wi_lock(&m->lock);
    m->writers -= writer;
    m->shut |= !writer;
    bool last = m->shut && m->writers == 0;
    wi_unlock(&m->lock);
    if (last)
        wi_wake_close(&m->wake);
}

static void write_wake(weir_main *m)
{
    wi_wake_raise(&m->wake);
    wi_main_close_wake(m, true);
}

/* Tells the owner, if what was posted has not been taken meanwhile. A wait for
 * something else than deliveries looks for the urgent alone, so those always tell
 * it: the thread that it waits for may itself wait for them. */
static void tell_owner(weir_main *m, bool urgent)
{
    wi_lock(&m->lock);
    bool there = wi_stack_holds_some(&m->arrivals);
    bool unpark = there && (m->waited || (urgent && atomic_load(&m->owner->waiting)));
    bool raise = there && !unpark && !m->signalled && !m->quiet;
    m->signalled |= raise;
    m->writers += raise;
    wi_unlock(&m->lock);
    if (raise)
        write_wake(m);
    if (unpark)
        wi_unpark(&m->owner->parker);
}

void wi_main_pay(weir_main *m, wi_debt debt)
{
    if (!debt.tell)
        return;
    tell_owner(m, debt.urgent);
    wi_main_release(m);
}

/* A poster that may have to tell holds the main from before its push, because after it the
 * delivery may be over and the main closed. */
bool wi_main_append(weir_main *m, weir_link *e, wi_debt *debt)
{
    for (;;) {
        weir_link *newest = wi_stack_newest(&m->arrivals);
        bool       urgent = e->kind->lane != WI_OTHERS;
        *debt = (wi_debt){newest == NULL || urgent, urgent};
        if (newest == WI_SHUT) {
            *debt = (wi_debt){0};
            return false;
        }
        if (debt->tell)
            wi_main_hold(m);
        if (wi_stack_push_onto(&m->arrivals, newest, e))
            return true;
        if (debt->tell)
            wi_main_release(m);
    }
}

bool wi_main_post(weir_main *m, weir_link *e)
{
    wi_debt debt;
    bool    open = wi_main_append(m, e, &debt);
    wi_main_pay(m, debt);
    return open;
}

/* ---- taking ------------------------------------------------------------- */

/* From the newest on, each goes before those already put: in order again. */
static void into_batch(weir_main *m, weir_link *e)
{
    weir_link *last = m->batch.later.head.prev, *last_call = m->batch.calls.head.prev;
    weir_link *last_lend = m->batch.lends.head.prev;
    for (weir_link *before; e; e = before) {
        before = e->next;
        wi_list_insert_after(e->kind->lane == WI_LENDS ? last_lend : last, e);
        if (e->kind->lane == WI_CALLS)
            wi_list_insert_after(last_call, &wi_container(e, wi_call_links, link)->of_calls);
    }
}

void wi_main_take_arrivals(weir_main *m) { into_batch(m, wi_stack_take(&m->arrivals)); }

static void take_for_round(weir_main *m)
{
    wi_lock(&m->lock);
    bool signalled = m->signalled;
    wi_unlock(&m->lock);
    if (signalled && wi_wake_drain(&m->wake)) {
        wi_lock(&m->lock);
        m->signalled = false;
        wi_unlock(&m->lock);
    }
    wi_main_take_arrivals(m);
    wi_list_splice(&m->batch.now, &m->batch.later);
}

/* Something is left for a later dispatch. */
static void rearm(weir_main *m)
{
    wi_lock(&m->lock);
    bool raise = wi_main_has_some(m) && !m->signalled && !m->quiet;
    m->signalled |= raise;
    wi_unlock(&m->lock);
    if (raise)
        wi_wake_raise(&m->wake);
}

int weir_main_quiet(weir_main *m, bool quiet)
{
    if (!m)
        return WEIR_EINVAL;
    if (m->owner != wi_thread_self())
        return WEIR_EPERM;
    wi_lock(&m->lock);
    m->quiet = quiet;
    wi_unlock(&m->lock);
    if (!quiet)
        rearm(m);
    return 0;
}

void wi_mains_rearm(wi_thread *t, const weir_main *except)
{
    for (weir_link *e = wi_list_first(&t->mains); e; e = wi_list_after(&t->mains, e)) {
        weir_main *m = wi_container(e, weir_main, of_thread);
        if (m != except)
            rearm(m);
    }
}

/* ---- deliveries, one by one --------------------------------------------- */

/* What is delivered next, still in its list, or NULL. Nudges before it come meanwhile. */
static weir_link *first(weir_main *m)
{
    weir_link *e = wi_list_first(&m->batch.lends);
    while (!e && (e = wi_list_first(&m->batch.now)) == &m->nudge) {
        wi_unlink(e);
        nudge_came(m);
        e = NULL;
    }
    return e;
}

/* Its callback may not close the main: the round raises depth. */
static void give(weir_main *m, weir_link *e, weir_delivery *d)
{
    const struct weir_kind *kind = e->kind;
    wi_unlink(e);
    if (kind->lane == WI_CALLS)
        wi_unlink(&wi_container(e, wi_call_links, link)->of_calls);
    else if (kind->lane == WI_OTHERS)
        m->telling++;
    d->weir.kind = kind;
    kind->begin(e, d);
}

static void finish(weir_main *m, weir_delivery *d)
{
    const struct weir_kind *kind = d->weir.kind;
    d->weir.kind = NULL;
    if (kind->end)
        kind->end(d);
    if (kind->lane == WI_OTHERS) {
        own_came(m);
        m->telling--;
    }
}

static void begin_round(weir_main *m, weir_delivery *d)
{
    d->weir.main = m;
    m->depth++;
    take_for_round(m);
}

static void end_round(weir_main *m, weir_delivery *d)
{
    d->weir.main = NULL;
    m->depth--;
    wi_main_look_busy(m);
    if (!box_empty(&m->batch))
        rearm(m);
}

static void end_last(weir_main *m, weir_delivery *d)
{
    if (d->weir.kind)
        finish(m, d);
    d->task = NULL, d->notice = NULL, d->call = NULL, d->pool = NULL;
}

int weir_main_next(weir_main *m, weir_delivery *out)
{
    if (!m || !out || out->size < sizeof *out)
        return WEIR_EINVAL;
    if (m->owner != wi_thread_self())
        return WEIR_EPERM;
    if (out->weir.main && out->weir.main != m)
        return WEIR_EBUSY;
    if (out->weir.main)
        end_last(m, out);
    else
        begin_round(m, out);
    weir_link *e = first(m);
    if (e)
        give(m, e, out);
    else
        end_round(m, out);
    return e ? 0 : WEIR_EAGAIN;
}

void weir_delivery_run(weir_delivery *d)
{
    if (d->weir.kind)
        d->weir.kind->run(d);
}

void weir_delivery_end(weir_delivery *d)
{
    weir_main *m = d ? d->weir.main : NULL;
    if (!m)
        return;
    end_last(m, d);
    end_round(m, d);
}

/* ---- dispatch ----------------------------------------------------------- */

static void deliver(weir_main *m, weir_link *e, weir_delivery *d)
{
    give(m, e, d);
    d->weir.kind->run(d);
    finish(m, d);
}

/* A loop over what next does, but for what the caller of next sees. */
int weir_main_dispatch(weir_main *m, int max)
{
    if (!m)
        return WEIR_EINVAL;
    if (m->owner != wi_thread_self())
        return WEIR_EPERM;
    int           n = 0;
    weir_link    *e;
    weir_delivery d = {.size = sizeof d};
    begin_round(m, &d);
    for (; (max <= 0 || n < max) && (e = first(m)); n++)
        deliver(m, e, &d);
    end_round(m, &d);
    return n;
}

void wi_main_flush(weir_main *m)
{
    do {
        weir_main_dispatch(m, 0);
    } while (wi_main_has_some(m));
}

static bool serve_one(weir_main *m)
{
    wi_main_take_arrivals(m);
    weir_link *e = wi_list_first(&m->batch.lends);
    if (!e && (e = wi_list_first(&m->batch.calls)))
        e = &wi_container(e, wi_call_links, of_calls)->link;
    if (!e)
        return false;
    weir_delivery d = {.weir = {.main = m, .blocking = true}};
    m->depth++;
    deliver(m, e, &d);
    m->depth--;
    wi_main_look_busy(m);
    return true;
}

bool wi_mains_serve(wi_thread *t, const weir_main *except)
{
    for (weir_link *e = wi_list_first(&t->mains); e; e = wi_list_after(&t->mains, e)) {
        weir_main *m = wi_container(e, weir_main, of_thread);
        if (m != except && serve_one(m))
            return true; /* mains may have come and gone: look again */
    }
    return false;
}

/* ---- the ends ----------------------------------------------------------- */

void wi_main_shut_arrivals(weir_main *m) { into_batch(m, wi_stack_shut(&m->arrivals)); }

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
    atomic_store(&m->refs, holders * HOLDER + pending);
    atomic_store(&m->own, 0);
    if (must_tell_busy(m) && note_nudge_locked(m))
        wi_list_append(&m->batch.later, &m->nudge);
    m->kept = m->coming = 0;
    m->waited = false;
    m->signalled = !m->quiet && !box_empty(&m->batch);
    wi_wake_reopen(&m->wake);
    if (m->signalled)
        wi_wake_raise(&m->wake);
}
