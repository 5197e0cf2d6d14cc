/* SPDX-License-Identifier: ISC
 *
 * future.c: the futures that stand for jobs in Lua, and what is read from them.
 *
 * A future that has been read and is good for one plain value, or a long string, keeps
 * that, and lets go of its job: the memory serves the next call while it is warm, long
 * before the collector comes to the future.
 */
#include "runtime/future.h"
#include "runtime/error.h"
#include "runtime/settle.h"
#include "runtime/state.h"
#include "runtime/thread.h"
#include "runtime/util.h"
#include "codec/codec.h"

/* ---- waiting for it --------------------------------------------------------- */

/* future -> key, as `told` gives it; 0 when nobody waited, or it was told */
static int job_key(lua_State *L)
{
    wl_job *j = wl_job_at(L, 1);
    wl_key_push(L, wl_this(L), j ? j->key : 0);
    return 1;
}

/* value -> whether get would not wait | nothing: it is no future */
static int job_over(lua_State *L)
{
    wl_future *f = wl_is(L, 1, WL_FUTURE);
    if (!f)
        return 0;
    wl_job *j = wl_future_job(L, f);
    return wl_boolean(L, !j || wl_job_is_over(j));
}

static bool has_failed(const wl_job *j)
{
    return j->ended || !atomic_load(&j->settled) || j->outcome != 0;
}

/* future, which is over -> whether get would return false, if what came can be decoded */
static int job_failed(lua_State *L)
{
    wl_job *j = wl_job_at(L, 1);
    return wl_boolean(L, j && has_failed(j));
}

/* future -> whether only threads of this thread's pool can end it */
static int job_is_own(lua_State *L)
{
    wl_thread *w = wl_this(L)->thread;
    wl_job    *j = wl_job_at(L, 1);
    return wl_boolean(L, w && j && j->pool == w->pool && !j->limited);
}

/* The one call that every wait begins with.
 *
 * value -> key, whether a loop watches the mailbox, the running coroutine (nil: none);
 *          its end will be told
 *        | false: it is over | nothing: it is no future */
static int job_watch(lua_State *L)
{
    wl_future *f = wl_is(L, 1, WL_FUTURE);
    if (!f)
        return 0;
    lua_settop(L, 1);
    wl_job *j = wl_future_job(L, f);
    if (!j || wl_job_is_over(j))
        return wl_boolean(L, false);
    if (!j->key)
        j->key = wl_key_take(L, wl_this(L));
    j->watched = true;
    wl_key_push(L, wl_this(L), j->key);
    lua_pushboolean(L, j->main->held);
    if (lua_pushthread(L)) /* the main one */
        lua_pop(L, 1);
    return lua_gettop(L) - 1;
}

/* -> the error value of a task that failed, or why it could not be had */
static void push_failure(lua_State *L, const wl_job *j)
{
    if (j->failure)
        lua_pushstring(L, j->failure);
    else
        wl_unpack(L, j->reason ? j->reason->value : j->result);
    if (j->reason && j->kind == WL_TASK && lua_type(L, -1) == LUA_TSTRING) { /* not its own */
        lua_pushliteral(L, "init failed: ");
        lua_insert(L, -2);
        lua_concat(L, 2);
    }
}

/* -> the error value of a job that is over and not ok */
static void push_error(lua_State *L, const wl_job *j)
{
    if (j->outcome == WL_FAILED)
        push_failure(L, j);
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
    wl_job_keep(f->job);
    f->job = NULL;
    lua_pushvalue(L, lua_upvalueindex(WL_KEPT));
    lua_setmetatable(L, 1);
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
        f = wl_future_check(L, 1);
    wl_job *j = wl_future_job(L, f);
    if (!j)
        return push_kept(L, f);
    if (!j->ended)
        j->read = true;
    bool settled = atomic_load(&j->settled);
    bool failed = has_failed(j);
    lua_settop(L, 1);
    lua_pushboolean(L, !failed);
    if (j->ended)
        lua_pushstring(L, wl_word(j->ended));
    else if (!settled)
        lua_pushstring(L, wl_word(WEIR_ECLOSED));
    else if (failed)
        push_error(L, j);
    else if (j->result && wl_unpack_plainly(L, j->result) < 0) {
        lua_pushboolean(L, false);
        lua_replace(L, 2);
    } else if (j->kind == WL_TASK && lua_gettop(L) <= 3 && f->job == j)
        keep(L, f, 3);
    return lua_gettop(L) - 1;
}

/* future -> string | nil */
static int job_traceback(lua_State *L)
{
    wl_job *j = wl_job_at(L, 1);
    bool    tells = j && atomic_load(&j->settled) && !j->ended;
    if (tells)
        j->read = true;
    return lua_pushstring(L, tells ? j->traceback : NULL), 1;
}

/* A failure that no future tells, see wl_job_is_untold; once. Until it has failed, its result is
 * another thread's.
 *
 * future -> error value, traceback | nil */
static int job_failure(lua_State *L)
{
    wl_job *j = wl_job_check(L, 1);
    bool    failed = atomic_load(&j->settled) && j->outcome == WL_FAILED;
    luaL_argcheck(L, failed || atomic_load(&j->failed_late), 1, "it has not failed");
    j->read = true;
    push_failure(L, j);
    lua_pushstring(L, j->traceback);
    return 2;
}

/* future [seconds] -> whether it was not over */
static int job_cancel(lua_State *L)
{
    wl_job *j = wl_job_at(L, 1);
    int64_t abandon_ns = lua_isnoneornil(L, 2) ? -1 : wl_nanoseconds(lua_tonumber(L, 2));
    if (j && j->pool && abandon_ns < 0)
        abandon_ns = j->pool->cancel_ns;
    return wl_boolean(L, j && wl_job_end(j, WEIR_ECANCELED, abandon_ns));
}

/* Lets go of the job itself, whatever the function does: in a state that closes, new objects are
 * not finalized.
 *
 * lightuserdata job -> */
static int report(lua_State *L)
{
    wl_job    *j = lua_touserdata(L, 1);
    wl_future *f = wl_future_push(L);
    luaL_getmetatable(L, wl_future_class);
    lua_getfield(L, -1, "unhandled");
    lua_pushvalue(L, 2);
    wl_job_ref(f->job = j);
    int rc = lua_pcall(L, 1, 0, 0);
    if (f->job)
        wl_job_unref(j);
    f->job = NULL;
    return rc != 0 ? lua_error(L) : 0;
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
    bool unread = atomic_load(&j->settled) && !j->ended && wl_job_is_untold(j);
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
static int is_future(lua_State *L) { return wl_boolean(L, wl_is(L, 1, WL_FUTURE) != NULL); }

void wl_future_class_make(lua_State *L)
{
    wl_class(L, wl_future_class, "future", job_gc);
    wl_class(L, wl_kept_class, "kept_future", NULL);
    lua_getfield(L, -1, "kept_future");
    luaL_getmetatable(L, wl_future_class);
    lua_getfield(L, -1, "__name"); /* which it says that it is */
    lua_setfield(L, -3, "__name");
    lua_pop(L, 2);
}

/* module -> module */
void wl_future_register(lua_State *L)
{
    make_strings(L);
    wl_method(L, "is_future", is_future);
    wl_method(L, "key", job_key);
    wl_method(L, "is_own", job_is_own);
    wl_method(L, "over", job_over);
    wl_method(L, "failed", job_failed);
    wl_method(L, "watch", job_watch);
    wl_method(L, "take", job_take);
    wl_method(L, "traceback", job_traceback);
    wl_method(L, "failure", job_failure);
    wl_method(L, "cancel", job_cancel);
    wl_method(L, "on_unhandled", on_unhandled);
}
