/* SPDX-License-Identifier: ISC
 *
 * failure.c: what an actor failed with: its error as text, and where that was raised.
 *
 * Written on the actor's thread before its channel `out` ends, read after that.
 */
#include "lus/failure.h"
#include "runtime/util.h"

#include <stdlib.h>
#include <string.h>

static const char key_traceback = 0; /* its address: in the registry */

/* -> ; before the script can change it */
void wl_failure_prepare(lua_State *L)
{
    lua_getglobal(L, "debug");
    lua_getfield(L, -1, "traceback");
    lua_rawsetp(L, LUA_REGISTRYINDEX, &key_traceback);
    lua_pop(L, 1);
}

static void keep_error(wl_actor *a, const char *text, size_t size)
{
    free(a->error);
    if ((a->error = malloc(size + 1)))
        memcpy(a->error, text, size + 1);
    a->error_size = size;
    atomic_store(&a->failed, true);
}

void wl_failure_text(wl_actor *a, const char *text) { keep_error(a, text, strlen(text)); }

static bool has_text(lua_State *L)
{
    return lua_type(L, -1) == LUA_TSTRING || lua_type(L, -1) == LUA_TNUMBER;
}

/* error -> error */
void wl_failure_keep(lua_State *L, wl_actor *a)
{
    size_t size;
    if (!has_text(L))
        return wl_failure_text(a, "unknown runtime error");
    const char *text = lua_tolstring(L, -1, &size);
    keep_error(a, text, size);
}

/* The text that an object has is had by calling it, which may raise.
 *
 * lightuserdata actor -> */
static int tell_script(lua_State *L)
{
    wl_actor *a = lua_touserdata(L, 1);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &key_traceback);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &a->root);
    lua_xmove(a->root, L, 1);
    if (luaL_callmeta(L, -1, "__tostring"))
        lua_remove(L, -2);
    wl_failure_keep(L, a);
    lua_pop(L, 1);
    lua_pushlstring(L, a->error ? a->error : "", a->error ? a->error_size : 0);
    lua_call(L, 2, 1);
    if (lua_type(L, -1) == LUA_TSTRING)
        a->traceback = wl_strdup(lua_tostring(L, -1));
    return 0;
}

/* The error on top of its coroutine. An object whose text raises has what it raised. */
void wl_failure_of_script(lua_State *L, wl_actor *a)
{
    lua_pushcfunction(L, tell_script);
    lua_pushlightuserdata(L, a);
    if (lua_pcall(L, 1, 0, 0) == 0)
        return;
    if (!atomic_load(&a->failed))
        wl_failure_keep(L, a);
    lua_pop(L, 1);
}

/* Of one that was cut off its own thread may still write what it failed with. */
static _Atomic bool *failed_of(wl_actor *a)
{
    return atomic_load(&a->ended_by) == WL_CUT_OFF ? &a->cut_off : &a->failed;
}

bool wl_failure_waits(wl_actor *a) { return atomic_load(failed_of(a)); }
bool wl_failure_take(wl_actor *a) { return atomic_exchange(failed_of(a), false); }

/* -> error */
void wl_failure_push(lua_State *L, const wl_actor *a)
{
    if (failed_of((wl_actor *)(uintptr_t)a) == &a->cut_off)
        lua_pushliteral(L, "worker: it was closed");
    else if (a->error)
        lua_pushlstring(L, a->error, a->error_size);
    else
        lua_pushliteral(L, "not enough memory");
}
