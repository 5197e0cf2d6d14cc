/* SPDX-License-Identifier: ISC
 *
 * pending.h: how much is still to come to a main, and who is told when that begins and ends.
 */
#pragma once

#include "mailbox/mailbox.h"

#pragma GCC visibility push(hidden)

/* One more thing is to come. False, with nothing counted: the main is closed. */
bool wi_main_expect(weir_main *m);
/* Whether that would call on_busy, so user code. */
bool wi_main_tells_busy(const weir_main *m);
/* It came, or will never. May free the main. */
void wi_main_came(weir_main *m);
/* The same, of the lane of the others, while a round goes on: on_busy waits. The owner's thread. */
void wi_main_own_came(weir_main *m);
/* Calls on_busy when the pending count left or reached 0. The owner's thread. */
void wi_main_look_busy(weir_main *m);
/* The same, but in a later round, because no user code may run now. */
void wi_main_look_busy_later(weir_main *m);
/* The nudge came. Before the count is looked at, so that what changes it later nudges again. */
void wi_main_nudge_came(weir_main *m);
/* In fork's child, with the lock held: only the owner's own deliveries remain. */
void wi_main_recount_locked(weir_main *m);

#pragma GCC visibility pop
