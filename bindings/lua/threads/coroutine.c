/* SPDX-License-Identifier: ISC
 *
 * coroutine.c: coroutine.resume, wrap and close in pool threads, which keep note of
 * the coroutine that runs; see runtime/cancel.c. They do what Lua's do, and nest as deep.
 *
 * LuaJIT keeps its own: its hooks belong to the state.
 */
#include "runtime/cancel.h"
#include "threads/threads.h"

#if LUA_VERSION_NUM >= 504
static int wl_resume(lua_State *L, lua_State *co, int n, int *results)
{
    return lua_resume(co, L, n, results);
}
#if LUA_VERSION_RELEASE_NUM >= 50406
#define wl_reset(co, L) lua_closethread(co, L)
#else
#define wl_reset(co, L) lua_resetthread(co)
#endif
#else
static int wl_resume(lua_State *L, lua_State *co, int n, int *results)
{
#if LUA_VERSION_NUM >= 502
    int status = lua_resume(co, L, n);
#else
    (void)L;
    int status = lua_resume(co, n);
#endif
    *results = lua_gettop(co);
    return status;
}
#endif

static wl_thread *thread_of(lua_State *L) { return lua_touserdata(L, lua_upvalueindex(1)); }

/* Why it cannot be resumed, or NULL. */
static const char *refusal(lua_State *L, lua_State *co, int n)
{
    lua_Debug ar;
    int       status = lua_status(co);
    if (co == L || (status == 0 && lua_getstack(co, 0, &ar)))
        return "cannot resume non-suspended coroutine";
    if (status > LUA_YIELD || (status == 0 && lua_gettop(co) == 0))
        return "cannot resume dead coroutine";
    return lua_checkstack(co, n) ? NULL : "too many arguments to resume";
}

/* n arguments -> results, how many; or error, -1 */
static int run_coroutine(lua_State *L, lua_State *co, int n)
{
    int         results;
    const char *why = refusal(L, co, n);
    if (why) {
        lua_pushstring(L, why);
        return -1;
    }
    lua_xmove(L, co, n);
    wl_cancel_current(thread_of(L), co);
    int status = wl_resume(L, co, n, &results);
    wl_cancel_current(thread_of(L), L);
    if (status > LUA_YIELD) {
        lua_xmove(co, L, 1);
        return -1;
    }
    if (!lua_checkstack(L, results + 1)) {
        lua_pop(co, results);
        lua_pushliteral(L, "too many results to resume");
        return -1;
    }
    lua_xmove(co, L, results);
    return results;
}

/* thread arguments... -> as coroutine.resume */
static int resume(lua_State *L)
{
    lua_State *co = lua_tothread(L, 1);
    luaL_argcheck(L, co, 1, "coroutine expected");
    int n = run_coroutine(L, co, lua_gettop(L) - 1);
    lua_pushboolean(L, n >= 0);
    lua_insert(L, n >= 0 ? -1 - n : -2);
    return n >= 0 ? n + 1 : 2;
}

/* What the dead coroutine has still to close is closed, which may bring another error.
 *
 * error -> error */
static void close_dead(lua_State *L, lua_State *co)
{
#if LUA_VERSION_NUM >= 504
    if (lua_status(co) <= LUA_YIELD)
        return;
    wl_cancel_current(thread_of(L), co);
    int status = wl_reset(co, L);
    wl_cancel_current(thread_of(L), L);
    if (status > LUA_YIELD) {
        lua_xmove(co, L, 1);
        lua_replace(L, -2);
    }
#else
    (void)L, (void)co;
#endif
}

/* Upvalue 2 is the coroutine.
 *
 * arguments... -> what it yields or returns */
static int resume_wrapped(lua_State *L)
{
    lua_State *co = lua_tothread(L, lua_upvalueindex(2));
    int        n = run_coroutine(L, co, lua_gettop(L));
    if (n >= 0)
        return n;
    close_dead(L, co);
    if (lua_type(L, -1) == LUA_TSTRING) {
        luaL_where(L, 1);
        lua_insert(L, -2);
        lua_concat(L, 2);
    }
    return lua_error(L);
}

/* function -> function */
static int wrap(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_State *co = lua_newthread(L);
    lua_pushvalue(L, 1);
    lua_xmove(L, co, 1);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, -2);
    return lua_pushcclosure(L, resume_wrapped, 2), 1;
}

/* What is closed runs in the coroutine. Upvalue 2 is the original coroutine.close.
 *
 * thread -> as coroutine.close */
static int close(lua_State *L)
{
    lua_State *co = lua_tothread(L, 1);
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_insert(L, 1);
    if (co)
        wl_cancel_current(thread_of(L), co);
    int status = lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0);
    wl_cancel_current(thread_of(L), L);
    return status == 0 ? lua_gettop(L) : lua_error(L);
}

/* coroutine -> coroutine */
static void replace(lua_State *L, wl_thread *w, const char *name, lua_CFunction fn)
{
    lua_pushlightuserdata(L, w);
    lua_getfield(L, -2, name);
    if (lua_isfunction(L, -1)) {
        lua_pushcclosure(L, fn, 2);
        lua_setfield(L, -2, name);
    } else {
        lua_pop(L, 2);
    }
}

void wl_coroutine_follow(lua_State *L, wl_thread *w)
{
    lua_getglobal(L, "jit");
    lua_getglobal(L, "coroutine");
    if (lua_isnil(L, -2)) {
        replace(L, w, "resume", resume);
        replace(L, w, "wrap", wrap);
        replace(L, w, "close", close);
    }
    lua_pop(L, 2);
}
