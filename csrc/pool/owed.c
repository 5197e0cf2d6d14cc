/* SPDX-License-Identifier: ISC
 *
 * owed.c: what a pool owes after an unlock, and who pays.
 *
 * DESIGN. A call changes the pool under its lock. Some of what follows from the change
 * must wait for the unlock: a woken thread would run into the lock, a thread takes long
 * to make, and a done or a notice is the user's code. All of that is owed, and the thread
 * that lets the lock go pays it, by wi_pool_unlock.
 *
 *   owed     when, under the lock                       paid
 *   a wake   work waits that nobody is on its way to    unparks an idle worker
 *   a timer  a deadline before the timer looks          unparks the timer
 *   a hire   work waits, nobody is idle, one may come   makes a thread, or asks the host
 *   posts    the outbox, or a notice of space told      to the mailboxes
 *   dones    `settled` holds some, no thread serves     told here; else a wake
 *   the end  CLOSED, and this thread made it so         the notices of `closed`
 *
 * They are paid in this order: what others can work on comes first, and the user's code,
 * which may take its time, last. What is decided under the lock is decided once: the
 * worker is off the idle list, and the thread is counted as expected or wanted. The rest
 * stands on lists, and whoever pays takes it from there under the lock.
 *
 * Whoever pays more than a wake holds the pool, from before the unlock until it is
 * through, because what it tells may release the pool. A wake alone needs no hold: the
 * worker that was popped cannot leave before it has had its token. Nothing owed: one look
 * at the queue, at the lists and at the notices.
 *
 * Who wins:
 *   two payers, one outbox       each link is popped under the lock, by one of them. The
 *                                pool's lock is held from there to the mailbox, so that a
 *                                fork, which takes it, finds a task in one of the two
 *   a done, and a thread that    the lock: a thread that has come is left the done, and
 *     comes                        looks before it first sleeps; while none is there, the
 *                                  payer tells it
 *   two ends of one pool         CLOSED is made once (life.c), and the thread that made it
 *                                  tells: `teller`; a notice that comes later is told by
 *                                  whoever brought it, or by a teller that is not through
 *   a hire that is refused       the refusal is a change like any other, but its unlock
 *                                  hires nobody, because that would be refused again and
 *                                  again; whoever brings work next does (staff.c)
 *
 * Where another lock of ours is held (the registry's, a pool's timer lock) nothing may be
 * paid. There wi_unlock lets the pool's lock go, and the same thread takes it once more
 * after the outer one, and pays; tools/floors refuses wi_pool_unlock inside.
 */
#include "pool/owed.h"

#include "pool/hire.h"
#include "pool/holdings.h"
#include "pool/life.h"

static void hire_one(weir_pool *p);
static void post_and_tell(weir_pool *p);

/* ---- the unlock --------------------------------------------------------- */

static void owe_locked(weir_pool *p, wi_owed *owed, wi_need need)
{
    owed->need = need;
    if (!need.more)
        return;
    wi_pool_ref_locked(p);
    wi_pool_pin(&owed->pin, p);
}

static bool must_tell_locked(const weir_pool *p)
{
    bool ends = p->notices == WI_DUE && pthread_equal(p->teller, pthread_self());
    return ends || wi_pool_has_posts(p) || (!wi_list_empty(&p->settled) && wi_pool_is_deserted(p));
}

/* Who is to be woken to tell what stands on `settled`: NULL when nothing does, or all
 * that serve are awake and will look. */
static weir_worker *teller_locked(weir_pool *p)
{
    if (wi_list_empty(&p->settled))
        return NULL;
    wi_pool_hail_locked(p);
    return wi_pool_pop_idle_locked(p);
}

static inline void unlock_in_need(weir_pool *p, wi_owed *owed, wi_need need)
{
    if (!need.wake)
        need.wake = teller_locked(p);
    if (must_tell_locked(p))
        need.more |= WI_TELL;
    owe_locked(p, owed, need);
    wi_unlock(&p->lock);
}

void wi_pool_unlock_owing(weir_pool *p, wi_owed *owed)
{
    unlock_in_need(p, owed, wi_pool_need_locked(p));
}

static __attribute__((cold)) void pay_more(weir_pool *p, wi_owed *owed)
{
    if (owed->need.more & WI_TIMER)
        wi_unpark(&p->timer_parker);
    if (owed->need.more & WI_HIRE)
        hire_one(p);
    if (owed->need.more & WI_TELL)
        post_and_tell(p);
    wi_pool_unpin(&owed->pin);
}

void wi_pool_pay_some(weir_pool *p, wi_owed *owed)
{
    if (owed->need.wake)
        wi_unpark(&owed->need.wake->parker);
    if (owed->need.too)
        wi_unpark(&owed->need.too->parker);
    if (owed->need.more)
        pay_more(p, owed);
}

void wi_pool_unlock(weir_pool *p)
{
    wi_owed owed;
    wi_pool_unlock_owing(p, &owed);
    wi_pool_pay(p, &owed);
}

void wi_pool_unlock_refused(weir_pool *p)
{
    wi_owed owed;
    unlock_in_need(p, &owed, (wi_need){0});
    wi_pool_pay(p, &owed);
}

/* ---- threads ------------------------------------------------------------ */

/* Nobody came for a reference of p, which the caller holds. */
static void not_started(weir_pool *p, unsigned n, int code)
{
    wi_lock(&p->lock);
    p->refs--;
    p->expected -= n;
    wi_pool_refused_locked(p, n, code);
    wi_pool_unlock_refused(p);
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
    wi_lock(&p->lock);
    unsigned n = p->lends_due;
    p->refs--;
    p->lends_due = 0;
    wi_pool_unwant_locked(p, n);
    p->lend_posted = false;
    wi_pool_refused_locked(p, n, WEIR_EAGAIN);
    wi_pool_unlock_refused(p);
}

bool wi_pool_lend(weir_pool *p)
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
    return wi_pool_lend(p);
}

static void hire_one(weir_pool *p)
{
    wi_trace(WEIR_TRACE_GREW, p, NULL, 0);
    if (p->opts.borrowed)
        wi_pool_lend(p);
    else
        wi_pool_spawn(p, 1, true);
}

/* ---- telling ------------------------------------------------------------ */

void wi_pool_tell_settled_relocks(weir_pool *p)
{
    weir_link *e;
    while ((e = wi_list_pop(&p->settled))) {
        wi_owed owed;
        owe_locked(p, &owed, wi_pool_need_locked(p)); /* a done may take its time */
        wi_unlock(&p->lock);
        wi_pool_pay(p, &owed);
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
    wi_name    name = wi_name_of(wi_task_of(e));
    if (!wi_main_append(m, e, &debt)) {
        wi_task_flag(wi_task_of(e), WI_ORPHANED);
        wi_list_append(&p->settled, e);
        return;
    }
    wi_unlock(&p->lock);
    wi_main_pay(m, debt);
    wi_trace_named(WEIR_TRACE_SETTLED, p, wi_task_of(e), &name, outcome);
    wi_lock(&p->lock);
}

static void post_notice_relocks(weir_pool *p, weir_link *e)
{
    weir_notice *n = wi_container(e, weir_notice, weir.link);
    weir_main   *m = n->weir.main;
    wi_debt      debt;
    wi_notice_leaves(n);
    bool open = wi_main_append(m, e, &debt);
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
static void post_and_tell(weir_pool *p)
{
    wi_lock(&p->lock);
    post_relocks(p);
    if (wi_pool_is_deserted(p))
        wi_pool_tell_settled_relocks(p);
    give_notice_relocks(p);
    weir_worker *w = teller_locked(p);
    wi_unlock(&p->lock);
    if (w)
        wi_unpark(&w->parker);
}
