/* SPDX-License-Identifier: ISC
 *
 * ml_pool.c: stubs for pools and their tasks.
 *
 * The handle is a custom block. The pool's threads keep the block alive, so it is never
 * collected while one serves, and its finaliser has no thread to wait for.
 */
#define CAML_NAME_SPACE
#include <caml/alloc.h>
#include <caml/memory.h>
#include <caml/threads.h>
#include <caml/version.h>
#include <signal.h>
#include <string.h>

#include "ml.h"

static void finalize(value v)
{
    wml_handle *h = Handle_val(v);
    weir_pool_release(h->pool);
    if (h->lend)
        wml_slot_drop(h->lend);
}

static struct custom_operations ops = {
    "weir.pool",
    finalize,
    custom_compare_default,
    custom_hash_default,
    custom_serialize_default,
    custom_deserialize_default,
    custom_compare_ext_default,
    custom_fixed_length_default,
};

/* ---- open ------------------------------------------------------------------ */

/* The core calls it inside a blocking call, which may wait for the very thread that is asked
 * for. A pool without a thread may have been collected meanwhile and its slot be another's,
 * so the slot is found by its id. */
static void lend(weir_pool *pool, void *arg)
{
    static const value *deliver;
    slot               *s = wml_slot_hold((intnat)arg);
    (void)pool;
    if (!s)
        return;
    wml_run_now(&deliver, "weir.deliver", s, Val_long(1));
    wml_slot_drop(s);
}

/* The fields of Raw.options, in order. */
enum {
    O_NAME,
    O_THREADS,
    O_THREADS_MAX,
    O_IDLE,
    O_BLOCKED,
    O_LIMIT,
    O_WHEN_FULL,
    O_NORMAL,
    O_HIGH,
    O_LOW,
    O_MEASURE,
    O_FIELDS
};

/* Before OCaml 5 the runtime switches threads by a signal. */
static const int worker_signal = OCAML_VERSION < 50000 ? SIGVTALRM : 0;

static void core_options(weir_pool_options *o, value v)
{
    memset(o, 0, sizeof *o);
    o->size = sizeof *o;
    o->name = String_val(Field(v, O_NAME));
    o->threads = (unsigned)Long_val(Field(v, O_THREADS));
    o->threads_max = (unsigned)Long_val(Field(v, O_THREADS_MAX));
    o->lazy = o->threads == 0;
    o->idle_ns = Long_val(Field(v, O_IDLE));
    o->max_blocked = (unsigned)Long_val(Field(v, O_BLOCKED));
    o->queue_limit = (unsigned)Long_val(Field(v, O_LIMIT));
    o->when_full = (weir_full_policy)Long_val(Field(v, O_WHEN_FULL));
    for (int i = 0; i < WEIR_LEVELS; i++)
        o->max_running[i] = (unsigned)Long_val(Field(v, O_NORMAL + i));
    o->measure = Bool_val(Field(v, O_MEASURE));
    o->worker_signal = worker_signal;
    o->borrowed = true;
}

/* fields -> a record or an array of them */
static value block_of(const intnat *fields, mlsize_t n)
{
    value block = caml_alloc_tuple(n);
    for (mlsize_t i = 0; i < n; i++)
        Store_field(block, i, Val_long(fields[i]));
    return block;
}

/* pool -> Raw.options, as the core holds them */
value weir_ml_pool_options(value v)
{
    CAMLparam1(v);
    CAMLlocal1(record);
    weir_pool_options o = {.size = sizeof o};
    weir_pool_get_options(Pool_val(v), &o);
    const intnat fields[O_FIELDS] = {
        [O_THREADS] = o.threads,       [O_THREADS_MAX] = o.threads_max,
        [O_IDLE] = (intnat)o.idle_ns,  [O_BLOCKED] = o.max_blocked,
        [O_LIMIT] = o.queue_limit,     [O_WHEN_FULL] = o.when_full,
        [O_NORMAL] = o.max_running[0], [O_HIGH] = o.max_running[1],
        [O_LOW] = o.max_running[2],    [O_MEASURE] = o.measure,
    };
    record = block_of(fields, O_FIELDS);
    Store_field(record, O_NAME, caml_copy_string(o.name));
    CAMLreturn(record);
}

/* unit -> an empty handle */
value weir_ml_pool_handle(value unit)
{
    (void)unit;
    value v = caml_alloc_custom_mem(&ops, sizeof(wml_handle), 512);
    Handle_val(v)->pool = NULL;
    Handle_val(v)->lend = NULL;
    return v;
}

/* handle, options, main, ids of ready and lend -> code */
value weir_ml_pool_open(value v, value options, value main, value ready, value lender)
{
    weir_pool_options o;
    core_options(&o, options);
    slot *r = wml_slot_own(Long_val(ready));
    r->u.notice.fn = wml_notice_fn;
    slot *l = Handle_val(v)->lend = wml_slot_own(Long_val(lender));
    o.lend = lend;
    o.arg = (void *)l->id;
    return Val_long(weir_pool_open_async(&Handle_val(v)->pool, &o, Main_val(main), &r->u.notice));
}

/* ---- tasks ----------------------------------------------------------------- */

static weir_task *prepare(value id, value main, value priority, value within, weir_run_options *o)
{
    slot *s = wml_slot_own(Long_val(id));
    s->u.task.run = wml_task_run;
    s->u.task.done = wml_task_done;
    s->main = Main_val(main);
    *o = (weir_run_options){.size = sizeof *o};
    o->deliver_to = Main_val(main);
    o->priority = (weir_priority)Long_val(priority);
    o->start_within_ns = Long_val(within);
    o->label = s->label;
    s->label = NULL;
    return &s->u.task;
}

/* id, label -> unit: of the task's run that comes next */
value weir_ml_task_label(value id, value label)
{
    wml_slot_own(Long_val(id))->label = weir_label(String_val(label));
    return Val_unit;
}

/* pool, id, main, priority, start_within -> code */
value weir_ml_run(value v, value id, value main, value priority, value within)
{
    weir_run_options o;
    weir_task       *task = prepare(id, main, priority, within, &o);
    return Val_long(weir_run_with(Pool_val(v), task, &o));
}

/* The same for a pool where the caller of run may wait, or run the task itself. */
value weir_ml_run_blocking(value v, value id, value main, value priority, value within)
{
    CAMLparam1(v); /* the pool lives as long as v */
    weir_run_options o;
    weir_task       *task = prepare(id, main, priority, within, &o);
    weir_pool       *pool = Pool_val(v);
    wml_release_runtime();
    int rc = weir_run_with(pool, task, &o);
    caml_acquire_runtime_system();
    CAMLreturn(Val_long(rc));
}

/* id, also a running task? -> code; WEIR_EINVAL also when the id is stale. After 0 the
 * caller has one more reference to the slot, so that it can empty the cell before another
 * task gets the slot. */
value weir_ml_cancel(value id, value running)
{
    slot *s = wml_slot_hold(Long_val(id));
    wml_runs_ocaml = true;
    if (!s)
        return Val_long(WEIR_EINVAL);
    bool may = Bool_val(running) || weir_task_get_state(&s->u.task) == WEIR_TASK_QUEUED;
    int  rc = may ? weir_cancel(&s->u.task) : WEIR_EINVAL;
    if (rc != 0)
        wml_slot_drop(s);
    return Val_long(rc);
}

/* ---- close, pause, statistics ---------------------------------------------- */

/* pool, drain, timeout in ns -> code */
value weir_ml_close_within(value v, value drain, value timeout)
{
    CAMLparam1(v);
    weir_pool      *pool = Pool_val(v);
    weir_close_mode mode = Bool_val(drain) ? WEIR_DRAIN : WEIR_CLOSE;
    int64_t         ns = Long_val(timeout);
    wml_release_runtime();
    int rc = ns < 0 ? weir_close(pool, mode) : weir_close_within(pool, mode, ns);
    caml_acquire_runtime_system();
    CAMLreturn(Val_long(rc));
}

/* pool, drain, main, notice's id -> code. Id -1: no notice is told */
value weir_ml_close_async(value v, value drain, value main, value id)
{
    weir_close_mode mode = Bool_val(drain) ? WEIR_DRAIN : WEIR_CLOSE;
    slot           *s = Long_val(id) < 0 ? NULL : wml_slot_own(Long_val(id));
    wml_runs_ocaml = true;
    if (!s)
        return Val_long(weir_close_async(Pool_val(v), mode, NULL, NULL));
    s->u.notice.fn = wml_notice_fn;
    return Val_long(weir_close_async(Pool_val(v), mode, Main_val(main), &s->u.notice));
}

value weir_ml_pool_pause(value v) { return Val_long(weir_pool_pause(Pool_val(v))); }
value weir_ml_pool_resume(value v) { return Val_long(weir_pool_resume(Pool_val(v))); }

/* pool, least, most -> code */
value weir_ml_pool_resize(value v, value least, value most)
{
    return Val_long(
        weir_pool_resize(Pool_val(v), (unsigned)Long_val(least), (unsigned)Long_val(most)));
}

/* pool, which -> int array; empty if the pool does not measure */
value weir_ml_pool_histogram(value v, value which)
{
    uint64_t buckets[WEIR_TIMES];
    intnat   counts[WEIR_TIMES];
    if (weir_pool_get_times(Pool_val(v), (weir_histogram)Long_val(which), buckets) != 0)
        return Atom(0);
    for (int i = 0; i < WEIR_TIMES; i++)
        counts[i] = (intnat)buckets[i];
    return block_of(counts, WEIR_TIMES);
}

/* pool -> Stats.t */
value weir_ml_pool_stats(value v)
{
    weir_pool_stats s = {.size = sizeof s};
    weir_pool_get_stats(Pool_val(v), &s);
    const intnat fields[] = {
        (intnat)s.threads,
        (intnat)s.idle,
        (intnat)s.running,
        (intnat)s.queued,
        (intnat)s.parked,
        (intnat)s.wanted,
        (intnat)s.lost,
        (intnat)s.blocked,
        (intnat)s.submitted,
        (intnat)s.ok,
        (intnat)s.failed,
        (intnat)s.cancelled,
        (intnat)s.expired,
        (intnat)s.closed,
        (intnat)s.dropped,
        (intnat)s.refused,
        (intnat)s.abandoned,
        (intnat)s.wakes,
        (intnat)s.lends_refused,
        (intnat)s.grown,
        (intnat)s.retired,
        0 /* Pool.stats counts timed_out */,
        (intnat)s.oldest_queued_ns,
        (intnat)s.oldest_running_ns,
    };
    return block_of(fields, sizeof fields / sizeof *fields);
}

value weir_ml_strerror(value code) { return caml_copy_string(weir_strerror((int)Long_val(code))); }
