/* SPDX-License-Identifier: ISC
 *
 * streams.c: the standard streams of the process, which a state uses only with the right
 * `stdio`, by whichever function it reaches them.
 */
#include "lus/checks.h"
#include "lus/core.h"

#include <stdio.h>

/* Their addresses name io.input and io.output in the registry, as they were made. */
static char key_input, key_output;

static void keep_function(lua_State *L, const char *name, const void *key)
{
    lua_getfield(L, -1, name);
    lua_rawsetp(L, LUA_REGISTRYINDEX, key);
}

void wl_streams_prepare(lua_State *L)
{
    lua_getglobal(L, "io");
    if (lua_istable(L, -1)) {
        keep_function(L, "input", &key_input);
        keep_function(L, "output", &key_output);
    }
    lua_pop(L, 1);
}

/* Files begin with their FILE in each Lua. What is no file, the original refuses. */
static bool is_standard(lua_State *L, int i)
{
    FILE **file = lua_touserdata(L, i);
    if (!file || lua_islightuserdata(L, i) || !lua_getmetatable(L, i))
        return false;
    luaL_getmetatable(L, LUA_FILEHANDLE);
    bool is_file = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return is_file && (*file == stdin || *file == stdout || *file == stderr);
}

int wl_needs_stdio(lua_State *L, const wl_guard *g)
{
    wl_need(L, g->place->full, WL_STDIO, NULL);
    return -1;
}

int wl_uses_file(lua_State *L, const wl_guard *g)
{
    return is_standard(L, 1) ? wl_needs_stdio(L, g) : -1;
}

static int uses_default(lua_State *L, const wl_guard *g, const void *key)
{
    luaL_checkstack(L, 4, NULL);
    lua_rawgetp(L, LUA_REGISTRYINDEX, key);
    lua_call(L, 0, 1);
    bool needs = is_standard(L, -1);
    lua_pop(L, 1);
    return needs ? wl_needs_stdio(L, g) : -1;
}

int wl_uses_input(lua_State *L, const wl_guard *g) { return uses_default(L, g, &key_input); }
int wl_uses_output(lua_State *L, const wl_guard *g) { return uses_default(L, g, &key_output); }

int wl_closes(lua_State *L, const wl_guard *g)
{
    return lua_isnone(L, 1) ? wl_uses_output(L, g) : wl_uses_file(L, g);
}
