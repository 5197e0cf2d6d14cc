/* SPDX-License-Identifier: ISC
 *
 * trace.c: who is told of an event: the trace hook, and the rings of base/record.c.
 */
#include "base/registry.h"
#include "pool/pool.h"

#include <string.h>

/* A pair, written under the registry's lock, which a fork takes. `changes` is odd while
 * it is written: who reads the same even number before and after has read one pair. */
static wi_hook *_Atomic the_hook;
static void *_Atomic    the_arg;
static _Atomic unsigned changes;

void weir_trace(wi_hook *fn, void *arg)
{
    struct wi_registry *r = wi_registry();
    wi_lock(&r->lock);
    atomic_fetch_add(&changes, 1);
    atomic_store(&the_arg, arg);
    wi_yield();
    atomic_store(&the_hook, fn);
    wi_trace_for(WI_HOOKED, fn != NULL);
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
        fn = atomic_load(&the_hook);
        wi_yield();
        *arg = atomic_load(&the_arg);
        after = atomic_load(&changes);
    } while (before != after);
    return before % 2 ? NULL : fn;
}

static void record(unsigned event, const weir_pool *p, const weir_task *t, const wi_name *name,
                   int value)
{
    wi_name own = t && !name ? wi_task_name(t) : (wi_name){0};
    wi_record(event, p->label, name ? name : &own, value);
}

void wi_trace_call(unsigned event, const weir_pool *p, const weir_task *t, const wi_name *name,
                   int value)
{
    void    *arg;
    wi_hook *fn = event <= WEIR_TRACE_CLOSED ? read_pair(&arg) : NULL;
    if (wi_is_traced() & WI_RECORDED)
        record(event, p, t, name, value);
    if (fn)
        fn(arg, (weir_trace_event)event, p, t, value);
}
