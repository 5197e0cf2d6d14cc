/* SPDX-License-Identifier: ISC
 *
 * dispatch.h: what was posted is taken, and delivered one by one.
 */
#pragma once

#include "mailbox/mailbox.h"

#pragma GCC visibility push(hidden)

/* Moves what was posted to the batch, for a later round. The owner's thread. */
void wi_main_take_arrivals(weir_main *m);
void wi_main_take_arrivals_locked(weir_main *m);
/* Runs one posted call or lend of the thread's mains but `except`; false: none. */
bool wi_mains_serve(wi_thread *t, const weir_main *except);
/* Makes every descriptor of the thread readable whose main, but `except`, has something
 * left. */
void wi_mains_rearm(wi_thread *t, const weir_main *except);
/* Delivers everything, and what comes meanwhile; the owner's thread, depth 0. */
void wi_main_flush(weir_main *m);

#pragma GCC visibility pop
