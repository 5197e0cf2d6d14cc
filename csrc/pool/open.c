/* SPDX-License-Identifier: ISC
 *
 * open.c: a pool and its first threads come to be.
 *
 * Every thread reports exactly once: it entered, or it was refused (could not be
 * made, or its init failed). The last report opens the pool; the first refusal
 * turns OPENING into CLOSING, and the open has failed when the others are gone.
 */
#include "base/cpus.h"
#include "base/registry.h"
#include "pool/fork.h"
#include "pool/life.h"
#include "pool/owed.h"
#include "pool/publish.h"
#include "pool/trace_file.h"
#include "pool/worker.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- options ------------------------------------------------------------ */

enum { IDLE_DEFAULT_S = 10 };

/* A newer caller may know more options: what is set there we cannot do. */
static int read_options(weir_pool_options *o, const weir_pool_options *given)
{
    if (!given || given->size == 0)
        return WEIR_EINVAL;
    const unsigned char *tail = (const unsigned char *)given;
    for (size_t i = sizeof *o; i < given->size; i++)
        if (tail[i] != 0)
            return WEIR_ENOTSUP;
    memset(o, 0, sizeof *o);
    memcpy(o, given, given->size < sizeof *o ? given->size : sizeof *o);
    o->size = sizeof *o;
    return 0;
}

static bool has_wrong_threads(const weir_pool_options *o)
{
    return o->threads > WEIR_MAX_THREADS || o->threads_max > WEIR_MAX_THREADS ||
           (o->threads_max && o->threads_max < o->threads) || o->max_blocked > WEIR_MAX_THREADS ||
           o->idle_ns < 0;
}

static bool is_wrong(const weir_pool_options *o)
{
    bool stack = o->stack_size &&
                 (o->stack_size < (size_t)PTHREAD_STACK_MIN || o->stack_size < WEIR_MIN_STACK);
    bool signal = o->worker_signal < 0 || o->worker_signal >= NSIG;
    bool owned = o->init || o->at_exit || o->stack_size || o->n_cpus || o->on_start || o->on_stop;
    bool kind = o->borrowed ? owned : o->lend != NULL;
    bool cpus = (o->n_cpus != 0) != (o->cpus != NULL);
    return stack || signal || kind || cpus || has_wrong_threads(o) ||
           (unsigned)o->when_full > WEIR_DROP_OLDEST;
}

static void fill_in(weir_pool_options *o)
{
    if (o->threads == 0)
        o->threads = wi_cpus(o->cpus, o->n_cpus);
    if (o->threads_max && o->threads_max < o->threads)
        o->threads = o->threads_max;
    if (o->threads_max == 0)
        o->threads_max = o->threads;
    if (o->lazy)
        o->threads = 0;
    if (o->idle_ns == 0)
        o->idle_ns = (int64_t)IDLE_DEFAULT_S * 1000000000;
    if (!o->name)
        o->name = "weir";
}

/* ---- open --------------------------------------------------------------- */

static bool copy_options(weir_pool *p, const weir_pool_options *o)
{
    size_t cpus = (o->n_cpus + 63) / 64 * sizeof *p->cpus;
    p->opts = *o;
    if (!(p->opts.name = p->name = strdup(o->name)))
        return false;
    if (!cpus)
        return true;
    if (!(p->opts.cpus = p->cpus = malloc(cpus)))
        return false;
    memcpy(p->cpus, o->cpus, cpus);
    return true;
}

static weir_pool *make(const weir_pool_options *o, weir_main *main)
{
    weir_pool *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->held = true;
    wi_mutex_init(&p->lock), wi_mutex_init(&p->timer_lock);
    wi_parker_init(&p->timer_parker);
    if (!copy_options(p, o)) {
        wi_pool_discard(p);
        return NULL;
    }
    static _Atomic uint64_t serials;
    p->label = weir_label(p->name);
    p->serial = atomic_fetch_add(&serials, 1) + 1;
    p->main = main;
    p->serve = wi_worker_serve;
    p->lingers = wi_has_cpus();
    p->plain = !o->measure && !o->queue_limit;
    wi_spawning_note(&p->commands);
    wi_nature_note(&p->nature);
    p->handles = p->refs = 1;
    p->expected = o->threads;
    p->hires = o->lazy;
    p->timer_until = -1;
    wi_queue_init(&p->queue, o->max_running);
    if (o->queue_limit)
        wi_queue_shut(&p->queue); /* counting needs the lock */
    wi_list *lists[] = {&p->parked,        &p->visits, &p->outbox,        &p->settled,
                        &p->workers,       &p->idle,   &p->waiters,       &p->task_waiters,
                        &p->space_waiters, &p->closed, &p->space_notices, &p->space_told};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        wi_list_init(lists[i]);
    return p;
}

static unsigned namesake_locked(const struct wi_registry *r, const char *name)
{
    wi_numbers taken = {0};
    for (weir_link *e = wi_list_first(&r->pools); e; e = wi_list_after(&r->pools, e)) {
        const weir_pool *p = wi_container(e, weir_pool, registered);
        if (strcmp(p->name, name) == 0)
            wi_numbers_note(&taken, p->namesake);
    }
    return wi_numbers_free(&taken);
}

static void enlist(weir_pool *p)
{
    struct wi_registry *r = wi_registry();
    wi_lock(&r->lock);
    p->namesake = namesake_locked(r, p->name);
    wi_list_append(&r->pools, &p->registered);
    wi_unlock(&r->lock);
}

/* Without threads there is nobody to report: the opener does. */
static void open_at_once(weir_pool *p)
{
    wi_pin pin; /* `ready` may release p */
    wi_pool_hold(&pin, p);
    wi_pool_open_if_all_reported(p);
    wi_pool_unpin(&pin);
}

int weir_pool_open_async(weir_pool **out, const weir_pool_options *opts, weir_main *main,
                         weir_notice *ready)
{
    weir_pool_options o;
    int               rc = out ? read_options(&o, opts) : WEIR_EINVAL;
    if (rc == 0 && (is_wrong(&o) || (o.lazy && o.borrowed && !(o.lend && main))))
        rc = WEIR_EINVAL;
    if (rc != 0)
        return rc;
    fill_in(&o);
    wi_trace_as_asked();
    weir_pool *p = make(&o, main);
    if (!p)
        return WEIR_ENOMEM;
    if ((rc = wi_notice_expect(ready, main)) != 0) {
        wi_pool_discard(p);
        return rc;
    }
    p->ready = ready;
    if (main)
        wi_main_hold(main);
    wi_fork_init();
    enlist(p);
    *out = p;
    wi_publish_if_asked();
    if (o.lazy)
        open_at_once(p);
    else if (!o.borrowed)
        wi_pool_spawn(p, o.threads, false); /* a refusal comes as the open's outcome */
    return 0;
}

static bool has_opened(void *pool)
{
    weir_pool *p = pool;
    return p->state == WI_OPEN || wi_pool_is_over_locked(p);
}

static int wait_for_open(weir_pool *p)
{
    wi_waiter w;
    wi_wait_begin(&w, NULL);
    wi_lock(&p->lock);
    wi_wait_until(&w, &p->lock, &p->waiters, has_opened, p, -1);
    int rc = p->state == WI_OPEN ? 0 : p->open_rc;
    wi_unlock(&p->lock);
    wi_wait_end(&w);
    return rc;
}

static _Thread_local int refused_with; /* by the init that failed the last weir_pool_open */

int weir_pool_init_error(const weir_pool *pool)
{
    weir_pool *p = (weir_pool *)(uintptr_t)pool;
    if (!p)
        return refused_with;
    wi_lock(&p->lock);
    int code = p->init_error;
    wi_unlock(&p->lock);
    return code;
}

int weir_pool_open(weir_pool **out, const weir_pool_options *opts)
{
    weir_pool_options o;
    weir_pool        *p;
    refused_with = 0;
    if (!out || (read_options(&o, opts) == 0 && o.borrowed))
        return WEIR_EINVAL;
    int rc = weir_pool_open_async(&p, opts, NULL, NULL);
    if (rc == 0 && (rc = wait_for_open(p)) != 0) {
        refused_with = rc == WEIR_EINIT ? weir_pool_init_error(p) : 0;
        weir_close(p, WEIR_CLOSE); /* joins */
        weir_pool_release(p);
    } else if (rc == 0) {
        *out = p;
    }
    return rc;
}
