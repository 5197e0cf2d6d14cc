/* SPDX-License-Identifier: ISC
 *
 * queue.h: the tasks that wait, three levels, FIFO within each.
 *
 * Guarded by the pool's lock throughout. A lock-free queue can take this
 * room over: nothing outside queue.c looks into the struct but at `n`.
 */
#ifndef WI_QUEUE_H
#define WI_QUEUE_H

#include "list.h"

#pragma GCC visibility push(hidden)

typedef struct {
    wi_list  level[WEIR_LEVELS];       /* by weir_priority */
    unsigned running[WEIR_LEVELS];     /* picked and not put back by wi_queue_ended */
    unsigned max_running[WEIR_LEVELS]; /* 0: no limit */
    size_t   n;                        /* queued, all levels */
    uint64_t picks;
} wi_queue;

void wi_queue_init(wi_queue *q, const unsigned max_running[WEIR_LEVELS]);
void wi_queue_append(wi_queue *q, weir_task *t);
void wi_queue_remove(wi_queue *q, weir_task *t);
/* Whether pick would find one that its level's limit lets run. */
bool wi_queue_ready(const wi_queue *q);
/* The next task, or NULL; it counts as running until wi_queue_ended. */
weir_task *wi_queue_pick(wi_queue *q);
void       wi_queue_ended(wi_queue *q, const weir_task *t);
/* A task that its submitter runs counts as running too. */
void wi_queue_visit(wi_queue *q, const weir_task *t);
/* The oldest of the highest level whatever the limits, or NULL: for emptying. */
weir_task *wi_queue_first(const wi_queue *q);
/* The oldest of the lowest non-empty level that is not above p, or NULL. */
weir_task *wi_queue_victim(const wi_queue *q, weir_priority p);

#pragma GCC visibility pop
#endif
