/* SPDX-License-Identifier: ISC
 *
 * trace.c: the trace hook and the histograms.
 */
#include "base/registry.h"
#include "pool/pool.h"

#include <string.h>

typedef void hook(void *, weir_trace_event, const weir_pool *, const weir_task *, int);

/* A pair, written under the registry's lock, which a fork takes. `changes` is odd while
 * it is written: who reads the same even number before and after has read one pair. */
static hook *_Atomic    the_hook;
static void *_Atomic    the_arg;
static _Atomic unsigned changes;

void weir_trace(hook *fn, void *arg)
{
    struct wi_registry *r = wi_registry();
    wi_lock(&r->lock);
    atomic_fetch_add(&changes, 1);
    atomic_store(&the_arg, arg);
    wi_yield();
    atomic_store(&the_hook, fn);
    atomic_fetch_add(&changes, 1);
    wi_unlock(&r->lock);
}

/* While it changes there is none: who changes it has not returned yet. */
static hook *read_pair(void **arg)
{
    unsigned before, after;
    hook    *fn;
    do {
        before = atomic_load(&changes);
        fn = atomic_load(&the_hook);
        wi_yield();
        *arg = atomic_load(&the_arg);
        after = atomic_load(&changes);
    } while (before != after);
    return before % 2 ? NULL : fn;
}

/* Relaxed: the common case is NULL, which needs no partner; a hook is read again
 * seq_cst with its argument. */
void wi_trace(weir_trace_event event, const weir_pool *p, const weir_task *t, int value)
{
    void *arg;
    if (!atomic_load_explicit(&the_hook, memory_order_relaxed))
        return;
    hook *fn = read_pair(&arg);
    if (fn)
        fn(arg, event, p, t, value);
}

/* task.weir.queued_at is when the time that is measured next began. */
void wi_measure_locked(weir_pool *p, weir_histogram which, weir_task *t)
{
    if (!p->opts.measure)
        return;
    int64_t  now = weir_now();
    uint64_t ns = now > t->weir.queued_at ? (uint64_t)(now - t->weir.queued_at) : 0;
    unsigned bucket = ns ? 64 - (unsigned)__builtin_clzll(ns) : 0;
    p->histogram[which][bucket < WEIR_BUCKETS ? bucket : WEIR_BUCKETS - 1]++;
    t->weir.queued_at = now;
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
