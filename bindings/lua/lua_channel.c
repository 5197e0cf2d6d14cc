/* SPDX-License-Identifier: ISC
 *
 * lua_channel.c: a queue of messages from one state to another.
 *
 * A list of chunks of bytes. The writer fills the last one and publishes how far; the
 * reader follows, and frees what it has left behind. Neither takes a lock for a message,
 * unless several states share an end. Small values stand in the bytes; for others a
 * message of the codec does, by its address.
 *
 * Waiting: who waits joins the queue and then looks again; who writes publishes and then
 * looks at `waited`. All of it sequentially consistent, so one sees the other. Wakers
 * are fired outside the lock.
 */
#include "lua_actor.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

struct wl_chunk {
    _Atomic(wl_chunk *) next;
    _Atomic uint32_t    filled;
    uint32_t            capacity;
    unsigned char       bytes[];
};

enum { FIRST_CHUNK = 104, CHUNK = 1000 };

/* ---- bytes ----------------------------------------------------------------------- */

static uint32_t size_of(const wl_item *item)
{
    switch ((enum wl_item_kind)item->kind) {
    case WL_ITEM_INT8: return 2;
    case WL_ITEM_INT:
    case WL_ITEM_FLOAT: return 9;
    case WL_ITEM_VALUES: return 1 + sizeof(wl_message *);
    case WL_ITEM_TEXT: return 2 + item->size;
    default: return 1;
    }
}

static void put(unsigned char *at, const wl_item *item)
{
    *at++ = item->kind;
    switch ((enum wl_item_kind)item->kind) {
    case WL_ITEM_INT8: *at = (unsigned char)item->u.i; break;
    case WL_ITEM_INT:
    case WL_ITEM_FLOAT: memcpy(at, &item->u, 8); break;
    case WL_ITEM_VALUES: memcpy(at, &item->u.m, sizeof item->u.m); break;
    case WL_ITEM_TEXT:
        *at = (unsigned char)item->size;
        memcpy(at + 1, item->text, item->size);
        break;
    default: break;
    }
}

/* Returns what it took. */
static uint32_t get(const unsigned char *from, wl_item *item)
{
    const unsigned char *at = from;
    item->kind = *at++;
    switch ((enum wl_item_kind)item->kind) {
    case WL_ITEM_INT8: item->u.i = (int8_t)*at; break;
    case WL_ITEM_INT:
    case WL_ITEM_FLOAT: memcpy(&item->u, at, 8); break;
    case WL_ITEM_VALUES: memcpy(&item->u.m, at, sizeof item->u.m); break;
    case WL_ITEM_TEXT:
        item->size = *at;
        memcpy(item->text, at + 1, item->size);
        break;
    default: break;
    }
    return size_of(item);
}

/* ---- begin and end ---------------------------------------------------------------- */

void wl_channel_init(wl_channel *c, unsigned limit, bool refuses)
{
    memset(c, 0, sizeof *c);
    c->limit = limit;
    c->refuses = refuses;
    pthread_mutex_init(&c->lock, NULL);
    pthread_mutex_init(&c->writing, NULL);
    pthread_mutex_init(&c->reading, NULL);
}

void wl_channel_clear(wl_channel *c)
{
    wl_item item;
    while (wl_channel_read(c, &item))
        if (item.kind == WL_ITEM_VALUES)
            wl_message_free(item.u.m);
}

void wl_channel_destroy(wl_channel *c)
{
    wl_channel_clear(c);
    free(c->head);
    pthread_mutex_destroy(&c->lock);
    pthread_mutex_destroy(&c->writing);
    pthread_mutex_destroy(&c->reading);
}

/* ---- writing ------------------------------------------------------------------------ */

static wl_chunk *new_chunk(uint32_t capacity)
{
    wl_chunk *k = malloc(sizeof *k + capacity);
    if (!k)
        return NULL;
    atomic_init(&k->next, NULL);
    atomic_init(&k->filled, 0);
    k->capacity = capacity;
    return k;
}

/* The first record of a chunk is there before the chunk can be found. */
static bool append_chunk(wl_channel *c, const wl_item *item, uint32_t size)
{
    uint32_t  capacity = c->tail || size > FIRST_CHUNK ? CHUNK : FIRST_CHUNK;
    wl_chunk *k = new_chunk(capacity);
    if (!k)
        return false;
    put(k->bytes, item);
    atomic_init(&k->filled, size);
    atomic_store(c->tail ? &c->tail->next : &c->first, k);
    c->tail = k;
    c->size = size;
    return true;
}

static bool append(wl_channel *c, const wl_item *item)
{
    uint32_t size = size_of(item);
    if (!c->tail || c->tail->capacity - c->size < size)
        return append_chunk(c, item, size);
    put(c->tail->bytes + c->size, item);
    c->size += size;
    atomic_store(&c->tail->filled, c->size);
    return true;
}

bool wl_channel_is_full(const wl_channel *c)
{
    wl_channel *mutable = (wl_channel *)(uintptr_t)c;
    return c->limit && atomic_load(&mutable->written) - atomic_load(&mutable->read) >= c->limit;
}

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

static bool write_one(wl_channel *c, const wl_item *item, bool *no_memory)
{
    if (wl_channel_is_full(c))
        return false;
    *no_memory = !append(c, item);
    if (c->limit && !*no_memory)
        atomic_fetch_add(&c->written, 1);
    return !*no_memory;
}

bool wl_channel_write(wl_channel *c, const wl_item *item, bool *no_memory)
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

static bool look(wl_channel *c)
{
    for (;;) {
        if (c->head && c->at < c->known)
            return true;
        wl_chunk *k = c->head;
        if (!k && !(k = c->head = atomic_load(&c->first)))
            return false;
        /* in this order: when there is a next one, this one is filled no more */
        wl_chunk *next = atomic_load(&k->next);
        c->known = atomic_load(&k->filled);
        if (c->at < c->known)
            return true;
        if (!next)
            return false;
        c->head = next;
        c->at = c->known = 0;
        free(k);
    }
}

static bool take(wl_channel *c, wl_item *item)
{
    if (!look(c))
        return false;
    c->at += get(c->head->bytes + c->at, item);
    if (c->limit)
        atomic_fetch_add(&c->read, 1);
    return true;
}

bool wl_channel_ready(wl_channel *c)
{
    if (!atomic_load(&c->shared))
        return look(c);
    pthread_mutex_lock(&c->reading);
    bool ready = look(c);
    pthread_mutex_unlock(&c->reading);
    return ready;
}

bool wl_channel_read(wl_channel *c, wl_item *item)
{
    bool shared = atomic_load(&c->shared);
    if (shared)
        pthread_mutex_lock(&c->reading);
    bool taken = take(c, item);
    if (shared)
        pthread_mutex_unlock(&c->reading);
    if (taken && c->limit && atomic_load(&c->writers.waited))
        wake(c, &c->writers);
    return taken;
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
