/* SPDX-License-Identifier: ISC
 *
 * checks.c: what each guarded function asks before it does its work, or does in its place.
 */
#include "lus/checks.h"
#include "lus/core.h"
#include "lus/script.h"

#include <stdio.h>
#include <string.h>

typedef bool canonical_fn(const char *path, char out[PATH_MAX]);

static void need_path(lua_State *L, const char *function, enum wl_right right, int i,
                      canonical_fn *canonical_of)
{
    char        canonical[PATH_MAX];
    const char *path = luaL_checkstring(L, i);
    wl_rights  *r = wl_lus_of(L)->rights;
    if (!r)
        return;
    if (!wl_rights_have(r, right, NULL)) {
        if (!canonical_of(path, canonical) || !wl_rights_have(r, right, canonical))
            wl_deny(L, function, right, path);
        lua_pushstring(L, canonical);
        lua_replace(L, i);
    }
}

void wl_need_path(lua_State *L, const char *function, enum wl_right right, int i)
{
    need_path(L, function, right, i, wl_canonical);
}

/* ---- checks ---------------------------------------------------------------------------- */

/* For those who have given up nothing. */
static int closed(lua_State *L, const wl_guard *g)
{
    wl_deny(L, g->place->full, WL_RIGHTS, NULL);
    return 0;
}

static int needs_exec(lua_State *L, const wl_guard *g)
{
    wl_need(L, g->place->full, WL_EXEC, NULL);
    return -1;
}

static int needs_env(lua_State *L, const wl_guard *g)
{
    wl_need(L, g->place->full, WL_ENV, luaL_checkstring(L, 1));
    return -1;
}

/* To ask what it is changes nothing. */
static int needs_locale(lua_State *L, const wl_guard *g)
{
    if (!lua_isnoneornil(L, 1))
        wl_need(L, g->place->full, WL_LOCALE, NULL);
    return -1;
}

static int needs_exit(lua_State *L, const wl_guard *g)
{
    wl_need(L, g->place->full, WL_EXIT, NULL);
    return -1;
}

/* Makes a file with a name of its own choice. */
static int needs_writing(lua_State *L, const wl_guard *g)
{
    wl_need(L, g->place->full, WL_FS_WRITE, NULL);
    return -1;
}

static int path_at(lua_State *L, const wl_guard *g, enum wl_right right, int i)
{
    wl_need_path(L, g->place->full, right, i);
    return -1;
}

/* Both act on a link itself, not on what it leads to. */
static void entry_at(lua_State *L, const wl_guard *g, enum wl_right right, int i)
{
    need_path(L, g->place->full, right, i, wl_canonical_entry);
}

static int removes(lua_State *L, const wl_guard *g)
{
    entry_at(L, g, WL_FS_WRITE, 1);
    return -1;
}

static int renames(lua_State *L, const wl_guard *g)
{
    entry_at(L, g, WL_FS_READ, 1);
    entry_at(L, g, WL_FS_WRITE, 1);
    entry_at(L, g, WL_FS_WRITE, 2);
    return -1;
}

/* A mode that writes, and one that reads. */
static int opens(lua_State *L, const wl_guard *g)
{
    const char *mode = luaL_optstring(L, 2, "r");
    bool        writes = strpbrk(mode, "wa+"), reads = strpbrk(mode, "r+");
    luaL_checkstring(L, 1);
    if (writes)
        path_at(L, g, WL_FS_WRITE, 1);
    if (reads || !writes)
        path_at(L, g, WL_FS_READ, 1);
    return -1;
}

/* nothing, or a file, or the path of one */
static int reads_path(lua_State *L, const wl_guard *g)
{
    return lua_isstring(L, 1) ? path_at(L, g, WL_FS_READ, 1) : -1;
}

static int reads_lines(lua_State *L, const wl_guard *g)
{
    return lua_isnoneornil(L, 1) ? wl_uses_input(L, g) : reads_path(L, g);
}

static int writes_path(lua_State *L, const wl_guard *g)
{
    return lua_isstring(L, 1) ? path_at(L, g, WL_FS_WRITE, 1) : -1;
}

/* ---- loading: text alone ------------------------------------------------------------------ */

/* function -> function, or nil message; the environment, where one was given, is at `i` */
static int loaded(lua_State *L, int status, int i)
{
    if (status != 0) {
        lua_pushnil(L);
        lua_insert(L, -2);
        return 2;
    }
    if (i && !lua_isnone(L, i) && lua_gettop(L) > i) {
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
static int loads(lua_State *L, const wl_guard *g)
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
        lua_pushvalue(L, 1);
        lua_call(L, 0, 1);
        if (!lua_isstring(L, -1) || lua_objlen(L, -1) == 0)
            break;
        lua_concat(L, 2);
    }
    lua_pop(L, 1);
}

/* chunk [name [mode [env]]] */
static int loads(lua_State *L, const wl_guard *g)
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

/* [path [mode [env]]] -> function | nil message */
static int loads_file(lua_State *L, const wl_guard *g)
{
    wl_need(L, g->place->full, WL_LOAD, NULL);
    lua_settop(L, lua_gettop(L) < 3 ? 2 : 3);
    int env = lua_gettop(L) == 3 ? 3 : 0;
    luaL_checkstring(L, 1); /* not stdin */
    path_at(L, g, WL_FS_READ, 1);
    return loaded(L, wl_text_load_file(L, lua_tostring(L, 1)), env);
}

/* path -> what it returns */
static int runs_file(lua_State *L, const wl_guard *g)
{
    wl_need(L, g->place->full, WL_LOAD, NULL);
    luaL_checkstring(L, 1);
    lua_settop(L, 1);
    path_at(L, g, WL_FS_READ, 1);
    if (wl_text_load_file(L, lua_tostring(L, 1)) != 0)
        return lua_error(L);
    lua_call(L, 0, LUA_MULTRET);
    return lua_gettop(L) - 1;
}

/* ---- modules --------------------------------------------------------------------------------- */

static bool is_closed(const char *name)
{
    return strcmp(name, "ffi") == 0 || strcmp(name, "string.buffer") == 0 ||
           strncmp(name, "jit.", 4) == 0;
}

static int requires(lua_State *L, const wl_guard *g)
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
static int searches(lua_State *L, const wl_guard *g)
{
    (void)g;
    char        canonical[PATH_MAX];
    const char *name = luaL_gsub(L, luaL_checkstring(L, 1), ".", "/");
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
        bool may = wl_rights_have(wl_lus_of(L)->rights, WL_FS_READ, NULL) ||
                   (wl_canonical(file, canonical) &&
                    wl_rights_have(wl_lus_of(L)->rights, WL_FS_READ, canonical));
        FILE *there = may ? fopen(file, "r") : NULL;
        if (there) {
            fclose(there);
            if (wl_text_load_file(L, file) != 0)
                return luaL_error(L, "error loading module '%s' from file '%s':\n\t%s",
                                  lua_tostring(L, 1), file, lua_tostring(L, -1));
            lua_pushstring(L, file);
            return 2;
        }
        lua_pushfstring(L, may ? "%sno file '%s'" : "%spermission \"fs:read\" denied for '%s'",
                        lua_rawlen(L, -3) ? "\n\t" : BEFORE_TRIED, file);
        lua_replace(L, -3);
        lua_pop(L, 1);
        lua_concat(L, 2);
    }
    return 1;
}

/* name -> why not */
static int searches_not(lua_State *L, const wl_guard *g)
{
    (void)g;
    lua_pushfstring(L, "%sno C module: permission \"all\" denied", BEFORE_TRIED);
    return 1;
}

static int searches_path(lua_State *L, const wl_guard *g)
{
    wl_need(L, g->place->full, WL_FS_READ, NULL);
    return -1;
}

/* ---- all of them ---- */

const wl_place wl_places[] = {
    {NULL, "load", "load", loads, WL_NOT_FOREIGN},
    {NULL, "loadfile", "loadfile", loads_file, WL_NOT_FOREIGN},
    {NULL, "dofile", "dofile", runs_file, WL_NOT_FOREIGN},
    {NULL, "require", "require", requires, WL_NOT_FOREIGN},
    {NULL, "loadstring", "loadstring", loads, WL_NOT_FOREIGN}, /* in 5.2 there, too */
    {"package", "loadlib", "package.loadlib", closed, WL_FOREIGN_IF_FOUND},
    {"package", "searchpath", "package.searchpath", searches_path, WL_NOT_FOREIGN},
    {"io", "open", "io.open", opens, WL_NOT_FOREIGN},
    {"io", "lines", "io.lines", reads_lines, WL_NOT_FOREIGN},
    {"io", "read", "io.read", wl_uses_input, WL_NOT_FOREIGN},
    {"io", "write", "io.write", wl_uses_output, WL_NOT_FOREIGN},
    {"io", "flush", "io.flush", wl_uses_output, WL_NOT_FOREIGN},
    {"io", "close", "io.close", wl_closes, WL_NOT_FOREIGN},
    {NULL, "print", "print", wl_needs_stdio, WL_NOT_FOREIGN},
    {NULL, "warn", "warn", wl_needs_stdio, WL_NOT_FOREIGN},
    {"io", "input", "io.input", reads_path, WL_NOT_FOREIGN},
    {"io", "output", "io.output", writes_path, WL_NOT_FOREIGN},
    {"io", "popen", "io.popen", needs_exec, WL_NOT_FOREIGN},
    {"io", "tmpfile", "io.tmpfile", needs_writing, WL_NOT_FOREIGN},
    {"os", "execute", "os.execute", needs_exec, WL_NOT_FOREIGN},
    {"os", "remove", "os.remove", removes, WL_NOT_FOREIGN},
    {"os", "rename", "os.rename", renames, WL_NOT_FOREIGN},
    {"os", "tmpname", "os.tmpname", needs_writing, WL_NOT_FOREIGN},
    {"os", "getenv", "os.getenv", needs_env, WL_NOT_FOREIGN},
    {"os", "setlocale", "os.setlocale", needs_locale, WL_NOT_FOREIGN},
    {"os", "exit", "os.exit", needs_exit, WL_NOT_FOREIGN},
};
const wl_place wl_file_places[] = {
    {NULL, "close", "file:close", wl_uses_file, WL_NOT_FOREIGN},
    {NULL, "flush", "file:flush", wl_uses_file, WL_NOT_FOREIGN},
    {NULL, "lines", "file:lines", wl_uses_file, WL_NOT_FOREIGN},
    {NULL, "read", "file:read", wl_uses_file, WL_NOT_FOREIGN},
    {NULL, "seek", "file:seek", wl_uses_file, WL_NOT_FOREIGN},
    {NULL, "setvbuf", "file:setvbuf", wl_uses_file, WL_NOT_FOREIGN},
    {NULL, "write", "file:write", wl_uses_file, WL_NOT_FOREIGN},
};
const wl_place wl_searcher_places[3] = {
    {"package.searchers", "2", "package.searchers.2", searches, WL_NOT_FOREIGN},
    {"package.searchers", "3", "package.searchers.3", searches_not, WL_FOREIGN_IF_FOUND},
    {"package.searchers", "4", "package.searchers.4", searches_not, WL_FOREIGN_IF_FOUND},
};
const wl_place wl_library_places[] = {
    {"package.preload", "ffi", "ffi", closed, WL_FOREIGN},
    {"package.preload", "jit.util", "jit.util", closed, WL_FOREIGN},
    {"package.preload", "jit.profile", "jit.profile", closed, WL_FOREIGN},
    {"package.preload", "string.buffer", "string.buffer", closed, WL_FOREIGN},
    {"package.preload", "weir.core", "weir.core", closed, WL_NOT_FOREIGN},
    {"package.preload", "weir.lus.core", "weir.lus.core", closed, WL_NOT_FOREIGN},
};
const wl_place wl_debug_place = {"debug", NULL, "debug", closed, WL_NOT_FOREIGN};
const wl_place wl_jit_place = {"jit", NULL, "jit", closed, WL_NOT_FOREIGN};

const size_t wl_n_places = sizeof wl_places / sizeof *wl_places;
const size_t wl_n_library_places = sizeof wl_library_places / sizeof *wl_library_places;
const size_t wl_n_file_places = sizeof wl_file_places / sizeof *wl_file_places;
