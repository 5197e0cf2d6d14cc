/* SPDX-License-Identifier: ISC
 *
 * task.h: a task's states and how its done is told.
 *
 *   IDLE -> CLAIMED -> QUEUED -> RUNNING -> SETTLED -> IDLE
 *             |  |       ^ ^ |       |  ^        ^
 *   (refused: |  v       | | |       v  |        |
 *       IDLE) OFFERED ---+ +-(unpark) PARKED ----+  (QUEUED -> SETTLED too: cancel, close)
 *
 * CLAIMED lasts inside weir_run: of two runs of one task the first wins, and the
 * other gets WEIR_EBUSY. An OFFERED task is in the inbox of its pool's queue, or
 * about to be. The next thread that holds the pool's lock makes it QUEUED. From
 * there to SETTLED every change is made under that lock. The state word is atomic because
 * weir_cancel, weir_wait and weir_task_unpark read it before they know which
 * lock to take.
 */
#pragma once

#include "base/at_fork.h"
#include "base/record.h"
#include "mailbox/mailbox.h"
#include "mailbox/pending.h"
#include "weir.h"

#pragma GCC visibility push(hidden)

enum { WI_TASK_CLAIMED = WEIR_TASK_SETTLED + 1, WI_TASK_OFFERED };

enum wi_task_flags {
    WI_CANCEL = 1,    /* asked to stop */
    WI_ORPHANED = 2,  /* its main closed with WEIR_DETACH */
    WI_UNPARKED = 4,  /* an unpark came while it ran */
    WI_ABANDONED = 8, /* settled, but its thread still runs it */
    WI_LET_GO = 16,   /* abandoned: run has returned */
    WI_TOLD = 32      /* abandoned: done has returned */
};

/* Acquire and release are each other's partner: a thread that sees a state also sees what
 * was written before the move to it. */
static inline unsigned wi_task_state(const weir_task *t)
{
    return __atomic_load_n(&t->weir.state, __ATOMIC_ACQUIRE);
}
static inline void wi_task_move(weir_task *t, unsigned state)
{
    __atomic_store_n(&t->weir.state, state, __ATOMIC_RELEASE);
}
static inline unsigned wi_task_flags(const weir_task *t)
{
    return __atomic_load_n(&t->weir.flags, __ATOMIC_SEQ_CST);
}
static inline unsigned wi_task_flag(weir_task *t, unsigned flag)
{
    return __atomic_fetch_or(&t->weir.flags, flag, __ATOMIC_SEQ_CST);
}
/* Relaxed: of a claimed task, published by the move that follows. */
static inline void wi_task_clear_flags(weir_task *t)
{
    __atomic_store_n(&t->weir.flags, 0, __ATOMIC_RELAXED);
}
static inline void wi_task_unflag(weir_task *t, unsigned flags)
{
    if (wi_task_flags(t) & flags)
        __atomic_fetch_and(&t->weir.flags, ~flags, __ATOMIC_SEQ_CST);
}

/* Relaxed: published by the move to OFFERED, QUEUED or RUNNING that follows. */
static inline void wi_task_set_pool(weir_task *t, weir_pool *p)
{
    __atomic_store_n(&t->weir.pool, p, __ATOMIC_RELAXED);
}
/* The pool that has the task offered, queued, running or parked, or NULL. Certain under
 * that pool's lock; before, a hint which lock to take. */
static inline weir_pool *wi_task_pool(const weir_task *t)
{
    unsigned state = wi_task_state(t);
    bool     ours =
        state == WI_TASK_OFFERED || (state >= WEIR_TASK_QUEUED && state <= WEIR_TASK_PARKED);
    return ours ? __atomic_load_n(&t->weir.pool, __ATOMIC_RELAXED) : NULL;
}

static inline weir_task *wi_task_of(weir_link *e) { return wi_container(e, weir_task, weir.link); }

static inline bool wi_task_swap_state(weir_task *t, unsigned from, unsigned to)
{
    return __atomic_compare_exchange_n(&t->weir.state, &from, to, false, __ATOMIC_SEQ_CST,
                                       __ATOMIC_SEQ_CST);
}
bool wi_task_claim_settled(weir_task *t);
/* IDLE -> CLAIMED; a settled task without done counts as idle. *was: the state to
 * go back to. */
static inline bool wi_task_claim(weir_task *t, unsigned *was)
{
    if (wi_task_swap_state(t, *was = WEIR_TASK_IDLE, WI_TASK_CLAIMED))
        return true;
    *was = WEIR_TASK_SETTLED;
    return wi_task_claim_settled(t);
}

extern const struct weir_kind wi_a_task;

/* Ties the task to the main its done is told on, and back. A task without done
 * only keeps the main's memory. False: the main is closed. */
bool               wi_task_keep_main(weir_task *t);
static inline bool wi_task_aim(weir_task *t, weir_main *m)
{
    t->weir.link.kind = &wi_a_task;
    t->weir.main = m;
    t->weir.forks = wi_forks;
    if (!m)
        return true;
    return t->done ? wi_main_expect(m) : wi_task_keep_main(t);
}
void wi_task_unaim(weir_task *t);

/* Runs done of a settled task here and ends its tie to the main. */
void wi_task_tell(weir_task *t);
/* The lost thread of an abandoned task is through. Runs release if its teller is, too; else the
 * teller does. */
void wi_task_let_go(weir_task *t);

/* Its name in records, now, as told from inside the task that this thread runs. */
wi_name wi_task_name(const weir_task *t);

/* Where the calling thread's current task stands from now on, so that a worker need not say
 * it for each: a word that holds it or NULL. Returns where it stood. NULL: nowhere. */
typedef weir_task *const wi_task_place;
wi_task_place           *wi_task_current_in(wi_task_place *place);
weir_main               *wi_task_main_current(void);

#pragma GCC visibility pop
