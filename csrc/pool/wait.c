/* SPDX-License-Identifier: ISC
 *
 * wait.c: waiting for a task to settle, and other blocking that a pool is told of.
 */
#include "pool/owed.h"

static bool has_settled(void *task) { return wi_task_state(task) == WEIR_TASK_SETTLED; }

/* Every thread that is there or may still come waits without end for a task of this
 * pool. Who finds that leaves with WEIR_EDEADLK, and the others may go on. A thread that
 * leaves its pool is not there: its wait holds up nobody, and lasts while somebody is. */
static bool is_stuck_locked(const weir_pool *p, const weir_worker *w)
{
    unsigned there = wi_pool_present_locked(p) + p->expected + p->wanted + p->visiting;
    bool no_more = !wi_pool_can_ask(p) || there >= wi_pool_limit_locked(p) || p->refused_until != 0;
    return (w->leaving ? there == 0 : p->in_wait >= there) && no_more;
}

typedef struct {
    weir_task   *task;
    weir_worker *worker;
    bool         endless;
} wait_of_worker;

static bool has_settled_or_is_stuck(void *arg)
{
    wait_of_worker *a = arg;
    weir_worker    *w = a->worker;
    return has_settled(a->task) || (a->endless && !w->lost && is_stuck_locked(w->pool, w));
}

/* A worker counts once. While it waits inside a call that another wait of its serves, the
 * inner wait alone says for what. */
static void await_locked(weir_pool *p, weir_worker *w, weir_task *t)
{
    p->in_wait -= w->awaited != NULL;
    w->awaited = t;
    p->in_wait += t != NULL;
}

/* Of a worker for a task of its own pool: it takes a thread away, so a spare may
 * start. A refusal, of long ago too, is tried again: this wait must know. */
static int wait_as_worker_relocks(weir_pool *p, weir_task *t, wi_waiter *waiter, int64_t deadline)
{
    weir_worker   *w = weir_worker_current();
    weir_task     *outer = w->awaited;
    wait_of_worker arg = {t, w, deadline < 0};
    await_locked(p, w, arg.endless && !w->leaving ? t : NULL);
    p->refused_until = 0;
    wi_pool_block_locked(p, w);
    wi_pool_unlock(p);
    wi_lock(&p->lock);
    int rc =
        wi_wait_until(waiter, &p->lock, &p->task_waiters, has_settled_or_is_stuck, &arg, deadline);
    if (rc == 0 && !has_settled(t))
        rc = WEIR_EDEADLK;
    await_locked(p, w, outer && !w->lost && !has_settled(outer) ? outer : NULL);
    if (w->blocked) /* 0 when it was lost meanwhile */
        wi_pool_unblock_locked(p, w);
    return rc;
}

static int wait_relocks(weir_pool *p, weir_task *t, wi_waiter *w, int64_t deadline)
{
    weir_worker *self = weir_worker_current();
    if (self && self->pool == p && !self->lost)
        return wait_as_worker_relocks(p, t, w, deadline);
    return wi_wait_until(w, &p->lock, &p->task_waiters, has_settled, t, deadline);
}

static int await_task(weir_task *t, int64_t timeout_ns)
{
    wi_waiter w;
    wi_pin    pin;
    wi_wait_begin(&w, t);
    weir_pool *p = wi_task_lock_pool(t);
    int        rc = p || has_settled(t) ? 0 : WEIR_EINVAL;
    if (p) {
        wi_pool_ref_locked(p);
        wi_pool_pin(&pin, p);
        bool held_up = timeout_ns < 0 && wi_pool_waits_for_us_relocks(p);
        rc = held_up && !has_settled(t) ? WEIR_EDEADLK
                                        : wait_relocks(p, t, &w, wi_deadline(timeout_ns));
        wi_unlock(&p->lock);
    }
    wi_wait_end(&w);
    if (p)
        wi_pool_unpin(&pin);
    return rc;
}

int weir_wait(weir_task *t, int64_t timeout_ns)
{
    if (!t || t->done)
        return WEIR_EINVAL;
    if (t == weir_task_current() || (wi_task_runs_here(t) && !has_settled(t)))
        return WEIR_EDEADLK;
    wi_name name = wi_name_of(t);
    wi_record_if(WEIR_TRACE_BLOCKED, NULL, &name, 0);
    int rc = await_task(t, timeout_ns);
    wi_record_if(WEIR_TRACE_UNBLOCKED, NULL, NULL, 0);
    return rc;
}

/* ---- blocking ----------------------------------------------------------- */

void weir_blocking_begin(void)
{
    weir_worker *w = weir_worker_current();
    if (!w)
        return;
    wi_lock(&w->pool->lock);
    if (!w->lost)
        wi_pool_block_locked(w->pool, w);
    wi_pool_unlock(w->pool);
    wi_record_if(WEIR_TRACE_BLOCKED, w->pool->label, NULL, 0);
}

/* A lost worker's depth went when it was lost. */
void weir_blocking_end(void)
{
    weir_worker *w = weir_worker_current();
    if (!w)
        return;
    wi_record_if(WEIR_TRACE_UNBLOCKED, w->pool->label, NULL, 0);
    wi_lock(&w->pool->lock);
    if (w->blocked)
        wi_pool_unblock_locked(w->pool, w);
    wi_unlock(&w->pool->lock);
}
