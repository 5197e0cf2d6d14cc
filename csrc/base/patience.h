/* SPDX-License-Identifier: ISC
 *
 * patience.h: a thread that lets whoever wakes it go on first.
 *
 * The scheduler may have a woken thread interrupt its waker at once. Where the waker was about
 * to bring more, the woken thread finds one task and sleeps again, and the two threads switch
 * for each task. A patient thread starts on another CPU instead, or when its waker sleeps: on
 * Linux it has SCHED_BATCH in place of SCHED_OTHER. That pays while a loop has many tasks in
 * flight. One that is alone is done soonest the usual way.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#pragma GCC visibility push(hidden)

/* Its owner guards it. */
typedef struct {
    size_t in_flight; /* as the first task after the last sleep met it; 0: none came */
    size_t peak;      /* of those, fading */
    bool   pays;
} wi_patience;

bool wi_patience_pays(wi_patience *s); /* before each sleep */

/* The calling thread is patient from now on, if the system lets it, or as usual again. Only a
 * thread of the system's usual kind becomes patient; who was given another policy keeps it. */
void wi_patience_set(bool patient);

#pragma GCC visibility pop
