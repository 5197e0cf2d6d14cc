/* SPDX-License-Identifier: ISC
 *
 * spawning.h: the signal mask of commands that a thread of a pool starts.
 */
#pragma once

#include <signal.h>

#pragma GCC visibility push(hidden)

/* What commands started in a pool that this thread opens now are to block. */
void wi_spawning_note(sigset_t *commands);
/* The calling thread is a pool's from now on, to its end or until it leaves. */
void wi_spawning_serve(const sigset_t *commands);
void wi_spawning_leave(void);
/* A task has ended: its own mask, whatever begin it has left without an end. Every task
 * passes this, and few begin. */
extern _Thread_local unsigned wi_spawning_depth;
void                          wi_spawning_end_all(void);
static inline void            wi_spawning_settle(void)
{
    if (wi_spawning_depth)
        wi_spawning_end_all();
}
/* In fork's child. */
void wi_spawning_forked(void);

#pragma GCC visibility pop
