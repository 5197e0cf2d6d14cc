/* SPDX-License-Identifier: ISC
 *
 * owed.c: what a pool owes after an unlock.
 *
 * A task that settles goes to a list of the pool. Its worker moves it on at once,
 * in the same lock section; what settles elsewhere is delivered after the unlock,
 * by wi_pool_after. It moves from the pool to the mailbox under the pool's lock, so
 * that a fork, which takes it, finds it in one of them.
 */
#include "pool/owed.h"

#include "pool/hire.h"
#include "pool/life.h"

/* ---- delivering --------------------------------------------------------- */

bool wi_pool_has_posts_locked(const weir_pool *p)
{
    return !wi_list_empty(&p->outbox) || !wi_list_empty(&p->space_told);
}

void wi_pool_tell_settled_relocks(weir_pool *p)
{
    weir_link *e;
    while ((e = wi_list_pop(&p->settled))) {
        wi_kick kick = wi_pool_kick_locked(p); /* a done may take its time */
        wi_unlock(&p->lock);
        wi_pool_kick(p, kick);
        wi_trace(WEIR_TRACE_SETTLED, p, wi_task_of(e), wi_task_of(e)->weir.outcome);
        wi_task_tell(wi_task_of(e));
        wi_lock(&p->lock);
    }
}

static void post_task_relocks(weir_pool *p, weir_link *e)
{
    weir_main *m = wi_task_of(e)->weir.main;
    wi_debt    debt;
    int        outcome = wi_task_of(e)->weir.outcome;
    if (!wi_main_append(m, e, &debt)) {
        wi_task_flag(wi_task_of(e), WI_ORPHANED);
        wi_list_append(&p->settled, e);
        return;
    }
    wi_unlock(&p->lock);
    wi_main_pay(m, debt);
    wi_trace(WEIR_TRACE_SETTLED, p, wi_task_of(e), outcome);
    wi_lock(&p->lock);
}

static void post_notice_relocks(weir_pool *p, weir_link *e)
{
    weir_notice *n = wi_container(e, weir_notice, weir.link);
    weir_main   *m = n->weir.main;
    wi_debt      debt;
    bool         open = wi_main_append(m, e, &debt);
    wi_unlock(&p->lock);
    if (open)
        wi_main_pay(m, debt);
    else
        wi_notice_tell(n); /* here: its main has closed */
    wi_lock(&p->lock);
}

static void post_relocks(weir_pool *p)
{
    weir_link *e;
    while ((e = wi_list_pop(&p->outbox)))
        post_task_relocks(p, e);
    while ((e = wi_list_pop(&p->space_told)))
        post_notice_relocks(p, e);
}

static void give_notice_relocks(weir_pool *p)
{
    weir_link *e;
    if (p->notices != WI_DUE || !pthread_equal(p->teller, pthread_self()))
        return; /* not due, or on its way: who found the end tells it */
    p->notices = WI_TELLING;
    bool first = !p->traced_close;
    p->traced_close = true;
    wi_unlock(&p->lock);
    if (first)
        wi_trace(WEIR_TRACE_CLOSED, p, NULL, 0);
    wi_lock(&p->lock);
    while ((e = wi_list_pop(&p->closed))) {
        weir_notice *n = wi_container(e, weir_notice, weir.link);
        wi_unlock(&p->lock);
        wi_notice_post(n, n->weir.outcome);
        wi_lock(&p->lock);
    }
    p->notices = WI_NOTHING;
    wi_wake_waiters_locked(&p->waiters, NULL);
}

/* A done without a main runs on a worker; here, when the pool has none. */
void wi_pool_after(weir_pool *p)
{
    weir_worker *w = NULL;
    wi_lock(&p->lock);
    post_relocks(p);
    if (wi_pool_is_deserted(p))
        wi_pool_tell_settled_relocks(p);
    else if (!wi_list_empty(&p->settled)) {
        wi_pool_hail_locked(p);
        if ((w = wi_pool_pop_idle_locked(p)))
            wi_unpark(&w->parker);
    }
    give_notice_relocks(p);
    wi_unlock(&p->lock);
}

/* ---- threads ------------------------------------------------------------ */

static void not_started(weir_pool *p, unsigned n, int code)
{
    wi_pin pin; /* the thread's reference */
    wi_pool_pin(&pin, p);
    wi_lock(&p->lock);
    p->expected -= n;
    wi_pool_refused_locked(p, n, code);
    wi_unlock(&p->lock);
    wi_pool_after(p);
    wi_pool_unpin(&pin);
}

int wi_pool_spawn(weir_pool *p, unsigned n, bool later)
{
    int      rc;
    unsigned refused = wi_pool_hire(p, n, later, &rc);
    if (refused)
        not_started(p, refused, rc);
    return rc;
}

/* The main that lends go to is closed: nobody will answer, whoever asked. */
static void no_lends(weir_pool *p)
{
    wi_pin pin; /* the reference of what was not posted */
    wi_pool_pin(&pin, p);
    wi_lock(&p->lock);
    unsigned n = p->lends_due;
    p->wanted -= n;
    p->lends_due = 0;
    p->lend_posted = false;
    wi_pool_refused_locked(p, n, WEIR_EAGAIN);
    wi_unlock(&p->lock);
    wi_pool_after(p);
    wi_pool_unpin(&pin);
}

static bool lend(weir_pool *p)
{
    bool posted = wi_pool_post_lend(p);
    if (!posted)
        no_lends(p);
    return posted;
}

bool wi_pool_ask_lend(weir_pool *p)
{
    if (!wi_pool_can_lend(p))
        return false;
    wi_lock(&p->lock);
    p->wanted++, p->lends_due++;
    wi_unlock(&p->lock);
    return lend(p);
}

static int grow(weir_pool *p)
{
    wi_pin pin; /* the kick's reference */
    wi_pool_pin(&pin, p);
    wi_trace(WEIR_TRACE_GREW, p, NULL, 0);
    int rc = p->opts.borrowed ? lend(p) ? 0 : WEIR_EAGAIN : wi_pool_spawn(p, 1, true);
    wi_pool_unpin(&pin);
    return rc;
}

int wi_pool_kick(weir_pool *p, wi_kick kick)
{
    if (kick.wake)
        wi_unpark(&kick.wake->parker);
    if (kick.timer) {
        wi_unpark(&p->timer_parker);
        wi_pool_unref(p);
    }
    return kick.grow ? grow(p) : 0;
}
