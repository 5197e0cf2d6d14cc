/* SPDX-License-Identifier: ISC
 *
 * lua_job.c: jobs: what the core knows of a task, an opening or a close of Lua's.
 *
 * A worker owns call, result and traceback until the core settles the task; `settled`
 * is stored after them and read before them. A job whose main has closed is over for
 * its state, settled or not.
 *
 * Its future has a state of its own, see doc/states.md: two functions change it,
 * wl_job_settle and wl_job_end, both on the main's thread.
 */
#include "lua_core.h"

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
    pthread_mutex_destroy(&j->lock);
    if (j->pool)
        wl_pool_unuse(j->pool);
    wl_main_unref(j->main);
    wl_main_unref(j->root);
    free(j);
}

static wl_job *make(lua_State *L, enum wl_kind kind, wl_main *m, wl_pool *p)
{
    wl_job *j = malloc(sizeof *j); /* calloc knows no cache of the thread's own */
    if (!j)
        luaL_error(L, "weir: not enough memory");
    memset(j, 0, sizeof *j);
    atomic_init(&j->refs, 1);
    pthread_mutex_init(&j->lock, NULL);
    j->kind = kind;
    j->has_future = true;
    j->expired = WEIR_EEXPIRED;
    wl_worker *w = m->state->worker;
    wl_main_ref(j->main = m);
    wl_main_ref(j->root = w && w->job ? w->job->root : m);
    if (p)
        wl_pool_use(j->pool = p);
    return j;
}

/* -> future */
wl_job *wl_job_push(lua_State *L, enum wl_kind kind, wl_pool *p)
{
    wl_main   *m = wl_main_get(L);
    wl_future *f = wl_future_push(L);
    return f->job = make(L, kind, m, p);
}

/* ---- settling: on the main's thread, or on a worker when the main has closed -- */

/* It failed, and no future tells: none is left, or its timeout ended it before. What a
 * task does that was cancelled nobody wants to know. */
bool wl_job_is_untold(const wl_job *j)
{
    bool failed = j->outcome == WL_FAILED || atomic_load(&j->failed_late);
    if (j->read || !failed)
        return false;
    return j->ended ? j->ended == WEIR_ETIMEDOUT : !j->has_future;
}

/* Who waited for a future that ended early was told then. */
static bool must_tell(const wl_job *j)
{
    return wl_job_is_untold(j) || (j->has_future && j->watched && !j->ended);
}

/* Partner: wl_burst_look, which wants a hint only; hence relaxed. */
static void count(wl_main *m, int n)
{
    unsigned before = atomic_load_explicit(&m->in_flight, memory_order_relaxed);
    atomic_store_explicit(&m->in_flight, before + (unsigned)n, memory_order_relaxed);
}

void wl_job_gone(wl_job *j)
{
    if (j->gone)
        return;
    j->gone = true;
    wl_key_give(j->main->state, j->key);
    j->key = 0;
    if (j->kind == WL_TASK)
        count(j->main, -1);
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

/* Consumes the core's reference. */
void wl_job_settle(wl_job *j, int outcome)
{
    wl_pool *p = j->pool;
    j->outcome = outcome_of(j, outcome);
    j->pool = NULL;
    if (j->limited)
        wl_watch_remove(j);
    atomic_store(&j->settled, true);
    bool here = !atomic_load(&j->main->closed);
    if (here && j->given_up)
        j->main->cancelled--;
    if (here && must_tell(j)) {
        wl_main_tell(j->main, j);
    } else {
        if (here)
            wl_job_gone(j);
        wl_job_unref(j);
    }
    if (p)
        wl_pool_unuse(p);
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
    wl_main *m = j->main;
    wl_main_ref(m); /* the job may be gone before the unlock */
    j->u.notice = (weir_notice){.fn = failure_came};
    pthread_mutex_lock(&m->lock);
    bool open = !atomic_load(&m->closed) && weir_notice_expect(&j->u.notice, m->weir) == 0;
    if (open)
        weir_notice_post(&j->u.notice, 0);
    pthread_mutex_unlock(&m->lock);
    wl_main_unref(m);
    return open;
}

/* After weir_task_abandon: the lost thread has let go, and so has the core. */
static void task_release(weir_task *task)
{
    wl_job *j = (wl_job *)(void *)task;
    if (!atomic_load(&j->failed_late) || !post_failure(j))
        wl_job_unref(j);
}

/* ---- for its future -------------------------------------------------------- */

/* For its state. */
bool wl_job_is_over(const wl_job *j)
{
    return j->ended || atomic_load(&j->settled) || atomic_load(&j->main->closed);
}

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
        wl_watch_remove(j);
    if (how == WEIR_ETIMEDOUT)
        atomic_fetch_add(&j->pool->timed_out, 1);
    if (rc == WEIR_EBUSY)
        stop(j, abandon_ns);
    return true;
}

/* ---- submitting ------------------------------------------------------------ */

/* pool f args... -> pool f args... future; NULL, with the error on top of that, when
 * they cannot cross */
static wl_job *task_make(lua_State *L, wl_pool *p)
{
    wl_pack_options options = {.number = 1, .metatables = p->metatables};
    int             n = lua_gettop(L) - 1;
    wl_main        *m = wl_main_of(L, wl_this(L));
    wl_future      *f = wl_future_new(L);
    lua_pushvalue(L, lua_upvalueindex(WL_FUTURE));
    lua_setmetatable(L, -2);
    wl_job *j = f->job = make(L, WL_TASK, m, p);
    j->u.task.run = wl_worker_run;
    j->u.task.done = task_done;
    j->u.task.release = task_release;
    return wl_pack(L, 2, n, &options, &j->call) == 0 ? j : NULL;
}

/* pool f args... -> future, not submitted yet | false, why it cannot cross | nil, word */
static int job_new(lua_State *L)
{
    wl_need_unrestricted(L, "run");
    int rc = wl_main_open(L);
    if (rc != 0)
        return wl_push_refusal(L, rc);
    if (task_make(L, wl_pool_check(L, 1)))
        return 1;
    lua_pushboolean(L, false);
    lua_insert(L, -2);
    return 2;
}

static int submit(wl_job *j, weir_run_options *o)
{
    if (atomic_load(&j->main->closed) || j->submitted)
        return WEIR_ECLOSED;
    o->size = sizeof *o;
    o->deliver_to = j->main->weir;
    wl_job_ref(j);
    j->submitted = true;
    count(j->main, 1);
    int rc = weir_run_with(j->pool->weir, &j->u.task, o);
    if (rc != 0) {
        j->submitted = false;
        count(j->main, -1);
        wl_job_unref(j);
    }
    return rc;
}

/* With a limit, from now on: it comes to a loop, and where nobody waits. Until that is
 * over a thread may start the task, unless there is a limit for that too. */
static int submit_within(wl_job *j, weir_run_options *o, int64_t limit_ns)
{
    j->limited = true;
    if (o->start_within_ns == 0) {
        o->start_within_ns = limit_ns;
        j->expired = WEIR_ETIMEDOUT;
    }
    int rc = wl_watch_limit(j, limit_ns);
    if (rc != 0)
        return rc;
    if ((rc = submit(j, o)) != 0)
        wl_watch_remove(j);
    return rc;
}

/* future [priority [, start within seconds [, cancellable [, timeout]]]] -> true | nil, word */
static int job_submit(lua_State *L)
{
    wl_job          *j = wl_job_check(L, 1);
    weir_run_options o = {.priority = (weir_priority)luaL_optinteger(L, 2, WEIR_NORMAL)};
    int64_t          limit = INT64_MAX;
    if (!lua_isnoneornil(L, 3))
        o.start_within_ns = wl_some_nanoseconds(lua_tonumber(L, 3));
    if (!lua_isnoneornil(L, 5))
        limit = wl_some_nanoseconds(lua_tonumber(L, 5));
    j->cancellable = lua_toboolean(L, 4);
    int rc = limit < INT64_MAX ? submit_within(j, &o, limit) : submit(j, &o);
    if (rc != 0)
        return wl_push_refusal(L, rc);
    lua_pushboolean(L, true);
    return 1;
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
    wl_job          *j = task_make(L, *p ? *p : wl_pool_check(L, 1));
    weir_run_options none = {0};
    if (!j) {
        lua_pushboolean(L, false);
        lua_insert(L, -2);
        return 2;
    }
    bool behind = j->pool->waits && j->main->lined_up;
    rc = behind ? WEIR_EFULL : submit(j, &none);
    if (rc != 0)
        return wl_push_refusal(L, rc);
    lua_pushboolean(L, j->main->held);
    return 2;
}

/* Without its future, and as if the state where the chain of tasks began had submitted
 * it: so it survives the task that posts it, and that state counts and reports it. Who
 * closes that state and who posts to it take the same lock; the first wins.
 *
 * future -> true, and it is empty | nil, word */
static int job_post(lua_State *L)
{
    wl_future *f = wl_check(L, 1, wl_future_class);
    wl_job    *j = f->job;
    luaL_argcheck(L, j && !j->submitted, 1, "it was submitted already");
    wl_main *root = j->root;
    wl_main_ref(root); /* the job's */
    wl_main_ref(root); /* ours: the job may be gone before the unlock */
    wl_main_unref(j->main);
    j->main = root;
    j->has_future = false;
    j->submitted = true;
    f->job = NULL; /* its reference becomes the core's */
    pthread_mutex_lock(&root->lock);
    int rc =
        atomic_load(&root->closed) ? WEIR_ECLOSED : weir_run(j->pool->weir, &j->u.task, root->weir);
    pthread_mutex_unlock(&root->lock);
    wl_main_unref(root);
    if (rc != 0) {
        j->has_future = true;
        j->submitted = false;
        f->job = j;
        return wl_push_refusal(L, rc);
    }
    lua_pushboolean(L, true);
    return 1;
}

/* module -> module */
void wl_job_register(lua_State *L)
{
    wl_method(L, "job", job_new);
    wl_method(L, "submit", job_submit);
    wl_method(L, "run", job_run);
    wl_method(L, "post", job_post);
}
