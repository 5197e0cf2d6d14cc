/* SPDX-License-Identifier: ISC
 *
 * channel.h: a queue of messages from one state to another.
 */
#pragma once

#include <stdatomic.h>

#include "lus/limits.h"
#include "lus/message.h"
#include "lus/waker.h"

#pragma GCC visibility push(hidden)

typedef struct wl_channel wl_channel;
typedef struct wl_chunk   wl_chunk;

/* Why nothing more will come. The first one stays. */
enum wl_end { WL_OPEN_END, WL_DEAD, WL_PARENT_ENDED, WL_UNHELD, WL_CLOSED, WL_FORKED };

typedef struct {
    _Atomic bool waited;
    wl_node     *first; /* guarded by the channel's lock */
} wl_queue;

struct wl_channel {
    /* Set before anybody else knows of it. */
    unsigned   limit;   /* most messages in it; 0: none */
    bool       refuses; /* one more; else who sends it waits */
    wl_limits *payer;   /* of what is in it, held; NULL: nobody */
    /* The writer's: one state, or under `writing` when it is shared. */
    wl_chunk           *tail;
    uint32_t            size;    /* of it, in use */
    _Atomic uint64_t    written; /* counted where there is a limit, as is read */
    _Atomic(wl_chunk *) first;   /* the reader's way in */
    char                apart[64];
    /* The reader's, likewise. */
    wl_chunk        *head;
    uint32_t         at, known; /* in it: read, and seen to be there */
    _Atomic uint64_t read;
    char             apart_too[64];
    /* Anybody's. */
    _Atomic bool    shared; /* more than one state writes, or more than one reads */
    _Atomic bool    over;   /* its reader was told of the end: what is written now is lost */
    _Atomic int     ended;
    wl_queue        readers, writers;
    pthread_mutex_t lock, writing, reading;
};

void wl_channel_clear(wl_channel *c); /* the reader's */
/* Consumes the item: true; false: it is full, or there is no memory, or more than its payer may
 * have (*no_memory). */
bool wl_channel_write(wl_channel *c, const wl_msg *item, bool *no_memory);
bool wl_channel_ready(wl_channel *c); /* the reader's: something is there */
bool wl_channel_read(wl_channel *c, wl_msg *item);
void wl_channel_finish(wl_channel *c); /* the reader's: nothing is there from now on */

void wl_channel_end(wl_channel *c, enum wl_end why);
void wl_channel_wake(wl_channel *c); /* everybody, to look again */
void wl_channel_lock(wl_channel *c); /* all that is locked in it, for a fork */
void wl_channel_unlock(wl_channel *c);
void wl_channel_wait_for_wakes(void);  /* while all are locked: none is on its way */
void wl_channel_forked(wl_channel *c); /* in the child, where the process has no other thread */
void wl_queue_join(wl_channel *c, wl_queue *q, wl_node *n);
void wl_queue_leave(wl_channel *c, wl_queue *q, wl_node *n);

#pragma GCC visibility pop
