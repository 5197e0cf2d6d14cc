/* SPDX-License-Identifier: ISC
 *
 * limits.c: what actors use is charged to their limits and to those above.
 */
#include "lus/limits.h"

#include <stdlib.h>

wl_limits *wl_limits_new(wl_limits *above, const wl_amounts *most)
{
    wl_limits *l = calloc(1, sizeof *l);
    if (!l)
        return NULL;
    atomic_init(&l->refs, 1);
    l->above = wl_limits_ref(above);
    l->most = *most;
    return l;
}

wl_limits *wl_limits_ref(wl_limits *l)
{
    if (l)
        atomic_fetch_add(&l->refs, 1);
    return l;
}

void wl_limits_unref(wl_limits *l)
{
    while (l && atomic_fetch_sub(&l->refs, 1) == 1) {
        wl_limits *above = l->above;
        free(l);
        l = above;
    }
}

static void give_below(wl_limits *l, const wl_limits *end, uint64_t bytes)
{
    for (; l != end; l = l->above)
        atomic_fetch_sub(&l->memory, bytes);
}

void wl_limits_give(wl_limits *l, uint64_t bytes) { give_below(l, NULL, bytes); }

bool wl_limits_take(wl_limits *l, uint64_t bytes)
{
    for (wl_limits *at = l; at; at = at->above) {
        uint64_t before = atomic_fetch_add(&at->memory, bytes), most = at->most.memory;
        if (most && (bytes > most || before > most - bytes)) { /* their sum may be past all */
            give_below(l, at->above, bytes);
            return false;
        }
    }
    return true;
}

enum wl_stop wl_limits_spend(wl_limits *l, uint64_t steps, int64_t ns)
{
    enum wl_stop over = WL_GOES_ON;
    for (; l; l = l->above) {
        uint64_t all_steps = atomic_fetch_add(&l->steps, steps) + steps;
        int64_t  all_ns = atomic_fetch_add(&l->time_ns, ns) + ns;
        if (l->most.steps && all_steps > l->most.steps)
            over = WL_STOP_STEPS;
        else if (l->most.time_ns && all_ns > l->most.time_ns)
            over = WL_STOP_TIME;
    }
    return over;
}
