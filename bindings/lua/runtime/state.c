/* SPDX-License-Identifier: ISC
 *
 * state.c: what the binding keeps of a Lua state: its record, and the numbers of its jobs.
 *
 * The record lives in the registry from the first `require` (or from its making, in a
 * pool thread) to lua_close, whose finaliser ends what the state has begun.
 */
#include "runtime/state.h"
#include "runtime/thread.h"

#include <stdlib.h>
#include <string.h>

const char wl_future_class[] = "weir.future", wl_kept_class[] = "weir.future ";
const char wl_pool_class[] = "weir.pool";

static char state_key; /* its address names the record in the registry */

wl_state *wl_state_of(lua_State *L)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &state_key);
    wl_state *s = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return s;
}

void wl_state_push(lua_State *L) { lua_rawgetp(L, LUA_REGISTRYINDEX, &state_key); }

/* record -> */
static int state_gc(lua_State *L)
{
    wl_state *s = lua_touserdata(L, 1);
    if (!s || s != wl_state_of(L))
        return 0;
    for (int i = WL_MOST_ON_END; i-- > 0;)
        if (s->on_end[i].fn)
            s->on_end[i].fn(s->on_end[i].arg);
    s->over = true;
    free(s->free_keys);
    s->free_keys = NULL;
    s->n_free_keys = s->n_keys = s->max_keys = 0;
    return 0;
}

void wl_state_open(lua_State *L, wl_thread *w)
{
    if (wl_state_of(L))
        return;
    wl_state *s = lua_newuserdata(L, sizeof *s);
    *s = (wl_state){.thread = w};
    if (w)
        w->state = s;
    lua_newtable(L);
    lua_pushcfunction(L, state_gc);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &state_key);
}

wl_thread *wl_thread_of(lua_State *L) { return wl_state_of(L)->thread; }

void wl_state_on_end(wl_state *s, void (*fn)(void *), void *arg)
{
    int i = 0;
    while (s->on_end[i].fn && s->on_end[i].fn != fn)
        i++;
    s->on_end[i].fn = fn;
    s->on_end[i].arg = arg;
}

void wl_need_all(lua_State *L, const char *function)
{
    wl_state *s = wl_state_of(L);
    if (s && s->restricted)
        luaL_error(L, "%s: permission \"all\" denied", function);
}

/* ---- classes and methods ------------------------------------------------ */

static void push_method_upvalues(lua_State *L)
{
    wl_state_push(L);
    lua_rawgetp(L, LUA_REGISTRYINDEX, wl_future_class);
    lua_rawgetp(L, LUA_REGISTRYINDEX, wl_kept_class);
    lua_rawgetp(L, LUA_REGISTRYINDEX, wl_pool_class);
}

/* table -> table */
void wl_method(lua_State *L, const char *name, lua_CFunction fn)
{
    push_method_upvalues(L);
    lua_pushcclosure(L, fn, WL_UPVALUES);
    lua_setfield(L, -2, name);
}

/* A finalizer of a class stands in its metatable, where a script may call it with anything.
 * Upvalues after those of a method: the type, the finalizer. */
static int checked_gc(lua_State *L)
{
    wl_check(L, 1, lua_touserdata(L, lua_upvalueindex(WL_UPVALUES + 1)));
    void         *address = lua_touserdata(L, lua_upvalueindex(WL_UPVALUES + 2));
    lua_CFunction gc;
    memcpy(&gc, &address, sizeof gc);
    return gc(L);
}

/* table -> table */
static void set_gc(lua_State *L, const char *type, lua_CFunction gc)
{
    void *address;
    memcpy(&address, &gc, sizeof address);
    push_method_upvalues(L);
    lua_pushlightuserdata(L, (void *)(uintptr_t)type);
    lua_pushlightuserdata(L, address);
    lua_pushcclosure(L, checked_gc, WL_UPVALUES + 2);
    lua_setfield(L, -2, "__gc");
}

/* The type's metatable becomes module[name], for Lua to complete.
 *
 * module -> module */
void wl_class(lua_State *L, const char *type, const char *name, lua_CFunction gc)
{
    luaL_newmetatable(L, type);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, type);
    if (gc)
        set_gc(L, type, gc);
    lua_pushliteral(L, "weir");
    lua_setfield(L, -2, "__metatable");
    lua_setfield(L, -2, name);
}

/* ---- keys ------------------------------------------------------------------ */

static bool more_keys(wl_state *s)
{
    uint32_t  n = s->max_keys ? 2 * s->max_keys : 64;
    uint32_t *free_keys = n > s->max_keys ? realloc(s->free_keys, n * sizeof *free_keys) : NULL;
    if (!free_keys)
        return false;
    s->free_keys = free_keys;
    s->max_keys = n;
    return true;
}

/* There is room for all that were made, so that giving back cannot fail. */
uint32_t wl_key_take(lua_State *L, wl_state *s)
{
    if (s->n_free_keys)
        return s->free_keys[--s->n_free_keys];
    if (s->n_keys == s->max_keys && !more_keys(s))
        luaL_error(L, "weir: not enough memory");
    return ++s->n_keys;
}

/* -> number; 0 for none */
void wl_key_push(lua_State *L, const wl_state *s, uint32_t key)
{
    lua_pushinteger(L, key ? (lua_Integer)(s->keys_before + key) : 0);
}

void wl_key_give(wl_state *s, uint32_t key)
{
    if (key)
        s->free_keys[s->n_free_keys++] = key;
}

/* Of a main that has closed: jobs that were not told keep theirs for ever. */
void wl_keys_forget(wl_state *s)
{
    if (s->n_free_keys == s->n_keys)
        return;
    s->keys_before += s->n_keys;
    s->n_keys = s->n_free_keys = 0;
}
