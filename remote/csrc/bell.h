/* SPDX-License-Identifier: ISC
 *
 * bell: wakes the thread that owns a main, once until it has looked.
 */
#ifndef WR_BELL_H
#define WR_BELL_H

#include "weir.h"

#include <pthread.h>

typedef struct {
    weir_notice      notice;
    pthread_mutex_t *lock; /* constant, as main is, once it hangs */
    weir_main       *main;
    /* Guarded by *lock. */
    bool hangs, pulled; /* pulled: the notice is owed or on its way */
} wr_bell;

void wr_bell_hang(wr_bell *bell, pthread_mutex_t *lock, weir_main *main); /* takes the lock */
/* The lock is held. True: the caller owes wr_bell_ring, without the lock. */
bool wr_bell_pull_locked(wr_bell *bell);
void wr_bell_ring(wr_bell *bell);
/* Nobody rings any more once it returns. The main's own thread; takes the lock. */
void wr_bell_take_down(wr_bell *bell);

#endif
