/* SPDX-License-Identifier: ISC
 *
 * main.h: how a main begins and ends.
 */
#pragma once

#include "mailbox/mailbox.h"

#pragma GCC visibility push(hidden)

/* Made for this thread, not registered yet. 0, WEIR_ENOMEM, WEIR_EMFILE. */
int wi_main_make(weir_main **out);
/* Marks it closed, gives the open handle back. The owner's thread. */
void wi_main_shut(weir_main *m);
/* In fork's child: whether its owner is the thread left, which has not closed it. */
bool wi_main_stays(const weir_main *m);
/* In fork's child, with the lock held: only the owner's own deliveries remain. */
void wi_main_forked_locked(weir_main *m);

#pragma GCC visibility pop
