/* SPDX-License-Identifier: ISC
 *
 * stuck.h: pool threads that wait for their own pool.
 */
#pragma once

#include "runtime/job.h"

#pragma GCC visibility push(hidden)

/* A pool thread that waits for a job, or for space in its own pool's queue; on its stack. */
struct wl_waiter {
    wl_waiter *next;
    wl_job    *job; /* NULL: of another pool */
    bool       for_space;
};

bool wl_pool_begin_wait(wl_pool *p, wl_waiter *w, wl_job *j); /* j NULL: for space */
void wl_pool_end_wait(wl_pool *p, wl_waiter *w);

#pragma GCC visibility pop
