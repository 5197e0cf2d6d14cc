/* SPDX-License-Identifier: ISC
 *
 * hire.c: threads come: ours are made, a host's are asked for. Whoever calls acts on a
 * refusal.
 */
#include "pool/hire.h"

#include <stdlib.h>

static int make_worker(weir_pool *p, bool later)
{
    wi_thread_kind kind = {p->opts.stack_size, p->cpus, p->opts.n_cpus};
    weir_worker   *w = calloc(1, sizeof *w);
    pthread_t      thread;
    wi_lock(&p->lock);
    wi_pool_ref_locked(p); /* the thread's */
    unsigned index = p->started++;
    wi_unlock(&p->lock);
    if (!w)
        return WEIR_ENOMEM;
    wi_worker_init(w, p, true);
    w->index = index;
    w->later = later;
    int rc = wi_thread_start(&thread, &kind, p->serve, w);
    if (rc != 0)
        wi_worker_free(w);
    return rc;
}

unsigned wi_pool_hire(weir_pool *p, unsigned n, bool later, int *rc)
{
    sigset_t old;
    wi_signals_block(p->opts.worker_signal, &old);
    for (*rc = 0; n && (*rc = make_worker(p, later)) == 0; n--) {
    }
    wi_signals_restore(&old);
    return n;
}

/* ---- lends are a delivery ----------------------------------------------- */

/* What was posted holds the pool, until its delivery ends. */
static void begin_lend(weir_link *e, weir_delivery *d)
{
    weir_pool *p = wi_container(e, weir_pool, lend);
    wi_lock(&p->lock);
    d->lends = p->state < WI_CLOSING ? p->lends_due : 0;
    p->lends_due = 0;
    p->lend_posted = false;
    p->lending++;
    wi_unlock(&p->lock);
    d->pool = d->weir.of = p;
    d->arg = p->opts.arg;
}

static void run_lend(weir_delivery *d)
{
    for (unsigned n = d->lends; n; n--)
        d->pool->opts.lend(d->pool, d->arg);
}

static void end_lend(weir_delivery *d)
{
    weir_pool *p = d->weir.of;
    wi_lock(&p->lock);
    p->lending--;
    wi_unlock(&p->lock);
    wi_pool_unref(p);
}

bool wi_pool_post_lend(weir_pool *p)
{
    static const struct weir_kind a_lend = {begin_lend, run_lend, end_lend, WI_LENDS, NULL};
    wi_lock(&p->lock);
    bool post = !p->lend_posted && p->state < WI_CLOSING;
    p->lend_posted |= post;
    if (post) {
        p->lend.kind = &a_lend;
        wi_pool_ref_locked(p);
    }
    wi_unlock(&p->lock);
    return !post || wi_main_post(p->main, &p->lend);
}

void wi_pool_join_before(weir_pool *p)
{
    wi_lock(&p->lock);
    pthread_t before = p->last;
    bool      joins = p->has_last;
    p->last = pthread_self(), p->has_last = true;
    wi_unlock(&p->lock);
    if (joins)
        pthread_join(before, NULL);
}
