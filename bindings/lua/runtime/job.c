/* SPDX-License-Identifier: ISC
 *
 * job.c: jobs: what the core knows of a task, an opening or a close of Lua's; and the
 * futures that stand for them.
 *
 * A pool thread owns call, result and traceback until the core settles the task; `settled`
 * is stored after them and read before them. A job whose main has closed is over for
 * its state, settled or not.
 */
#include "runtime/job.h"
#include "runtime/error.h"
#include "runtime/state.h"
#include "runtime/thread.h"
#include "runtime/util.h"
#include "codec/codec.h"

#include <stdlib.h>
#include <string.h>

/* ---- references ------------------------------------------------------------ */

void wl_job_ref(wl_job *j) { atomic_fetch_add(&j->refs, 1); }

void wl_job_unref(wl_job *j)
{
    if (atomic_fetch_sub(&j->refs, 1) != 1)
        return;
    wl_message_free(j->call);
    wl_message_free(j->result);
    wl_reason_unref(j->reason);
    free(j->traceback);
    if (j->pool)
        wl_pool_unuse(j->pool);
    wl_main_unref(j->main);
    wl_main_unref(j->root);
    free(j);
}

/* ---- those that are used again, with the memory of their message and their mains -------- */

enum { MOST_SPARE = 64, MOST_BYTES = 4096 };

/* Instead of wl_job_unref, on its main's thread. One that was never submitted still uses its
 * pool. */
void wl_job_keep(wl_job *j)
{
    wl_main *m = j->main;
    if (atomic_load(&m->closed) || m->n_spare == MOST_SPARE || atomic_load(&j->refs) != 1 ||
        !j->result || wl_message_size(j->result) > MOST_BYTES || j->call || j->traceback ||
        j->pool) {
        wl_job_unref(j);
        return;
    }
    j->result = wl_message_empty(j->result);
    j->next = m->spare;
    m->spare = j;
    m->n_spare++;
}

void wl_jobs_drop_spare(wl_main *m)
{
    wl_job *j;
    for (; (j = m->spare); m->n_spare--) {
        m->spare = j->next;
        wl_job_unref(j);
    }
}

static wl_job *take_spare(wl_main *m)
{
    wl_job *j = m->spare;
    if (!j)
        return NULL;
    m->spare = j->next;
    m->n_spare--;
    wl_main    *root = j->root;
    wl_message *memory = j->result;
    memset(j, 0, sizeof *j);
    j->main = m, j->root = root, j->result = memory;
    return j;
}

static wl_job *make_job(wl_main *m)
{
    wl_job *j = malloc(sizeof *j); /* calloc knows no cache of the thread's own */
    if (!j)
        return NULL;
    memset(j, 0, sizeof *j);
    wl_main_ref(j->main = m);
    wl_main_ref(j->root = m);
    return j;
}

static void set_root(wl_job *j, wl_main *root)
{
    if (j->root == root)
        return;
    wl_main_ref(root);
    wl_main_unref(j->root);
    j->root = root;
}

/* A task's has, as its result, the memory of a message, or NULL. */
wl_job *wl_job_make(lua_State *L, enum wl_kind kind, wl_main *m, wl_pool *p)
{
    wl_job    *j = kind == WL_TASK ? take_spare(m) : NULL;
    wl_thread *w = m->state->thread;
    if (!j && !(j = make_job(m)))
        luaL_error(L, "weir: not enough memory");
    atomic_init(&j->refs, 1);
    j->kind = kind;
    j->has_future = true;
    j->expired = WEIR_EEXPIRED;
    set_root(j, w && w->job ? w->job->root : m);
    if (p)
        wl_pool_use(j->pool = p);
    return j;
}

/* ---- futures ------------------------------------------------------------ */

/* -> future without a job or a metatable */
wl_future *wl_future_new(lua_State *L)
{
    wl_future *f = lua_newuserdata(L, sizeof *f);
    f->job = NULL;
    f->kept = WL_KEPT_NOT;
    return f;
}

/* -> future without a job */
wl_future *wl_future_push(lua_State *L)
{
    wl_future *f = wl_future_new(L);
    wl_set_class(L, wl_future_class);
    return f;
}

/* -> future */
wl_job *wl_job_push(lua_State *L, enum wl_kind kind, wl_pool *p)
{
    wl_main   *m = wl_main_get(L);
    wl_future *f = wl_future_push(L);
    return f->job = wl_job_make(L, kind, m, p);
}

/* NULL when all that is left is the value. A finaliser may come to a future that was
 * collected with it. */
wl_job *wl_future_job(lua_State *L, const wl_future *f)
{
    if (!f->job && f->kept == WL_KEPT_NOT)
        luaL_error(L, "weir: the future was collected");
    return f->job;
}

wl_future *wl_future_check(lua_State *L, int index)
{
    wl_future *f = wl_test(L, index, wl_kept_class);
    return f ? f : wl_check(L, index, wl_future_class);
}

wl_job *wl_job_at(lua_State *L, int index) { return wl_future_job(L, wl_future_check(L, index)); }

wl_job *wl_job_check(lua_State *L, int index)
{
    wl_job *j = wl_job_at(L, index);
    if (!j)
        luaL_error(L, "weir: the future is over");
    return j;
}

/* ---- what it is over with ----------------------------------------------- */

/* For its state. */
bool wl_job_is_over(const wl_job *j)
{
    return j->ended || atomic_load(&j->settled) || atomic_load(&j->main->closed);
}

/* It failed, and no future tells: none is left, or its timeout ended it before. What a
 * task does that was cancelled nobody wants to know. */
bool wl_job_is_untold(const wl_job *j)
{
    bool failed = j->outcome == WL_FAILED || atomic_load(&j->failed_late);
    if (j->read || !failed)
        return false;
    return j->ended ? j->ended == WEIR_ETIMEDOUT : !j->has_future;
}

void wl_job_gone(wl_job *j)
{
    if (j->gone)
        return;
    j->gone = true;
    wl_key_give(j->main->state, j->key);
    j->key = 0;
}

/* What the system, or an init, did to it is a failure as one of its own is: nobody must
 * miss it. The outcome with which it settles then. */
int wl_job_failed(wl_job *j, int outcome)
{
    if (outcome == WEIR_EINIT) {
        j->reason = wl_pool_init_error(j->pool);
        j->failure = j->reason ? NULL : wl_word(WEIR_ENOMEM);
    } else if (outcome == WEIR_EAGAIN || outcome == WEIR_ENOMEM || outcome == WEIR_EINVAL) {
        j->failure = wl_word(outcome);
    } else {
        return outcome;
    }
    return WL_FAILED;
}
