/* SPDX-License-Identifier: ISC
 *
 * settle.c: how a job is over, for its future.
 *
 * A future has a state of its own, see doc/states.md: two functions change it,
 * wl_job_settle and wl_job_end, both on the main's thread.
 */
#include "runtime/settle.h"
#include "runtime/cancel.h"
#include "runtime/deadline.h"
#include "runtime/main.h"
#include "runtime/pool.h"
#include "weir.h"

/* ---- by its task: on the main's thread, or on a pool thread when it has closed --- */

/* Who waited for a future that ended early was told then. */
static bool must_tell(const wl_job *j)
{
    return wl_job_is_untold(j) || (j->has_future && j->watched && !j->ended);
}

/* The outcome for the future. One with a limit, and no other for its start, that no
 * thread started in time was ended by that limit, whichever clock was first. */
static int outcome_of(wl_job *j, int outcome)
{
    if (outcome != WEIR_EEXPIRED || j->expired != WEIR_ETIMEDOUT)
        return outcome;
    if (!j->ended)
        atomic_fetch_add(&j->pool->timed_out, 1);
    return WEIR_ETIMEDOUT;
}

/* A main that is closed leaves its list as it is, and nobody reads it. */
void wl_job_list(wl_job *j)
{
    wl_main *m = j->main;
    j->under_way = m->under_way;
    j->link = &m->under_way;
    if (j->under_way)
        j->under_way->link = &j->under_way;
    m->under_way = j;
}

static void unlist(wl_job *j)
{
    if (!j->link)
        return;
    *j->link = j->under_way;
    if (j->under_way)
        j->under_way->link = j->link;
    j->link = NULL;
}

/* Consumes the core's reference. */
void wl_job_settle(wl_job *j, int outcome)
{
    wl_pool *p = j->pool;
    j->outcome = outcome_of(j, outcome);
    j->pool = NULL;
    if (j->limited)
        wl_deadline_remove(j);
    atomic_store(&j->settled, true);
    bool here = !atomic_load(&j->main->closed);
    if (here && j->given_up)
        j->main->cancelled--;
    if (here)
        unlist(j);
    if (here && must_tell(j)) {
        wl_main_tell(j->main, j);
    } else {
        if (here && !j->listed) /* a work that was cancelled is told, and needs its key till then */
            wl_job_gone(j);
        wl_job_unref(j);
    }
    if (p)
        wl_pool_unuse(p);
}

/* ---- before its task ---------------------------------------------------- */

/* Its main does not wait for it any more. */
static void stop(wl_job *j, int64_t abandon_ns)
{
    j->main->cancelled++;
    j->given_up = true;
    wl_cancel_send(j, abandon_ns < INT64_MAX ? abandon_ns : -1);
}

/* The one way in which a future is over before its task: by cancel or by its timeout. A
 * queued task is taken back, a running one stopped; what it still returns is discarded.
 * False: the core was first, and the task's own end is delivered, or will be at once. */
bool wl_job_end(wl_job *j, int how, int64_t abandon_ns)
{
    if (wl_job_is_over(j) || !j->submitted || j->kind != WL_TASK)
        return false;
    int rc = weir_cancel(&j->u.task);
    if (rc != 0 && rc != WEIR_EBUSY)
        return false;
    j->ended = how;
    if (j->limited)
        wl_deadline_remove(j);
    if (how == WEIR_ETIMEDOUT)
        atomic_fetch_add(&j->pool->timed_out, 1);
    if (rc == WEIR_EBUSY)
        stop(j, abandon_ns);
    return true;
}
