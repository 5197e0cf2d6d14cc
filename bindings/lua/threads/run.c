/* SPDX-License-Identifier: ISC
 *
 * run.c: tasks are submitted, and come back.
 */
#include "runtime/deadline.h"
#include "runtime/error.h"
#include "runtime/job.h"
#include "runtime/limit.h"
#include "runtime/main.h"
#include "runtime/pool.h"
#include "runtime/settle.h"
#include "runtime/state.h"
#include "runtime/util.h"
#include "codec/codec.h"
#include "threads/threads.h"
#include "weir.h"

/* ---- coming back -------------------------------------------------------- */

static void task_done(weir_task *task)
{
    wl_job *j = (wl_job *)(void *)task;
    wl_job_settle(j, wl_job_failed(j, weir_task_outcome(task)));
}

static void failure_came(weir_notice *notice, int outcome)
{
    (void)outcome;
    wl_job *j = (wl_job *)(void *)notice;
    if (!atomic_load(&j->main->closed) && !j->listed && wl_job_is_untold(j))
        wl_main_tell(j->main, j);
    else
        wl_job_unref(j);
}

/* An abandoned task has failed after all. False: its main is closed. */
static bool post_failure(wl_job *j)
{
    j->u.notice = (weir_notice){.fn = failure_came};
    return wl_main_post(j->main, &j->u.notice);
}

/* After weir_task_abandon: the lost thread has let go, and so has the core. */
static void task_release(weir_task *task)
{
    wl_job *j = (wl_job *)(void *)task;
    if (!atomic_load(&j->failed_late) || !post_failure(j))
        wl_job_unref(j);
}

/* ---- submitting ------------------------------------------------------------ */

wl_job *wl_task_make(lua_State *L, wl_main *m, wl_pool *p)
{
    wl_job *j = wl_job_make(L, WL_TASK, m, p);
    j->u.task.run = wl_thread_run;
    j->u.task.done = task_done;
    j->u.task.release = task_release;
    return j;
}

/* pool f args... -> pool f args... future; NULL, with the error on top of that, when
 * they cannot cross */
static wl_job *make(lua_State *L, wl_pool *p)
{
    wl_pack_options options = {.number = 1, .metatables = p->metatables};
    int             n = lua_gettop(L) - 1;
    wl_main        *m = wl_main_of(L, wl_this(L));
    wl_future      *f = wl_future_new(L);
    lua_pushvalue(L, lua_upvalueindex(WL_FUTURE));
    lua_setmetatable(L, -2);
    wl_job *j = f->job = wl_task_make(L, m, p);
    return wl_pack_into(L, 2, n, &options, &j->result, &j->call) == 0 ? j : NULL;
}

/* pool f args... -> future, not submitted yet | false, why it cannot cross | nil, word */
static int job_new(lua_State *L)
{
    wl_need_unrestricted(L, "run");
    int rc = wl_main_open(L);
    if (rc != 0)
        return wl_push_refusal(L, rc);
    if (make(L, wl_pool_check(L, 1)))
        return 1;
    return wl_false_and(L);
}

int wl_task_submit(wl_job *j, weir_run_options *o)
{
    if (atomic_load(&j->main->closed) || j->submitted)
        return WEIR_ECLOSED;
    o->size = sizeof *o;
    o->deliver_to = j->main->weir;
    wl_job_ref(j);
    j->submitted = true;
    int rc = weir_run_with(j->pool->weir, &j->u.task, o);
    if (rc == 0) {
        wl_job_list(j);
    } else {
        j->submitted = false;
        wl_job_unref(j);
    }
    return rc;
}

/* The task is to end within limit_ns from now on, unless that is 0 or for ever: the limit comes to
 * a loop, and where nobody waits. Until it is over a thread may start the task, unless there is a
 * limit for that too. */
static int begin_limit(wl_job *j, weir_run_options *o, int64_t limit_ns)
{
    if (!limit_ns || limit_ns == INT64_MAX)
        return 0;
    j->limited = true;
    if (o->start_within_ns == 0) {
        o->start_within_ns = limit_ns;
        j->expired = WEIR_ETIMEDOUT;
    }
    return wl_limit_begin(j, limit_ns);
}

/* future [priority [, start within seconds [, cancellable [, timeout [, label]]]]]; the timeout */
static int64_t take_options(lua_State *L, wl_job *j, weir_run_options *o)
{
    o->size = sizeof *o;
    o->priority = (weir_priority)luaL_optinteger(L, 2, WEIR_NORMAL);
    o->start_within_ns = wl_opt_nanoseconds(L, 3);
    j->cancellable = lua_toboolean(L, 4);
    o->label = weir_label(luaL_optstring(L, 6, NULL));
    return wl_opt_nanoseconds(L, 5);
}

/* future and options -> true | nil, word */
static int job_submit(lua_State *L)
{
    wl_need_unrestricted(L, "run");
    wl_job          *j = wl_job_check(L, 1);
    weir_run_options o = {0};
    int64_t          limit = take_options(L, j, &o);
    int              rc = begin_limit(j, &o, limit);
    if (rc == 0 && (rc = wl_task_submit(j, &o)) != 0)
        wl_deadline_remove(j);
    return wl_push_outcome(L, rc);
}

/* job and submit in one, for runs without options.
 *
 * pool f args... -> future, whether a loop looks after what comes back
 *                 | nil, word | false, why it cannot cross | nothing: wrong arguments */
static int job_run(lua_State *L)
{
    wl_pool **p = wl_is(L, 1, WL_POOL);
    wl_need_unrestricted(L, "run");
    if (!p || lua_type(L, 2) != LUA_TFUNCTION)
        return 0;
    int rc = wl_this(L)->main ? 0 : wl_main_open(L);
    if (rc != 0)
        return wl_push_refusal(L, rc);
    wl_job          *j = make(L, *p ? *p : wl_pool_check(L, 1));
    weir_run_options none = {0};
    if (!j)
        return wl_false_and(L);
    bool behind = j->pool->waits && j->main->lined_up;
    rc = behind ? WEIR_EFULL : wl_task_submit(j, &none);
    if (rc != 0)
        return wl_push_refusal(L, rc);
    lua_pushboolean(L, j->main->held);
    return 2;
}

/* Who closes a state and who posts to it take the same lock; the first wins. So does what comes
 * of a limit that is over already: it finds the task submitted. */
static int submit_to(wl_main *root, wl_job *j, weir_run_options *o, int64_t limit_ns)
{
    o->deliver_to = root->weir;
    pthread_mutex_lock(&root->lock);
    int rc = atomic_load(&root->closed) ? WEIR_ECLOSED : begin_limit(j, o, limit_ns);
    if (rc == 0 && (rc = weir_run_with(j->pool->weir, &j->u.task, o)) != 0)
        wl_deadline_remove(j);
    pthread_mutex_unlock(&root->lock);
    return rc;
}

/* Without its future, and as if the state where the chain of tasks began had submitted
 * it: so it survives the task that posts it, and that state counts and reports it.
 *
 * future and options -> true, and it is empty | nil, word */
static int job_post(lua_State *L)
{
    wl_need_unrestricted(L, "post");
    wl_future *f = wl_future_check(L, 1);
    wl_job    *j = f->job;
    luaL_argcheck(L, j && !j->submitted, 1, "it was submitted already");
    weir_run_options o = {0};
    int64_t          limit = take_options(L, j, &o);
    wl_main         *root = j->root;
    wl_main_ref(root); /* the job's */
    wl_main_ref(root); /* ours: the job may be gone before the unlock */
    wl_main_unref(j->main);
    j->main = root;
    j->has_future = false;
    j->submitted = true;
    f->job = NULL; /* its reference becomes the core's */
    int rc = submit_to(root, j, &o, limit);
    wl_main_unref(root);
    if (rc != 0) {
        j->has_future = true;
        j->submitted = false;
        f->job = j;
    }
    return wl_push_outcome(L, rc);
}

/* pool -> the keys, as a list, of the futures that are over now because they are cancelled;
 * works that are over now are told */
static int cancel_all(lua_State *L)
{
    wl_pool *p = wl_pool_check(L, 1);
    wl_main *m = wl_main_look(L);
    int      n = 0;
    lua_newtable(L);
    for (wl_job *j = m ? m->under_way : NULL; j; j = j->under_way) {
        if (j->pool != p || !wl_job_end(j, WEIR_ECANCELED, p->cancel_ns) || !j->key)
            continue;
        if (j->is_work) {
            wl_job_ref(j);
            wl_main_tell(m, j);
            continue;
        }
        lua_pushinteger(L, (lua_Integer)j->key);
        lua_rawseti(L, -2, ++n);
    }
    return 1;
}

/* module -> module */
void wl_run_register(lua_State *L)
{
    wl_method(L, "job", job_new);
    wl_method(L, "submit", job_submit);
    wl_method(L, "run", job_run);
    wl_method(L, "post", job_post);
    wl_method(L, "cancel_all", cancel_all);
}
