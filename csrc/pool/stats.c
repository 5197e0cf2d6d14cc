/* SPDX-License-Identifier: ISC
 *
 * stats.c: one consistent snapshot.
 */
#include "pool/pool.h"

#include <string.h>

static unsigned count(const wi_list *l)
{
    unsigned n = 0;
    for (weir_link *e = wi_list_first(l); e; e = wi_list_after(l, e))
        n++;
    return n;
}

static unsigned visits_of_workers(const weir_pool *p)
{
    unsigned n = 0;
    for (weir_link *e = wi_list_first(&p->workers); e; e = wi_list_after(&p->workers, e))
        n += wi_container(e, weir_worker, of_workers)->visits;
    return n;
}

static void older(int64_t *oldest, const weir_task *t)
{
    if (t && (!*oldest || t->weir.since < *oldest))
        *oldest = t->weir.since;
}

static int64_t oldest_running(const weir_pool *p)
{
    int64_t oldest = 0;
    for (weir_link *e = wi_list_first(&p->workers); e; e = wi_list_after(&p->workers, e))
        older(&oldest, wi_container(e, weir_worker, of_workers)->runs);
    for (weir_link *e = wi_list_first(&p->visits); e; e = wi_list_after(&p->visits, e))
        older(&oldest, wi_task_of(e));
    return oldest;
}

void wi_pool_snapshot_locked(weir_pool *p, weir_pool_stats *s)
{
    *s = p->stats;
    s->threads = p->serving;
    s->running = wi_queue_running(&p->queue);
    s->idle = s->threads - (s->running - p->visiting - visits_of_workers(p));
    s->queued = wi_queue_count(&p->queue);
    s->submitted += wi_queue_taken_in(&p->queue);
    s->parked = count(&p->parked);
    s->wanted = p->wanted;
    s->lost = p->lost;
    s->blocked = p->blocked;
    s->oldest_queued_ns = wi_age(wi_queue_oldest(&p->queue));
    s->oldest_running_ns = wi_age(oldest_running(p));
}

int weir_pool_get_stats(weir_pool *p, weir_pool_stats *out)
{
    weir_pool_stats s;
    if (!p || !out || out->size == 0 || out->size > sizeof *out)
        return WEIR_EINVAL;
    wi_lock(&p->lock);
    wi_pool_snapshot_locked(p, &s);
    wi_unlock(&p->lock);
    s.size = out->size;
    memcpy(out, &s, s.size);
    return 0;
}
