/* SPDX-License-Identifier: ISC
 *
 * trace.c: the trace hook and the histograms.
 */
#include "base/registry.h"
#include "pool/pool.h"

#include <string.h>

/* A pair, written under the registry's lock, which a fork takes. `changes` is odd while
 * it is written: who reads the same even number before and after has read one pair. */
wi_hook *_Atomic        wi_trace_hook;
static void *_Atomic    the_arg;
static _Atomic unsigned changes;

void weir_trace(wi_hook *fn, void *arg)
{
    struct wi_registry *r = wi_registry();
    wi_lock(&r->lock);
    atomic_fetch_add(&changes, 1);
    atomic_store(&the_arg, arg);
    wi_yield();
    atomic_store(&wi_trace_hook, fn);
    atomic_fetch_add(&changes, 1);
    wi_unlock(&r->lock);
}

/* While it changes there is none: who changes it has not returned yet. */
static wi_hook *read_pair(void **arg)
{
    unsigned before, after;
    wi_hook *fn;
    do {
        before = atomic_load(&changes);
        fn = atomic_load(&wi_trace_hook);
        wi_yield();
        *arg = atomic_load(&the_arg);
        after = atomic_load(&changes);
    } while (before != after);
    return before % 2 ? NULL : fn;
}

void wi_trace_call(weir_trace_event event, const weir_pool *p, const weir_task *t, int value)
{
    void    *arg;
    wi_hook *fn = read_pair(&arg);
    if (fn)
        fn(arg, event, p, t, value);
}

void wi_note_time_locked(weir_pool *p, weir_histogram which, weir_task *t)
{
    int64_t  now = weir_now();
    uint64_t ns = now > t->weir.since ? (uint64_t)(now - t->weir.since) : 0;
    unsigned bucket = ns ? 64 - (unsigned)__builtin_clzll(ns) : 0;
    p->histogram[which][bucket < WEIR_BUCKETS ? bucket : WEIR_BUCKETS - 1]++;
    p->times[which] += ns;
    t->weir.since = now;
}

int weir_pool_get_histogram(weir_pool *p, weir_histogram which, uint64_t buckets[WEIR_BUCKETS])
{
    if (!p || !buckets || !p->opts.measure || (unsigned)which > WEIR_RUN_TIME)
        return WEIR_EINVAL;
    wi_lock(&p->lock);
    memcpy(buckets, p->histogram[which], sizeof p->histogram[which]);
    wi_unlock(&p->lock);
    return 0;
}
