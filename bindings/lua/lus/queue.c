/* SPDX-License-Identifier: ISC
 *
 * queue.c: what is in a channel: a list of chunks of bytes.
 *
 * The writer fills the last chunk and publishes how far; the reader follows, and frees
 * what it has left behind. Small values stand in the bytes; for others a message of the
 * codec does, by its address.
 */
#include "lus/queue.h"
#include "lus/message.h"

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

static uint32_t size_of(const wl_msg *item)
{
    switch ((enum wl_msg_kind)item->kind) {
    case WL_MSG_INT8: return 2;
    case WL_MSG_INT:
    case WL_MSG_FLOAT: return 9;
    case WL_MSG_VALUES: return 1 + sizeof(wl_message *);
    case WL_MSG_TEXT: return 2 + item->size;
    default: return 1;
    }
}

/* What it takes until it is read. */
static uint64_t cost_of(const wl_msg *item)
{
    return item->kind == WL_MSG_VALUES ? wl_core->wl_message_size(item->u.m) + 64 : size_of(item);
}

static void write_record(unsigned char *at, const wl_msg *item)
{
    *at++ = item->kind;
    switch ((enum wl_msg_kind)item->kind) {
    case WL_MSG_INT8: *at = (unsigned char)item->u.i; break;
    case WL_MSG_INT:
    case WL_MSG_FLOAT: memcpy(at, &item->u, 8); break;
    case WL_MSG_VALUES: memcpy(at, &item->u.m, sizeof item->u.m); break;
    case WL_MSG_TEXT:
        *at = (unsigned char)item->size;
        memcpy(at + 1, item->text, item->size);
        break;
    default: break;
    }
}

/* Returns what it took. */
static uint32_t read_record(const unsigned char *from, wl_msg *item)
{
    const unsigned char *at = from;
    item->kind = *at++;
    switch ((enum wl_msg_kind)item->kind) {
    case WL_MSG_INT8: item->u.i = (int8_t)*at; break;
    case WL_MSG_INT:
    case WL_MSG_FLOAT: memcpy(&item->u, at, 8); break;
    case WL_MSG_VALUES: memcpy(&item->u.m, at, sizeof item->u.m); break;
    case WL_MSG_TEXT:
        item->size = *at;
        memcpy(item->text, at + 1, item->size);
        break;
    default: break;
    }
    return size_of(item);
}

void wl_channel_init(wl_channel *c, unsigned limit, bool refuses)
{
    memset(c, 0, sizeof *c);
    c->limit = limit;
    c->refuses = refuses;
    pthread_mutex_init(&c->lock, NULL);
    pthread_mutex_init(&c->writing, NULL);
    pthread_mutex_init(&c->reading, NULL);
}

/* ---- writing ------------------------------------------------------------ */

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
static bool append_chunk(wl_channel *c, const wl_msg *item, uint32_t size)
{
    uint32_t  capacity = c->tail || size > FIRST_CHUNK ? CHUNK : FIRST_CHUNK;
    wl_chunk *k = new_chunk(capacity);
    if (!k)
        return false;
    write_record(k->bytes, item);
    atomic_init(&k->filled, size);
    atomic_store(c->tail ? &c->tail->next : &c->first, k);
    c->tail = k;
    c->size = size;
    return true;
}

static bool append_record(wl_channel *c, const wl_msg *item)
{
    uint32_t size = size_of(item);
    if (!c->tail || c->tail->capacity - c->size < size)
        return append_chunk(c, item, size);
    write_record(c->tail->bytes + c->size, item);
    c->size += size;
    atomic_store(&c->tail->filled, c->size);
    return true;
}

bool wl_queue_append(wl_channel *c, const wl_msg *item)
{
    uint64_t cost = c->payer ? cost_of(item) : 0; /* the reader may free it at once */
    if (cost && !wl_limits_take(c->payer, cost))
        return false;
    if (append_record(c, item))
        return true;
    wl_limits_give(c->payer, cost);
    return false;
}

bool wl_channel_is_full(const wl_channel *c)
{
    wl_channel *mutable = (wl_channel *)(uintptr_t)c;
    return c->limit && atomic_load(&mutable->written) - atomic_load(&mutable->read) >= c->limit;
}

/* ---- reading ------------------------------------------------------------ */

bool wl_queue_look(wl_channel *c)
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

bool wl_queue_take(wl_channel *c, wl_msg *item)
{
    if (!wl_queue_look(c))
        return false;
    c->at += read_record(c->head->bytes + c->at, item);
    if (c->payer)
        wl_limits_give(c->payer, cost_of(item));
    if (c->limit)
        atomic_fetch_add(&c->read, 1);
    return true;
}

/* Nobody else knows of it. */
void wl_channel_destroy(wl_channel *c)
{
    wl_msg item;
    while (wl_queue_take(c, &item))
        wl_msg_drop(&item);
    free(c->head);
    wl_limits_unref(c->payer);
    pthread_mutex_destroy(&c->lock);
    pthread_mutex_destroy(&c->writing);
    pthread_mutex_destroy(&c->reading);
}
