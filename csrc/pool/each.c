/* SPDX-License-Identifier: ISC
 *
 * each.c: looking at all pools, and at all tasks that have begun.
 *
 * What is looked at is copied, or held, under a lock, into memory that was got before. The
 * user's function is called after that. If there is more by then, the memory is got anew.
 */
#include "base/registry.h"
#include "pool/pool.h"

#include <stdlib.h>

/* ---- pools ---------------------------------------------------------------- */

/* One that is about to go is left out. */
static bool hold(weir_pool *p, wi_pin *pin)
{
    wi_lock(&p->lock);
    bool lives = p->refs > 0;
    if (lives)
        wi_pool_ref_locked(p);
    wi_unlock(&p->lock);
    if (lives)
        wi_pool_pin(pin, p);
    return lives;
}

/* How many there are; the first `room` of them are held. */
static size_t hold_all(wi_pin *pins, size_t room, size_t *held)
{
    struct wi_registry *r = wi_registry();
    size_t              n = 0;
    *held = 0;
    wi_lock(&r->lock);
    for (weir_link *e = wi_list_first(&r->pools); e; e = wi_list_after(&r->pools, e), n++)
        if (*held < room && hold(wi_container(e, weir_pool, registered), &pins[*held]))
            ++*held;
    wi_unlock(&r->lock);
    return n;
}

void wi_pools_let_go(wi_pin *pins, size_t held)
{
    while (held)
        wi_pool_unpin(&pins[--held]);
    free(pins);
}

int wi_pools_hold(wi_pin **out, size_t *held)
{
    wi_pin *pins = NULL;
    size_t  room = 0, n;
    while ((n = hold_all(pins, room, held)) > room) {
        wi_pools_let_go(pins, *held);
        if (!(pins = malloc(n * sizeof *pins)))
            return WEIR_ENOMEM;
        room = n;
    }
    *out = pins;
    return 0;
}

int weir_each_pool(void (*fn)(void *, weir_pool *), void *arg)
{
    wi_pin *pins;
    size_t  n;
    if (!fn)
        return WEIR_EINVAL;
    if (wi_pools_hold(&pins, &n) != 0)
        return WEIR_ENOMEM;
    for (size_t i = 0; i < n; i++)
        fn(arg, pins[i].pool);
    wi_pools_let_go(pins, n);
    return 0;
}

/* ---- tasks ---------------------------------------------------------------- */

typedef struct {
    weir_running *task;
    size_t        room, n;
} copies;

static void copy_locked(copies *c, const weir_task *t)
{
    if (c->n++ >= c->room)
        return;
    bool               runs = wi_task_state(t) == WEIR_TASK_RUNNING;
    const weir_worker *w = runs ? t->weir.worker : NULL;
    c->task[c->n - 1] = (weir_running){.task = t,
                                       .label = t->weir.label,
                                       .state = runs ? WEIR_TASK_RUNNING : WEIR_TASK_PARKED,
                                       .thread = w ? (int)w->index : -1,
                                       .since = t->weir.since,
                                       .cancel_requested = weir_cancel_requested(t),
                                       .blocking = w && w->blocked};
}

static void copy_all(weir_pool *p, copies *c)
{
    const wi_list *lists[] = {&p->visits, &p->parked};
    c->n = 0;
    wi_lock(&p->lock);
    for (weir_link *e = wi_list_first(&p->workers); e; e = wi_list_after(&p->workers, e)) {
        const weir_task *t = wi_container(e, weir_worker, of_workers)->runs;
        if (t)
            copy_locked(c, t);
    }
    for (int i = 0; i < 2; i++)
        for (weir_link *e = wi_list_first(lists[i]); e; e = wi_list_after(lists[i], e))
            copy_locked(c, wi_task_of(e));
    wi_unlock(&p->lock);
}

/* What runs before what is parked, then the older first. */
static int compare(const void *one, const void *other)
{
    const weir_running *a = one, *b = other;
    if (a->state != b->state)
        return a->state == WEIR_TASK_RUNNING ? -1 : 1;
    return (a->since > b->since) - (a->since < b->since);
}

int weir_pool_each_running(weir_pool *p, void (*fn)(void *, const weir_running *), void *arg)
{
    copies c = {0};
    if (!p || !fn)
        return WEIR_EINVAL;
    while (copy_all(p, &c), c.n > c.room) {
        free(c.task);
        if (!(c.task = malloc(c.n * sizeof *c.task)))
            return WEIR_ENOMEM;
        c.room = c.n;
    }
    if (c.n)
        qsort(c.task, c.n, sizeof *c.task, compare);
    for (size_t i = 0; i < c.n; i++)
        fn(arg, &c.task[i]);
    free(c.task);
    return 0;
}
