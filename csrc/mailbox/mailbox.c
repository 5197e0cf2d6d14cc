/* SPDX-License-Identifier: ISC
 *
 * mailbox.c: who holds a main, and how a delivery comes to it.
 *
 * Any thread pushes a delivery to `arrivals`, without a lock. The poster that finds them
 * empty tells the owner: one write to the descriptor covers every post until the owner
 * takes them. Whoever takes the arrivals does it under the lock. The owner puts them in order
 * into its batch after the unlock if it can, because the next poster finds the arrivals empty,
 * wants the lock to tell, and would sleep for it. The poster that ended a lot (see stack.h) puts
 * them in order into `sorted`, under the lock, so that the owner finds long lists in order.
 *
 * Two posts at once: one finds the arrivals empty, and must tell; the other may sort both away
 * before that. So a poster that tells looks at `sorted` too.
 *
 * It sets `signalled` under the lock and writes after the unlock. The flag means
 * that a write is owed, or was done and not read yet, so a poster that finds it set need not
 * write.
 *
 * While the main is quiet nothing is written, because the owner has promised to look. Where
 * that ends, the owner looks at the arrivals under the lock, and a poster looks at `quiet`
 * under it after its push: one of the two writes.
 */
#include "mailbox/mailbox.h"

#include "mailbox/lag.h"

#include <stdlib.h>

/* ---- references --------------------------------------------------------- */

void wi_main_uncount(weir_main *m, uint64_t count)
{
    if (atomic_fetch_sub(&m->refs, count) != count)
        return;
    wi_mutex_destroy(&m->lock);
    wi_thread_drop(m->owner);
    free(m);
}

void wi_main_hold(weir_main *m) { atomic_fetch_add(&m->refs, WI_HOLDER); }
void wi_main_release(weir_main *m) { wi_main_uncount(m, WI_HOLDER); }

void wi_box_init(wi_box *b)
{
    wi_list_init(&b->now), wi_list_init(&b->later);
    wi_list_init(&b->calls), wi_list_init(&b->lends);
}

bool wi_box_is_empty(const wi_box *b)
{
    return wi_list_empty(&b->now) && wi_list_empty(&b->later) && wi_list_empty(&b->lends);
}

static bool has_posts_locked(const weir_main *m)
{
    return wi_stack_holds_some(&m->arrivals) || !wi_box_is_empty(&m->sorted);
}

bool wi_main_has_some_locked(const weir_main *m)
{
    return !wi_box_is_empty(&m->batch) || has_posts_locked(m);
}

int weir_main_fd(const weir_main *m) { return m ? m->wake.rfd : WEIR_EINVAL; }

/* ---- the arrivals ------------------------------------------------------- */

/* From the newest on, each goes before those already put: in order again. */
void wi_box_put(wi_box *b, weir_link *e)
{
    weir_link *last = b->later.head.prev, *last_call = b->calls.head.prev;
    weir_link *last_lend = b->lends.head.prev;
    for (weir_link *before; e; e = before) {
        before = e->next;
        wi_list_insert_after(e->kind->lane == WI_LENDS ? last_lend : last, e);
        if (e->kind->lane == WI_CALLS)
            wi_list_insert_after(last_call, &wi_container(e, wi_call_links, link)->of_calls);
    }
}

void wi_main_sort_locked(weir_main *m)
{
    wi_lag_sorts(m);
    wi_box_put(&m->sorted, wi_stack_take(&m->arrivals));
}

void wi_main_shut_arrivals_locked(weir_main *m)
{
    wi_lag_sorts(m);
    wi_box_put(&m->sorted, wi_stack_shut(&m->arrivals));
}

/* ---- posting ------------------------------------------------------------ */

/* The system may give the number to another file at once, so no write may come after. */
void wi_main_close_wake(weir_main *m, bool writer)
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
    wi_main_close_wake(m, true);
}

/* Tells the owner, if what was posted has not been taken meanwhile. A wait for
 * something else than deliveries looks for the urgent alone, so those always tell
 * it: the thread that it waits for may itself wait for them. */
static void tell_owner(weir_main *m, bool urgent)
{
    wi_lock(&m->lock);
    bool there = has_posts_locked(m);
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

static void sort(weir_main *m)
{
    wi_lock(&m->lock);
    wi_main_sort_locked(m);
    wi_unlock(&m->lock);
}

void wi_main_pay_some(weir_main *m, wi_debt debt)
{
    if (debt & WI_OWES_ORDER)
        sort(m);
    if (debt & (WI_OWES_NEWS | WI_OWES_URGENT))
        tell_owner(m, debt & WI_OWES_URGENT);
    wi_main_release(m);
}

/* A poster that may owe something holds the main from before its push, because after it the
 * delivery may be over and the main closed. */
bool wi_main_append_owing(weir_main *m, weir_link *e, bool ends_lot, wi_debt *debt)
{
    wi_debt always = e->kind->lane == WI_OTHERS ? 0 : WI_OWES_URGENT;
    if (ends_lot)
        always |= WI_OWES_ORDER;
    for (;;) {
        weir_link *newest = wi_stack_newest(&m->arrivals);
        *debt = newest == NULL ? always | WI_OWES_NEWS : always;
        if (newest == WI_SHUT)
            return *debt = 0, false;
        if (*debt)
            wi_main_hold(m);
        if (!newest)
            wi_lag_arrives(m);
        if (wi_stack_push_onto(&m->arrivals, newest, e))
            return true;
        if (*debt)
            wi_main_release(m);
    }
}

bool wi_main_post(weir_main *m, weir_link *e)
{
    wi_debt debt;
    bool    open = wi_main_append(m, e, &debt);
    wi_main_pay(m, debt);
    return open;
}
