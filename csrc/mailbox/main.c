/* SPDX-License-Identifier: ISC
 *
 * main.c: how a main begins, waits and ends.
 */
#include "mailbox/main.h"

#include "base/at_fork.h"
#include "base/cpus.h"
#include "base/registry.h"
#include "mailbox/call.h"
#include "mailbox/dispatch.h"
#include "mailbox/pending.h"
#include "mailbox/waiter.h"

#include <stdlib.h>

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
    wi_box_init(&m->sorted), wi_box_init(&m->batch);
    wi_list_init(&m->begun), wi_list_init(&m->callers);
    atomic_init(&m->refs, 0);
    m->forks = wi_forks;
    m->tid = wi_thread_id();
    m->served = wi_thread_pool();
    m->linger_ns = wi_has_cpus() ? WI_LINGER_NS : 0;
    wi_main_hold(m);
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

/* ---- the owner waits ------------------------------------------------------ */

/* True when a post will unpark this thread; false: something is there already. */
static bool begin_sleep(weir_main *m)
{
    wi_lock(&m->lock);
    m->waited = !wi_main_has_some_locked(m);
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

int weir_main_linger(weir_main *m, int64_t ns)
{
    if (!m || ns < 0)
        return WEIR_EINVAL;
    if (m->owner != wi_thread_self())
        return WEIR_EPERM;
    m->linger_ns = ns;
    m->looks.missed = 0;
    return 0;
}

/* Nothing pending: what ends the wait is no task of ours, and may take any time. */
static bool must_linger(weir_main *m)
{
    if (!m->linger_ns || weir_main_pending(m) <= m->telling)
        return false;
    return wi_linger_pays(&m->looks);
}

/* Looks for the token that ends the park which follows. Nobody need know that the owner is
 * awake: whatever comes is posted as to a sleeper, and its token costs no call then. */
static void linger(weir_main *m, wi_parker *parker, int64_t deadline)
{
    int64_t until = wi_deadline(m->linger_ns);
    if (until < 0 || (deadline >= 0 && deadline < until))
        until = deadline;
    int64_t now = weir_now(), first = now + wi_linger_pause(&m->looks, m->given);
    bool    came = false;
    while (!came && (until < 0 || now < until)) {
        wi_relax();
        now = weir_now();
        came = now >= first && wi_parker_has_token(parker);
    }
    wi_linger_note(&m->looks, came);
}

/* Until something may be there. What is urgent for the thread's other mains is served here;
 * m's own waits for next. That looks after the wait has ended, because a call that comes
 * before then unparks us and writes nothing. */
static bool sleep_until(weir_main *m, int64_t deadline)
{
    bool      in_time = true;
    wi_waiter w;
    wi_wait_begin(&w, NULL);
    m->depth++; /* a call served here must not close us */
    if (!wi_mains_serve(w.thread, m) && begin_sleep(m)) {
        if (must_linger(m))
            linger(m, w.parker, deadline);
        in_time = wi_park(w.parker, deadline);
        end_sleep(m);
    }
    m->depth--;
    wi_wait_end_but(&w, m);
    return in_time;
}

int weir_main_wait_next(weir_main *m, int64_t timeout_ns, weir_delivery *out)
{
    bool    begins = out && out->size >= sizeof *out && !out->weir.main;
    int     rc = weir_main_next(m, out);
    int64_t deadline = rc == WEIR_EAGAIN && begins ? wi_deadline(timeout_ns) : 0;
    bool    in_time = timeout_ns != 0;
    while (rc == WEIR_EAGAIN && begins) {
        if (!in_time)
            return WEIR_ETIMEDOUT;
        if (timeout_ns < 0 && weir_main_pending(m) <= m->telling)
            break; /* what is inside a callback of ours waits for us */
        in_time = sleep_until(m, deadline);
        rc = weir_main_next(m, out);
    }
    return rc;
}

int weir_main_wait(weir_main *m, int64_t timeout_ns)
{
    int           n = 0, rc;
    weir_delivery d = {.size = sizeof d};
    for (; (rc = weir_main_wait_next(m, timeout_ns, &d)) == 0; n++)
        weir_delivery_run(&d);
    return rc == WEIR_EAGAIN || rc == WEIR_ETIMEDOUT ? n : rc;
}

/* ---- the end ------------------------------------------------------------ */

void wi_main_shut(weir_main *m)
{
    wi_unlink(&m->of_thread);
    atomic_fetch_add(&m->refs, (uint64_t)atomic_exchange(&m->own, 0));
    wi_lock(&m->lock);
    m->closed = true;
    wi_main_shut_arrivals_locked(m);
    wi_unlock(&m->lock);
    wi_main_fail_calls(m); /* what came just before we closed */
    wi_main_flush(m);
    wi_main_close_wake(m, false);
    m->depth++;
    if (m->busy && m->on_busy)
        m->on_busy(m, false, m->on_busy_arg);
    wi_unregister(&m->registered); /* not before: a fork must find its lock free */
    wi_main_release(m);
    wi_thread_forget();
}

bool wi_main_stays(const weir_main *m) { return m->owner == wi_thread_self() && !m->closed; }

/* What is to come is counted anew, because another thread may have been on its way with
 * more: of the other threads' holds none is left; of their calls, no caller is. A main of
 * another thread has lost its owner: it is closed, its memory stays. One that its owner was
 * closing goes on with that, and with the counts that it had. */
void wi_main_forked_locked(weir_main *m)
{
    bool stays = wi_main_stays(m);
    m->writers = 0;
    if (!stays) {
        m->closed = true;
        wi_main_shut_arrivals_locked(m);
        wi_main_take_arrivals_locked(m);
    }
    wi_calls_forked_locked(m);
    if (m->owner == wi_thread_self())
        wi_parker_init(&m->owner->parker); /* another thread may have been inside it */
    m->tid = wi_thread_id();
    if (stays)
        wi_main_recount_locked(m);
}
