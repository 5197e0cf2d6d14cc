/* SPDX-License-Identifier: ISC
 *
 * owed.h: what a pool owes after an unlock.
 */
#ifndef WI_OWED_H
#define WI_OWED_H

#include "pool/staff.h"

#pragma GCC visibility push(hidden)

int wi_pool_kick(weir_pool *p, wi_kick kick); /* 0 or the refusal of a thread */
/* Whether something for a main is to be posted after the unlock. */
bool wi_pool_has_posts_locked(const weir_pool *p);
/* After an unlock under which tasks may have settled or the pool have closed:
 * posts, tells, gives notice. The caller keeps the pool alive. */
void wi_pool_after(weir_pool *p);
/* Tells what stands on p->settled; called and left with the lock held. */
void wi_pool_tell_settled_relocks(weir_pool *p);

/* Makes n threads of ours, which are expected; 0 or the refusal's code. */
int wi_pool_spawn(weir_pool *p, unsigned n, bool later);
/* Asks the host of a borrowed pool for one more thread. False: nobody to ask. */
bool wi_pool_ask_lend(weir_pool *p);

#pragma GCC visibility pop
#endif
