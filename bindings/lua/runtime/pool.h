/* SPDX-License-Identifier: ISC
 *
 * pool.h: what a pool is to those who use it.
 */
#pragma once

#include "runtime/counted.h"
#include "codec/codec.h"
#include "weir.h"

#pragma GCC visibility push(hidden)

typedef struct wl_pool   wl_pool;
typedef struct wl_waiter wl_waiter;

/* What an init failed with, for each who is told. */
typedef struct {
    _Atomic unsigned refs;
    wl_message      *value;
} wl_reason;

struct wl_pool {
    wl_counted  uses; /* handles and unsettled jobs; the last one closes the pool */
    weir_notice gone;
    /* Set by open, constant afterwards. */
    weir_pool    *weir;
    char         *name;
    bool          waits;           /* on_full = "wait" */
    bool          lazy;            /* its threads come with tasks: no init fails the open */
    bool          own_globals;     /* each task has a table of its own for them */
    wl_metatables metatables;      /* what becomes of them where values cross */
    unsigned      queue_limit;     /* 0: none */
    int           nice;            /* of its threads: as setpriority's */
    int64_t       cancel_ns;       /* until a cancelled task is abandoned; negative: never */
    wl_message   *package, *setup; /* what every thread unpacks first: see threads/thread.c */
    /* Atomic. */
    _Atomic unsigned refs;      /* threads, and one until the pool is gone; the last one frees */
    _Atomic unsigned most;      /* threads and spares that there may be */
    _Atomic uint64_t timed_out; /* futures that their timeout ended */
    /* The first; taken by who is told of a close. */
    _Atomic(wl_message *) exit_error;
    _Atomic(char *)       exit_text; /* of the exit error, until it was told */
    /* Guarded by wl_lock. */
    wl_reason *init_error; /* of the first init that failed while it opened, else of the last */
    bool       opened;
    wl_waiter *waiters;
    unsigned   waits_begun; /* and ended: how often waiters changed */
};

wl_pool   *wl_pool_check(lua_State *L, int index);
bool       wl_pool_is(lua_State *L, int index);
wl_pool   *wl_pool_make(lua_State *L); /* -> handle; one that is not opened yet. May raise */
void       wl_pool_use(wl_pool *p);
void       wl_pool_unuse(wl_pool *p);
void       wl_pool_ref(wl_pool *p);
void       wl_pool_unref(wl_pool *p);
void       wl_pool_init_failed(wl_pool *p, wl_message *m); /* takes m; NULL: no memory */
wl_reason *wl_pool_init_error(wl_pool *p);                 /* NULL: no memory */
void       wl_reason_unref(wl_reason *r);                  /* NULL is allowed */
void       wl_pool_tell_exit_error(wl_pool *p);            /* to stderr, if nobody was told */
void       wl_pool_class_make(lua_State *L); /* module -> module; before any function */

#pragma GCC visibility pop
