/* SPDX-License-Identifier: ISC
 *
 * queue.c: which task is next.
 */
#include "pool/queue.h"

#include "mailbox/task.h"

/* Every LOWEST_EVERYth pick serves the lowest level, so that none starves. */
enum { LOWEST_EVERY = 32 };

static const weir_priority high_to_low[WEIR_LEVELS] = {WEIR_HIGH, WEIR_NORMAL, WEIR_LOW};

void wi_queue_init(wi_queue *q, const unsigned max_running[WEIR_LEVELS])
{
    *q = (wi_queue){0};
    for (int i = 0; i < WEIR_LEVELS; i++) {
        wi_list_init(&q->level[i]);
        q->max_running[i] = max_running[i];
    }
}

/* ---- the inbox ---------------------------------------------------------- */

bool wi_queue_ends_many(const wi_queue *q) { return wi_stack_ends_many(&q->inbox); }

bool wi_queue_was_offered(const wi_queue *q) { return wi_stack_holds_some(&q->inbox); }

/* From the newest on, each goes before those already taken in: FIFO again. */
static void take_in(wi_queue *q, weir_link *e)
{
    weir_link *last = q->level[WEIR_NORMAL].head.prev;
    for (weir_link *before; e; e = before) {
        before = e->next;
        wi_list_insert_after(last, e);
        wi_task_move(wi_task_of(e), WEIR_TASK_QUEUED);
        q->n++, q->taken_in++;
    }
}

void wi_queue_take_in(wi_queue *q)
{
    if (wi_queue_was_offered(q))
        take_in(q, wi_stack_take(&q->inbox));
}

void wi_queue_shut(wi_queue *q) { take_in(q, wi_stack_shut(&q->inbox)); }

size_t wi_queue_count(wi_queue *q)
{
    wi_queue_take_in(q);
    return q->n;
}

size_t   wi_queue_at_hand(const wi_queue *q) { return q->n; }
uint64_t wi_queue_picks(const wi_queue *q) { return q->picks; }
uint64_t wi_queue_taken_in(const wi_queue *q) { return q->taken_in; }

/* ---- the levels --------------------------------------------------------- */

void wi_queue_append(wi_queue *q, weir_task *t)
{
    wi_queue_take_in(q); /* what was offered came before */
    wi_list_append(&q->level[t->weir.priority], &t->weir.link);
    q->n++;
}

void wi_queue_remove(wi_queue *q, weir_task *t)
{
    wi_unlink(&t->weir.link);
    q->n--;
}

static bool may_run(const wi_queue *q, weir_priority p)
{
    return !wi_list_empty(&q->level[p]) &&
           (q->max_running[p] == 0 || q->running[p] < q->max_running[p]);
}

/* Only normal tasks are offered, so while one is at hand nobody need look into the
 * inbox, whose cache line its submitters have. */
static void take_in_if_out(wi_queue *q)
{
    if (!may_run(q, WEIR_NORMAL))
        wi_queue_take_in(q);
}

bool wi_queue_ready(wi_queue *q)
{
    take_in_if_out(q);
    for (int i = 0; q->n && i < WEIR_LEVELS; i++)
        if (may_run(q, (weir_priority)i))
            return true;
    return false;
}

static weir_task *pick_of(wi_queue *q, weir_priority p)
{
    weir_task *t = wi_task_of(q->level[p].head.next);
    wi_queue_remove(q, t);
    q->running[p]++;
    q->picks++;
    return t;
}

static bool only_normal(const wi_queue *q)
{
    return wi_list_empty(&q->level[WEIR_HIGH]) && wi_list_empty(&q->level[WEIR_LOW]);
}

weir_task *wi_queue_pick_of_all(wi_queue *q)
{
    take_in_if_out(q);
    if (only_normal(q))
        return may_run(q, WEIR_NORMAL) ? pick_of(q, WEIR_NORMAL) : NULL;
    bool lowest = (q->picks + 1) % LOWEST_EVERY == 0;
    for (int i = 0; i < WEIR_LEVELS; i++) {
        weir_priority p = high_to_low[lowest ? WEIR_LEVELS - 1 - i : i];
        if (may_run(q, p))
            return pick_of(q, p);
    }
    return NULL;
}

unsigned wi_queue_running(const wi_queue *q)
{
    return q->running[WEIR_HIGH] + q->running[WEIR_NORMAL] + q->running[WEIR_LOW];
}

void wi_queue_visit(wi_queue *q, const weir_task *t) { q->running[t->weir.priority]++; }

weir_task *wi_queue_first(wi_queue *q)
{
    wi_queue_take_in(q);
    for (int i = 0; i < WEIR_LEVELS; i++) {
        weir_link *e = wi_list_first(&q->level[high_to_low[i]]);
        if (e)
            return wi_task_of(e);
    }
    return NULL;
}

weir_task *wi_queue_victim(wi_queue *q, weir_priority p)
{
    wi_queue_take_in(q);
    for (int i = WEIR_LEVELS - 1; i >= 0; i--) {
        weir_link *e = wi_list_first(&q->level[high_to_low[i]]);
        if (e)
            return wi_task_of(e);
        if (high_to_low[i] == p)
            return NULL;
    }
    return NULL;
}

int64_t wi_queue_oldest(wi_queue *q)
{
    int64_t oldest = 0;
    wi_queue_take_in(q);
    for (int i = 0; i < WEIR_LEVELS; i++) {
        weir_link *e = wi_list_first(&q->level[i]);
        int64_t    since = e ? wi_task_of(e)->weir.since : 0;
        if (since && (!oldest || since < oldest))
            oldest = since;
    }
    return oldest;
}
