/* SPDX-License-Identifier: ISC
 *
 * lag.c: how late the owners of mains are, and looking at all of them.
 */
#include "mailbox/lag.h"

#include "base/at_fork.h"
#include "base/registry.h"

#include <stdlib.h>
#include <string.h>

/* Since when the oldest delivery has been there. */
static int64_t oldest(weir_main *m)
{
    int64_t busied = atomic_load_explicit(&m->busied, memory_order_relaxed);
    int64_t since = atomic_load_explicit(&m->taken, memory_order_relaxed);
    if (!since)
        since = atomic_load_explicit(&m->sorted_since, memory_order_relaxed);
    if (!since && wi_stack_holds_some(&m->arrivals))
        since = atomic_load_explicit(&m->arrived, memory_order_relaxed);
    if (!busied && weir_main_pending(m) == 0)
        return 0; /* a nudge, at most */
    return since && since < busied ? busied : since;
}

int64_t wi_lag_since(const weir_main *main)
{
    weir_main *m = (weir_main *)(uintptr_t)main;
    int64_t    round = atomic_load_explicit(&m->round, memory_order_relaxed);
    return round ? round : oldest(m);
}

void wi_lag_record(weir_main *m)
{
    int64_t since = oldest(m), us = (weir_now() - since) / 1000;
    if (since && us > 0)
        wi_record(WEIR_TRACE_TURNED, NULL, NULL, us < INT32_MAX ? (int)us : INT32_MAX);
}

int weir_main_get_stats(const weir_main *main, weir_main_stats *out)
{
    weir_main      *m = (weir_main *)(uintptr_t)main;
    weir_main_stats s = {0};
    if (!m || !out || out->size == 0 || out->size > sizeof *out)
        return WEIR_EINVAL;
    s.pending = weir_main_pending(m);
    s.lag_ns = wi_age(oldest(m));
    s.unturned_ns = wi_age(wi_lag_since(m));
    s.thread = m->tid;
    s.size = out->size;
    memcpy(out, &s, s.size);
    return 0;
}

/* How many there are; the first `room` of them are held. */
static size_t hold_all(weir_main **mains, size_t room)
{
    struct wi_registry *r = wi_registry();
    size_t              n = 0;
    wi_lock(&r->lock);
    for (weir_link *e = wi_list_first(&r->mains); e; e = wi_list_after(&r->mains, e), n++)
        if (n < room)
            wi_main_hold(mains[n] = wi_container(e, weir_main, registered));
    wi_unlock(&r->lock);
    return n;
}

/* A fork in between has forgotten our holds in the child, where these mains then stay. */
static void let_all_go(weir_main **mains, size_t n, unsigned forks)
{
    for (size_t i = 0; i < n && forks == wi_forks; i++)
        wi_main_release(mains[i]);
    free(mains);
}

int weir_each_main(void (*fn)(void *, weir_main *), void *arg)
{
    weir_main **mains = NULL;
    size_t      room = 0, n;
    unsigned    forks = wi_forks;
    if (!fn)
        return WEIR_EINVAL;
    while ((n = hold_all(mains, room)) > room) {
        let_all_go(mains, room, forks);
        if (!(mains = calloc(n, sizeof *mains)))
            return WEIR_ENOMEM;
        room = n;
    }
    for (size_t i = 0; i < n; i++)
        fn(arg, mains[i]);
    let_all_go(mains, n, forks);
    return 0;
}

bool wi_main_is_awaited(const weir_main *m)
{
    return !m->served && !atomic_load(&m->closed) && weir_main_pending(m) > 0;
}
