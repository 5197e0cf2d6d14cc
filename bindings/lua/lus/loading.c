/* SPDX-License-Identifier: ISC
 *
 * loading.c: what loads code in a restricted state: text alone, from files that it may read.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <fcntl.h>

#include "lus/checks.h"
#include "lus/path.h"
#include "lus/script.h"
#include "lus/stop.h"

#include <string.h>

/* function -> function, or nil message; the environment, where one was given, is at `i` */
static int loaded(lua_State *L, int status, int i)
{
    if (status != 0) {
        lua_pushnil(L);
        lua_insert(L, -2);
        return 2;
    }
    if (i && !lua_isnone(L, i) && lua_gettop(L) > i) {
#if LUA_VERSION_NUM < 502
        luaL_checktype(L, i, LUA_TTABLE); /* lua_setfenv takes anything for one */
#endif
        lua_pushvalue(L, i);
#if LUA_VERSION_NUM >= 502
        if (!lua_setupvalue(L, -2, 1))
            lua_pop(L, 1);
#else
        lua_setfenv(L, -2);
#endif
    }
    return 1;
}

#if LUA_VERSION_NUM >= 502

/* chunk [name [mode [env]]]: the mode becomes "t". */
int wl_loads(lua_State *L, const wl_guard *g)
{
    wl_need(L, g->place->full, WL_LOAD, NULL);
    if (lua_gettop(L) < 3)
        lua_settop(L, 3);
    lua_pushliteral(L, "t");
    lua_replace(L, 3);
    return -1;
}

#else

/* The function at 1 gives the chunk in pieces. -> string */
static void gather(lua_State *L)
{
    lua_pushliteral(L, "");
    for (;;) {
        luaL_checkstack(L, 3, NULL);
        wl_stop_look(L); /* a reader in C runs no hook */
        lua_pushvalue(L, 1);
        lua_call(L, 0, 1);
        if (!lua_isstring(L, -1) || lua_objlen(L, -1) == 0)
            break;
        lua_concat(L, 2);
    }
    lua_pop(L, 1);
}

/* chunk [name [mode [env]]] */
int wl_loads(lua_State *L, const wl_guard *g)
{
    wl_need(L, g->place->full, WL_LOAD, NULL);
    bool is_text = lua_isstring(L, 1);
    const char *name = luaL_optstring(L, 2, is_text ? lua_tostring(L, 1) : "=(load)");
    if (!is_text)
        luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_settop(L, lua_gettop(L) < 4 ? 3 : 4);
    int env = lua_gettop(L) == 4 ? 4 : 0;
    if (is_text)
        lua_pushvalue(L, 1);
    else
        gather(L);
    return loaded(L, wl_text_load(L, name), env);
}

#endif

/* -> function, or message; status */
static int load_judged(lua_State *L, const wl_guard *g, const char *path)
{
    int fd = wl_open_judged(L, g->place->full, WL_RIGHT(WL_FS_READ), path, O_RDONLY);
    return wl_text_load_file(L, fd, path);
}

/* [path [mode [env]]] -> function | nil message */
int wl_loads_file(lua_State *L, const wl_guard *g)
{
    wl_need(L, g->place->full, WL_LOAD, NULL);
    lua_settop(L, lua_gettop(L) < 3 ? 2 : 3);
    int env = lua_gettop(L) == 3 ? 3 : 0;
    luaL_checkstring(L, 1); /* not stdin */
    return loaded(L, load_judged(L, g, lua_tostring(L, 1)), env);
}

/* path -> what it returns */
int wl_runs_file(lua_State *L, const wl_guard *g)
{
    wl_need(L, g->place->full, WL_LOAD, NULL);
    luaL_checkstring(L, 1);
    lua_settop(L, 1);
    if (load_judged(L, g, lua_tostring(L, 1)) != 0)
        return lua_error(L);
    lua_call(L, 0, LUA_MULTRET);
    return lua_gettop(L) - 1;
}

/* ---- modules --------------------------------------------------------------------------------- */

static bool is_closed(const char *name)
{
    return strcmp(name, "ffi") == 0 || strcmp(name, "string.buffer") == 0 ||
           strncmp(name, "jit.", 4) == 0 || strncmp(name, "thread.", 7) == 0;
}

int wl_requires(lua_State *L, const wl_guard *g)
{
    const char *name = luaL_checkstring(L, 1);
    wl_need(L, g->place->full, WL_LOAD, NULL);
    if (is_closed(name))
        wl_deny(L, g->place->full, WL_RIGHTS, name);
    return -1;
}

/* From 5.4 on require puts it before each itself. */
#define BEFORE_TRIED (LUA_VERSION_NUM < 504 ? "\n\t" : "")

/* name -> loader path | what was tried. Of the searcher for modules in Lua. */
int wl_searches(lua_State *L, const wl_guard *g)
{
    (void)g;
    enum wl_right missing;
    const char   *name = luaL_gsub(L, luaL_checkstring(L, 1), ".", "/");
    lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
    lua_getfield(L, -1, "package");
    lua_getfield(L, -1, "path");
    const char *path = lua_isstring(L, -1) ? lua_tostring(L, -1) : "";
    lua_pushliteral(L, ""); /* what was tried */
    while (*path) {
        size_t n = strcspn(path, ";");
        lua_pushlstring(L, path, n);
        const char *file = luaL_gsub(L, lua_tostring(L, -1), "?", name);
        path += n + (path[n] == ';');
        int fd = wl_path_open(wl_lus_of(L)->rights, WL_RIGHT(WL_FS_READ), file, O_RDONLY, &missing);
        if (fd >= 0) {
            if (wl_text_load_file(L, fd, file) != 0)
                return luaL_error(L, "error loading module '%s' from file '%s':\n\t%s",
                                  lua_tostring(L, 1), file, lua_tostring(L, -1));
            lua_pushstring(L, file);
            return 2;
        }
        lua_pushfstring(
            L, fd != WL_PATH_DENIED ? "%sno file '%s'" : "%spermission \"fs:read\" denied for '%s'",
            lua_rawlen(L, -3) ? "\n\t" : BEFORE_TRIED, file);
        lua_replace(L, -3);
        lua_pop(L, 1);
        lua_concat(L, 2);
    }
    return 1;
}

/* name -> why not */
int wl_searches_not(lua_State *L, const wl_guard *g)
{
    (void)g;
    lua_pushfstring(L, "%sno C module: permission \"all\" denied", BEFORE_TRIED);
    return 1;
}

int wl_looks_for_file(lua_State *L, const wl_guard *g)
{
    wl_need(L, g->place->full, WL_FS_READ, NULL);
    return -1;
}
