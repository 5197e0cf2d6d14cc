/* SPDX-License-Identifier: ISC
 *
 * pool.c: whose memory a pool is, which of its threads this is, what can be read back.
 */
#include "pool/pool.h"

#include "base/registry.h"

#include <stdlib.h>
#include <string.h>

/* ---- references --------------------------------------------------------- */

void wi_pool_ref_locked(weir_pool *p) { p->refs++; }

void wi_pool_discard(weir_pool *p)
{
    wi_parker_destroy(&p->timer_parker);
    wi_mutex_destroy(&p->timer_lock);
    wi_mutex_destroy(&p->lock);
    free(p->cpus);
    free(p->name);
    free(p);
}

void wi_pool_unref(weir_pool *p)
{
    wi_lock(&p->lock);
    bool last = --p->refs == 0;
    wi_unlock(&p->lock);
    if (!last)
        return;
    wi_unregister(&p->registered);
    if (p->has_last) /* nobody waited for the close: nobody waits here */
        pthread_detach(p->last);
    if (p->main)
        wi_main_release(p->main);
    wi_pool_discard(p);
}

static _Thread_local wi_pin *pins;

void wi_pool_pin(wi_pin *s, weir_pool *p)
{
    *s = (wi_pin){p, pins, NULL};
    pins = s;
}

void wi_pool_hold(wi_pin *s, weir_pool *p)
{
    wi_lock(&p->lock);
    wi_pool_ref_locked(p);
    wi_unlock(&p->lock);
    wi_pool_pin(s, p);
}

void wi_pool_unpin(wi_pin *s)
{
    pins = s->outer;
    wi_pool_unref(s->pool);
}

unsigned wi_pool_pins(const weir_pool *p)
{
    unsigned n = 0;
    for (const wi_pin *s = pins; s; s = s->outer)
        n += s->pool == p;
    return n;
}

void weir_pool_retain(weir_pool *p)
{
    wi_lock(&p->lock);
    p->handles++;
    wi_pool_ref_locked(p);
    wi_unlock(&p->lock);
}

/* ---- threads that serve it ---------------------------------------------- */

static _Thread_local weir_worker *self;

void wi_worker_set_self(weir_worker *w)
{
    self = w;
    wi_task_current_in(w ? &w->task : NULL);
}

weir_worker *weir_worker_current(void) { return self; }
weir_pool   *weir_pool_current(void) { return self ? self->pool : NULL; }
unsigned     weir_worker_index(const weir_worker *w) { return w->index; }

void wi_worker_init(weir_worker *w, weir_pool *p, bool owned)
{
    w->pool = p;
    w->owned = owned;
    wi_parker_init(&w->parker);
}

void wi_worker_free(weir_worker *w)
{
    wi_parker_destroy(&w->parker);
    free(w);
}

void weir_block_signals(const weir_pool *p, void *old)
{
    wi_signals_block(p ? p->opts.worker_signal : 0, old);
}
void weir_restore_signals(const void *old) { wi_signals_restore(old); }

/* ---- what anyone may ask ------------------------------------------------ */

/* A task that settles and runs again elsewhere between the look and the lock is
 * looked at again. One that is OFFERED still is inside its weir_run: as if not
 * run yet. */
weir_pool *wi_task_lock_pool(const weir_task *t)
{
    weir_pool *p;
    while (t && (p = wi_task_pool(t))) {
        wi_lock(&p->lock);
        wi_queue_take_in(&p->queue);
        bool offered = wi_task_state(t) == WI_TASK_OFFERED;
        if (wi_task_pool(t) == p && !offered)
            return p;
        wi_unlock(&p->lock);
        if (offered)
            break;
    }
    return NULL;
}

bool wi_task_runs_here(const weir_task *t)
{
    bool here = self && self->task == t;
    for (const wi_pin *s = pins; s; s = s->outer)
        here |= s->task == t;
    return here;
}

bool wi_pool_can_lend(const weir_pool *p) { return p->opts.lend && p->main; }

int weir_pool_get_options(const weir_pool *pool, weir_pool_options *out)
{
    weir_pool *p = (weir_pool *)(uintptr_t)pool;
    if (!p || !out || out->size == 0 || out->size > sizeof *out)
        return WEIR_EINVAL;
    size_t size = out->size;
    wi_lock(&p->lock);
    memcpy(out, &p->opts, size);
    wi_unlock(&p->lock);
    out->size = size;
    return 0;
}

void wi_pool_note_init_error_locked(weir_pool *p, int code)
{
    if (code && (p->init_error == 0 || p->state != WI_OPENING))
        p->init_error = code;
}
