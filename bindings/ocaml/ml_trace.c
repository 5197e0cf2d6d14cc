/* SPDX-License-Identifier: ISC
 *
 * ml_trace.c: the core's events, kept in a ring until OCaml takes them.
 *
 * The hook runs on any thread, also on threads that the runtime does not know, so it
 * touches nothing of OCaml. The core calls it outside every lock. It asks for the pool's
 * name before it takes the ring's lock.
 */
#define CAML_NAME_SPACE
#include <caml/alloc.h>
#include <caml/memory.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "ml.h"

typedef struct {
    int64_t     at;
    const void *task;
    int         event, value;
    char        pool[32];
} noted;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* Guarded by lock. The events that are kept stand in the `kept` places before `next`. */
static noted *ring;
static size_t capacity, next, kept;
static intnat missed;

static void           lock_ring(void) { pthread_mutex_lock(&lock); }
static void           unlock_ring(void) { pthread_mutex_unlock(&lock); }
static weir_fork_hook at_fork = {
    .before = lock_ring, .in_parent = unlock_ring, .in_child = unlock_ring};

static void note_locked(const noted *n)
{
    ring[next] = *n;
    next = (next + 1) % capacity;
    missed += kept == capacity;
    kept += kept < capacity;
}

static void hook(void *arg, weir_trace_event event, const weir_pool *pool, const weir_task *task,
                 int value)
{
    weir_pool_options o = {.size = sizeof o};
    noted             n = {.task = task, .event = (int)event, .value = value};
    (void)arg;
    weir_pool_get_options(pool, &o);
    strncpy(n.pool, o.name, sizeof n.pool - 1);
    n.at = weir_now();
    lock_ring();
    if (ring) /* NULL: this call was under way when the trace stopped */
        note_locked(&n);
    unlock_ring();
}

static void replace_ring(noted *r, size_t n)
{
    lock_ring();
    noted *old = ring;
    ring = r, capacity = n;
    next = kept = 0;
    missed = 0;
    unlock_ring();
    free(old);
}

/* label -> unit */
value weir_ml_trace_begin(value label) { return weir_trace_begin(String_val(label)), Val_unit; }

/* unit -> unit */
value weir_ml_trace_end(value unit) { return weir_trace_end(), unit; }

/* capacity -> bool: false when out of memory */
value weir_ml_trace_start(value n)
{
    weir_on_fork(&at_fork);
    noted *r = calloc((size_t)Long_val(n), sizeof *r);
    if (!r)
        return Val_false;
    replace_ring(r, (size_t)Long_val(n));
    weir_trace(hook, NULL);
    return Val_true;
}

value weir_ml_trace_stop(value unit)
{
    weir_trace(NULL, NULL);
    replace_ring(NULL, 0);
    return unit;
}

value weir_ml_trace_kept(value unit)
{
    (void)unit;
    lock_ring();
    intnat n = (intnat)kept;
    unlock_ring();
    return Val_long(n);
}

value weir_ml_trace_missed(value unit)
{
    (void)unit;
    lock_ring();
    intnat n = missed;
    unlock_ring();
    return Val_long(n);
}

static bool take_oldest(noted *out)
{
    lock_ring();
    bool any = kept > 0;
    if (any)
        *out = ring[(next + capacity - kept--) % capacity];
    unlock_ring();
    return any;
}

/* unit -> Raw.noted option */
value weir_ml_trace_take(value unit)
{
    CAMLparam1(unit);
    CAMLlocal2(record, pool);
    noted n;
    if (!take_oldest(&n))
        CAMLreturn(Val_none);
    pool = caml_copy_string(n.pool);
    record = caml_alloc_tuple(5);
    Store_field(record, 0, Val_long(n.at));
    Store_field(record, 1, pool);
    Store_field(record, 2, n.task ? wml_of_pointer(n.task) : Val_long(0));
    Store_field(record, 3, Val_int(n.event));
    Store_field(record, 4, Val_int(n.value));
    CAMLreturn(caml_alloc_some(record));
}
