/* SPDX-License-Identifier: ISC
 *
 * lua_job.c: jobs, and the futures that stand for them in Lua.
 *
 * A worker owns call, result and traceback until the core settles the task; `settled`
 * is stored after them and read before them. A job whose main has closed is over for
 * its state, settled or not.
 *
 * A future that has been read and is good for one plain value, or a long string, keeps
 * that, and lets go of its job: the memory serves the next call while it is warm, long
 * before the collector comes to the future.
 */
#include "lua_core.h"

#include <stdlib.h>
#include <string.h>

const char wl_future_class[] = "weir.future";

/* ---- references ------------------------------------------------------------ */

void wl_job_ref(wl_job *j) { atomic_fetch_add(&j->refs, 1); }

void wl_job_unref(wl_job *j)
{
    if (atomic_fetch_sub(&j->refs, 1) != 1)
        return;
    wl_message_free(j->call);
    wl_message_free(j->result);
    free(j->traceback);
    pthread_mutex_destroy(&j->lock);
    if (j->pool)
        wl_pool_unuse(j->pool);
    wl_main_unref(j->main);
    wl_main_unref(j->root);
    free(j);
}

/* -> future without a job or a metatable */
static wl_future *future_new(lua_State *L)
{
    wl_future *f = lua_newuserdata(L, sizeof *f);
    f->job = NULL;
    f->kept = WL_KEPT_NOT;
    return f;
}

/* -> future without a job */
wl_future *wl_future_push(lua_State *L)
{
    wl_future *f = future_new(L);
    wl_set_class(L, wl_future_class);
    return f;
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

/* NULL when all that is left is the value. A finaliser may come to a future that was
 * collected with it. */
static wl_job *look(lua_State *L, const wl_future *f)
{
    if (!f->job && f->kept == WL_KEPT_NOT)
        luaL_error(L, "weir: the future was collected");
    return f->job;
}

static wl_job *look_at(lua_State *L, int index) { return look(L, wl_check(L, index, wl_future_class)); }

wl_job *wl_job_check(lua_State *L, int index)
{
    wl_job *j = look_at(L, index);
    if (!j)
        luaL_error(L, "weir: the future is over");
    return j;
}

/* ---- settling: on the main's thread, or on a worker when the main has closed -- */

static bool must_tell(const wl_job *j)
{
    if (j->has_future)
        return j->watched;
    return j->outcome == WL_FAILED && !j->cancelled;
}

/* Partner: wl_burst_look, which wants a hint only; hence relaxed. */
static void count(wl_main *m, int n)
{
    unsigned before = atomic_load_explicit(&m->in_flight, memory_order_relaxed);
    atomic_store_explicit(&m->in_flight, before + (unsigned)n, memory_order_relaxed);
}

void wl_job_gone(wl_job *j)
{
    wl_key_give(j->main->state, j->key);
    j->key = 0;
    if (j->kind == WL_TASK)
        count(j->main, -1);
}

/* Consumes the core's reference. */
void wl_job_settle(wl_job *j, int outcome)
{
    wl_pool *p = j->pool;
    j->pool = NULL;
    j->outcome = outcome;
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

static void task_done(weir_task *task)
{
    wl_job_settle((wl_job *)(void *)task, weir_task_outcome(task));
}

/* After weir_task_abandon: the lost thread has let go. */
static void task_release(weir_task *task) { wl_job_unref((wl_job *)(void *)task); }

/* For its state. */
static bool is_over(const wl_job *j)
{
    return j->cancelled || atomic_load(&j->settled) || atomic_load(&j->main->closed);
}

/* ---- submitting ------------------------------------------------------------ */

/* pool f args... -> pool f args... future; NULL, with the error on top of that, when
 * they cannot cross */
static wl_job *task_make(lua_State *L, wl_pool *p)
{
    wl_pack_options options = {.number = 1, .metatables = p->metatables};
    int      n = lua_gettop(L) - 1;
    wl_main *m = wl_main_of(L, wl_this(L));
    wl_future *f = future_new(L);
    lua_pushvalue(L, lua_upvalueindex(WL_FUTURE));
    lua_setmetatable(L, -2);
    wl_job *j = f->job = make(L, WL_TASK, m, p);
    j->u.task.run = wl_worker_run;
    j->u.task.done = task_done;
    j->u.task.release = task_release;
    return wl_pack(L, 2, n, &options, &j->call) == 0 ? j : NULL;
}

/* pool f args... -> future, not submitted yet | nil, why it cannot cross */
static int job_new(lua_State *L)
{
    wl_need_unrestricted(L, "run");
    if (task_make(L, wl_pool_check(L, 1)))
        return 1;
    lua_pushnil(L);
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

/* future [priority [, seconds [, cancellable]]] -> true | nil, word */
static int job_submit(lua_State *L)
{
    wl_job          *j = wl_job_check(L, 1);
    weir_run_options o = {.priority = (weir_priority)luaL_optinteger(L, 2, WEIR_NORMAL)};
    if (!lua_isnoneornil(L, 3))
        o.start_within_ns = wl_some_nanoseconds(lua_tonumber(L, 3));
    j->cancellable = lua_toboolean(L, 4);
    int rc = submit(j, &o);
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
    wl_job          *j = task_make(L, *p ? *p : wl_pool_check(L, 1));
    weir_run_options none = {0};
    if (!j) {
        lua_pushboolean(L, false);
        lua_insert(L, -2);
        return 2;
    }
    bool behind = j->pool->waits && j->main->lined_up;
    int  rc = behind ? WEIR_EFULL : submit(j, &none);
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
    int rc = atomic_load(&root->closed) ? WEIR_ECLOSED : weir_run(j->pool->weir, &j->u.task, root->weir);
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

/* ---- futures --------------------------------------------------------------- */

/* future -> key, as `told` gives it; 0 when nobody waited, or it was told */
static int job_key(lua_State *L)
{
    wl_job *j = look_at(L, 1);
    wl_key_push(L, wl_this(L), j ? j->key : 0);
    return 1;
}

/* value -> whether get would not wait | nothing: it is no future */
static int job_over(lua_State *L)
{
    wl_future *f = wl_is(L, 1, WL_FUTURE);
    if (!f)
        return 0;
    wl_job *j = look(L, f);
    lua_pushboolean(L, !j || is_over(j));
    return 1;
}

/* future -> whether its task is for the pool of this thread */
static int job_is_own(lua_State *L)
{
    wl_worker *w = wl_this(L)->worker;
    wl_job    *j = look_at(L, 1);
    lua_pushboolean(L, w && j && j->pool == w->pool);
    return 1;
}

/* The one call that every wait begins with.
 *
 * value -> key, whether a loop watches the mailbox; its end will be told
 *        | false: it is over | nothing: it is no future */
static int job_watch(lua_State *L)
{
    wl_future *f = wl_is(L, 1, WL_FUTURE);
    if (!f)
        return 0;
    wl_job *j = look(L, f);
    if (!j || is_over(j)) {
        lua_pushboolean(L, false);
        return 1;
    }
    if (!j->key)
        j->key = wl_key_take(L, wl_this(L));
    j->watched = true;
    wl_key_push(L, wl_this(L), j->key);
    lua_pushboolean(L, j->main->held);
    return 2;
}

/* -> the error value of a job that is over and not ok */
static void push_error(lua_State *L, const wl_job *j)
{
    if (j->outcome == WL_FAILED && j->failure)
        lua_pushstring(L, j->failure);
    else if (j->outcome == WL_FAILED)
        wl_unpack(L, j->result); /* the error value, or why it could not be had */
    else
        lua_pushstring(L, wl_word(j->outcome));
}

enum { LONG = 4096 }; /* whose message is worth more than a place in a table */

/* The long strings, by their futures: a weak table in the registry. */
static char key_strings;

static void make_strings(lua_State *L)
{
    lua_newtable(L);
    lua_createtable(L, 0, 1);
    lua_pushliteral(L, "k");
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &key_strings);
}

/* May raise: then the future has its job still. */
static void keep_string(lua_State *L, int index)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &key_strings);
    lua_pushvalue(L, 1);
    lua_pushvalue(L, index);
    lua_rawset(L, -3);
    lua_pop(L, 1);
}

/* What the only result is, if it is one that a future can keep. The future is at 1. */
static void keep(lua_State *L, wl_future *f, int index)
{
    switch (lua_type(L, index)) {
    case LUA_TNONE: f->kept = WL_KEPT_NOTHING; break;
    case LUA_TNIL: f->kept = WL_KEPT_NIL; break;
    case LUA_TBOOLEAN: f->kept = lua_toboolean(L, index) ? WL_KEPT_TRUE : WL_KEPT_FALSE; break;
    case LUA_TNUMBER:
#if LUA_VERSION_NUM >= 503
        if (lua_isinteger(L, index)) {
            f->kept = WL_KEPT_INTEGER;
            f->value.integer = lua_tointeger(L, index);
            break;
        }
#endif
        f->kept = WL_KEPT_NUMBER;
        f->value.number = lua_tonumber(L, index);
        break;
    case LUA_TSTRING:
        if (lua_rawlen(L, index) < LONG)
            return;
        keep_string(L, index);
        f->kept = WL_KEPT_STRING;
        break;
    default: return;
    }
    f->job->has_future = false;
    wl_job_unref(f->job);
    f->job = NULL;
}

/* -> true, value */
static int push_kept(lua_State *L, const wl_future *f)
{
    lua_pushboolean(L, true);
    switch (f->kept) {
    case WL_KEPT_NOT:
    case WL_KEPT_NOTHING: return 1;
    case WL_KEPT_NIL: lua_pushnil(L); break;
    case WL_KEPT_FALSE: lua_pushboolean(L, false); break;
    case WL_KEPT_TRUE: lua_pushboolean(L, true); break;
    case WL_KEPT_INTEGER: lua_pushinteger(L, f->value.integer); break;
    case WL_KEPT_NUMBER: lua_pushnumber(L, f->value.number); break;
    case WL_KEPT_STRING:
        lua_rawgetp(L, LUA_REGISTRYINDEX, &key_strings);
        lua_pushvalue(L, 1);
        lua_rawget(L, -2);
        lua_remove(L, -2);
        break;
    }
    return 2;
}

/* The future stays below, for nobody else may hold it while its result is decoded.
 *
 * future, which is over -> true, values... | false, error */
static int job_take(lua_State *L)
{
    wl_future *f = wl_is(L, 1, WL_FUTURE);
    if (!f)
        f = wl_check(L, 1, wl_future_class);
    wl_job *j = look(L, f);
    if (!j)
        return push_kept(L, f);
    j->read = true;
    bool settled = atomic_load(&j->settled);
    bool failed = j->cancelled || !settled || j->outcome != 0;
    lua_settop(L, 1);
    lua_pushboolean(L, !failed);
    if (j->cancelled)
        lua_pushstring(L, wl_word(j->cancelled));
    else if (!settled)
        lua_pushstring(L, wl_word(WEIR_ECLOSED));
    else if (failed)
        push_error(L, j);
    else if (j->result && wl_unpack(L, j->result) < 0) {
        lua_pushboolean(L, false);
        lua_replace(L, 2);
    } else if (j->kind == WL_TASK && lua_gettop(L) <= 3 && f->job == j)
        keep(L, f, 3);
    return lua_gettop(L) - 1;
}

/* future -> string | nil */
static int job_traceback(lua_State *L)
{
    wl_job *j = look_at(L, 1);
    if (j)
        j->read = true;
    lua_pushstring(L, j && atomic_load(&j->settled) && !j->cancelled ? j->traceback : NULL);
    return 1;
}

/* Its main does not wait for it any more. */
static void stop(wl_job *j, int64_t abandon_ns)
{
    j->main->cancelled++;
    j->given_up = true;
    wl_cancel_send(j, abandon_ns < INT64_MAX ? abandon_ns : -1);
}

/* A running one is stopped; what it still returns is discarded.
 *
 * future [timed_out [, seconds]] -> whether it was not over */
static int job_cancel(lua_State *L)
{
    wl_job *j = look_at(L, 1);
    int     rc = WEIR_EINVAL;
    if (j && !is_over(j) && j->submitted && j->kind == WL_TASK)
        rc = weir_cancel(&j->u.task);
    if (rc == WEIR_EBUSY)
        stop(j, lua_isnoneornil(L, 3) ? j->pool->cancel_ns : wl_nanoseconds(lua_tonumber(L, 3)));
    bool stopped = rc == 0 || rc == WEIR_EBUSY;
    if (stopped)
        j->cancelled = lua_toboolean(L, 2) ? WEIR_ETIMEDOUT : WEIR_ECANCELED;
    lua_pushboolean(L, stopped);
    return 1;
}

/* Lets go of the job itself: in a state that closes, new objects are not finalized.
 *
 * lightuserdata job -> */
static int report(lua_State *L)
{
    wl_job    *j = lua_touserdata(L, 1);
    wl_future *f = wl_future_push(L);
    wl_job_ref(f->job = j);
    luaL_getmetatable(L, wl_future_class);
    lua_getfield(L, -1, "unhandled");
    lua_pushvalue(L, 2);
    lua_call(L, 1, 0);
    if (f->job)
        wl_job_unref(j);
    f->job = NULL;
    return 0;
}

/* future -> */
static int job_gc(lua_State *L)
{
    wl_future *f = lua_touserdata(L, 1);
    wl_job    *j = f->job;
    f->job = NULL;
    if (!j)
        return 0;
    j->has_future = false;
    bool unread = atomic_load(&j->settled) && j->outcome == WL_FAILED && !j->cancelled && !j->read;
    if (unread)
        j->read = true; /* the report's own future is collected, too */
    if (unread && wl_protect(L, report, j) != 0)
        lua_pop(L, 1);
    wl_job_unref(j);
    return 0;
}

/* function(future) -> ; is called for each failed job that nobody reads */
static int on_unhandled(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    luaL_getmetatable(L, wl_future_class);
    lua_pushvalue(L, 1);
    lua_setfield(L, -2, "unhandled");
    return 0;
}

/* value -> whether it is a future */
static int is_future(lua_State *L)
{
    lua_pushboolean(L, wl_test(L, 1, wl_future_class) != NULL);
    return 1;
}

void wl_job_class_make(lua_State *L) { wl_class(L, wl_future_class, "future", job_gc); }

/* module -> module */
void wl_job_register(lua_State *L)
{
    make_strings(L);
    wl_method(L, "is_future", is_future);
    wl_method(L, "job", job_new);
    wl_method(L, "submit", job_submit);
    wl_method(L, "run", job_run);
    wl_method(L, "post", job_post);
    wl_method(L, "key", job_key);
    wl_method(L, "is_own", job_is_own);
    wl_method(L, "over", job_over);
    wl_method(L, "watch", job_watch);
    wl_method(L, "take", job_take);
    wl_method(L, "traceback", job_traceback);
    wl_method(L, "cancel", job_cancel);
    wl_method(L, "on_unhandled", on_unhandled);
}
