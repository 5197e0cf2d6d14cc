/* SPDX-License-Identifier: ISC
 *
 * jit.c: LuaJIT's compiler, in a pool thread's state: its loops look at no hook, so a task
 * that is to be stopped runs without it.
 */
#include "runtime/state.h"
#include "threads/threads.h"

static char key_jit;

/* -> ; also where a program changes the table */
void wl_jit_keep(lua_State *L)
{
    static const char *const names[] = {"status", "flush", "off", "on", NULL};
    lua_getglobal(L, "jit");
    if (lua_istable(L, -1)) {
        lua_newtable(L);
        for (const char *const *name = names; *name; name++) {
            lua_getfield(L, -2, *name);
            lua_setfield(L, -2, *name);
        }
        lua_rawsetp(L, LUA_REGISTRYINDEX, &key_jit);
    }
    lua_pop(L, 1);
}

/* The first result of jit[what](), false where there is no compiler. */
static bool call_jit(lua_State *L, const char *what)
{
    bool result = false;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &key_jit);
    if (lua_istable(L, -1)) {
        lua_getfield(L, -1, what);
        lua_call(L, 0, 1);
        result = lua_toboolean(L, -1);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    return result;
}

bool wl_jit_stop(lua_State *L)
{
    bool was_on = call_jit(L, "status");
    call_jit(L, "flush");
    call_jit(L, "off");
    return was_on;
}

void wl_jit_go_on(lua_State *L) { call_jit(L, "on"); }
