/* SPDX-License-Identifier: ISC
 *
 * waiter.c: how a thread waits.
 *
 * A run_in_main call, or a lend, may be posted while the owner of its main begins to wait.
 * The owner raises `waiting`, then looks into each mailbox. The poster pushes, then reads
 * `waiting` under the main's lock. Either the owner sees the call, or the poster sees that it
 * must unpark.
 */
#include "mailbox/waiter.h"

#include "mailbox/dispatch.h"

void wi_wait_begin(wi_waiter *w, const void *what)
{
    *w = (wi_waiter){.what = what, .thread = wi_thread_self()};
    if (w->thread) {
        w->parker = &w->thread->parker;
        atomic_fetch_add(&w->thread->waiting, 1);
    } else {
        w->parker = &w->own;
        wi_parker_init(&w->own);
    }
}

void wi_wait_end_but(wi_waiter *w, const weir_main *m)
{
    if (!w->thread) {
        wi_parker_destroy(&w->own);
        return;
    }
    atomic_fetch_sub(&w->thread->waiting, 1);
    wi_mains_rearm(w->thread, m);
    wi_thread_forget();
}

void wi_wait_end(wi_waiter *w) { wi_wait_end_but(w, NULL); }

/* False when the deadline passed. */
static bool sleep_once(wi_waiter *w, int64_t deadline)
{
    if (w->thread && wi_mains_serve(w->thread, NULL))
        return true;
    return wi_park(w->parker, deadline);
}

int wi_wait_until(wi_waiter *w, wi_mutex *lock, wi_list *list, bool (*ready)(void *), void *arg,
                  int64_t deadline)
{
    bool in_time = true, is;
    while (!(is = ready(arg)) && in_time) {
        if (!wi_linked(&w->link))
            wi_list_append(list, &w->link);
        wi_unlock(lock);
        in_time = sleep_once(w, deadline);
        wi_lock(lock);
    }
    if (wi_linked(&w->link))
        wi_unlink(&w->link);
    return is ? 0 : WEIR_ETIMEDOUT;
}

void wi_wake_waiters_locked(wi_list *list, const void *what)
{
    for (weir_link *e = wi_list_first(list); e; e = wi_list_after(list, e)) {
        wi_waiter *w = wi_container(e, wi_waiter, link);
        if (!what || w->what == what)
            wi_unpark(w->parker);
    }
}
