/* SPDX-License-Identifier: ISC
 *
 * main.c: the mailbox, its descriptor, dispatch.
 *
 * `signalled` means that a write is owed or done and was not read yet; a poster
 * that finds it set need not write. Dispatch reads the descriptor first, then
 * takes the list and clears the flag under the lock, and clears it only if the
 * read got something: a poster between its unlock and its write will still make
 * the descriptor readable once more. A post that comes after the read finds the
 * flag set and is taken with the list; one that comes after the take writes.
 *
 * What dispatch took is the owner's batch. Nested dispatches continue the same
 * batch. What a budget leaves in it makes the descriptor readable again.
 */
#include "main.h"

#include "registry.h"

#include <stdlib.h>

void (*wi_lend_delivered)(weir_link *e);

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
    return (uint32_t)atomic_load(&((weir_main *)(uintptr_t)m)->refs);
}

static void append_locked(weir_main *m, weir_link *e, enum wi_kind kind, wi_debt *debt);

/* Asks the owner to look at its pending count, for on_busy and weir_main_wait. */
static void nudge(weir_main *m)
{
    wi_debt debt = {0};
    wi_lock(&m->lock);
    if (!m->closed && !m->nudged) {
        m->nudged = true;
        append_locked(m, &m->nudge, WI_NUDGE, &debt);
    }
    wi_unlock(&m->lock);
    wi_main_pay(m, debt);
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

bool wi_main_expect(weir_main *m)
{
    bool first = (uint32_t)atomic_fetch_add(&m->refs, 1) == 0;
    if (atomic_load(&m->closed)) {
        put(m, 1);
        return false;
    }
    if (m->owner == wi_thread_self())
        wi_main_look_busy(m);
    else if (first)
        nudge(m);
    return true;
}

/* The owner cannot lose the main under its feet unless it has closed it. */
void wi_main_came(weir_main *m)
{
    if (m->owner == wi_thread_self()) {
        bool closed = m->closed;
        put(m, 1); /* frees it only if closed */
        if (!closed)
            wi_main_look_busy(m);
        return;
    }
    wi_main_hold(m);
    put(m, 1);
    if (weir_main_pending(m) == 0)
        nudge(m);
    wi_main_release(m);
}

/* ---- open --------------------------------------------------------------- */

static void box_init(wi_box *b)
{
    wi_list_init(&b->all);
    wi_list_init(&b->calls);
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
    box_init(&m->box), box_init(&m->batch);
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

static void append_locked(weir_main *m, weir_link *e, enum wi_kind kind, wi_debt *debt)
{
    e->kind = kind;
    wi_list_append(&m->box.all, e);
    if (kind == WI_CALL)
        wi_list_append(&m->box.calls, &wi_container(e, weir_call, link)->of_calls);
    debt->unpark = m->waited || (kind == WI_CALL && atomic_load(&m->owner->waiting));
    debt->raise = !debt->unpark && !m->signalled;
    m->signalled |= debt->raise;
    m->writers += debt->raise;
    if (debt->raise || debt->unpark)
        wi_main_hold(m);
}

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

void wi_main_pay(weir_main *m, wi_debt debt)
{
    if (debt.raise)
        write_wake(m);
    if (debt.unpark)
        wi_unpark(&m->owner->parker);
    if (debt.raise || debt.unpark)
        wi_main_release(m);
}

bool wi_main_append(weir_main *m, weir_link *e, enum wi_kind kind, wi_debt *debt)
{
    *debt = (wi_debt){0};
    wi_lock(&m->lock);
    bool open = !m->closed;
    if (open)
        append_locked(m, e, kind, debt);
    wi_unlock(&m->lock);
    return open;
}

bool wi_main_post(weir_main *m, weir_link *e, enum wi_kind kind)
{
    wi_debt debt;
    bool    open = wi_main_append(m, e, kind, &debt);
    wi_main_pay(m, debt);
    return open;
}

/* ---- taking ------------------------------------------------------------- */

static void take(weir_main *m)
{
    wi_lock(&m->lock);
    if (m->signalled) {
        wi_unlock(&m->lock);
        bool was_readable = wi_wake_drain(&m->wake);
        wi_lock(&m->lock);
        if (was_readable)
            m->signalled = false;
    }
    wi_list_splice(&m->batch.all, &m->box.all);
    wi_list_splice(&m->batch.calls, &m->box.calls);
    wi_unlock(&m->lock);
}

/* Something is left for a later dispatch. */
static void rearm(weir_main *m)
{
    wi_lock(&m->lock);
    bool left = !wi_list_empty(&m->batch.all) || !wi_list_empty(&m->box.all);
    bool raise = left && !m->signalled;
    m->signalled |= raise;
    wi_unlock(&m->lock);
    if (raise)
        wi_wake_raise(&m->wake);
}

void wi_mains_rearm(wi_thread *t)
{
    for (weir_link *e = wi_list_first(&t->mains); e; e = wi_list_after(&t->mains, e))
        rearm(wi_container(e, weir_main, of_thread));
}

static weir_call *first_call(weir_main *m)
{
    wi_lock(&m->lock);
    wi_list_splice(&m->batch.all, &m->box.all);
    wi_list_splice(&m->batch.calls, &m->box.calls);
    wi_unlock(&m->lock);
    weir_link *e = wi_list_pop(&m->batch.calls);
    if (!e)
        return NULL;
    weir_call *call = wi_container(e, weir_call, of_calls);
    wi_unlink(&call->link);
    return call;
}

bool wi_mains_serve_call(wi_thread *t, const weir_main *except)
{
    for (weir_link *e = wi_list_first(&t->mains); e; e = wi_list_after(&t->mains, e)) {
        weir_main *m = wi_container(e, weir_main, of_thread);
        weir_call *call = m == except ? NULL : first_call(m);
        if (call) {
            wi_call_begin(call, true);
            return true; /* fn may have opened and closed mains: look again */
        }
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
    case WI_LEND: wi_lend_delivered(e); return true;
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
    while ((max <= 0 || n < max) && (e = wi_list_pop(&m->batch.all)))
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
    if (!wi_list_empty(&m->batch.all))
        rearm(m);
    return n;
}

void wi_main_flush(weir_main *m)
{
    do {
        take(m);
        deliver_batch(m, 0);
        wi_lock(&m->lock);
        bool more = !wi_list_empty(&m->box.all);
        wi_unlock(&m->lock);
        if (!more)
            return;
    } while (true);
}

/* True when a post will unpark this thread; false: something is there already. */
static bool begin_sleep(weir_main *m)
{
    wi_lock(&m->lock);
    m->waited = wi_list_empty(&m->box.all);
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

/* Calls to the thread's other mains are served here; m's own come by dispatch. */
static bool sleep_until(weir_main *m, wi_waiter *w, int64_t deadline)
{
    if (wi_mains_serve_call(w->thread, m) || !begin_sleep(m))
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
    wi_unregister(&m->registered);
    wi_unlink(&m->of_thread);
    wi_lock(&m->lock);
    m->closed = true;
    wi_unlock(&m->lock);
    wi_main_fail_calls(m); /* what came just before we closed */
    wi_main_flush(m);
    close_wake(m, false);
    m->depth++;
    if (m->busy && m->on_busy)
        m->on_busy(m, false, m->on_busy_arg);
    wi_main_release(m);
    wi_thread_forget();
}

static unsigned undelivered(const weir_main *m)
{
    const wi_list *lists[] = {&m->batch.all, &m->box.all};
    unsigned       n = 0;
    for (int i = 0; i < 2; i++)
        for (weir_link *e = wi_list_first(lists[i]); e; e = wi_list_after(lists[i], e))
            n += e->kind != WI_NUDGE && e->kind != WI_LEND;
    return n;
}

/* What is to come is counted anew, for another thread may have been on its way
 * with more. Of the other threads' holds none is left; of their calls, no caller is. A main
 * of another thread has lost its owner: it is closed, its memory stays. */
void wi_main_forked_locked(weir_main *m)
{
    if (m->owner != wi_thread_self()) {
        m->closed = true;
        return;
    }
    wi_calls_forked_locked(m);
    uint64_t pending = undelivered(m) + m->telling;
    uint64_t holders = 1 + m->handed + m->beginning + m->pools;
    atomic_store(&m->refs, holders * HOLDER + pending);
    m->pools = 0;
    wi_list_init(&m->callers);
    wi_parker_init(&m->owner->parker); /* another thread may have been inside it */
    m->waited = false;
    m->writers = 0;
    m->signalled = !wi_list_empty(&m->box.all) || !wi_list_empty(&m->batch.all);
    wi_wake_reopen(&m->wake);
    if (m->signalled)
        wi_wake_raise(&m->wake);
}
