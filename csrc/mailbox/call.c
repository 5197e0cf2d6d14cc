/* SPDX-License-Identifier: ISC
 *
 * call.c: run_in_main.
 *
 *   POSTED --begin--> BEGUN --finish--> ENDED (the caller's code and result)
 *     |                 +--main closes / EDEADLK--> ENDED; the finish that comes
 *     +--main closes--> ENDED                        later is counted, no more
 *
 * Every end is made under the main's lock by end_locked(), so the first one wins. A call has
 * two references: the caller's, and the main's side's, which a finish consumes. A third lasts
 * as long as the call's delivery. The thread that drops the last reference frees the call.
 * From its begin on, a call holds the main until its finish, which may come after the main
 * has closed.
 */
#include "mailbox/call.h"

#include "base/registry.h"
#include "mailbox/dispatch.h"
#include "mailbox/pending.h"
#include "mailbox/task.h"

#include <stdlib.h>

static _Atomic uint64_t late;

uint64_t weir_main_late_finishes(void) { return atomic_load(&late); }

/* The caller's reference is dropped by the caller, the other by finish. */
static bool drop_locked(weir_call *call) { return --call->refs == 0; }

/* Returns the parker to wake after the unlock, or NULL. */
static wi_parker *end_locked(weir_call *call, int code, void *result)
{
    if (call->state == WI_BEGUN)
        wi_unlink(&call->in.link);
    call->state = WI_ENDED;
    call->code = code;
    call->result = result;
    wi_parker *parker = call->caller ? call->caller->parker : NULL;
    return parker && wi_unpark_begin(parker) ? parker : NULL;
}

static void end_and_wake_locked(weir_call *call, int code)
{
    wi_parker *asleep = end_locked(call, code, NULL);
    if (asleep)
        wi_unpark_end(asleep);
}

/* ---- the main's side ---------------------------------------------------- */

static void begin_call(weir_link *e, weir_delivery *d)
{
    weir_call *call = wi_container(e, weir_call, in.link);
    weir_main *m = call->main;
    wi_main_hold(m); /* until finish, for the main may be closed by then */
    wi_main_hold(m); /* until fn has returned */
    wi_lock(&m->lock);
    call->state = WI_BEGUN;
    m->handed++;
    m->beginning++;
    call->refs++; /* ours: finish may consume the call inside fn */
    wi_list_append(&m->begun, &call->in.link);
    wi_unlock(&m->lock);
    d->call = d->weir.of = call;
    d->fn = call->fn, d->arg = call->arg;
    wi_record_if(WEIR_TRACE_CALLED, NULL, &(wi_name){.number = call->number}, 0);
}

static void run_call(weir_delivery *d) { d->fn(d->call, d->arg); }

static void end_call(weir_delivery *d)
{
    weir_call *call = d->weir.of;
    weir_main *m = call->main;
    wi_record_if(WEIR_TRACE_RETURNED, NULL, NULL, 0);
    wi_lock(&m->lock);
    bool unfinished = d->weir.blocking && call->state == WI_BEGUN;
    if (unfinished)
        end_and_wake_locked(call, WEIR_EDEADLK);
    m->beginning--;
    call->returned = true;
    bool last = drop_locked(call);
    wi_unlock(&m->lock);
    if (last)
        free(call);
    if (unfinished)
        wi_main_came(m);
    wi_main_release(m);
}

static const struct weir_kind a_call = {begin_call, run_call, end_call, WI_CALLS, NULL};

/* ---- the caller's side -------------------------------------------------- */

static bool has_ended(void *call) { return ((weir_call *)call)->state == WI_ENDED; }

/* Holds the main, or NULL. */
static weir_main *target(weir_main *m)
{
    if (!m && (m = wi_task_main_current()) == NULL) {
        struct wi_registry *r = wi_registry();
        wi_lock(&r->lock);
        weir_link *e = wi_list_first(&r->mains);
        while (e && wi_container(e, weir_main, registered)->closed)
            e = wi_list_after(&r->mains, e);
        if (e)
            wi_main_hold(m = wi_container(e, weir_main, registered));
        wi_unlock(&r->lock);
        return m;
    }
    wi_main_hold(m);
    return m;
}

static int post_and_wait(weir_main *m, weir_call *call, void **result)
{
    wi_waiter w;
    wi_wait_begin(&w, call);
    call->caller = &w;
    if (!wi_main_post(m, &call->in.link)) {
        wi_wait_end(&w);
        free(call);
        wi_main_came(m);
        return WEIR_ECLOSED;
    }
    wi_lock(&m->lock);
    wi_wait_until(&w, &m->lock, &m->callers, has_ended, call, -1);
    call->caller = NULL;
    int code = call->code;
    if (code == 0 && result)
        *result = call->result;
    bool last = drop_locked(call);
    wi_unlock(&m->lock);
    wi_wait_end(&w);
    if (last)
        free(call);
    return code;
}

int weir_run_in_main(weir_main *main, void (*fn)(weir_call *, void *), void *arg, void **result)
{
    if (!fn)
        return WEIR_EINVAL;
    weir_main *m = target(main);
    if (!m)
        return WEIR_ECLOSED;
    int        rc = WEIR_EDEADLK;
    weir_call *call = NULL;
    if (m->owner == wi_thread_self())
        goto out;
    rc = WEIR_ENOMEM;
    if (!(call = calloc(1, sizeof *call)))
        goto out;
    call->in.link.kind = &a_call;
    call->main = m, call->fn = fn, call->arg = arg;
    call->refs = 2;
    call->task = weir_task_current();
    call->pool = call->task ? call->task->weir.pool : NULL;
    call->of = wi_thread_pool();
    rc = WEIR_ECLOSED;
    if (!wi_main_expect(m)) {
        free(call);
        goto out;
    }
    wi_name name = {.number = wi_is_traced() ? wi_record_number() : 0};
    call->number = name.number;
    wi_record_if(WEIR_TRACE_ASKED, NULL, &name, 0);
    rc = post_and_wait(m, call, result);
    wi_record_if(WEIR_TRACE_ANSWERED, NULL, &name, rc);
out:
    wi_main_release(m);
    return rc;
}

/* ---- the ends ----------------------------------------------------------- */

void weir_call_finish(weir_call *call, int code, void *result)
{
    if (!call)
        return;
    weir_main *m = call->main;
    wi_lock(&m->lock);
    bool       in_time = call->state == WI_BEGUN;
    wi_parker *asleep = in_time ? end_locked(call, code, result) : NULL;
    if (!in_time)
        atomic_fetch_add(&late, 1);
    m->handed--;
    bool last = drop_locked(call);
    wi_unlock(&m->lock);
    if (asleep)
        wi_unpark_end(asleep);
    if (last)
        free(call);
    if (in_time)
        wi_main_came(m);
    wi_main_release(m);
}

static bool is_of(const weir_call *call, const weir_pool *p, uint64_t serial)
{
    return call->pool == p || (serial && call->of == serial);
}

static weir_call *next_begun(weir_main *m, const weir_pool *p, uint64_t serial, weir_call *after,
                             bool returned)
{
    weir_link *e = after ? wi_list_after(&m->begun, &after->in.link) : wi_list_first(&m->begun);
    for (; e; e = wi_list_after(&m->begun, e)) {
        weir_call *call = wi_container(e, weir_call, in.link);
        if (is_of(call, p, serial) && call->returned == returned)
            return call;
    }
    return NULL;
}

static bool holds_up_worker(const weir_call *call, uint64_t serial)
{
    return call->of == serial && call->task && !(wi_task_flags(call->task) & WI_ABANDONED);
}

static unsigned on_stack(wi_thread *t, const weir_pool *p, uint64_t serial, bool workers)
{
    unsigned n = 0;
    for (weir_link *e = t ? wi_list_first(&t->mains) : NULL; e; e = wi_list_after(&t->mains, e)) {
        weir_main *m = wi_container(e, weir_main, of_thread);
        weir_call *call = NULL;
        wi_lock(&m->lock);
        while ((call = next_begun(m, p, serial, call, false)))
            n += !workers || holds_up_worker(call, serial);
        wi_unlock(&m->lock);
    }
    return n;
}

bool wi_mains_call_is_on_stack(wi_thread *t, const weir_pool *p, uint64_t serial)
{
    return on_stack(t, p, serial, false) > 0;
}

unsigned wi_mains_workers_on_stack(wi_thread *t, const weir_pool *p, uint64_t serial)
{
    return on_stack(t, p, serial, true);
}

static void fail_returned(weir_main *m, const weir_pool *p, uint64_t serial)
{
    unsigned   n = 0;
    weir_call *call;
    wi_lock(&m->lock);
    for (; (call = next_begun(m, p, serial, NULL, true)); n++)
        end_and_wake_locked(call, WEIR_EDEADLK);
    wi_unlock(&m->lock);
    m->depth++; /* on_busy can wait until the loop turns */
    while (n--)
        wi_main_came(m);
    m->depth--;
    wi_main_look_busy_later(m);
}

void wi_mains_fail_returned(wi_thread *t, const weir_pool *p, uint64_t serial)
{
    for (weir_link *e = t ? wi_list_first(&t->mains) : NULL; e; e = wi_list_after(&t->mains, e))
        fail_returned(wi_container(e, weir_main, of_thread), p, serial);
}

/* A posted call loses the main's side's reference here, for no finish will come. */
void wi_main_fail_calls(weir_main *m)
{
    weir_link *e;
    unsigned   n = 0;
    wi_lock(&m->lock);
    wi_main_take_arrivals_locked(m);
    while ((e = wi_list_pop(&m->batch.calls))) {
        weir_call *call = wi_container(e, weir_call, in.of_calls);
        wi_unlink(&call->in.link);
        call->refs--; /* the caller's is left */
        end_and_wake_locked(call, WEIR_ECLOSED);
        n++;
    }
    while ((e = wi_list_first(&m->begun))) {
        end_and_wake_locked(wi_container(e, weir_call, in.link), WEIR_ECLOSED);
        n++;
    }
    wi_unlock(&m->lock);
    while (n--)
        wi_main_came(m);
}

/* A caller is left if this very thread waits for another one's main, and has served
 * the fork meanwhile. It looks again when it is through with that. */
static bool drop_caller_locked(weir_call *call)
{
    bool is_us = wi_thread_self() && call->caller && call->caller->thread == wi_thread_self();
    call->caller = NULL;
    return !is_us && drop_locked(call);
}

void wi_calls_forked_locked(weir_main *m)
{
    weir_link *e;
    while (wi_list_pop(&m->callers)) {
    }
    while ((e = wi_list_pop(&m->batch.calls))) {
        weir_call *call = wi_container(e, weir_call, in.of_calls);
        wi_unlink(&call->in.link);
        call->refs--; /* no finish will come */
        if (drop_caller_locked(call))
            free(call);
        else
            end_locked(call, WEIR_ECLOSED, NULL);
    }
    while ((e = wi_list_first(&m->begun))) {
        weir_call *call = wi_container(e, weir_call, in.link);
        drop_caller_locked(call); /* the finish has a reference */
        end_locked(call, WEIR_ECLOSED, NULL);
    }
}
