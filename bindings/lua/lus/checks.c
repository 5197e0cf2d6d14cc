/* SPDX-License-Identifier: ISC
 *
 * checks.c: which functions are guarded, and what those ask that need one right as a whole. Others
 * have rooms of their own: files, loading, streams.
 */
#include "lus/checks.h"

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

/* ---- all of them ------------------------------------------------------------------ */

const wl_place wl_places[] = {
    {NULL, "load", "load", wl_loads, WL_NOT_FOREIGN},
    {NULL, "loadfile", "loadfile", wl_loads_file, WL_NOT_FOREIGN},
    {NULL, "dofile", "dofile", wl_runs_file, WL_NOT_FOREIGN},
    {NULL, "require", "require", wl_requires, WL_NOT_FOREIGN},
    {NULL, "loadstring", "loadstring", wl_loads, WL_NOT_FOREIGN}, /* in 5.2 there, too */
    {NULL, "print", "print", wl_needs_stdio, WL_NOT_FOREIGN},
    {NULL, "warn", "warn", wl_needs_stdio, WL_NOT_FOREIGN},
    {"package", "loadlib", "package.loadlib", closed, WL_FOREIGN_IF_FOUND},
    {"package", "searchpath", "package.searchpath", wl_looks_for_file, WL_NOT_FOREIGN},
    {"io", "open", "io.open", wl_opens, WL_NOT_FOREIGN},
    {"io", "lines", "io.lines", wl_reads_lines, WL_NOT_FOREIGN},
    {"io", "read", "io.read", wl_uses_input, WL_NOT_FOREIGN},
    {"io", "write", "io.write", wl_uses_output, WL_NOT_FOREIGN},
    {"io", "flush", "io.flush", wl_uses_output, WL_NOT_FOREIGN},
    {"io", "close", "io.close", wl_closes, WL_NOT_FOREIGN},
    {"io", "input", "io.input", wl_sets_input, WL_NOT_FOREIGN},
    {"io", "output", "io.output", wl_sets_output, WL_NOT_FOREIGN},
    {"io", "popen", "io.popen", needs_exec, WL_NOT_FOREIGN},
    {"io", "tmpfile", "io.tmpfile", needs_writing, WL_NOT_FOREIGN},
    {"os", "execute", "os.execute", needs_exec, WL_NOT_FOREIGN},
    {"os", "remove", "os.remove", wl_removes, WL_NOT_FOREIGN},
    {"os", "rename", "os.rename", wl_renames, WL_NOT_FOREIGN},
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
    {"package.searchers", "2", "package.searchers.2", wl_searches, WL_NOT_FOREIGN},
    {"package.searchers", "3", "package.searchers.3", wl_searches_not, WL_FOREIGN_IF_FOUND},
    {"package.searchers", "4", "package.searchers.4", wl_searches_not, WL_FOREIGN_IF_FOUND},
};
const wl_place wl_library_places[] = {
    {"package.preload", "ffi", "ffi", closed, WL_FOREIGN},
    {"package.preload", "jit.util", "jit.util", closed, WL_FOREIGN},
    {"package.preload", "jit.profile", "jit.profile", closed, WL_FOREIGN},
    {"package.preload", "string.buffer", "string.buffer", closed, WL_FOREIGN},
    {"package.preload", "thread.exdata", "thread.exdata", closed, WL_FOREIGN},
    {"package.preload", "thread.exdata2", "thread.exdata2", closed, WL_FOREIGN},
    {"package.preload", "weir.core", "weir.core", closed, WL_NOT_FOREIGN},
    {"package.preload", "weir.lus.core", "weir.lus.core", closed, WL_NOT_FOREIGN},
};
const wl_place wl_debug_place = {"debug", NULL, "debug", closed, WL_NOT_FOREIGN};
const wl_place wl_jit_place = {"jit", NULL, "jit", closed, WL_NOT_FOREIGN};

const size_t wl_n_places = sizeof wl_places / sizeof *wl_places;
const size_t wl_n_library_places = sizeof wl_library_places / sizeof *wl_library_places;
const size_t wl_n_file_places = sizeof wl_file_places / sizeof *wl_file_places;
