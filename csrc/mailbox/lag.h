/* SPDX-License-Identifier: ISC
 *
 * lag.h: how late the owner of a main is.
 *
 * Four times, each some ms inexact, for people who ask what a loop does. They are relaxed,
 * because they publish nothing: a reader that sees one a moment late is a moment late.
 */
#pragma once

#include "base/record.h"
#include "mailbox/mailbox.h"

#pragma GCC visibility push(hidden)

/* A loop polls a main only while something is pending, so what came before is no older than
 * that. The owner's thread. */
static inline void wi_lag_busy(weir_main *m)
{
    int64_t now = m->busy ? wi_now_coarse() : 0;
    atomic_store_explicit(&m->busied, now, memory_order_relaxed);
}

/* Before a push onto empty arrivals; a poster that then comes second has changed little. */
static inline void wi_lag_arrives(weir_main *m)
{
    int64_t now = wi_is_traced() ? weir_now() : wi_now_coarse();
    atomic_store_explicit(&m->arrived, now, memory_order_relaxed);
}

/* Before the arrivals are sorted. Under the lock. */
static inline void wi_lag_sorts(weir_main *m)
{
    if (wi_stack_holds_some(&m->arrivals) &&
        atomic_load_explicit(&m->sorted_since, memory_order_relaxed) == 0)
        atomic_store_explicit(&m->sorted_since,
                              atomic_load_explicit(&m->arrived, memory_order_relaxed),
                              memory_order_relaxed);
}

/* What was sorted goes into the batch. The owner's thread, under the lock. */
static inline void wi_lag_taken(weir_main *m)
{
    int64_t since = atomic_load_explicit(&m->sorted_since, memory_order_relaxed);
    if (!since)
        return;
    atomic_store_explicit(&m->sorted_since, 0, memory_order_relaxed);
    if (atomic_load_explicit(&m->taken, memory_order_relaxed) == 0)
        atomic_store_explicit(&m->taken, since, memory_order_relaxed);
}

/* The outermost round begins. The owner's thread. */
static inline void wi_lag_round(weir_main *m)
{
    atomic_store_explicit(&m->round, wi_now_coarse(), memory_order_relaxed);
}

/* Something was taken in it: how late it is, for a trace. */
void wi_lag_record(weir_main *m);

/* A round, or what a wait has served, is over. The owner's thread. */
static inline void wi_lag_over(weir_main *m)
{
    if (m->depth == 0)
        atomic_store_explicit(&m->round, 0, memory_order_relaxed);
    if (m->depth == 0 && wi_box_is_empty(&m->batch))
        atomic_store_explicit(&m->taken, 0, memory_order_relaxed);
}

/* Since when the owner has had to turn to the main and has not; 0: it has not had to. */
int64_t wi_lag_since(const weir_main *m);

/* Whether somebody's loop is to turn for m: it is open, no worker's, and waited for. */
bool wi_main_is_awaited(const weir_main *m);

#pragma GCC visibility pop
