/* SPDX-License-Identifier: ISC
 *
 * handle.c: the handles of actors, in the states that may send to them.
 */
#include "lus/handle.h"
#include "lus/core.h"
#include "lus/channel.h"
#include "lus/roster.h"

#define WORKER "weir.worker"

static void hold(wl_actor *a)
{
    atomic_fetch_add(&a->holders, 1);
    wl_actor_ref(a);
}

/* What waits for a message, or for room for one, waits in vain without a handle. */
void wl_actor_let_go(wl_actor *a)
{
    if (wl_actor_is_lost(a))
        return;
    if (atomic_fetch_sub(&a->holders, 1) == 1) {
        wl_channel_end(&a->in, WL_UNHELD);
        wl_channel_wake(&a->out);
    }
    wl_actor_unref(a);
}

wl_actor **wl_actor_slot(lua_State *L)
{
    wl_actor **slot = lua_newuserdata(L, sizeof *slot);
    *slot = NULL;
    luaL_getmetatable(L, WORKER);
    lua_setmetatable(L, -2);
    return slot;
}

/* handle -> */
static int handle_gc(lua_State *L)
{
    wl_actor **slot = luaL_checkudata(L, 1, WORKER);
    if (*slot)
        wl_actor_let_go(*slot);
    *slot = NULL;
    return 0;
}

/* handle -> string */
static int handle_tostring(lua_State *L)
{
    return lua_pushfstring(L, "worker: %p", *(void **)luaL_checkudata(L, 1, WORKER)), 1;
}

static void *handle_retain(void *userdata)
{
    wl_actor *a = *(wl_actor **)userdata;
    if (!a)
        return NULL;
    atomic_store(&a->in.shared, true);
    atomic_store(&a->out.shared, true);
    hold(a);
    return a;
}
static void handle_release(void *actor) { wl_actor_let_go(actor); }

static _Atomic(lua_CFunction) the_module; /* luaopen_weir_lus_core, once it was called */

/* -> ; not by require, whose searchers may not find this file in every state */
static void load_module(lua_State *L)
{
    lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
    lua_pushcfunction(L, the_module);
    lua_call(L, 0, 1);
    lua_setfield(L, -2, "weir.lus.core");
    lua_pop(L, 1);
}

/* -> handle */
static void handle_push(lua_State *L, void *actor)
{
    luaL_getmetatable(L, WORKER);
    bool knows_us = !lua_isnil(L, -1);
    lua_pop(L, 1);
    if (!knows_us)
        load_module(L);
    wl_actor **slot = wl_actor_slot(L);
    hold(actor);
    *slot = actor;
}

static const wl_handle_type handle_type = {handle_retain, handle_release, handle_push};

/* -> */
void wl_actor_register(lua_State *L, lua_CFunction module)
{
    bool is_new = luaL_newmetatable(L, WORKER);
    lua_getfield(L, -1, "__gc");
    if (!is_new && lua_tocfunction(L, -1) != handle_gc)
        luaL_error(L, "weir.lus.core: it is loaded already, from another file");
    lua_pop(L, 1);
    the_module = module;
    wl_core->wl_handle_metatable(L, lua_gettop(L), &handle_type);
    wl_function(L, "__gc", handle_gc);
    wl_function(L, "__tostring", handle_tostring);
    lua_pushliteral(L, "weir");
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
}

void wl_actor_metatable(lua_State *L) { luaL_getmetatable(L, WORKER); }
