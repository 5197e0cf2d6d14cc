/* SPDX-License-Identifier: ISC
 *
 * main.c: the mailbox, its descriptor, dispatch.
 *
 * Posts go to `arrivals` without a lock. Who finds it empty tells the owner, by
 * one write for all that follow until the owner takes them: under the lock it sets
 * `signalled`, which means that a write is owed or done and was not read yet; who
 * finds it set need not write. Dispatch reads the descriptor first, clears the flag
 * if the read got something (a write still on its way will make the descriptor
 * readable once more), and takes the arrivals then: a post that comes after the
 * take finds nothing there, and tells.
 *
 * While the main is quiet nothing is written: the owner will look. When it ends that,
 * it looks at the arrivals under the lock, as who posts does at `quiet` after the push:
 * one of them writes.
 *
 * What dispatch took is the owner's batch. Nested dispatches continue the same
 * batch. What a budget leaves in it makes the descriptor readable again.
 */
#include "mailbox/main.h"

#include "base/registry.h"

#include <stdlib.h>

/* ---- references --------------------------------------------------------- */

#define HOLDER ((uint64_t)1 << 32)

static void put(weir_main *m, uint64_t count)
{
    if (atomic_fetch_sub(&m->refs, count) != count)
        return;
    wi_mutex_destroy(&m->lock);
    wi_thread_drop(m->owner);
    free(m);
}

void wi_main_hold(weir_main *m) { atomic_fetch_add(&m->refs, HOLDER); }
void wi_main_release(weir_main *m) { put(m, HOLDER); }

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

/* Asks the owner to look at its pending count, for on_busy and weir_main_wait. */
static void nudge(weir_main *m)
{
    wi_lock(&m->lock);
    bool nudge = !m->nudged;
    m->nudged = true;
    wi_unlock(&m->lock);
    if (nudge)
        wi_main_post(m, &m->nudge, WI_NUDGE);
}

/* Before the count is looked at, so that what changes it later nudges again. */
static void nudge_came(weir_main *m)
{
    wi_lock(&m->lock);
    m->nudged = false;
    wi_unlock(&m->lock);
}

/* Until it agrees: on_busy may submit. It must not close us, hence the depth. */
void wi_main_look_busy(weir_main *m)
{
    while (!m->depth && (weir_main_pending(m) != 0) != m->busy) {
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
        put(m, 1);
        return false;
    }
    if (!atomic_load(&m->busy))
        nudge(m);
    return true;
}

/* The owner cannot lose the main under its feet unless it has closed it. */
void wi_main_came(weir_main *m)
{
    if (m->owner == wi_thread_self()) {
        if (m->closed) {
            put(m, 1);
            return;
        }
        count_own(m, -1);
        wi_main_look_busy(m);
        return;
    }
    wi_main_hold(m);
    put(m, 1);
    if (!atomic_load(&m->closed)) /* else its lock may have stayed behind in a fork */
        nudge(m);                 /* whether it was the last, the owner knows */
    wi_main_release(m);
}

/* ---- open --------------------------------------------------------------- */

static void box_init(wi_box *b)
{
    wi_list_init(&b->all);
    wi_list_init(&b->calls);
    wi_list_init(&b->lends);
}

static bool box_empty(const wi_box *b)
{
    return wi_list_empty(&b->all) && wi_list_empty(&b->lends);
}

int wi_main_make(weir_main **out)
{
    weir_main *m = calloc(1, sizeof *m);
    if (!m)
        return WEIR_ENOMEM;
    int rc = WEIR_ENOMEM;
    if (!(m->owner = wi_thread_make()))
        goto no_thread;
    if ((rc = wi_wake_open(&m->wake)) != 0)
        goto no_wake;
    wi_mutex_init(&m->lock);
    box_init(&m->batch);
    wi_list_init(&m->begun), wi_list_init(&m->callers);
    atomic_init(&m->refs, HOLDER);
    atomic_fetch_add(&m->owner->refs, 1);
    wi_list_append(&m->owner->mains, &m->of_thread);
    *out = m;
    return 0;

no_wake:
    wi_thread_forget();
no_thread:
    free(m);
    return rc;
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

/* The number may be somebody else's at once: no write may come after. */
static void close_wake(weir_main *m, bool writer)
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
    close_wake(m, true);
}

/* Tells the owner, if what was posted has not been taken meanwhile. A wait for
 * something else than deliveries looks for the urgent alone, so those always tell
 * it: the thread that it waits for may itself wait for them. */
static void tell(weir_main *m, bool urgent)
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
    tell(m, debt.urgent);
    wi_main_release(m);
}

/* Who may have to tell holds the main from before the push: after it, what was
 * posted may be delivered and the main closed. */
bool wi_main_append(weir_main *m, weir_link *e, enum wi_kind kind, wi_debt *debt)
{
    e->kind = kind;
    for (;;) {
        weir_link *newest = wi_stack_newest(&m->arrivals);
        bool       urgent = kind == WI_CALL || kind == WI_LEND;
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

bool wi_main_post(weir_main *m, weir_link *e, enum wi_kind kind)
{
    wi_debt debt;
    bool    open = wi_main_append(m, e, kind, &debt);
    wi_main_pay(m, debt);
    return open;
}

/* ---- taking ------------------------------------------------------------- */

/* From the newest on, each goes before those already put: in order again. */
static void into_batch(weir_main *m, weir_link *e)
{
    weir_link *last = m->batch.all.head.prev, *last_call = m->batch.calls.head.prev;
    weir_link *last_lend = m->batch.lends.head.prev;
    for (weir_link *before; e; e = before) {
        before = e->next;
        wi_list_insert_after(e->kind == WI_LEND ? last_lend : last, e);
        if (e->kind == WI_CALL)
            wi_list_insert_after(last_call, &wi_container(e, weir_call, link)->of_calls);
    }
}

void wi_main_take_arrivals(weir_main *m) { into_batch(m, wi_stack_take(&m->arrivals)); }

static void take(weir_main *m)
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
}

/* Something is left for a later dispatch. */
static void rearm(weir_main *m)
{
    wi_lock(&m->lock);
    bool left = !box_empty(&m->batch) || wi_stack_holds_some(&m->arrivals);
    bool raise = left && !m->signalled && !m->quiet;
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

void wi_mains_rearm(wi_thread *t)
{
    for (weir_link *e = wi_list_first(&t->mains); e; e = wi_list_after(&t->mains, e))
        rearm(wi_container(e, weir_main, of_thread));
}

static void lend(weir_main *m, weir_link *e)
{
    m->depth++; /* the host may not close us in it */
    wi_container(e, wi_lend, link)->deliver(e);
    m->depth--;
}

static bool serve_one(weir_main *m)
{
    weir_link *e;
    wi_main_take_arrivals(m);
    if ((e = wi_list_pop(&m->batch.lends))) {
        lend(m, e);
    } else if ((e = wi_list_pop(&m->batch.calls))) {
        weir_call *call = wi_container(e, weir_call, of_calls);
        wi_unlink(&call->link);
        wi_call_begin(call, true);
    }
    return e != NULL;
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

/* ---- dispatch ----------------------------------------------------------- */

/* Returns whether it counts as a delivery. */
static bool deliver(weir_main *m, weir_link *e)
{
    switch ((enum wi_kind)e->kind) {
    case WI_TASK:
        m->telling++;
        wi_task_delivered(e, m);
        m->telling--;
        return true;
    case WI_NOTICE:
        m->telling++;
        wi_notice_delivered(e, m);
        m->telling--;
        return true;
    case WI_LEND: lend(m, e); return true;
    case WI_NUDGE: nudge_came(m); return false;
    case WI_CALL: break;
    }
    weir_call *call = wi_container(e, weir_call, link);
    wi_unlink(&call->of_calls);
    wi_call_begin(call, false);
    return true;
}

static int deliver_batch(weir_main *m, int max)
{
    int        n = 0;
    weir_link *e;
    m->depth++;
    while ((max <= 0 || n < max) &&
           ((e = wi_list_pop(&m->batch.lends)) || (e = wi_list_pop(&m->batch.all))))
        n += deliver(m, e);
    m->depth--;
    wi_main_look_busy(m);
    return n;
}

int weir_main_dispatch(weir_main *m, int max)
{
    if (!m)
        return WEIR_EINVAL;
    if (m->owner != wi_thread_self())
        return WEIR_EPERM;
    take(m);
    int n = deliver_batch(m, max);
    if (!box_empty(&m->batch))
        rearm(m);
    return n;
}

void wi_main_flush(weir_main *m)
{
    do {
        take(m);
        deliver_batch(m, 0);
    } while (wi_stack_holds_some(&m->arrivals));
}

/* True when a post will unpark this thread; false: something is there already. */
static bool begin_sleep(weir_main *m)
{
    wi_lock(&m->lock);
    m->waited = !wi_stack_holds_some(&m->arrivals);
    bool waited = m->waited;
    wi_unlock(&m->lock);
    return waited;
}

static void end_sleep(weir_main *m)
{
    wi_lock(&m->lock);
    m->waited = false;
    wi_unlock(&m->lock);
}

/* What is urgent for the thread's other mains is served here; m's own comes by
 * dispatch. */
static bool sleep_until(weir_main *m, wi_waiter *w, int64_t deadline)
{
    if (wi_mains_serve(w->thread, m) || !begin_sleep(m))
        return true;
    bool in_time = wi_park(w->parker, deadline);
    end_sleep(m);
    return in_time;
}

int weir_main_wait(weir_main *m, int64_t timeout_ns)
{
    int n = weir_main_dispatch(m, 0);
    if (n != 0 || timeout_ns == 0)
        return n;
    int64_t   deadline = wi_deadline(timeout_ns);
    bool      in_time = true;
    wi_waiter w;
    wi_wait_begin(&w, NULL);
    m->depth++; /* a call served here must not close us */
    while (n == 0 && in_time && (timeout_ns > 0 || weir_main_pending(m) != 0)) {
        in_time = sleep_until(m, &w, deadline);
        n = weir_main_dispatch(m, 0);
    }
    m->depth--;
    wi_main_look_busy(m);
    wi_wait_end(&w);
    return n;
}

/* ---- the end ------------------------------------------------------------ */

void wi_main_shut(weir_main *m)
{
    wi_unlink(&m->of_thread);
    atomic_fetch_add(&m->refs, (uint64_t)atomic_exchange(&m->own, 0));
    wi_lock(&m->lock);
    m->closed = true;
    wi_unlock(&m->lock);
    into_batch(m, wi_stack_shut(&m->arrivals));
    wi_main_fail_calls(m); /* what came just before we closed */
    wi_main_flush(m);
    close_wake(m, false);
    m->depth++;
    if (m->busy && m->on_busy)
        m->on_busy(m, false, m->on_busy_arg);
    wi_unregister(&m->registered); /* not before: a fork must find its lock free */
    wi_main_release(m);
    wi_thread_forget();
}

static unsigned undelivered(const weir_main *m)
{
    unsigned n = 0;
    for (weir_link *e = wi_list_first(&m->batch.all); e; e = wi_list_after(&m->batch.all, e))
        n += e->kind != WI_NUDGE;
    return n;
}

/* What is to come is counted anew, for another thread may have been on its way
 * with more. Of the other threads' holds none is left; of their calls, no caller is. A main
 * of another thread has lost its owner: it is closed, its memory stays. */
void wi_main_forked_locked(weir_main *m)
{
    if (m->owner != wi_thread_self()) {
        m->closed = true;
        into_batch(m, wi_stack_shut(&m->arrivals));
    }
    wi_calls_forked_locked(m);
    if (m->owner != wi_thread_self())
        return;
    uint64_t pending = undelivered(m) + m->telling;
    uint64_t holders = 1 + m->handed + m->beginning + m->pools;
    atomic_store(&m->refs, holders * HOLDER + pending);
    atomic_store(&m->own, 0);
    m->pools = 0;
    wi_parker_init(&m->owner->parker); /* another thread may have been inside it */
    m->waited = false;
    m->writers = 0;
    m->signalled = !box_empty(&m->batch);
    wi_wake_reopen(&m->wake);
    if (m->signalled)
        wi_wake_raise(&m->wake);
}
