/* SPDX-License-Identifier: ISC
 *
 * channel.c: a queue of messages from one state to another, and who waits at it.
 *
 * Neither the writer nor the reader takes a lock for a message, unless several states
 * share an end.
 *
 * Waiting: who waits joins the queue and then looks again; who writes publishes and then
 * looks at `waited`. All of it sequentially consistent, so one sees the other. Wakers
 * are fired outside the lock.
 */
#include "lus/channel.h"
#include "lus/queue.h"

#include <sched.h>

/* ---- writing ------------------------------------------------------------------------ */

/* Wakers that have left their queue and are not fired yet. */
static _Atomic unsigned on_their_way;

static void wake(wl_channel *c, wl_queue *q)
{
    bool more = true;
    while (more) {
        pthread_mutex_lock(&c->lock);
        wl_node  *n = q->first;
        wl_waker *k = n ? n->waker : NULL;
        if (n) {
            wl_waker_ref(k);
            atomic_fetch_add(&on_their_way, 1);
            if ((q->first = n->next))
                n->next->prev = NULL;
            n->linked = false;
        }
        more = q->first != NULL;
        if (!more)
            atomic_store(&q->waited, false);
        pthread_mutex_unlock(&c->lock);
        if (!k)
            return;
        wl_waker_fire(k);
        atomic_fetch_sub(&on_their_way, 1);
        wl_waker_unref(k);
    }
}

static bool write_one(wl_channel *c, const wl_msg *item, bool *no_memory)
{
    if (wl_channel_is_full(c))
        return false;
    *no_memory = !wl_queue_append(c, item);
    if (c->limit && !*no_memory)
        atomic_fetch_add(&c->written, 1);
    return !*no_memory;
}

bool wl_channel_write(wl_channel *c, const wl_msg *item, bool *no_memory)
{
    bool shared = atomic_load(&c->shared), written;
    *no_memory = false;
    if (shared)
        pthread_mutex_lock(&c->writing);
    written = write_one(c, item, no_memory);
    if (shared)
        pthread_mutex_unlock(&c->writing);
    if (written && atomic_load(&c->readers.waited))
        wake(c, &c->readers);
    return written;
}

/* ---- reading ------------------------------------------------------------------------ */

bool wl_channel_ready(wl_channel *c)
{
    if (atomic_load(&c->over))
        return false;
    if (!atomic_load(&c->shared))
        return wl_queue_look(c);
    pthread_mutex_lock(&c->reading);
    bool ready = wl_queue_look(c);
    pthread_mutex_unlock(&c->reading);
    return ready;
}

bool wl_channel_read(wl_channel *c, wl_msg *item)
{
    if (atomic_load(&c->over))
        return false;
    bool shared = atomic_load(&c->shared);
    if (shared)
        pthread_mutex_lock(&c->reading);
    bool taken = wl_queue_take(c, item);
    if (shared)
        pthread_mutex_unlock(&c->reading);
    if (taken && c->limit && atomic_load(&c->writers.waited))
        wake(c, &c->writers);
    return taken;
}

void wl_channel_finish(wl_channel *c) { atomic_store(&c->over, true); }

void wl_channel_clear(wl_channel *c)
{
    wl_msg item;
    while (wl_channel_read(c, &item))
        wl_msg_drop(&item);
}

/* ---- the rest ------------------------------------------------------------------------ */

void wl_channel_end(wl_channel *c, enum wl_end why)
{
    int open = WL_OPEN_END;
    atomic_compare_exchange_strong(&c->ended, &open, (int)why);
    wl_channel_wake(c);
}

void wl_channel_wake(wl_channel *c)
{
    if (atomic_load(&c->readers.waited))
        wake(c, &c->readers);
    if (atomic_load(&c->writers.waited))
        wake(c, &c->writers);
}

void wl_queue_join(wl_channel *c, wl_queue *q, wl_node *n)
{
    pthread_mutex_lock(&c->lock);
    n->prev = NULL;
    if ((n->next = q->first))
        q->first->prev = n;
    q->first = n;
    n->linked = true;
    atomic_store(&q->waited, true);
    pthread_mutex_unlock(&c->lock);
}

void wl_queue_leave(wl_channel *c, wl_queue *q, wl_node *n)
{
    pthread_mutex_lock(&c->lock);
    if (n->linked) {
        if (n->next)
            n->next->prev = n->prev;
        if (n->prev)
            n->prev->next = n->next;
        else if (!(q->first = n->next))
            atomic_store(&q->waited, false);
        n->linked = false;
    }
    pthread_mutex_unlock(&c->lock);
}

/* ---- fork ---------------------------------------------------------------------------- */

/* No thread holds one of them while it takes another. */
void wl_channel_lock(wl_channel *c)
{
    pthread_mutex_lock(&c->lock);
    pthread_mutex_lock(&c->writing);
    pthread_mutex_lock(&c->reading);
}

void wl_channel_unlock(wl_channel *c)
{
    pthread_mutex_unlock(&c->lock);
    pthread_mutex_unlock(&c->writing);
    pthread_mutex_unlock(&c->reading);
}

void wl_channel_wait_for_wakes(void)
{
    while (atomic_load(&on_their_way))
        sched_yield();
}

static void forget_waiters(wl_queue *q)
{
    for (wl_node *n; (n = q->first);) {
        q->first = n->next;
        n->linked = false;
        wl_waker_forked(n->waker);
    }
    atomic_store(&q->waited, false);
}

void wl_channel_forked(wl_channel *c)
{
    atomic_store(&c->ended, WL_FORKED);
    forget_waiters(&c->readers);
    forget_waiters(&c->writers);
}
