/* SPDX-License-Identifier: ISC
 *
 * limits.h: how much an actor may use, with all actors that it makes.
 *
 * Limits are counted and stand in a chain: those of an actor's creator are above its own, and
 * what it uses is charged to all of them. What is over one is over for good.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

typedef struct wl_limits wl_limits;

/* The most of each; 0: no limit of that. */
typedef struct {
    uint64_t memory, steps; /* bytes; instructions */
    int64_t  time_ns;       /* that it runs: waiting is free */
} wl_amounts;

struct wl_limits {
    _Atomic unsigned refs;
    wl_limits       *above; /* held; NULL: none */
    wl_amounts       most;
    /* Bytes: of states, and of messages that they have sent and nobody has read. */
    _Atomic uint64_t memory, steps;
    _Atomic int64_t  time_ns;
};

/* What has stopped an actor; the first stays. */
enum wl_stop { WL_GOES_ON, WL_STOP_MEMORY, WL_STOP_STEPS, WL_STOP_TIME, WL_STOP_CLOSED };

wl_limits   *wl_limits_new(wl_limits *above, const wl_amounts *most); /* NULL: no memory */
wl_limits   *wl_limits_ref(wl_limits *l); /* NULL is allowed, as below */
void         wl_limits_unref(wl_limits *l);
bool         wl_limits_take(wl_limits *l, uint64_t bytes); /* false: too many; none are taken */
void         wl_limits_give(wl_limits *l, uint64_t bytes);
enum wl_stop wl_limits_spend(wl_limits *l, uint64_t steps, int64_t ns); /* what is over now */

#pragma GCC visibility pop
