/* SPDX-License-Identifier: ISC
 *
 * queue.h: the tasks that wait, three levels, FIFO within each.
 *
 * In front of the levels stands an inbox to which a submitter offers a normal task
 * without the pool's lock. All else needs that lock, and takes in what was offered
 * before that could matter, so under the lock the queue is whole. Nothing outside
 * this room looks into the struct.
 */
#pragma once

#include "base/list.h"
#include "base/platform.h"
#include "base/stack.h"

#pragma GCC visibility push(hidden)

typedef struct {
    wi_apart before;
    wi_stack inbox; /* tasks OFFERED, all normal, newest first */
    wi_apart after;
    wi_list  level[WEIR_LEVELS];       /* by weir_priority */
    unsigned running[WEIR_LEVELS];     /* picked and not put back by wi_queue_ended */
    unsigned max_running[WEIR_LEVELS]; /* 0: no limit */
    size_t   n;                        /* in the levels */
    uint64_t picks, taken_in;
} wi_queue;

void wi_queue_init(wi_queue *q, const unsigned max_running[WEIR_LEVELS]);
/* A normal task. Any thread, no lock. False: the inbox is shut, it stays the caller's.
 * *ends_lot: the caller is to take it in, if nobody else has the lock. See stack.h. */
static inline bool wi_queue_offer(wi_queue *q, weir_task *t, bool *ends_lot)
{
    weir_link *newest;
    do {
        newest = wi_stack_newest(&q->inbox);
        if (newest == WI_SHUT)
            return false;
    } while (!wi_stack_push_onto(&q->inbox, newest, &t->weir.link));
    *ends_lot = wi_stack_ends_lot(&q->inbox);
    return true;
}
/* After an offer that ended a lot: whether the caller is to wait for the lock to do that. */
bool wi_queue_ends_many(const wi_queue *q);
/* Whether something was offered that nobody has taken in: a look, no more. */
bool wi_queue_was_offered(const wi_queue *q);
/* From now on every offer is refused. */
void wi_queue_shut(wi_queue *q);
void wi_queue_take_in(wi_queue *q);
/* How many wait, but for those in the inbox. */
size_t wi_queue_at_hand(const wi_queue *q);
/* How many wait, and how many of all came through the inbox. */
size_t   wi_queue_count(wi_queue *q);
uint64_t wi_queue_picks(const wi_queue *q);
uint64_t wi_queue_taken_in(const wi_queue *q);
void     wi_queue_append(wi_queue *q, weir_task *t);
void     wi_queue_remove(wi_queue *q, weir_task *t);
/* Whether pick would find one that its level's limit lets run. */
bool     wi_queue_ready(wi_queue *q);
unsigned wi_queue_running(const wi_queue *q);
/* The next task, or NULL; it counts as running until wi_queue_ended. */
weir_task               *wi_queue_pick_of_all(wi_queue *q);
static inline weir_task *wi_queue_pick(wi_queue *q)
{
    weir_link *e = q->level[WEIR_NORMAL].head.next;
    bool       others = !wi_list_empty(&q->level[WEIR_HIGH]) || !wi_list_empty(&q->level[WEIR_LOW]);
    if (others || q->max_running[WEIR_NORMAL] || e == &q->level[WEIR_NORMAL].head)
        return wi_queue_pick_of_all(q);
    wi_unlink(e);
    q->n--, q->running[WEIR_NORMAL]++, q->picks++;
    return wi_container(e, weir_task, weir.link);
}
static inline void wi_queue_ended(wi_queue *q, const weir_task *t)
{
    q->running[t->weir.priority]--;
}
/* A task that its submitter runs counts as running too. */
void wi_queue_visit(wi_queue *q, const weir_task *t);
/* The oldest of the highest level whatever the limits, or NULL: for emptying. */
weir_task *wi_queue_first(wi_queue *q);
/* Since when the one has been queued that has been longest; 0: none is. */
int64_t wi_queue_oldest(wi_queue *q);
/* The oldest of the lowest non-empty level that is not above p, or NULL. */
weir_task *wi_queue_victim(wi_queue *q, weir_priority p);

#pragma GCC visibility pop
