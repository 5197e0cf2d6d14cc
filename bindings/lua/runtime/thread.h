/* SPDX-License-Identifier: ISC
 *
 * thread.h: what a task finds of the pool thread that it runs on.
 */
#pragma once

#include <signal.h>

#include "runtime/state.h"

#pragma GCC visibility push(hidden)

typedef struct wl_pool  wl_pool;
typedef struct wl_job   wl_job;
typedef struct wl_owner wl_owner;

struct wl_thread {
    lua_State *L;
    wl_state  *state; /* L's record */
    wl_pool   *pool;
    wl_job *volatile job;        /* that runs; the handler of the signal reads what is volatile */
    lua_State *volatile current; /* coroutine of L that runs */
    volatile sig_atomic_t stopping;  /* the task is being stopped */
    volatile sig_atomic_t left;      /* it has ended: what came of it is being kept */
    volatile sig_atomic_t looks;     /* its task looks for a cancel: no hook stops it */
    bool                  on_cancel; /* it has functions for that, see threads/on_cancel.c */
    wl_owner             *owner;     /* of the mutexes that the task has locked, or NULL */
    int                   code;      /* what its run returns */
    bool                  has_state; /* init was given: its value is every task's first argument */
    bool                  failed;    /* to begin */
    unsigned              blocking;  /* depth of weir.blocking in the task that runs */
};

#pragma GCC visibility pop
