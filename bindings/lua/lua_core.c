/* SPDX-License-Identifier: ISC
 *
 * lua_core.c: the module weir.core, and small things that every room needs.
 *
 * The module is for the modules of weir/ alone. Its functions check what would make C go
 * wrong; that arguments make sense is said in Lua, where the caller's line is known.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "lua_core.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int wl_protect(lua_State *L, lua_CFunction fn, void *ud)
{
#if LUA_VERSION_NUM < 502 /* making the closure may throw there */
    return lua_cpcall(L, fn, ud);
#else
    lua_pushcfunction(L, fn);
    lua_pushlightuserdata(L, ud);
    return lua_pcall(L, 1, 0, 0);
#endif
}

char *wl_strdup(const char *s)
{
    size_t size = strlen(s) + 1;
    char  *copy = malloc(size);
    return copy ? memcpy(copy, s, size) : NULL;
}

const char *wl_word(int code)
{
    switch (code) {
    case WEIR_ECLOSED: return "closed";
    case WEIR_EFULL: return "full";
    case WEIR_ECANCELED: return "cancelled";
    case WEIR_EEXPIRED: return "expired";
    case WEIR_ETIMEDOUT: return "timeout";
    case WEIR_ENOMEM: return "not enough memory";
    case WEIR_EAGAIN: return "the system refused a thread";
    default: return weir_strerror(code);
    }
}

/* -> nil, word */
int wl_push_refusal(lua_State *L, int code)
{
    lua_pushnil(L);
    lua_pushstring(L, wl_word(code));
    return 2;
}

int64_t wl_nanoseconds(lua_Number seconds)
{
    return !(seconds > 0) ? 0 : seconds >= 9e9 ? INT64_MAX : (int64_t)(seconds * 1e9);
}

int64_t wl_some_nanoseconds(lua_Number seconds)
{
    int64_t ns = wl_nanoseconds(seconds);
    return ns ? ns : 1;
}

/* table -> table */
void wl_method(lua_State *L, const char *name, lua_CFunction fn)
{
    wl_state_push(L);
    lua_rawgetp(L, LUA_REGISTRYINDEX, wl_future_class);
    lua_rawgetp(L, LUA_REGISTRYINDEX, wl_pool_class);
    lua_pushcclosure(L, fn, WL_UPVALUES);
    lua_setfield(L, -2, name);
}

/* The type's metatable becomes module[name], for Lua to complete.
 *
 * module -> module */
void wl_class(lua_State *L, const char *type, const char *name, lua_CFunction gc)
{
    luaL_newmetatable(L, type);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, type);
    wl_method(L, "__gc", gc);
    lua_pushliteral(L, "weir");
    lua_setfield(L, -2, "__metatable");
    lua_setfield(L, -2, name);
}

void *wl_test(lua_State *L, int index, const char *type)
{
    void *u = lua_touserdata(L, index);
    if (!u || !lua_getmetatable(L, index))
        return NULL;
    lua_rawgetp(L, LUA_REGISTRYINDEX, type);
    bool same = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return same ? u : NULL;
}

void *wl_check(lua_State *L, int index, const char *type)
{
    void *u = wl_test(L, index, type);
    return u ? u : luaL_checkudata(L, index, type);
}

void wl_set_class(lua_State *L, const char *type)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, type);
    lua_setmetatable(L, -2);
}

/* For a handle that crossed: it needs its methods.
 *
 * -> */
void wl_require(lua_State *L, const char *type)
{
    luaL_getmetatable(L, type);
    if (lua_isnil(L, -1)) {
        lua_getglobal(L, "require");
        lua_pushliteral(L, "weir");
        lua_call(L, 1, 0);
    }
    lua_pop(L, 1);
}

int wl_fail_caller(lua_State *L, const char *format, ...)
{
    va_list arguments;
    luaL_where(L, WL_CALLER);
    va_start(arguments, format);
    wl_pushvfstring(L, format, arguments);
    va_end(arguments);
    lua_concat(L, 2);
    return lua_error(L);
}

void wl_no_argument(lua_State *L, const char *method)
{
    if (lua_gettop(L) > 1 && !lua_isnil(L, 2))
        luaL_error(L, "%s: takes no argument 1, got %s", method,
                   lua_isstring(L, 2) ? lua_tostring(L, 2) : luaL_typename(L, 2));
}

int64_t wl_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* -> seconds, of a clock that never jumps */
static int clock_now(lua_State *L)
{
    lua_pushnumber(L, (lua_Number)wl_now() / 1e9);
    return 1;
}

/* What a task has begun and not ended, its worker ends.
 *
 * -> nothing; see weir_blocking_begin */
static int blocking_begin(lua_State *L)
{
    wl_worker *w = wl_this(L)->worker;
    if (w && w->job) {
        w->blocking++;
        weir_blocking_begin();
    }
    return 0;
}

static int blocking_end(lua_State *L)
{
    wl_worker *w = wl_this(L)->worker;
    if (w && w->blocking) {
        w->blocking--;
        weir_blocking_end();
    }
    return 0;
}

/* -> whether a task runs in this state */
static int in_task(lua_State *L)
{
    wl_worker *w = wl_worker_of(L);
    lua_pushboolean(L, w && w->job);
    return 1;
}

/* handle -> whether this state is one of the pool's threads */
static int in_pool(lua_State *L)
{
    wl_pool   *p = wl_pool_check(L, 1);
    wl_worker *w = wl_worker_of(L);
    lua_pushboolean(L, w && w->pool == p);
    return 1;
}

/* -> whether the task that runs here was asked to stop */
static int cancelled(lua_State *L)
{
    wl_worker *w = wl_worker_of(L);
    lua_pushboolean(L, w && w->job && weir_cancel_requested(&w->job->u.task));
    return 1;
}

/* lua_close unloads modules, while threads of a pool may still run in this one. */
static void stay_loaded(lua_CFunction fn)
{
    Dl_info here;
    if (dladdr((void *)(uintptr_t)fn, &here) && here.dli_fname)
        dlopen(here.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE);
}

/* A loader of C is the same in every state, if it holds nothing of one.
 *
 * value -> lightuserdata | nil: it is no function of C, or has upvalues */
static int c_function(lua_State *L)
{
    lua_CFunction fn = lua_tocfunction(L, 1);
    if (!fn || lua_getupvalue(L, 1, 1))
        return 0;
    stay_loaded(fn);
    lua_pushlightuserdata(L, (void *)(uintptr_t)fn);
    return 1;
}

/* -> module */
int luaopen_weir_core(lua_State *L)
{
    stay_loaded(luaopen_weir_core);
    wl_state_open(L, NULL);
    lua_newtable(L);
    wl_pool_class_make(L);
    wl_future_class_make(L);
    wl_main_register(L);
    wl_pool_register(L);
    wl_job_register(L);
    wl_future_register(L);
    wl_call_register(L);
    wl_signal_register(L);
    wl_keep_sigpipe_register(L);
    wl_append_register(L);
    wl_talk_register(L);
    wl_mutex_register(L);
    wl_packed_register(L);
    wl_shared_register(L);
    wl_progress_register(L);
    wl_method(L, "clock", clock_now);
    wl_method(L, "blocking_begin", blocking_begin);
    wl_method(L, "blocking_end", blocking_end);
    wl_method(L, "in_task", in_task);
    wl_method(L, "in_pool", in_pool);
    wl_method(L, "cancelled", cancelled);
    wl_method(L, "register", wl_register);
    wl_method(L, "c_function", c_function);
    wl_method(L, "note_failure", wl_note_failure);
    lua_pushliteral(L, WEIR_VERSION);
    lua_setfield(L, -2, "version");
    return 1;
}
