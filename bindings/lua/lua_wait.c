/* SPDX-License-Identifier: ISC
 *
 * lua_wait.c: workers that wait for jobs of their own pool.
 *
 * A worker that waits tells its pool, so that it may start a spare thread. When as
 * many wait as there may ever be threads, and for jobs that are not done, nobody is
 * left to do them: the last one to come is told so. A waiter whose job is settled
 * already but not delivered does not count, it is about to go on.
 */
#include "lua_core.h"

static bool is_undone(const wl_job *j)
{
    switch (weir_task_get_state(&j->u.task)) {
    case WEIR_TASK_QUEUED:
    case WEIR_TASK_RUNNING:
    case WEIR_TASK_PARKED: return true;
    default: return false;
    }
}

/* False, with nothing done, when nobody would be left to end the wait. */
bool wl_pool_begin_wait(wl_pool *p, wl_waiter *w, wl_job *j)
{
    bool own = j->kind == WL_TASK && j->pool == p;
    w->job = own ? j : NULL;
    pthread_mutex_lock(&p->lock);
    unsigned n = 1;
    for (wl_waiter *o = p->waiters; o; o = o->next)
        n += o->job && is_undone(o->job);
    bool stuck = own && is_undone(j) && n >= atomic_load(&p->most);
    if (!stuck) {
        w->next = p->waiters;
        p->waiters = w;
    }
    pthread_mutex_unlock(&p->lock);
    if (!stuck)
        weir_blocking_begin();
    return !stuck;
}

void wl_pool_end_wait(wl_pool *p, wl_waiter *w)
{
    weir_blocking_end();
    pthread_mutex_lock(&p->lock);
    wl_waiter **at = &p->waiters;
    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
    pthread_mutex_unlock(&p->lock);
}
