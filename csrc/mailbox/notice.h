/* SPDX-License-Identifier: ISC
 *
 * notice.h: telling an owner that something ended, or came.
 */
#pragma once

#include "mailbox/mailbox.h"

#pragma GCC visibility push(hidden)

/* Counts notice on main (NULL: none). 0, WEIR_EINVAL (no fn), WEIR_EBUSY (it is on its way
 * already), WEIR_ECLOSED (the main). */
int wi_notice_expect(weir_notice *notice, weir_main *main);
/* It is on its way to its main from now on, where a fork finds it. */
void wi_notice_leaves(weir_notice *notice);
/* Posts it, or tells it here when it has no main, or one that has closed. NULL is allowed. */
void wi_notice_post(weir_notice *notice, int outcome);
/* It will not be told: it may be given again. */
void wi_notice_free(weir_notice *notice);
/* Calls its fn on this thread, and takes back that it was expected. */
void wi_notice_tell(weir_notice *notice);

#pragma GCC visibility pop
