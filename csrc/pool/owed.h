/* SPDX-License-Identifier: ISC
 *
 * owed.h: what a pool owes after an unlock, and who pays.
 */
#pragma once

#include "pool/staff.h"

#pragma GCC visibility push(hidden)

/* Lets the lock go and pays what is owed then, whoever has brought it about: wakes,
 * hires, posts, tells. The pool may be gone afterwards, unless the caller holds it. No
 * other lock of ours is held. */
void wi_pool_unlock(weir_pool *p);
/* The same after a refusal of threads: it hires nobody. */
void wi_pool_unlock_refused(weir_pool *p);

/* Its two halves, for a caller that has something of its own to do in between. */
typedef struct {
    wi_need need;
    wi_pin  pin; /* if it is more than a wake */
} wi_owed;

void               wi_pool_unlock_owing(weir_pool *p, wi_owed *owed);
void               wi_pool_pay_some(weir_pool *p, wi_owed *owed);
static inline void wi_pool_pay(weir_pool *p, wi_owed *owed)
{
    if (owed->need.wake || owed->need.more)
        wi_pool_pay_some(p, owed);
}

/* Tells what stands on p->settled; called and left with the lock held. */
void wi_pool_tell_settled_relocks(weir_pool *p);

/* Makes n threads of ours, which are expected; 0 or the refusal's code. The caller of
 * these three holds the pool. */
int wi_pool_spawn(weir_pool *p, unsigned n, bool later);
/* Asks the host for as many threads as are due. False: nobody will answer. */
bool wi_pool_lend(weir_pool *p);
/* The same for one more. False, too: there is nobody to ask. */
bool wi_pool_ask_lend(weir_pool *p);

#pragma GCC visibility pop
