/* SPDX-License-Identifier: ISC
 *
 * fork.c: what a child of fork finds.
 *
 * prepare takes every lock of ours: the registry's, each pool's, each main's.
 * The parent lets them go. In the child the one thread left holds them all, so it
 * may put everything in order before user code runs: every pool is CLOSED with
 * its unsettled tasks settled as closed, in the mailboxes of the mains that have
 * kept their thread; a task whose run this thread is inside of settles when that
 * returns, because until then the task and its run are in use; every such main has a descriptor of
 * its own on the number that its loop watches, else the child would read the parent's wake-ups. A
 * thread of a pool blocks signals that a command must hear: the child does not.
 */
#include "pool/fork.h"

#include "base/at_fork.h"
#include "base/registry.h"
#include "mailbox/dispatch.h"
#include "pool/holdings.h"
#include "pool/life.h"

static void each_pool(void (*fn)(weir_pool *))
{
    wi_list *l = &wi_registry()->pools;
    for (weir_link *e = wi_list_first(l); e; e = wi_list_after(l, e))
        fn(wi_container(e, weir_pool, registered));
}

static void each_main(void (*fn)(weir_main *))
{
    wi_list *l = &wi_registry()->mains;
    for (weir_link *e = wi_list_first(l); e; e = wi_list_after(l, e))
        fn(wi_container(e, weir_main, registered));
}

static void lock_pool(weir_pool *p) { wi_mutex_lock(&p->lock); }
static void lock_main(weir_main *m) { wi_mutex_lock(&m->lock); }
static void unlock_pool(weir_pool *p) { wi_mutex_unlock(&p->lock); }
static void unlock_main(weir_main *m) { wi_mutex_unlock(&m->lock); }

static void prepare(void)
{
    wi_mutex_lock(&wi_registry()->lock);
    each_pool(lock_pool);
    each_main(lock_main);
    wi_record_hold();
}

static void unlock_all(void)
{
    each_main(unlock_main);
    each_pool(unlock_pool);
    wi_mutex_unlock(&wi_registry()->lock);
}

static void parent(void)
{
    wi_record_release();
    unlock_all();
}

/* ---- the child ---------------------------------------------------------- */

/* The thread left is their owner: straight into the batches. */
static void post_notice_locked(weir_notice *n, int outcome)
{
    n->weir.outcome = outcome;
    if (!n->weir.main || !wi_main_stays(n->weir.main)) {
        wi_notice_free(n);
        return;
    }
    wi_notice_leaves(n);
    wi_list_append(&n->weir.main->batch.later, &n->weir.link);
}

static void post_locked(weir_pool *p)
{
    weir_link *e;
    while ((e = wi_list_pop(&p->outbox))) {
        weir_main *m = wi_task_of(e)->weir.main;
        if (!wi_main_stays(m))
            wi_task_flag(wi_task_of(e), WI_ORPHANED);
        wi_list_append(wi_main_stays(m) ? &m->batch.later : &p->settled, e);
    }
}

/* t is still this thread's, and so is what it has of its main. */
static void keep_task_locked(weir_task *t)
{
    weir_main *m = t->weir.main;
    bool       pends = t->done && !(wi_task_flags(t) & WI_ABANDONED);
    t->weir.forks = wi_forks;
    if (m)
        *(pends ? &m->coming : &m->kept) += 1;
}

/* Not if this thread is inside of its run: it settles when that returns, and is a visit until
 * then, because a child of this child has no worker to ask. */
static void settle_run_locked(weir_pool *p, weir_task *t)
{
    if (wi_task_runs_here(t)) {
        keep_task_locked(t);
        p->visiting++;
        wi_list_append(&p->visits, &t->weir.link);
    } else {
        wi_queue_ended(&p->queue, t);
        wi_pool_settle_locked(p, t, WEIR_ECLOSED);
    }
}

static void settle_running_locked(weir_pool *p)
{
    weir_link *e;
    wi_list    visits;
    p->visiting = 0;
    wi_list_init(&visits);
    wi_list_splice(&visits, &p->visits);
    while ((e = wi_list_pop(&visits)))
        settle_run_locked(p, wi_task_of(e));
    for (e = wi_list_first(&p->workers); e; e = wi_list_after(&p->workers, e)) {
        weir_worker *w = wi_container(e, weir_worker, of_workers);
        if (w->runs)
            settle_run_locked(p, w->runs);
        w->runs = NULL;
    }
}

static void settle_all_locked(weir_pool *p)
{
    weir_task *t;
    weir_link *e;
    wi_queue_shut(&p->queue);
    wi_pool_tell_space_locked(p, WEIR_ECLOSED);
    while ((t = wi_queue_first(&p->queue))) {
        wi_queue_remove(&p->queue, t);
        wi_pool_settle_locked(p, t, WEIR_ECLOSED);
    }
    while ((e = wi_list_pop(&p->parked)))
        wi_pool_settle_locked(p, wi_task_of(e), WEIR_ECLOSED);
    settle_running_locked(p);
    post_locked(p);
}

static void post_notices_locked(weir_pool *p)
{
    weir_link *e;
    while ((e = wi_list_pop(&p->space_told))) {
        weir_notice *n = wi_container(e, weir_notice, weir.link);
        post_notice_locked(n, n->weir.outcome);
    }
    if (p->ready && !p->reported)
        post_notice_locked(p->ready, WEIR_ECLOSED);
    p->reported = true;
    while ((e = wi_list_pop(&p->closed)))
        post_notice_locked(wi_container(e, weir_notice, weir.link), 0);
}

/* The worker that this thread is runs on, and counts for nothing. */
static void forget_self(const weir_pool *p)
{
    weir_worker *w = weir_worker_current();
    if (!w || w->pool != p)
        return;
    w->blocked = 0, w->awaited = NULL;
    if (w->lost && w->task)
        keep_task_locked(w->task);
}

static void forget_threads(weir_pool *p)
{
    forget_self(p);
    while (wi_list_pop(&p->workers)) {
    }
    while (wi_list_pop(&p->idle)) {
    }
    p->serving = p->leaving = p->expected = p->wanted = p->lost = 0;
    p->blocked = p->in_wait = p->timed = 0;
    p->asleep = p->searching = 0;
    p->lingering = p->has_last = p->joining = p->timer = false;
    wi_mutex_init(&p->timer_lock);
    wi_parker_init(&p->timer_parker); /* the parent's timer may sleep in it */
    wi_unpark(&p->timer_parker);      /* or is us, in a done: it has to leave */
    p->deadlines.root = NULL;
    p->lending = p->main && p->main->owner == wi_thread_self() ? p->lending : 0;
    p->refs = p->handles + p->lend_posted + p->lending;
    p->refs += (weir_pool_current() == p) + wi_pool_pins(p);
}

/* Nobody wakes these any more. One by one, for this thread may be among them, in a wait
 * that served the fork: it finds itself off the list and looks again. The stacks of the
 * others are still mapped. */
static void forget_waiters(weir_pool *p)
{
    while (wi_list_pop(&p->waiters) || wi_list_pop(&p->task_waiters) ||
           wi_list_pop(&p->space_waiters)) {
    }
}

static void kill_pool(weir_pool *p)
{
    if (p->main)
        p->main->kept++; /* its hold on the main stays */
    forget_waiters(p);
    settle_all_locked(p);
    post_notices_locked(p);
    forget_threads(p);
    wi_pool_forked_locked(p);
}

static void take_arrivals(weir_main *m)
{
    if (wi_main_stays(m))
        wi_main_take_arrivals_locked(m); /* they come before what the pools settle */
}

static void child(void)
{
    each_main(take_arrivals);
    each_pool(kill_pool);
    each_main(wi_main_forked_locked);
    wi_spawning_forked();
    wi_record_forked();
    unlock_all();
}

void wi_fork_init(void)
{
    static weir_fork_hook hook = {.before = prepare, .in_parent = parent, .in_child = child};
    wi_at_fork(&hook);
}
