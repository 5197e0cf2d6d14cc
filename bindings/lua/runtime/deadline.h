/* SPDX-License-Identifier: ISC
 *
 * deadline.h: a job's one deadline.
 */
#pragma once

#include "runtime/job.h"

#pragma GCC visibility push(hidden)

struct wl_deadline {
    weir_notice notice; /* a limit's, first: found by it */
    /* Constant. */
    int64_t  at;  /* of wl_now's clock */
    wl_job  *job; /* held, as is */
    wl_pool *pool;
    void (*passed)(wl_deadline *d); /* on the watch's thread */
    /* Guarded by the watch's lock. */
    unsigned     heap;                   /* the number of the heap that it is in; 0: none */
    wl_deadline *child, *sibling, *back; /* its parent, or the sibling before it */
    /* Its main's thread's, once its future has ended. */
    wl_deadline *next;
    uint32_t     key; /* of who waits for that */
};

wl_deadline *wl_deadline_make(wl_job *j, int64_t timeout_ns,
                              void (*passed)(wl_deadline *)); /* NULL: no memory */
bool         wl_deadline_add(wl_job *j, wl_deadline *d);      /* takes d; false: no thread */
bool         wl_deadline_take_off(wl_deadline *d);            /* whether it was the job's still */
void         wl_deadline_drop(wl_deadline *d);
void         wl_deadline_remove(wl_job *j);
bool         wl_deadline_abandon(wl_job *j,
                                 int64_t timeout_ns); /* then it is given up; false: it has none */

#pragma GCC visibility pop
