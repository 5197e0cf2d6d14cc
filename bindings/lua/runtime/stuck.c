/* SPDX-License-Identifier: ISC
 *
 * stuck.c: pool threads that wait for their own pool: for jobs, or for space in its queue.
 *
 * A pool thread that waits tells its pool, so that it may start a spare thread. When as
 * many wait as there may ever be threads, and for jobs that are not done, nobody is
 * left to do them: the last one to come is told so. A waiter whose job is settled
 * already but not delivered does not count, it is about to go on; nor does one that
 * waits for space while there is some. The core says how full the queue is, under a
 * lock of its own, so it is asked between two looks: if the waiters are the same at
 * both, they all waited when it was asked.
 */
#include "runtime/stuck.h"
#include "runtime/job.h"
#include "runtime/locks.h"
#include "runtime/pool.h"
#include "weir.h"

static bool is_undone(const wl_job *j)
{
    switch (weir_task_get_state(&j->u.task)) {
    case WEIR_TASK_QUEUED:
    case WEIR_TASK_RUNNING:
    case WEIR_TASK_PARKED: return true;
    default: return false;
    }
}

static bool is_full(const wl_pool *p)
{
    weir_pool_stats s = {.size = sizeof s};
    return p->queue_limit && weir_pool_get_stats(p->weir, &s) == 0 && s.queued >= p->queue_limit;
}

typedef struct {
    bool     stuck, by_space; /* at least one of them waits for that */
    unsigned at;
} look;

/* Enlists w unless everybody would wait then; or, with `anyhow`, in any case. */
static look try_wait(wl_pool *p, wl_waiter *w, bool own, bool anyhow)
{
    look l = {.by_space = w->for_space};
    wl_lock(p);
    unsigned n = 1;
    for (wl_waiter *o = p->waiters; o; o = o->next) {
        n += o->for_space || (o->job && is_undone(o->job));
        l.by_space |= o->for_space;
    }
    l.stuck = own && n >= atomic_load(&p->most) && (w->for_space || is_undone(w->job));
    if (!l.stuck || anyhow) {
        w->next = p->waiters;
        p->waiters = w;
        p->waits_begun++;
    }
    l.at = p->waits_begun;
    wl_unlock(p);
    return l;
}

static bool nothing_changed(wl_pool *p, unsigned since)
{
    wl_lock(p);
    bool same = p->waits_begun == since;
    wl_unlock(p);
    return same;
}

/* False, with nothing done, when nobody would be left to end the wait. */
bool wl_pool_begin_wait(wl_pool *p, wl_waiter *w, wl_job *j)
{
    bool own = !j || (j->kind == WL_TASK && j->pool == p);
    w->job = own ? j : NULL;
    w->for_space = !j;
    for (look l = try_wait(p, w, own, false); l.stuck; l = try_wait(p, w, own, false)) {
        if (!l.by_space)
            return false;
        bool full = is_full(p);
        if (full && nothing_changed(p, l.at))
            return false;
        if (!full) {
            try_wait(p, w, own, true);
            break;
        }
    }
    weir_blocking_begin();
    return true;
}

void wl_pool_end_wait(wl_pool *p, wl_waiter *w)
{
    weir_blocking_end();
    wl_lock(p);
    wl_waiter **at = &p->waiters;
    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
    p->waits_begun++;
    wl_unlock(p);
}
