/* SPDX-License-Identifier: ISC
 *
 * stack.h: where any thread leaves a link for the one that empties it.
 *
 * DESIGN. A word that points at the newest link, each link at the one before it.
 * Many push with a compare-and-swap, one takes everything with an exchange, so a
 * link that comes and goes meanwhile does no harm (no ABA: nobody pops one). A
 * shut stack refuses pushes. The thread that may take may shut, and of a push and a
 * shut the first wins: a link is either taken by the shut or refused.
 *
 * Push and take are seq_cst: callers set a flag and look here, or push and look
 * at the flag, and one of the two must see the other.
 *
 * Whoever takes turns the chain round, and so reads each link once more. When a million
 * are there, each has left the caches by then. So every WI_LOTth push is told that it ends
 * a lot, and its thread has the lot taken while it still is in the caches. `pushed` only
 * counts for that. Two pushes at once may count as one, because it is no read-modify-write.
 */
#pragma once

#include "weir.h"

#include <stdatomic.h>
#include <stdbool.h>

typedef struct {
    _Atomic(weir_link *) newest; /* NULL: empty */
    _Atomic unsigned     pushed; /* about how many, ever */
} wi_stack;

enum { WI_LOT = 64, WI_MANY_LOTS = 16 };

#define WI_SHUT ((weir_link *)1)

static inline weir_link *wi_stack_newest(const wi_stack *s)
{
    return atomic_load(&((wi_stack *)(uintptr_t)s)->newest);
}

static inline bool wi_stack_holds_some(const wi_stack *s)
{
    weir_link *e = wi_stack_newest(s);
    return e && e != WI_SHUT;
}

/* Puts e on top if `newest` still is what it was; it must not be WI_SHUT. */
static inline bool wi_stack_push_onto(wi_stack *s, weir_link *newest, weir_link *e)
{
    e->next = newest;
    return atomic_compare_exchange_strong(&s->newest, &newest, e);
}

/* Counts a push: whether it ends a lot. Relaxed: a hint that orders nothing. */
static inline bool wi_stack_ends_lot(wi_stack *s)
{
    unsigned n = atomic_load_explicit(&s->pushed, memory_order_relaxed) + 1;
    atomic_store_explicit(&s->pushed, n, memory_order_relaxed);
    return n % WI_LOT == 0;
}

/* Whether the lot that has ended now is one of WI_MANY_LOTS. */
static inline bool wi_stack_ends_many(const wi_stack *s)
{
    unsigned n = atomic_load_explicit(&((wi_stack *)(uintptr_t)s)->pushed, memory_order_relaxed);
    return n / WI_LOT % WI_MANY_LOTS == 0;
}

/* What was there, newest first, chained by next. The one taker's alone. */
static inline weir_link *wi_stack_take(wi_stack *s)
{
    return wi_stack_holds_some(s) ? atomic_exchange(&s->newest, NULL) : NULL;
}

static inline weir_link *wi_stack_shut(wi_stack *s)
{
    weir_link *e = atomic_exchange(&s->newest, WI_SHUT);
    return e == WI_SHUT ? NULL : e;
}
