/* SPDX-License-Identifier: ISC
 *
 * worker.c: what a thread does while it serves a pool, owned or borrowed.
 *
 * A thread of ours that leaves joins the one that left before it; who closes the
 * pool joins the last. So no thread outlives a close, and none waits for two.
 */
#include "pool/worker.h"

#include "pool/hire.h"
#include "pool/holdings.h"
#include "pool/life.h"
#include "pool/owed.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- next --------------------------------------------------------------- */

/* While this thread serves, only a drain that has run dry can change the pool's state. */
static void end_drain_locked(weir_pool *p)
{
    if (p->state == WI_DRAINING)
        wi_pool_advance_locked(p);
}

/* Returns the task, or NULL with *rc. */
static weir_task *next_relocks(weir_pool *p, weir_worker *w, bool wait, int *rc)
{
    for (bool lingered = false;;) {
        wi_pool_tell_settled_relocks(p);
        end_drain_locked(p);
        bool       leaves = wi_pool_must_leave_locked(p, w);
        weir_task *t = leaves ? NULL : wi_pool_pick_locked(p, w);
        if (t)
            return t;
        *rc = leaves ? WEIR_ECLOSED : WEIR_EAGAIN;
        if (leaves || !wait)
            return NULL;
        if (!lingered && wi_pool_linger_relocks(p, w))
            lingered = true;
        else
            wi_pool_sleep_relocks(p, w);
    }
}

/* The common pick, after a task whose done took its time: as settle_steadily. NULL: nothing was
 * done. */
static weir_task *next_steadily_locked(weir_pool *p, weir_worker *w)
{
    bool steady = p->plain && !w->leaving && wi_pool_is_steady_locked(p, w);
    return steady ? wi_pool_pick_locked(p, w) : NULL;
}

static void begin_task(weir_worker *w, weir_task *t)
{
    w->task = t;
    wi_trace(WEIR_TRACE_STARTED, w->pool, t, 0);
}

int weir_worker_next(weir_worker *w, bool wait, weir_task **out)
{
    if (!w || !out)
        return WEIR_EINVAL;
    if (w != weir_worker_current() || w->task)
        return WEIR_EPERM;
    weir_pool *p = w->pool;
    int        rc = 0;
    wi_lock(&p->lock);
    weir_task *t = next_steadily_locked(p, w);
    if (t)
        wi_unlock(&p->lock);
    else {
        t = next_relocks(p, w, wait, &rc);
        wi_pool_unlock(p);
    }
    rc = t ? 0 : rc;
    if (t && p->forked) /* by what that told: t is the parent's, and closed here */
        return WEIR_ECLOSED;
    if (t) {
        begin_task(w, t);
        *out = t;
    }
    return rc;
}

/* ---- settle ------------------------------------------------------------- */

/* What the settling worker delivers itself: its task goes to the mailbox in the
 * same lock section, or is told here when it has no main. */
typedef struct {
    weir_main *main;
    wi_debt    debt;
    bool       tell;
} own_delivery;

static void deliver_own_locked(weir_task *t, own_delivery *d)
{
    weir_main *m = t->weir.main;
    if (m && wi_main_append(m, &t->weir.link, &d->debt)) {
        d->main = m;
        return;
    }
    if (m)
        wi_task_flag(t, WI_ORPHANED);
    d->tell = true;
}

/* The task that can follow at once, in the same lock section. */
static weir_task *follow_locked(weir_pool *p, weir_worker *w, const own_delivery *d)
{
    bool first = d->tell || !wi_list_empty(&p->settled) || wi_pool_has_posts(p);
    return first || wi_pool_must_leave_locked(p, w) ? NULL : wi_pool_pick_locked(p, w);
}

/* A worker that goes from one task to the next changes nothing that others must hear of, but
 * that there is space. While no submit must lock, nobody is to be woken or hired either. */
static void unlock_after_turn(weir_pool *p, wi_owed *owed, bool goes_on)
{
    owed->need = (wi_need){0};
    if (goes_on && !atomic_load(&p->must_lock) && !wi_pool_has_posts(p))
        wi_unlock(&p->lock);
    else
        wi_pool_unlock_owing(p, owed);
}

/* False: it was abandoned. */
static bool settle_ours(weir_pool *p, weir_worker *w, weir_task *t, int code, weir_task **next)
{
    wi_owed      owed;
    own_delivery d = {0};
    wi_name      name = wi_name_of(t);
    wi_lock(&p->lock);
    if (w->lost) {
        wi_unlock(&p->lock);
        return false;
    }
    if (p->forked) /* t is a visit there */
        p->visiting--, wi_unlink(&t->weir.link);
    w->runs = NULL;
    wi_end end = wi_pool_end_task_locked(p, t, code);
    if (end == WI_TO_TELL)
        deliver_own_locked(t, &d);
    end_drain_locked(p);
    if (next)
        *next = follow_locked(p, w, &d);
    unlock_after_turn(p, &owed, next && *next);
    wi_trace_named(end == WI_STAYS ? (unsigned)WEIR_TRACE_RAN : WEIR_TRACE_SETTLED, p, t, &name,
                   code);
    if (d.main)
        wi_main_pay(d.main, d.debt);
    wi_pool_pay(p, &owed);
    if (next && p->forked) /* by what that told: it is the parent's */
        *next = NULL;
    if (d.tell) /* last: a done may take its time */
        wi_task_tell(t);
    return true;
}

/* The common turn: t, which has a done, ended well in a pool of which nothing else is to be
 * thought. It does what settle_ours does then. False: nothing was done. */
static bool settle_steadily(weir_worker *w, weir_task *t, weir_task **next)
{
    weir_pool   *p = w->pool;
    own_delivery d = {0};
    wi_lock(&p->lock);
    if (!wi_pool_is_steady_locked(p, w)) {
        wi_unlock(&p->lock);
        return false;
    }
    w->runs = NULL;
    wi_pool_end_well_locked(p, t);
    deliver_own_locked(t, &d);
    *next = d.tell ? NULL : wi_pool_pick_locked(p, w);
    wi_unlock(&p->lock);
    wi_probe(WEIR_TRACE_SETTLED, p->name, t, 0);
    if (d.main)
        wi_main_pay(d.main, d.debt);
    if (d.tell)
        wi_task_tell(t);
    return true;
}

static bool is_plain(const weir_worker *w, const weir_task *t, int code)
{
    return code == 0 && t->done && w->pool->plain && !wi_is_traced();
}

static int turn(weir_worker *w, weir_task *t, int code, weir_task **next)
{
    w->task = NULL;
    if (*w->spawning)
        wi_spawning_end_all();
    bool settled = next && is_plain(w, t, code) && settle_steadily(w, t, next);
    if (settled || settle_ours(w->pool, w, t, code, next)) {
        if (next && *next)
            begin_task(w, *next);
        return w->pool->forked ? WEIR_ECLOSED : 0;
    }
    wi_trace(WEIR_TRACE_RAN, w->pool, t, code);
    wi_task_let_go(t);
    return WEIR_ECLOSED;
}

int weir_worker_settle(weir_worker *w, weir_task *t, int code)
{
    if (!w || !t)
        return WEIR_EINVAL;
    if (w != weir_worker_current() || w->task != t)
        return WEIR_EPERM;
    return turn(w, t, code, NULL);
}

/* ---- enter -------------------------------------------------------------- */

void wi_pool_open_if_all_reported(weir_pool *p)
{
    if (!wi_pool_must_report(p))
        return; /* its own first pick wakes others: here it would count itself out */
    wi_notice_post(p->ready, 0);
    wi_lock(&p->lock);
    wi_pool_opened_locked(p);
    wi_pool_unlock(p);
}

static void entered(weir_pool *p)
{
    wi_pool_open_if_all_reported(p);
    wi_trace(WEIR_TRACE_THREAD, p, NULL, 1);
}

/* One thread less is to come. False: none was. */
static bool answer_locked(weir_pool *p)
{
    if (p->expected)
        p->expected--;
    else if (p->wanted)
        wi_pool_unwant_locked(p, 1);
    else
        return false;
    return true;
}

static int may_enter_locked(weir_pool *p)
{
    if (!p->expected && p->state >= WI_CLOSING)
        return WEIR_ECLOSED;
    return answer_locked(p) ? 0 : WEIR_EFULL;
}

int weir_worker_enter(weir_pool *p, weir_worker **out)
{
    if (!p || !out || !p->opts.borrowed)
        return WEIR_EINVAL;
    if (weir_worker_current())
        return WEIR_EPERM;
    weir_worker *w = calloc(1, sizeof *w);
    if (!w)
        return WEIR_ENOMEM;
    wi_worker_init(w, p, false);
    wi_lock(&p->lock);
    int rc = may_enter_locked(p);
    if (rc != 0)
        goto refused;
    wi_pool_ref_locked(p);
    w->index = p->started++;
    wi_pool_entered_locked(p, w);
    wi_unlock(&p->lock);
    wi_signals_block(p->opts.worker_signal, &w->old_mask);
    w->spawning = wi_spawning_serve(&p->commands);
    wi_thread_belong(p->serial);
    wi_worker_set_self(*out = w);
    entered(p);
    return 0;

refused:
    wi_unlock(&p->lock);
    wi_worker_free(w);
    return rc;
}

static bool is_systems(int code) { return code == WEIR_EAGAIN || code == WEIR_ENOMEM; }

static void refuse_locked(weir_pool *p, int code)
{
    wi_pool_note_init_error_locked(p, is_systems(code) ? 0 : code);
    wi_pool_refused_locked(p, 1, is_systems(code) ? code : WEIR_EINIT);
}

void weir_worker_refuse(weir_pool *p, int code)
{
    if (!p || !p->opts.borrowed)
        return;
    wi_lock(&p->lock);
    if (answer_locked(p))
        refuse_locked(p, code);
    wi_pool_unlock_refused(p);
}

/* ---- leave -------------------------------------------------------------- */

/* One of those that will report did. A forked child expects none, and may be in its init. */
static void reported_locked(weir_pool *p) { p->expected -= p->expected > 0; }

/* A borrowed one that is unfit has entered: nobody must count on it when that is told. */
static void leave_relocks(weir_pool *p, weir_worker *w, int code, int init_error)
{
    bool unfit = code != 0 && !w->owned && !w->lost;
    if (code != 0 && w->owned) {
        reported_locked(p);
        wi_pool_note_init_error_locked(p, init_error);
        wi_pool_refused_locked(p, 1, code);
    }
    wi_pool_tell_settled_relocks(p);
    if (wi_linked(&w->of_workers)) {
        wi_unlink(&w->of_workers);
        p->serving--;
        p->leaving -= w->leaving;
        p->visiting += w->visits;
        p->blocked -= w->blocked > 0;                   /* no end of it will come */
        wi_wake_waiters_locked(&p->task_waiters, NULL); /* are they stuck now? */
    }
    if (w->lost && p->lost) /* a forked child has forgotten it */
        p->lost--;
    if (unfit)
        refuse_locked(p, code);
    wi_pool_advance_locked(p);
}

static bool is_lost(weir_worker *w)
{
    wi_lock(&w->pool->lock);
    bool lost = w->lost;
    wi_unlock(&w->pool->lock);
    return lost;
}

/* A lost thread is nobody's to join: close does not wait for it. */
static void retire(weir_worker *w, int code, int init_error)
{
    weir_pool *p = w->pool;
    if (w->owned && is_lost(w))
        pthread_detach(pthread_self());
    else if (w->owned)
        wi_pool_join_before(p);
    wi_lock(&p->lock);
    leave_relocks(p, w, code, init_error);
    wi_pool_unlock(p);
    wi_trace(WEIR_TRACE_THREAD, p, NULL, 0);
    wi_worker_set_self(NULL);
    wi_worker_free(w);
    wi_pool_unref(p);
}

/* Counted as leaving before, so that the replacement is not one too many. A forked child
 * replaces nobody. */
static void ask_for_replacement(weir_worker *w)
{
    wi_lock(&w->pool->lock);
    bool asks = !w->lost && !w->pool->forked;
    w->pool->leaving += asks && !w->leaving;
    w->leaving |= asks;
    wi_unlock(&w->pool->lock);
    if (asks)
        wi_pool_ask_lend(w->pool);
}

/* The replacement is asked for first, so that the pool is never without a thread
 * served or wanted while one can still be had. */
void weir_worker_leave(weir_worker *w, bool lost, int code)
{
    if (!w || w != weir_worker_current())
        return;
    sigset_t mask = w->old_mask;
    bool     owned = w->owned;
    int      unfit = lost || w->task ? 0 : code;
    wi_patience_set(false);
    if (lost)
        ask_for_replacement(w);
    if (w->task)
        weir_worker_settle(w, w->task, code);
    retire(w, owned ? 0 : unfit, 0);
    if (owned)
        return;
    wi_spawning_leave();
    wi_thread_belong(0);
    wi_signals_restore(&mask);
}

/* ---- a thread of ours --------------------------------------------------- */

static void begin(weir_pool *p, weir_worker *w)
{
    char number[12];
    wi_worker_set_self(w);
    wi_thread_belong(p->serial);
    if (w->later)
        wi_nature_take(&p->nature, !p->cpus);
    w->spawning = wi_spawning_serve(&p->commands);
    snprintf(number, sizeof number, "%u", w->index);
    wi_thread_name(p->name, number);
    if (p->opts.on_start)
        p->opts.on_start(p->opts.arg, w->index);
}

static void enter(weir_pool *p, weir_worker *w)
{
    wi_lock(&p->lock);
    reported_locked(p);
    wi_pool_entered_locked(p, w);
    wi_unlock(&p->lock);
    entered(p);
}

static void serve_until_told(weir_pool *p, weir_worker *w)
{
    weir_task *t = NULL;
    enter(p, w);
    while ((t || weir_worker_next(w, true, &t) == 0) && turn(w, t, t->run(t, w->state), &t) == 0) {
    }
    wi_patience_set(false);
    if (p->opts.at_exit && !p->forked) /* a child has no right to the parent's state */
        p->opts.at_exit(p->opts.arg, w->state);
}

void *wi_worker_serve(void *arg)
{
    weir_worker *w = arg;
    weir_pool   *p = w->pool;
    begin(p, w);
    int rc = p->opts.init ? p->opts.init(p->opts.arg, &w->state) : 0;
    if (rc == 0)
        serve_until_told(p, w);
    if (p->opts.on_stop)
        p->opts.on_stop(p->opts.arg, w->index);
    retire(w, rc ? WEIR_EINIT : 0, rc);
    return NULL;
}
