/* SPDX-License-Identifier: ISC
 *
 * foreign.c: code in a state that no right binds: C modules, and libraries of LuaJIT that see
 * through everything.
 */
#include "lus/rights.h"
#include "lus/core.h"

/* Their addresses name in the registry the set of foreign modules, and FFI. */
static char foreign_key, ffi_key;

/* -> set */
static void push_foreign(lua_State *L)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &foreign_key);
    if (!lua_isnil(L, -1))
        return;
    lua_pop(L, 1);
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &foreign_key);
}

static void set_foreign(lua_State *L, const char *name, bool is)
{
    push_foreign(L);
    if (is)
        lua_pushboolean(L, true);
    else
        lua_pushnil(L);
    lua_setfield(L, -2, name);
    lua_pop(L, 1);
}

void wl_foreign_note(lua_State *L, const char *name) { set_foreign(L, name, true); }

/* In LuaJIT the first literal like 1LL opens FFI, and puts it where every script finds it. So
 * that is done before, and nothing is left there. False: it was open. Elsewhere such a literal
 * is no Lua. */
static bool empty_ffi(lua_State *L)
{
    int top = lua_gettop(L);
    lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
    lua_getfield(L, -1, "ffi");
    bool is_hidden = lua_isnil(L, -1);
    if (luaL_loadstring(L, "return 1LL") == 0) {
        lua_getfield(L, top + 1, "ffi");
        is_hidden &= !lua_isnil(L, -1);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &ffi_key); /* lua_close needs what it holds */
        lua_pushnil(L);
        lua_setfield(L, top + 1, "ffi");
    } else {
        is_hidden = true;
    }
    lua_settop(L, top);
    return is_hidden;
}

void wl_foreign_empty(lua_State *L)
{
    wl_lus *s = wl_lus_of(L);
    if (!s->emptied && !empty_ffi(L))
        wl_foreign_note(L, "ffi");
    s->emptied = true;
}

void wl_foreign_vouch(lua_State *L, const char *name) { set_foreign(L, name, false); }

/* -> name, or nil: a foreign module that nobody vouched for */
void wl_foreign_push(lua_State *L)
{
    push_foreign(L);
    lua_pushnil(L);
    if (lua_next(L, -2))
        lua_pop(L, 1);
    else
        lua_pushnil(L);
    lua_remove(L, -2);
}
