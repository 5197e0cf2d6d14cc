/* SPDX-License-Identifier: ISC
 *
 * waker.h: who waits at a channel, and how it is woken.
 */
#pragma once

#include "lus/core.h"

#pragma GCC visibility push(hidden)

typedef struct wl_waker wl_waker;
typedef struct wl_node  wl_node;

enum wl_waker_kind { WL_UNPARKS, WL_UNBLOCKS, WL_MAILS };

struct wl_waker {
    weir_notice        notice; /* first: a mailed one is found by it */
    _Atomic unsigned   refs;
    _Atomic bool       told;   /* it was fired */
    enum wl_waker_kind kind;   /* constant, as are the two below */
    wl_actor          *actor;  /* held */
    wl_main           *main;   /* held */
    pthread_t          thread; /* of main */
    wl_ping            ping;   /* of a mailed one */
    /* Of an unblocking one alone. */
    pthread_mutex_t lock;
    pthread_cond_t  up;
    bool            is_up; /* guarded by lock */
};

wl_waker *wl_waker_new(enum wl_waker_kind kind, wl_actor *a, wl_main *m); /* NULL: no memory */
void      wl_waker_fire(wl_waker *k);   /* once counts; any thread */
void      wl_waker_forked(wl_waker *k); /* in a child: fires one that is of this thread */
bool      wl_waker_wait(wl_waker *k, int64_t timeout_ns); /* an unblocking one; false: time is up */
void      wl_waker_ref(wl_waker *k);
void      wl_waker_unref(wl_waker *k);

/* One place that a waker stands at; in the memory of who waits. */
struct wl_node {
    wl_node  *next, *prev; /* guarded by the channel's lock */
    bool      linked;
    wl_waker *waker;
};

#pragma GCC visibility pop
