/* SPDX-License-Identifier: ISC
 *
 * background.h: a thread of weir's own that works now and then until it is told to end.
 *
 * A child of fork does not have the thread. It frees the struct as memory and calls nothing
 * here, because the parker still has the waiter that stayed behind.
 */
#pragma once

#include "base/platform.h"

#pragma GCC visibility push(hidden)

typedef struct {
    wi_parker    parker;
    pthread_t    thread;
    _Atomic bool ends;
} wi_background;

/* Starts a thread that takes no signals of the program's. 0, WEIR_EAGAIN or WEIR_ENOMEM. */
int wi_background_thread(pthread_t *out, const wi_thread_kind *kind, void *(*fn)(void *),
                         void *arg);
/* The same for fn that sleeps and ends as it is told here; after an error nothing is left. */
int wi_background_start(wi_background *b, void *(*fn)(void *), void *arg);
/* The thread's own: whether it is to end, and a sleep that ends early then. */
bool wi_background_ends(wi_background *b);
void wi_background_sleep(wi_background *b, int64_t ns);
/* Tells the thread to end, and waits for that. Any other thread, once. */
void wi_background_end(wi_background *b);

#pragma GCC visibility pop
