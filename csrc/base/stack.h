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
 */
#pragma once

#include "weir.h"

#include <stdatomic.h>
#include <stdbool.h>

typedef struct {
    _Atomic(weir_link *) newest; /* NULL: empty */
} wi_stack;

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
