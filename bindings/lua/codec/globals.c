/* SPDX-License-Identifier: ISC
 *
 * globals.c: a table that stands in the place of a state's globals for a while.
 *
 * What is loaded then, by `load` or from a message, has it for its globals; and what
 * has it crosses as what has the globals. In Lua 5.1 and LuaJIT the globals belong to a
 * coroutine, and new ones get those of the one that makes them. The state's own table
 * is remembered in the registry from the first time.
 */
#include "codec/format.h"

static const char home_key;

static void set_globals(lua_State *L)
{
#if LUA_VERSION_NUM < 502
    lua_replace(L, LUA_GLOBALSINDEX);
#else
    lua_rawseti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
#endif
}

void wl_globals_push_home(lua_State *L)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &home_key);
    if (lua_istable(L, -1))
        return;
    lua_pop(L, 1);
    lua_pushglobaltable(L);
}

bool wl_globals_are_home(lua_State *L)
{
    int top = lua_gettop(L);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &home_key);
    bool same = lua_isnil(L, -1);
    if (!same) {
        lua_pushglobaltable(L);
        same = lua_rawequal(L, -1, -2);
    }
    lua_settop(L, top);
    return same;
}

void wl_globals_use(lua_State *L)
{
    wl_globals_push_home(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &home_key);
    set_globals(L);
}

void wl_globals_go_home(lua_State *L)
{
    wl_globals_push_home(L);
    set_globals(L);
}

void wl_globals_push_new(lua_State *L)
{
    lua_createtable(L, 0, 4);
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, "_G");
    lua_createtable(L, 0, 1);
    wl_globals_push_home(L);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
}
