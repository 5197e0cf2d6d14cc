/* SPDX-License-Identifier: ISC
 *
 * waker.c: how who waits at a channel is woken: a parked actor, a thread that
 * blocks, or a coroutine under a loop, by the mailbox of its state.
 *
 * A waker is fired at most once; each wait makes its own. One that comes late, when the
 * wait is over, wakes somebody who only looks again. A mailed one is pending in its main
 * from the start, so that a loop turns until it came: who gives up the wait fires it.
 */
#include "lus/waker.h"
#include "lus/core.h"
#include "lus/actor.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>

void wl_waker_ref(wl_waker *k) { atomic_fetch_add(&k->refs, 1); }

void wl_waker_unref(wl_waker *k)
{
    if (atomic_fetch_sub(&k->refs, 1) != 1)
        return;
    if (k->actor)
        wl_actor_unref(k->actor);
    if (k->main)
        wl_core->wl_main_unref(k->main);
    if (k->kind == WL_UNBLOCKS) {
        pthread_mutex_destroy(&k->lock);
        pthread_cond_destroy(&k->up);
    }
    free(k);
}

static void let_go(wl_ping *p)
{
    wl_waker_unref((wl_waker *)(void *)((char *)p - offsetof(wl_waker, ping)));
}

/* In the main's dispatch, or anywhere once it is closed. Consumes a reference. */
static void mailed(weir_notice *notice, int outcome)
{
    (void)outcome;
    wl_waker *k = (wl_waker *)(void *)notice;
    if (atomic_load(&k->main->closed))
        wl_waker_unref(k);
    else
        wl_core->wl_main_tell_ping(k->main, &k->ping);
}

static void init_up(wl_waker *k)
{
    pthread_mutex_init(&k->lock, NULL);
    wl_cond_init(&k->up);
}

wl_waker *wl_waker_new(enum wl_waker_kind kind, wl_actor *a, wl_main *m)
{
    wl_waker *k = calloc(1, kind == WL_UNBLOCKS ? sizeof *k : offsetof(wl_waker, lock));
    if (!k)
        return NULL;
    atomic_init(&k->refs, 1);
    k->kind = kind;
    k->notice.fn = mailed;
    k->ping.let_go = let_go;
    k->thread = pthread_self();
    if (kind == WL_MAILS) {
        if (wl_core->weir_notice_expect(&k->notice, m->weir) != 0) {
            free(k);
            return NULL;
        }
        wl_waker_ref(k); /* the notice's */
    }
    if (kind == WL_UNBLOCKS)
        init_up(k);
    if ((k->actor = a))
        wl_actor_ref(a);
    if ((k->main = m))
        wl_core->wl_main_ref(m);
    return k;
}

void wl_waker_fire(wl_waker *k)
{
    if (atomic_exchange(&k->told, true))
        return;
    switch (k->kind) {
    case WL_UNPARKS: wl_core->weir_task_unpark(&k->actor->task); break;
    case WL_MAILS: wl_core->weir_notice_post(&k->notice, 0); break;
    case WL_UNBLOCKS:
        pthread_mutex_lock(&k->lock);
        k->is_up = true;
        pthread_cond_signal(&k->up);
        pthread_mutex_unlock(&k->lock);
    }
}

void wl_waker_forked(wl_waker *k)
{
    if (k->kind == WL_MAILS && pthread_equal(k->thread, pthread_self()))
        wl_waker_fire(k);
}

bool wl_waker_wait(wl_waker *k, int64_t timeout_ns)
{
    int64_t until = wl_after(timeout_ns);
    int     rc = 0;
    pthread_mutex_lock(&k->lock);
    while (!k->is_up && rc == 0)
        rc = wl_cond_wait_until(&k->up, &k->lock, until);
    bool up = k->is_up;
    pthread_mutex_unlock(&k->lock);
    return up;
}
