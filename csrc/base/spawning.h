/* SPDX-License-Identifier: ISC
 *
 * spawning.h: the signal mask and the policy of commands that a pool's thread starts.
 */
#pragma once

#include <signal.h>

#pragma GCC visibility push(hidden)

/* What commands started in a pool that this thread opens now are to block. */
void wi_spawning_note(sigset_t *commands);
/* The calling thread is a pool's from now on, to its end or until it leaves. */
unsigned *wi_spawning_serve(const sigset_t *commands); /* where its depth of begins stands */
void      wi_spawning_leave(void);
/* A task has ended with a depth that is not 0: the thread's own mask, whatever begin it has
 * left without an end. */
void wi_spawning_end_all(void);
/* In fork's child. */
void wi_spawning_forked(void);

#pragma GCC visibility pop
