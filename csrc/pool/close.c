/* SPDX-License-Identifier: ISC
 *
 * close.c: pools wind down.
 *
 * A close only starts the end: it empties the queue (or lets it run dry first)
 * and then wakes everybody; threads leave by themselves; whoever finds nobody left makes
 * the pool CLOSED and gives the notices. A close has ended when those are given.
 * So any number of closes may meet, each waits for the same moment.
 */
#include "mailbox/dispatch.h"
#include "pool/life.h"
#include "pool/owed.h"

/* The caller holds the pool. */
static void start(weir_pool *p, weir_close_mode mode, weir_notice *closed)
{
    wi_lock(&p->lock);
    if (p->state < WI_CLOSING)
        wi_pool_begin_close_locked(p, mode);
    if (closed)
        wi_list_append(&p->closed, &closed->weir.link);
    if (closed && p->state == WI_CLOSED && p->notices == WI_NOTHING)
        wi_pool_owe_notices_locked(p);
    wi_pool_unlock(p); /* a drain has resumed what was paused */
}

static bool is_wrong(const weir_pool *p, weir_close_mode mode)
{
    return !p || (mode != WEIR_CLOSE && mode != WEIR_DRAIN);
}

int weir_close_async(weir_pool *p, weir_close_mode mode, weir_main *main, weir_notice *closed)
{
    if (is_wrong(p, mode))
        return WEIR_EINVAL;
    wi_pin pin;
    wi_pool_hold(&pin, p);
    int rc = wi_notice_expect(closed, main);
    if (rc == 0 && closed)
        closed->weir.outcome = 0;
    if (rc == 0)
        start(p, mode, closed);
    wi_pool_unpin(&pin);
    return rc;
}

/* Who gives the notices and closes inside one has only itself to wait for. */
static bool is_over(void *pool)
{
    weir_pool *p = pool;
    bool       teller = p->notices == WI_TELLING && pthread_equal(p->teller, pthread_self());
    return wi_pool_is_over_locked(p) || (p->state == WI_CLOSED && teller);
}
static bool is_joined(void *pool) { return !((weir_pool *)pool)->joining; }

enum { SLICE_MS = 10 };

/* A destructor of the last thread's may call our main, so its owner looks there between
 * two slices of the join: nothing else wakes it. */
static bool join_serving(const weir_pool *p, pthread_t last, wi_thread *self, int64_t deadline)
{
    bool slices = self && wi_has_timed_join(), joined = false, late = false;
    while (!joined && !late) {
        while (slices && wi_mains_serve(self, NULL)) {
        }
        if (!p->joining)
            return true; /* what it served has forked, and the thread stayed behind */
        int64_t slice = wi_deadline((int64_t)SLICE_MS * 1000000);
        late = !slices || (deadline >= 0 && deadline <= slice);
        joined = wi_thread_join(last, late ? deadline : slice);
    }
    return joined;
}

/* The last thread is past everything of ours but its own exit, where destructors of the
 * user's may run. Of several closers one joins it, the others wait for that, and try
 * when its time is up. */
static int join_last_relocks(weir_pool *p, wi_waiter *w, int64_t deadline)
{
    int rc;
    while ((rc = wi_wait_until(w, &p->lock, &p->waiters, is_joined, p, deadline)) == 0 &&
           p->has_last && !pthread_equal(p->last, pthread_self())) {
        if (deadline >= 0 && !wi_has_timed_join())
            return 0; /* who closes without a limit joins it */
        pthread_t last = p->last;
        p->has_last = false;
        p->joining = true;
        wi_unlock(&p->lock);
        bool joined = join_serving(p, last, w->thread, deadline);
        wi_lock(&p->lock);
        p->joining = false;
        p->has_last = !joined;
        wi_wake_waiters_locked(&p->waiters, NULL);
        if (!joined)
            return WEIR_ETIMEDOUT;
    }
    return rc;
}

static int close_within(weir_pool *p, weir_close_mode mode, int64_t timeout_ns)
{
    weir_task *t = weir_task_current(); /* with CALLER_RUNS we may be our own task */
    if (!p->forked && (wi_thread_pool() == p->serial || (t && wi_task_pool(t) == p)))
        return WEIR_EDEADLK;
    int64_t deadline = wi_deadline(timeout_ns);
    if (deadline < 0 && wi_mains_call_is_on_stack(wi_thread_self(), p, p->serial))
        return WEIR_EDEADLK;
    if (deadline < 0)
        wi_mains_fail_returned(wi_thread_self(), p, p->serial);
    start(p, mode, NULL);
    wi_waiter w;
    wi_wait_begin(&w, NULL);
    wi_lock(&p->lock);
    int rc = wi_wait_until(&w, &p->lock, &p->waiters, is_over, p, deadline);
    if (rc == 0)
        rc = join_last_relocks(p, &w, deadline);
    wi_unlock(&p->lock);
    wi_wait_end(&w);
    if (rc != 0)
        start(p, WEIR_CLOSE, NULL);
    return rc;
}

int weir_close_within(weir_pool *p, weir_close_mode mode, int64_t timeout_ns)
{
    if (is_wrong(p, mode))
        return WEIR_EINVAL;
    wi_pin pin;
    wi_pool_hold(&pin, p);
    int rc = close_within(p, mode, timeout_ns);
    wi_pool_unpin(&pin);
    return rc;
}

int weir_close(weir_pool *p, weir_close_mode mode) { return weir_close_within(p, mode, -1); }

void weir_pool_release(weir_pool *p)
{
    if (!p)
        return;
    wi_pin pin; /* the handle's reference */
    wi_lock(&p->lock);
    bool last = --p->handles == 0;
    wi_unlock(&p->lock);
    wi_pool_pin(&pin, p);
    if (last)
        start(p, WEIR_CLOSE, NULL);
    wi_pool_unpin(&pin);
}
