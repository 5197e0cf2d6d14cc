/* SPDX-License-Identifier: ISC
 *
 * queue.c: which task is next.
 */
#include "queue.h"

#include "task.h"

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

void wi_queue_append(wi_queue *q, weir_task *t)
{
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

bool wi_queue_ready(const wi_queue *q)
{
    for (int i = 0; q->n && i < WEIR_LEVELS; i++)
        if (may_run(q, (weir_priority)i))
            return true;
    return false;
}

weir_task *wi_queue_pick(wi_queue *q)
{
    bool lowest = (q->picks + 1) % LOWEST_EVERY == 0;
    for (int i = 0; q->n && i < WEIR_LEVELS; i++) {
        weir_priority p = high_to_low[lowest ? WEIR_LEVELS - 1 - i : i];
        if (!may_run(q, p))
            continue;
        weir_task *t = wi_task_of(wi_list_first(&q->level[p]));
        wi_queue_remove(q, t);
        q->running[p]++;
        q->picks++;
        return t;
    }
    return NULL;
}

void wi_queue_visit(wi_queue *q, const weir_task *t) { q->running[t->weir.priority]++; }
void wi_queue_ended(wi_queue *q, const weir_task *t) { q->running[t->weir.priority]--; }

weir_task *wi_queue_first(const wi_queue *q)
{
    for (int i = 0; i < WEIR_LEVELS; i++) {
        weir_link *e = wi_list_first(&q->level[high_to_low[i]]);
        if (e)
            return wi_task_of(e);
    }
    return NULL;
}

weir_task *wi_queue_victim(const wi_queue *q, weir_priority p)
{
    for (int i = WEIR_LEVELS - 1; i >= 0; i--) {
        weir_link *e = wi_list_first(&q->level[high_to_low[i]]);
        if (e)
            return wi_task_of(e);
        if (high_to_low[i] == p)
            return NULL;
    }
    return NULL;
}
