/* SPDX-License-Identifier: ISC
 *
 * run.c: tasks come in, and are taken back: run, cancel, purge, unpark, pause.
 *
 * DESIGN. One lock, short sections, and before it the queue's inbox, to which a
 * submit goes that has nobody to wake. Idle workers stand on a LIFO list, each on
 * a parker of its own. staff.c decides who is woken, and when a submit may skip the
 * lock. Workers are unparked after the unlock; a popped worker consumes its token
 * before it can park again, so no token goes astray.
 */
#include "mailbox/pending.h"
#include "pool/holdings.h"
#include "pool/life.h"
#include "pool/owed.h"
#include "pool/timer.h"

#include <string.h>

/* ---- run ---------------------------------------------------------------- */

static void await_space(weir_pool *p, weir_notice *n)
{
    wi_lock(&p->lock);
    wi_list_append(&p->space_notices, &n->weir.link);
    if (wi_pool_has_space(p))
        wi_pool_tell_space_locked(p, p->state > WI_OPEN ? WEIR_ECLOSED : 0);
    wi_pool_unlock(p);
}

int weir_pool_on_space(weir_pool *p, weir_notice *n, weir_main *m)
{
    if (!p || !n || !m)
        return WEIR_EINVAL;
    wi_pin pin;
    wi_pool_hold(&pin, p);
    int rc = wi_notice_expect(n, m);
    if (rc == 0)
        await_space(p, n);
    wi_pool_unpin(&pin);
    return rc;
}

static int wait_for_space_relocks(weir_pool *p)
{
    if (weir_pool_current() == p)
        return WEIR_EDEADLK;
    if (wi_pool_waits_for_us_relocks(p))
        return WEIR_EDEADLK;
    wi_waiter w;
    wi_wait_begin(&w, NULL);
    wi_wait_until(&w, &p->lock, &p->space_waiters, wi_pool_has_space, p, -1);
    wi_unlock(&p->lock);
    wi_wait_end(&w);
    wi_lock(&p->lock);
    return 0;
}

/* 0: queue it. WEIR_EAGAIN: let the caller run it. */
static int full_relocks(weir_pool *p, weir_task *t)
{
    switch (p->opts.when_full) {
    case WEIR_BLOCK: return wait_for_space_relocks(p);
    case WEIR_CALLER_RUNS: return WEIR_EAGAIN;
    case WEIR_DROP_OLDEST:
        if (wi_pool_drop_oldest_locked(p, (weir_priority)t->weir.priority))
            return 0;
        break;
    case WEIR_REFUSE: break;
    }
    p->stats.refused++;
    return WEIR_EFULL;
}

static int admit_relocks(weir_pool *p, weir_task *t)
{
    int rc = 0;
    while (rc == 0) {
        if (p->forked)
            return WEIR_EFORKED;
        if (p->state > WI_OPEN)
            return WEIR_ECLOSED;
        if (!wi_pool_is_full(p))
            return 0;
        rc = full_relocks(p, t);
    }
    return rc;
}

/* A worker that is there already visits on its own account, and is not counted twice. When
 * it is lost or leaves, its visits go to the pool's. */
static unsigned *visits_locked(weir_pool *p, bool begins)
{
    weir_worker *w = weir_worker_current();
    bool         own = w && w->pool == p && (begins ? !w->lost : w->visits > 0);
    return own ? &w->visits : &p->visiting;
}

static void begin_visit_locked(weir_pool *p, weir_task *t)
{
    wi_task_set_pool(t, p);
    t->weir.worker = NULL;
    t->weir.deadline = 0;
    p->stats.submitted++;
    ++*visits_locked(p, true);
    wi_pool_ref_locked(p);
    wi_queue_visit(&p->queue, t);
    t->weir.since = wi_pool_clock(p);
    wi_task_move(t, WEIR_TASK_RUNNING);
    wi_list_append(&p->visits, &t->weir.link);
}

static void end_visit(weir_pool *p, weir_task *t, int code)
{
    wi_lock(&p->lock);
    wi_unlink(&t->weir.link);
    if (wi_pool_end_task_locked(p, t, code) == WI_TO_TELL)
        wi_pool_list_settled_locked(p, t);
    --*visits_locked(p, false);
    wi_wake_waiters_locked(&p->task_waiters, NULL); /* are they stuck now? */
    wi_pool_advance_locked(p);
    wi_pool_unlock(p);
}

/* Policy CALLER_RUNS: the caller visits, with no state. Called with the lock held,
 * leaves without. It may be the last to leave, and tell a notice that releases p. */
static void visit(weir_pool *p, weir_task *t, const wi_name *name)
{
    weir_task *here = t;
    wi_name    ran = {.label = name->label, .number = name->number};
    wi_pin     pin;
    begin_visit_locked(p, t);
    wi_unlock(&p->lock);
    wi_pool_pin(&pin, p);
    wi_trace_named(WEIR_TRACE_QUEUED, p, t, name, 0);
    wi_record_if(WEIR_TRACE_STARTED, p->label, &ran, 0);
    wi_task_place *outer = wi_task_current_in(&here);
    pin.task = t;
    int code = t->run(t, NULL);
    pin.task = NULL;
    wi_task_current_in(outer);
    wi_record_if(WEIR_TRACE_RAN, p->label, &ran, code);
    end_visit(p, t, code);
    wi_pool_unpin(&pin);
}

/* Without the lock, for a pool whose workers are all busy or on their way. */
static bool offer(weir_pool *p, weir_task *t, bool *ends_lot)
{
    bool plain = t->weir.priority == WEIR_NORMAL && !t->weir.deadline;
    if (!plain || atomic_load(&p->must_lock))
        return false;
    wi_task_set_pool(t, p);
    t->weir.since = wi_pool_clock(p);
    wi_task_move(t, WI_TASK_OFFERED);
    if (wi_queue_offer(&p->queue, t, ends_lot))
        return true; /* *t may be gone */
    wi_task_move(t, WI_TASK_CLAIMED);
    return false;
}

/* Nobody need wait for the lot: whoever has the lock takes it in, or will be asked again. But
 * that thread may have lost its CPU to this one, which then would go on to push what nobody
 * takes in while it is warm: so after many lots this one waits, and hands the CPU back. */
__attribute__((noinline)) static void take_in_lot(weir_pool *p)
{
    if (wi_queue_ends_many(&p->queue))
        wi_lock(&p->lock);
    else if (!wi_trylock(&p->lock))
        return;
    wi_queue_take_in(&p->queue);
    wi_pool_unlock(p);
}

/* must_lock was false before the push; a worker may have fallen asleep meanwhile. */
__attribute__((noinline)) static void offered_unseen(weir_pool *p)
{
    wi_lock(&p->lock);
    wi_pool_unlock(p); /* which decides whom to wake, and wakes */
}

static void offered(weir_pool *p, bool ends_lot)
{
    if (atomic_load(&p->must_lock))
        offered_unseen(p);
    else if (ends_lot)
        take_in_lot(p);
}

/* The other way. */
__attribute__((noinline)) static int run_locked(weir_pool *p, weir_task *t, const wi_name *name)
{
    wi_owed owed;
    wi_lock(&p->lock);
    int rc = admit_relocks(p, t);
    if (rc == WEIR_EAGAIN) {
        visit(p, t, name);
        return 0;
    }
    if (rc == 0)
        wi_pool_enqueue_locked(p, t);
    wi_pool_unlock_owing(p, &owed);
    if (rc == 0)
        wi_trace_named(WEIR_TRACE_QUEUED, p, t, name, 0);
    wi_pool_pay(p, &owed);
    return rc;
}

static int run_aimed(weir_pool *p, weir_task *t)
{
    bool    ends_lot;
    wi_name name = wi_name_of(t);
    if (!offer(p, t, &ends_lot))
        return run_locked(p, t, &name);
    wi_trace_named(WEIR_TRACE_QUEUED, p, t, &name, 0);
    offered(p, ends_lot);
    return 0;
}

static int run_claimed(weir_pool *p, weir_task *t, weir_main *m)
{
    int rc = t->weir.deadline ? wi_timer_need(p) : 0;
    if (rc != 0)
        return rc;
    if (!wi_task_aim(t, m))
        return WEIR_ECLOSED;
    rc = run_aimed(p, t);
    if (rc != 0)
        wi_task_unaim(t);
    return rc;
}

/* It tells on_busy, or waits for space and serves calls meanwhile. */
static bool may_run_user_code(const weir_pool *p, const weir_main *m)
{
    bool waits = p->opts.queue_limit && p->opts.when_full == WEIR_BLOCK;
    return wi_main_tells_busy(m) || (waits && wi_thread_self());
}

static int run_held(weir_pool *p, weir_task *t, weir_main *m)
{
    wi_pin pin;
    wi_pool_hold(&pin, p);
    int rc = run_claimed(p, t, m);
    wi_pool_unpin(&pin);
    return rc;
}

__attribute__((always_inline)) static inline int run(weir_pool *p, weir_task *t,
                                                     const weir_run_options *o)
{
    weir_main *m = o->deliver_to;
    unsigned   was;
    if (!p || !t || !t->run)
        return WEIR_EINVAL;
    if (!wi_task_claim(t, &was))
        return WEIR_EBUSY;
    wi_task_clear_flags(t);
    t->weir.priority = o->priority;
    t->weir.label = o->label;
    t->weir.number = wi_is_traced() ? wi_record_number() : 0;
    int64_t deadline = o->start_within_ns ? wi_deadline(o->start_within_ns) : 0;
    t->weir.deadline = deadline < 0 ? 0 : deadline; /* beyond the clock's end: none */
    int rc = may_run_user_code(p, m) ? run_held(p, t, m) : run_claimed(p, t, m);
    if (rc != 0)
        wi_task_move(t, was);
    return rc;
}

int weir_run(weir_pool *p, weir_task *t, weir_main *m)
{
    return run(p, t, &(weir_run_options){.deliver_to = m});
}

int weir_run_with(weir_pool *p, weir_task *t, const weir_run_options *given)
{
    weir_run_options o = {0};
    if (given && (given->size == 0 || given->size > sizeof o))
        return WEIR_EINVAL;
    if (given)
        memcpy(&o, given, given->size);
    if ((unsigned)o.priority >= WEIR_LEVELS || o.start_within_ns < 0)
        return WEIR_EINVAL;
    return run(p, t, &o);
}

/* ---- cancel and unpark -------------------------------------------------- */

static int cancel_locked(weir_pool *p, weir_task *t)
{
    switch (wi_task_state(t)) {
    case WEIR_TASK_QUEUED: wi_pool_unqueue_locked(p, t); break;
    case WEIR_TASK_PARKED: wi_pool_unlist_parked_locked(p, t); break;
    default: wi_task_flag(t, WI_CANCEL); return WEIR_EBUSY;
    }
    wi_pool_settle_locked(p, t, WEIR_ECANCELED);
    wi_pool_advance_locked(p);
    return 0;
}

int weir_cancel(weir_task *t)
{
    weir_pool *p = wi_task_lock_pool(t);
    if (!p)
        return WEIR_EINVAL;
    int rc = cancel_locked(p, t);
    wi_pool_unlock(p);
    return rc;
}

size_t weir_pool_purge(weir_pool *p)
{
    if (!p)
        return 0;
    wi_lock(&p->lock);
    size_t n = wi_pool_empty_queue_locked(p, WEIR_ECANCELED);
    wi_pool_advance_locked(p);
    wi_pool_unlock(p);
    return n;
}

int weir_task_unpark(weir_task *t)
{
    weir_pool *p = wi_task_lock_pool(t);
    if (!p)
        return WEIR_EINVAL;
    if (wi_task_state(t) == WEIR_TASK_RUNNING)
        wi_task_flag(t, WI_UNPARKED);
    if (wi_task_state(t) == WEIR_TASK_PARKED)
        wi_pool_unpark_locked(p, t);
    wi_pool_unlock(p);
    return 0;
}

/* The deadline is nobody else's while the task runs; with the park it goes on the heap. */
int weir_task_park_within(weir_task *t, int64_t timeout_ns)
{
    weir_pool *p = t && t == weir_task_current() ? wi_task_pool(t) : NULL;
    if (!p)
        return WEIR_EINVAL;
    int64_t deadline = wi_deadline(timeout_ns);
    int     rc = deadline < 0 ? 0 : wi_timer_need(p);
    if (rc == 0)
        t->weir.deadline = deadline < 0 ? 0 : deadline;
    return rc;
}

/* ---- pause -------------------------------------------------------------- */

static int set_paused(weir_pool *p, bool paused)
{
    if (!p)
        return WEIR_EINVAL;
    wi_lock(&p->lock);
    int rc = p->state > WI_OPEN ? WEIR_ECLOSED : 0;
    if (rc == 0)
        p->paused = paused;
    wi_pool_unlock(p);
    return rc;
}

int weir_pool_pause(weir_pool *p) { return set_paused(p, true); }
int weir_pool_resume(weir_pool *p) { return set_paused(p, false); }
