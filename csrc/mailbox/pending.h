/* SPDX-License-Identifier: ISC
 *
 * pending.h: how much is still to come to a main, and who is told when that begins and ends.
 */
#pragma once

#include "mailbox/mailbox.h"

#pragma GCC visibility push(hidden)

/* Written by the owner alone, so no read-modify-write. Relaxed: other threads
 * read it for a hint only. */
static inline void wi_main_count_own(weir_main *m, int n)
{
    int64_t own = atomic_load_explicit(&m->own, memory_order_relaxed);
    atomic_store_explicit(&m->own, own + n, memory_order_relaxed);
}

bool wi_main_expect_first(weir_main *m);
/* One more thing is to come. False, with nothing counted: the main is closed. To a busy main
 * of the calling thread only the count is new. */
static inline bool wi_main_expect(weir_main *m)
{
    if (m->owner != wi_thread_self() || !atomic_load(&m->busy) || atomic_load(&m->closed))
        return wi_main_expect_first(m);
    wi_main_count_own(m, 1);
    return true;
}
/* Whether that would call on_busy, so user code. */
static inline bool wi_main_tells_busy(const weir_main *m)
{
    return m && !atomic_load(&((weir_main *)(uintptr_t)m)->busy) && m->owner == wi_thread_self() &&
           m->on_busy;
}
/* It came, or will never. May free the main. */
void wi_main_came(weir_main *m);
/* The same, of the lane of the others, while a round goes on: on_busy waits. The owner's thread. */
static inline void wi_main_own_came(weir_main *m)
{
    if (m->closed)
        wi_main_uncount(m, 1);
    else
        wi_main_count_own(m, -1);
}
/* Calls on_busy when the pending count left or reached 0. The owner's thread. */
void wi_main_look_busy(weir_main *m);
/* The same, but in a later round, because no user code may run now. */
void wi_main_look_busy_later(weir_main *m);
/* Has the owner look, though nothing has come: it turns to the main once. Any thread. */
void wi_main_nudge(weir_main *m);
/* The nudge came. Before the count is looked at, so that what changes it later nudges again. */
void wi_main_nudge_came(weir_main *m);
/* In fork's child, with the lock held: only the owner's own deliveries remain. */
void wi_main_recount_locked(weir_main *m);

#pragma GCC visibility pop
