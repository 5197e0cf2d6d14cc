/* SPDX-License-Identifier: ISC
 *
 * codec_handle.c: a counted handle for the tests of the codec, and what has no name there.
 */
#include "codec_peer.h"

#include <stdlib.h>

#include "codec/format.h"

typedef struct {
    _Atomic int refs;
    int         number;
} counted;

static _Atomic int handles;

static void *handle_retain(void *userdata)
{
    counted *c = *(counted **)userdata;
    if (c)
        c->refs++;
    return c;
}

static void handle_release(void *target)
{
    counted *c = target;
    if (--c->refs == 0) {
        handles--;
        free(c);
    }
}

static int handle_gc(lua_State *L)
{
    counted **c = lua_touserdata(L, 1);
    if (*c)
        handle_release(*c);
    *c = NULL;
    return 0;
}

static int handle_number(lua_State *L)
{
    lua_pushinteger(L, (*(counted **)luaL_checkudata(L, 1, "handle"))->number);
    return 1;
}

static void handle_push(lua_State *L, void *target);

static const wl_handle_type handle_type = {handle_retain, handle_release, handle_push};

/* -> metatable; it is in the registry only once it is whole */
static void handle_metatable(lua_State *L)
{
    static const luaL_Reg methods[] = {
        {"__gc", handle_gc}, {"close", handle_gc}, {"number", handle_number}, {NULL, NULL}};
    luaL_getmetatable(L, "handle");
    if (!lua_isnil(L, -1))
        return;
    lua_pop(L, 1);
    lua_newtable(L);
    for (const luaL_Reg *m = methods; m->name; m++) {
        lua_pushcfunction(L, m->func);
        lua_setfield(L, -2, m->name);
    }
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, "__index");
    wl_handle_metatable(L, -1, &handle_type);
    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, "handle");
}

/* -> userdata */
static counted **handle_new(lua_State *L)
{
    counted **c = lua_newuserdata(L, sizeof *c);
    *c = NULL;
    handle_metatable(L);
    lua_setmetatable(L, -2);
    return c;
}

static void handle_push(lua_State *L, void *target)
{
    counted **c = handle_new(L);
    *c = target;
    (*c)->refs++;
}

/* number -> handle */
int peer_handle(lua_State *L)
{
    int       number = (int)luaL_checkinteger(L, 1);
    counted **c = handle_new(L);
    *c = malloc(sizeof **c);
    if (!*c)
        return luaL_error(L, "no memory");
    **c = (counted){1, number};
    handles++;
    return 1;
}

/* -> how many there are */
int peer_handles(lua_State *L)
{
    lua_pushinteger(L, handles);
    return 1;
}

/* -> light userdata */
int peer_light(lua_State *L)
{
    lua_pushlightuserdata(L, &handles);
    return 1;
}

/* -> C closure with an upvalue, found in no module */
int peer_nameless(lua_State *L)
{
    lua_pushinteger(L, 1);
    lua_pushcclosure(L, peer_light, 1);
    return 1;
}
