/* SPDX-License-Identifier: ISC
 *
 * guard.c: functions of Lua's library that ask the state's rights at every call.
 *
 * A guard stands in the place of each such function, once per state and for good: so a
 * reference that was taken before a pledge is bound by it, too. While the state may do
 * everything a guard is the function: it has the same upvalues (and on 5.1 environment)
 * and runs it in its own frame, so that names and lines in errors are the same. Else it
 * checks first, and may do the work itself.
 */
#include "lus/rights.h"
#include "lus/core.h"
#include "lus/script.h"

#include <stdio.h>
#include <string.h>

typedef struct guard guard;

/* Returns -1: now the original. */
typedef int check(lua_State *L, const guard *g);

typedef struct {
    const char *table, *name; /* NULL: a global */
    const char *full;         /* for errors */
    check      *check;
} place;

struct guard {
    const place  *place;
    lua_CFunction original;
    wl_lus       *state;
};

/* ---- asking -------------------------------------------------------------------------- */

static wl_rights *rights_of(lua_State *L)
{
    wl_lus *s = wl_lus_of(L);
    return s ? s->rights : NULL;
}

bool wl_is_restricted(lua_State *L) { return rights_of(L) != NULL; }

static const char *const names[] = {"fs:read", "fs:write", "load", "exec", "env", "network"};

static void deny(lua_State *L, const char *function, const char *right, const char *value)
{
    luaL_where(L, 1);
    lua_pushfstring(L, "%s: permission \"%s\" denied", function, right);
    if (value)
        lua_pushfstring(L, " for %s", value);
    else
        lua_pushliteral(L, "");
    lua_concat(L, 3);
    lua_error(L);
}

void wl_need(lua_State *L, const char *function, enum wl_right right, const char *value)
{
    if (!wl_rights_have(rights_of(L), right, value))
        deny(L, function, names[right], value);
}

void wl_need_path(lua_State *L, const char *function, enum wl_right right, int i)
{
    char        canonical[PATH_MAX];
    const char *path = luaL_checkstring(L, i);
    wl_rights  *r = rights_of(L);
    if (!r)
        return;
    if (!wl_rights_have(r, right, NULL)) {
        if (!wl_canonical(path, canonical) || !wl_rights_have(r, right, canonical))
            deny(L, function, names[right], path);
        lua_pushstring(L, canonical);
        lua_replace(L, i);
    }
}

/* ---- checks ---------------------------------------------------------------------------- */

/* For those who have given up nothing. */
static int closed(lua_State *L, const guard *g)
{
    deny(L, g->place->full, "all", NULL);
    return 0;
}

static int needs_exec(lua_State *L, const guard *g)
{
    wl_need(L, g->place->full, WL_EXEC, NULL);
    return -1;
}

static int needs_env(lua_State *L, const guard *g)
{
    wl_need(L, g->place->full, WL_ENV, luaL_checkstring(L, 1));
    return -1;
}

/* Makes a file with a name of its own choice. */
static int needs_writing(lua_State *L, const guard *g)
{
    wl_need(L, g->place->full, WL_FS_WRITE, NULL);
    return -1;
}

static int path_at(lua_State *L, const guard *g, enum wl_right right, int i)
{
    wl_need_path(L, g->place->full, right, i);
    return -1;
}

static int removes(lua_State *L, const guard *g) { return path_at(L, g, WL_FS_WRITE, 1); }

static int renames(lua_State *L, const guard *g)
{
    path_at(L, g, WL_FS_READ, 1);
    path_at(L, g, WL_FS_WRITE, 1);
    return path_at(L, g, WL_FS_WRITE, 2);
}

/* A mode that writes, and one that reads. */
static int opens(lua_State *L, const guard *g)
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
static int reads_path(lua_State *L, const guard *g)
{
    return lua_isstring(L, 1) ? path_at(L, g, WL_FS_READ, 1) : -1;
}

static int writes_path(lua_State *L, const guard *g)
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
static int loads(lua_State *L, const guard *g)
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
static int loads(lua_State *L, const guard *g)
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
static int loads_file(lua_State *L, const guard *g)
{
    wl_need(L, g->place->full, WL_LOAD, NULL);
    lua_settop(L, lua_gettop(L) < 3 ? 2 : 3);
    int env = lua_gettop(L) == 3 ? 3 : 0;
    luaL_checkstring(L, 1); /* not stdin */
    path_at(L, g, WL_FS_READ, 1);
    return loaded(L, wl_text_load_file(L, lua_tostring(L, 1)), env);
}

/* path -> what it returns */
static int runs_file(lua_State *L, const guard *g)
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

/* Libraries of LuaJIT that see through everything. */
static bool is_closed(const char *name)
{
    return strcmp(name, "ffi") == 0 || strncmp(name, "jit.", 4) == 0;
}

static int requires(lua_State *L, const guard *g)
{
    const char *name = luaL_checkstring(L, 1);
    wl_need(L, g->place->full, WL_LOAD, NULL);
    if (is_closed(name))
        deny(L, g->place->full, "all", name);
    return -1;
}

/* From 5.4 on require puts it before each itself. */
#define BEFORE_TRIED (LUA_VERSION_NUM < 504 ? "\n\t" : "")

/* name -> loader path | what was tried. Of the searcher for modules in Lua. */
static int searches(lua_State *L, const guard *g)
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
        bool may =
            wl_rights_have(rights_of(L), WL_FS_READ, NULL) ||
            (wl_canonical(file, canonical) && wl_rights_have(rights_of(L), WL_FS_READ, canonical));
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
static int searches_not(lua_State *L, const guard *g)
{
    (void)g;
    lua_pushfstring(L, "%sno C module: permission \"all\" denied", BEFORE_TRIED);
    return 1;
}

static int searches_path(lua_State *L, const guard *g)
{
    wl_need(L, g->place->full, WL_FS_READ, NULL);
    return -1;
}

/* ---- installing ---------------------------------------------------------------------------------
 */

static const place places[] = {
    {NULL, "load", "load", loads},
    {NULL, "loadfile", "loadfile", loads_file},
    {NULL, "dofile", "dofile", runs_file},
    {NULL, "require", "require", requires},
    {NULL, "loadstring", "loadstring", loads}, /* in 5.2 there, too */
    {"package", "loadlib", "package.loadlib", closed},
    {"package", "searchpath", "package.searchpath", searches_path},
    {"io", "open", "io.open", opens},
    {"io", "lines", "io.lines", reads_path},
    {"io", "input", "io.input", reads_path},
    {"io", "output", "io.output", writes_path},
    {"io", "popen", "io.popen", needs_exec},
    {"io", "tmpfile", "io.tmpfile", needs_writing},
    {"os", "execute", "os.execute", needs_exec},
    {"os", "remove", "os.remove", removes},
    {"os", "rename", "os.rename", renames},
    {"os", "tmpname", "os.tmpname", needs_writing},
    {"os", "getenv", "os.getenv", needs_env},
    {"jit", "attach", "jit.attach", closed},
};
static const place searchers[] = {
    {"package.searchers", "2", "package.searchers.2", searches},
    {"package.searchers", "3", "package.searchers.3", searches_not},
    {"package.searchers", "4", "package.searchers.4", searches_not},
};
static const place of_debug = {"debug", NULL, "debug", closed};
static const place of_jit = {"jit", NULL, "jit", closed};

enum { MOST_UPVALUES = 4 };

/* After the n upvalues of the original: what it is, its place and the state. */
static int run_guard(lua_State *L, int n)
{
    guard g = {.place = lua_touserdata(L, lua_upvalueindex(n + 2)),
               .state = lua_touserdata(L, lua_upvalueindex(n + 3))};
    void *original = lua_touserdata(L, lua_upvalueindex(n + 1));
    memcpy(&g.original, &original, sizeof original);
    int results = g.state->rights ? g.place->check(L, &g) : -1;
    return results < 0 ? g.original(L) : results;
}

static int guard0(lua_State *L) { return run_guard(L, 0); }
static int guard1(lua_State *L) { return run_guard(L, 1); }
static int guard2(lua_State *L) { return run_guard(L, 2); }
static int guard3(lua_State *L) { return run_guard(L, 3); }
static int guard4(lua_State *L) { return run_guard(L, 4); }

/* What cannot be run in another's frame may not be called at all then. Upvalue 1 is the
 * original. */
static int refuse(lua_State *L)
{
    guard g = {.place = lua_touserdata(L, lua_upvalueindex(2)),
               .state = lua_touserdata(L, lua_upvalueindex(3))};
    if (g.state->rights)
        return closed(L, &g);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    return lua_gettop(L);
}

static void push_place(lua_State *L, const place *p, wl_lus *s)
{
    lua_pushlightuserdata(L, (void *)(uintptr_t)p);
    lua_pushlightuserdata(L, s);
}

/* function -> function */
static void wrap_function(lua_State *L, const place *p, wl_lus *s)
{
    static const lua_CFunction by_count[] = {guard0, guard1, guard2, guard3, guard4};
    int                        at = lua_gettop(L), n = 0;
    lua_CFunction              original = lua_tocfunction(L, at);
    void                      *address;
    while (n <= MOST_UPVALUES && lua_getupvalue(L, at, n + 1))
        n++;
    if (!original || n > MOST_UPVALUES) {
        lua_settop(L, at);
        lua_pushvalue(L, at);
        push_place(L, p, s);
        lua_pushcclosure(L, refuse, 3);
    } else {
        memcpy(&address, &original, sizeof address);
        lua_pushlightuserdata(L, address);
        push_place(L, p, s);
        lua_pushcclosure(L, by_count[n], n + 3);
#if LUA_VERSION_NUM < 502
        lua_getfenv(L, at);
        lua_setfenv(L, -2);
#endif
    }
    lua_replace(L, at);
}

/* table -> table: the function at the key on top is guarded from now on */
static void guard_at(lua_State *L, wl_lus *s, const place *p)
{
    lua_pushvalue(L, -1);
    lua_gettable(L, -3);
    if (lua_isfunction(L, -1)) {
        wrap_function(L, p, s);
        lua_settable(L, -3);
    } else {
        lua_pop(L, 2);
    }
}

static void guard_place(lua_State *L, wl_lus *s, const place *p)
{
    if (p->table)
        lua_getglobal(L, p->table);
    else
        lua_pushglobaltable(L);
    if (lua_istable(L, -1)) {
        lua_pushstring(L, p->name);
        guard_at(L, s, p);
    }
    lua_pop(L, 1);
}

static void guard_searchers(lua_State *L, wl_lus *s)
{
    lua_getglobal(L, "package");
    lua_getfield(L, -1, LUA_VERSION_NUM < 502 ? "loaders" : "searchers");
    for (int i = 0; lua_istable(L, -1) && i < 3; i++) {
        lua_pushinteger(L, i + 2);
        guard_at(L, s, &searchers[i]);
    }
    lua_pop(L, 1);
    lua_getfield(L, -1, "preload");
    static const char *const libraries[] = {"ffi", "jit.util", "jit.profile"};
    for (int i = 0; lua_istable(L, -1) && i < 3; i++) {
        lua_pushstring(L, libraries[i]);
        guard_at(L, s, &of_jit);
    }
    lua_pop(L, 2);
}

/* table -> table: all its functions but traceback */
static void guard_library(lua_State *L, wl_lus *s, const place *p)
{
    for (lua_pushnil(L); lua_next(L, -2);) {
        lua_pop(L, 1);
        lua_pushvalue(L, -1);
        if (lua_type(L, -1) == LUA_TSTRING && strcmp(lua_tostring(L, -1), "traceback") != 0) {
            lua_pushvalue(L, -3);
            lua_insert(L, -2);
            guard_at(L, s, p);
            lua_pop(L, 1);
        } else {
            lua_pop(L, 1);
        }
    }
}

static void guard_loaded(lua_State *L, wl_lus *s, const char *name, const place *p)
{
    lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
    lua_getfield(L, -1, name);
    if (lua_istable(L, -1))
        guard_library(L, s, p);
    lua_pop(L, 2);
}

void wl_guards_install(lua_State *L)
{
    wl_lus *s = wl_lus_of(L);
    if (s->guarded)
        return;
    s->guarded = true;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        guard_place(L, s, &places[i]);
    guard_searchers(L, s);
    guard_loaded(L, s, "debug", &of_debug);
    guard_loaded(L, s, "jit.util", &of_jit);
    guard_loaded(L, s, "ffi", &of_jit);
}
