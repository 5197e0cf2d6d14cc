/* SPDX-License-Identifier: ISC
 *
 * dispatch.c: rounds: what was posted is taken, and delivered one by one.
 *
 * Taking. The owner reads the descriptor first and clears `signalled` only if the read got
 * something, because a write that is still on its way will make the descriptor readable once
 * more. Then it takes the arrivals. A post after that finds them empty again, and tells.
 *
 * A round takes the arrivals once, into the batch, and gives what is for it one by one. A
 * delivery begins when next returns it and ends at the following next, or with the round; in
 * between the owner does what the callback would. A nested round takes too, and goes on with
 * the same list. A blocking wait takes as well, because it looks for calls and lends; it
 * leaves the rest for a later round, because a round whose tasks are run again in it would
 * never end otherwise. What a round leaves makes the descriptor readable again.
 */
#include "mailbox/dispatch.h"

#include "mailbox/lag.h"
#include "mailbox/pending.h"

/* ---- taking ------------------------------------------------------------- */

/* What was sorted goes into the batch. Returns the arrivals, which come after it. */
static weir_link *take_locked(weir_main *m)
{
    wi_lag_sorts(m);
    wi_lag_taken(m);
    wi_list_splice(&m->batch.later, &m->sorted.later);
    wi_list_splice(&m->batch.calls, &m->sorted.calls);
    wi_list_splice(&m->batch.lends, &m->sorted.lends);
    return wi_stack_take(&m->arrivals);
}

void wi_main_take_arrivals_locked(weir_main *m) { wi_box_put(&m->batch, take_locked(m)); }

/* Calls go into the batch under the lock, because a child of fork has to find them there: the
 * thread that forks may be their caller. A caller holds the main from before its post. */
static bool has_callers(const weir_main *m) { return atomic_load(&m->refs) / WI_HOLDER > 1; }

static void take_unlocks(weir_main *m)
{
    weir_link *newest = take_locked(m);
    bool       later = !has_callers(m);
    if (!later)
        wi_box_put(&m->batch, newest);
    wi_unlock(&m->lock);
    if (later)
        wi_box_put(&m->batch, newest);
}

void wi_main_take_arrivals(weir_main *m)
{
    wi_lock(&m->lock);
    take_unlocks(m);
}

static void read_signal_relocks(weir_main *m)
{
    wi_unlock(&m->lock);
    bool was_readable = wi_wake_drain(&m->wake);
    wi_lock(&m->lock);
    if (was_readable)
        m->signalled = false;
}

static void take_for_round(weir_main *m)
{
    wi_lock(&m->lock);
    if (m->signalled)
        read_signal_relocks(m);
    take_unlocks(m);
    wi_list_splice(&m->batch.now, &m->batch.later);
}

/* Something is left for a later dispatch. */
static void rearm(weir_main *m)
{
    wi_lock(&m->lock);
    bool raise = wi_main_has_some_locked(m) && !m->signalled && !m->quiet;
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
        wi_main_nudge_came(m);
        e = NULL;
    }
    return e;
}

static inline void take_off_lists(weir_main *m, weir_link *e, enum wi_lane lane)
{
    wi_unlink(e);
    m->given++;
    if (lane == WI_CALLS)
        wi_unlink(&wi_container(e, wi_call_links, link)->of_calls);
    else if (lane == WI_OTHERS)
        m->telling++;
}

static inline void has_come(weir_main *m, enum wi_lane lane)
{
    if (lane != WI_OTHERS)
        return;
    wi_main_own_came(m);
    m->telling--;
}

/* Its callback may not close the main: the round raises depth. */
static void give(weir_main *m, weir_link *e, weir_delivery *d)
{
    const struct weir_kind *kind = e->kind;
    take_off_lists(m, e, kind->lane);
    d->weir.kind = kind;
    kind->begin(e, d);
}

static void finish(weir_main *m, weir_delivery *d)
{
    const struct weir_kind *kind = d->weir.kind;
    d->weir.kind = NULL;
    if (kind->end)
        kind->end(d);
    has_come(m, kind->lane);
}

static void begin_round(weir_main *m, weir_delivery *d)
{
    d->weir.main = m;
    bool outermost = m->depth++ == 0;
    if (outermost)
        wi_lag_round(m);
    take_for_round(m);
    if (outermost && wi_is_traced() & WI_RECORDED)
        wi_lag_record(m);
}

static void end_round(weir_main *m, weir_delivery *d)
{
    d->weir.main = NULL;
    m->depth--;
    wi_lag_over(m);
    wi_main_look_busy(m);
    if (!wi_box_is_empty(&m->batch))
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
    const struct weir_kind *kind = e->kind;
    if (kind->deliver) {
        take_off_lists(m, e, kind->lane);
        kind->deliver(e, d);
        has_come(m, kind->lane);
        return;
    }
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

static bool has_some(weir_main *m)
{
    wi_lock(&m->lock);
    bool some = wi_main_has_some_locked(m);
    wi_unlock(&m->lock);
    return some;
}

void wi_main_flush(weir_main *m)
{
    do {
        weir_main_dispatch(m, 0);
    } while (has_some(m));
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
    wi_lag_over(m);
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
