/* SPDX-License-Identifier: ISC
 *
 * mailbox.c: who holds a main, and how a delivery comes to it.
 *
 * Any thread pushes a delivery to `arrivals`, without a lock. The poster that finds them
 * empty tells the owner: one write to the descriptor covers every post until the owner
 * takes them. It sets `signalled` under the lock and writes after the unlock. The flag means
 * that a write is owed, or was done and not read yet, so a poster that finds it set need not
 * write.
 *
 * While the main is quiet nothing is written, because the owner has promised to look. Where
 * that ends, the owner looks at the arrivals under the lock, and a poster looks at `quiet`
 * under it after its push: one of the two writes.
 */
#include "mailbox/mailbox.h"

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

bool wi_box_is_empty(const wi_box *b)
{
    return wi_list_empty(&b->now) && wi_list_empty(&b->later) && wi_list_empty(&b->lends);
}

bool wi_main_has_some(const weir_main *m)
{
    return !wi_box_is_empty(&m->batch) || wi_stack_holds_some(&m->arrivals);
}

int weir_main_fd(const weir_main *m) { return m ? m->wake.rfd : WEIR_EINVAL; }

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
    tell_owner(m, debt.urgent);
    wi_main_release(m);
}

/* A poster that may have to tell holds the main from before its push, because after it the
 * delivery may be over and the main closed. */
bool wi_main_append(weir_main *m, weir_link *e, wi_debt *debt)
{
    for (;;) {
        weir_link *newest = wi_stack_newest(&m->arrivals);
        bool       urgent = e->kind->lane != WI_OTHERS;
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

bool wi_main_post(weir_main *m, weir_link *e)
{
    wi_debt debt;
    bool    open = wi_main_append(m, e, &debt);
    wi_main_pay(m, debt);
    return open;
}
