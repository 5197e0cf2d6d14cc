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
#include "lus/checks.h"
#include "lus/core.h"
#include "runtime/util.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_UPVALUES = 4 };

/* Runs the original in its own frame, and notes what that brings. */
static int run_foreign(lua_State *L, const wl_guard *g)
{
    char name[128];
    bool always = g->place->foreign == WL_FOREIGN;
    snprintf(name, sizeof name, "%s",
             !always && lua_type(L, 1) == LUA_TSTRING ? lua_tostring(L, 1) : g->place->full);
    int n = g->original(L);
    if (always || (n > 0 && lua_isfunction(L, -n)))
        wl_foreign_note(L, name);
    return n;
}

static int run(lua_State *L, const wl_guard *g)
{
    if (!g->state || !g->state->rights)
        return g->place->foreign && g->state ? run_foreign(L, g) : g->original(L);
    int results = g->place->check(L, g);
    return results < 0 ? g->original(L) : results;
}

/* ---- of functions without upvalues ----------------------------------------------------------- */

/* Most originals are the same function in each state. Each has a slot for the life of the process,
 * and a guard of its own without upvalues, which costs a state no memory (on 5.1 little).
 *
 * A slot is free, taken, or ready; who makes it taken fills it. Nobody waits for that: meanwhile
 * another slot serves, or a closure. */
enum { SLOTS = 128 };

typedef struct {
    _Atomic(const wl_place *) place; /* NULL: free; taken: being filled */
    lua_CFunction             original;
} slot;

static slot           slots[SLOTS];
static const wl_place taken;

/* It may have crossed to a state that has no record here, and then is the function. */
static int run_slot(lua_State *L, slot *s)
{
    /* relaxed: who made this guard has seen the place, in fits */
    wl_guard g = {.place = atomic_load_explicit(&s->place, memory_order_relaxed),
                  .original = s->original,
                  .state = wl_lus_of(L)};
    return run(L, &g);
}

/* clang-format off */
#define G1(n) static int slot_##n(lua_State *L) { return run_slot(L, &slots[0x##n]); }
#define N1(n) slot_##n,
#define EACH(X, n) \
    X(n##0) X(n##1) X(n##2) X(n##3) X(n##4) X(n##5) X(n##6) X(n##7) \
    X(n##8) X(n##9) X(n##A) X(n##B) X(n##C) X(n##D) X(n##E) X(n##F)
#define ALL(X) EACH(X, 0) EACH(X, 1) EACH(X, 2) EACH(X, 3) EACH(X, 4) EACH(X, 5) EACH(X, 6) EACH(X, 7)

ALL(G1)
static const lua_CFunction slot_guards[SLOTS] = {ALL(N1)};
/* clang-format on */

static bool fits(slot *s, const wl_place *p, lua_CFunction original)
{
    const wl_place *none = NULL, *is = atomic_load(&s->place);
    if (is == p)
        return s->original == original;
    if (is || !atomic_compare_exchange_strong(&s->place, &none, &taken))
        return false;
    s->original = original;
    atomic_store(&s->place, p);
    return true;
}

/* NULL: there is none. */
static lua_CFunction slot_guard(const wl_place *p, lua_CFunction original)
{
    uintptr_t at = (uintptr_t)p / sizeof *p + (uintptr_t)original / 16;
    for (int i = 0; i < SLOTS; i++)
        if (fits(&slots[(at + (uintptr_t)i) % SLOTS], p, original))
            return slot_guards[(at + (uintptr_t)i) % SLOTS];
    return NULL;
}

/* ---- of functions with some --------------------------------------------------------------------
 */

/* After the n upvalues of the original: what it is, its place and the state. */
static int run_guard(lua_State *L, int n)
{
    wl_guard g = {.place = lua_touserdata(L, lua_upvalueindex(n + 2)),
                  .state = lua_touserdata(L, lua_upvalueindex(n + 3))};
    void    *original = lua_touserdata(L, lua_upvalueindex(n + 1));
    memcpy(&g.original, &original, sizeof original);
    return run(L, &g);
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
    wl_guard g = {.place = lua_touserdata(L, lua_upvalueindex(2)),
                  .state = lua_touserdata(L, lua_upvalueindex(3))};
    if (g.state->rights)
        return g.place->check(L, &g);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    return lua_gettop(L);
}

static void push_place(lua_State *L, const wl_place *p, wl_lus *s)
{
    lua_pushlightuserdata(L, (void *)(uintptr_t)p);
    lua_pushlightuserdata(L, s);
}

/* function, its upvalues... -> the same, guard */
static void push_guard(lua_State *L, const wl_place *p, wl_lus *s, lua_CFunction original, int n)
{
    static const lua_CFunction by_count[] = {guard0, guard1, guard2, guard3, guard4};
    lua_CFunction              by_slot = n == 0 ? slot_guard(p, original) : NULL;
    void                      *address;
    if (by_slot) {
        lua_pushcfunction(L, by_slot);
        return;
    }
    memcpy(&address, &original, sizeof address);
    lua_pushlightuserdata(L, address);
    push_place(L, p, s);
    lua_pushcclosure(L, by_count[n], n + 3);
}

/* function -> function */
static void wrap_function(lua_State *L, const wl_place *p, wl_lus *s)
{
    int           at = lua_gettop(L), n = 0;
    lua_CFunction original = lua_tocfunction(L, at);
    while (n <= MOST_UPVALUES && lua_getupvalue(L, at, n + 1))
        n++;
    if (!original || n > MOST_UPVALUES) {
        lua_settop(L, at);
        lua_pushvalue(L, at);
        push_place(L, p, s);
        lua_pushcclosure(L, refuse, 3);
    } else {
        push_guard(L, p, s, original, n);
#if LUA_VERSION_NUM < 502
        lua_getfenv(L, at);
        lua_setfenv(L, -2);
#endif
    }
    lua_replace(L, at);
}

/* table -> table: the function at the key on top is guarded from now on */
static void guard_at(lua_State *L, wl_lus *s, const wl_place *p)
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

/* table -> table: of this name */
static void guard_field(lua_State *L, wl_lus *s, const wl_place *p)
{
    lua_getfield(L, -1, p->name);
    if (lua_isfunction(L, -1)) {
        wrap_function(L, p, s);
        lua_setfield(L, -2, p->name);
    } else {
        lua_pop(L, 1);
    }
}

/* Two tables that no global names. */
static const char METHODS[] = "file:", PRELOAD[] = "package.preload";

/* -> table, NULL: of the globals; or something else */
static void push_table(lua_State *L, const char *table)
{
    if (!table) {
        lua_pushglobaltable(L);
    } else if (table == METHODS) {
        luaL_getmetatable(L, LUA_FILEHANDLE);
        lua_getfield(L, -1, "__index");
        lua_remove(L, -2);
    } else if (table == PRELOAD) {
        lua_getglobal(L, "package");
        lua_getfield(L, -1, "preload");
        lua_remove(L, -2);
    } else {
        lua_getglobal(L, table);
    }
}

/* table or something else -> ; the places, up to one of another table. How many they are. */
static size_t guard_table(lua_State *L, wl_lus *s, const wl_place *places, size_t n)
{
    size_t      i = 0;
    const char *name = places->table; /* the same string for all of a table */
    for (; i < n && places[i].table == name; i++)
        if (lua_istable(L, -1))
            guard_field(L, s, &places[i]);
    lua_pop(L, 1);
    return i;
}

static void guard_places(lua_State *L, wl_lus *s)
{
    for (size_t i = 0; i < wl_n_places;) {
        push_table(L, wl_places[i].table);
        i += guard_table(L, s, &wl_places[i], wl_n_places - i);
    }
}

static void guard_searchers(lua_State *L, wl_lus *s)
{
    lua_getglobal(L, "package");
    lua_getfield(L, -1, LUA_VERSION_NUM < 502 ? "loaders" : "searchers");
    for (int i = 0; lua_istable(L, -1) && i < 3; i++) {
        lua_pushinteger(L, i + 2);
        guard_at(L, s, &wl_searcher_places[i]);
    }
    lua_pop(L, 2);
}

static void guard_preload(lua_State *L, wl_lus *s)
{
    push_table(L, PRELOAD);
    for (size_t i = 0; lua_istable(L, -1) && i < wl_n_library_places; i++) {
        lua_pushstring(L, wl_library_places[i].name);
        guard_at(L, s, &wl_library_places[i]);
    }
    lua_pop(L, 1);
}

static void guard_files(lua_State *L, wl_lus *s)
{
    push_table(L, METHODS);
    guard_table(L, s, wl_file_places, wl_n_file_places);
}

/* table -> table: all its functions but traceback */
static void guard_library(lua_State *L, wl_lus *s, const wl_place *p)
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

static void guard_loaded(lua_State *L, wl_lus *s, const char *name, const wl_place *p)
{
    lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
    lua_getfield(L, -1, name);
    if (lua_istable(L, -1))
        guard_library(L, s, p);
    lua_pop(L, 2);
}

/* LuaJIT's. */
static void guard_rare(lua_State *L, wl_lus *s)
{
    guard_loaded(L, s, "jit.opt", &wl_jit_place);
    guard_loaded(L, s, "jit.util", &wl_jit_place);
    guard_loaded(L, s, "ffi", &wl_jit_place);
}

static void guard_all(lua_State *L, wl_lus *s)
{
    guard_places(L, s);
    guard_files(L, s);
    guard_searchers(L, s);
    guard_preload(L, s);
    guard_loaded(L, s, "debug", &wl_debug_place);
    guard_loaded(L, s, "jit", &wl_jit_place);
    guard_rare(L, s);
}

/* ---- of new states, which are all alike ------------------------------------------------------ */

enum { MOST_PLANNED = 100 };

/* What stands where in a new state when all is guarded. It is found out once in the process. */
typedef struct {
    const char     *table, *name; /* see push_table */
    lua_CFunction   guard;        /* NULL: each state needs one of its own */
    const wl_place *place;
} planned;

typedef struct {
    bool    is_jit;
    size_t  n;
    planned at[MOST_PLANNED];
} plan;

static _Atomic(plan *) the_plan;

/* function -> function: its guard, if that is the same in each state; before 5.2 each function has
 * an environment, which is that of the globals then */
static lua_CFunction common_guard(lua_State *L)
{
    lua_CFunction fn = lua_tocfunction(L, -1);
    int           i = 0;
    while (i < SLOTS && slot_guards[i] != fn)
        i++;
#if LUA_VERSION_NUM < 502
    lua_getfenv(L, -1);
    lua_pushglobaltable(L);
    bool own = !lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    if (own)
        return NULL;
#endif
    return i < SLOTS ? fn : NULL;
}

/* function -> function: what stands there. Takes a name that is no place's. False: no room. */
static bool add_planned(lua_State *L, plan *p, const char *table, const char *name,
                        const wl_place *place)
{
    if (!lua_isfunction(L, -1))
        return true;
    if (p->n == MOST_PLANNED)
        return false;
    p->at[p->n++] = (planned){table, name, common_guard(L), place};
    return true;
}

static bool plan_places(lua_State *L, plan *p, const char *table, const wl_place *places, size_t n)
{
    bool ok = true;
    push_table(L, table);
    for (size_t i = 0; ok && i < n && lua_istable(L, -1); i++) {
        lua_getfield(L, -1, places[i].name);
        ok = add_planned(L, p, table, places[i].name, &places[i]);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    return ok;
}

/* All functions of a library but traceback. Their names are in no list of ours. */
static bool plan_library(lua_State *L, plan *p, const char *table, const wl_place *place)
{
    int  top = lua_gettop(L);
    bool ok = true;
    push_table(L, table);
    if (lua_istable(L, -1))
        for (lua_pushnil(L); ok && lua_next(L, -2); lua_pop(L, 1)) {
            if (lua_type(L, -2) != LUA_TSTRING || !lua_isfunction(L, -1) ||
                strcmp(lua_tostring(L, -2), "traceback") == 0)
                continue;
            char *name = wl_strdup(lua_tostring(L, -2));
            ok = name && add_planned(L, p, table, name, place);
            if (!ok)
                free(name);
        }
    lua_settop(L, top);
    return ok;
}

static bool plan_all(lua_State *L, plan *p)
{
    bool ok = true;
    lua_getglobal(L, "jit");
    p->is_jit = !lua_isnil(L, -1);
    lua_pop(L, 1);
    for (size_t i = 0; ok && i < wl_n_places; i++)
        ok = plan_places(L, p, wl_places[i].table, &wl_places[i], 1);
    return ok && plan_places(L, p, METHODS, wl_file_places, wl_n_file_places) &&
           plan_places(L, p, PRELOAD, wl_library_places, wl_n_library_places) &&
           plan_library(L, p, "debug", &wl_debug_place) && plan_library(L, p, "jit", &wl_jit_place);
}

/* Of several states that are the first, one's stays. */
static void make_plan(lua_State *L)
{
    plan *none = NULL, *p = calloc(1, sizeof *p);
    if (!p || (plan_all(L, p) && atomic_compare_exchange_strong(&the_plan, &none, p)))
        return;
    for (size_t i = 0; i < p->n; i++)
        if (!p->at[i].place->name)
            free((void *)(uintptr_t)p->at[i].name);
    free(p);
}

/* table -> table */
static void follow_one(lua_State *L, wl_lus *s, const planned *at)
{
    if (at->guard) {
        lua_pushcfunction(L, at->guard);
        lua_setfield(L, -2, at->name);
    } else {
        lua_pushstring(L, at->name);
        guard_at(L, s, at->place);
    }
}

static void follow(lua_State *L, wl_lus *s, const plan *p)
{
    int top = lua_gettop(L);
    for (size_t i = 0; i < p->n; i++) {
        if (i == 0 || p->at[i].table != p->at[i - 1].table) {
            lua_settop(L, top);
            push_table(L, p->at[i].table);
        }
        follow_one(L, s, &p->at[i]);
    }
    lua_settop(L, top);
    guard_searchers(L, s);
    if (p->is_jit)
        guard_rare(L, s);
}

static void guard_new(lua_State *L, wl_lus *s)
{
    const plan *p = atomic_load(&the_plan);
    if (p) {
        follow(L, s, p);
    } else {
        guard_all(L, s);
        make_plan(L);
    }
}

void wl_guards_install(lua_State *L, bool is_new)
{
    wl_lus *s = wl_lus_of(L);
    if (s->guarded)
        return;
    s->guarded = true;
    wl_streams_prepare(L);
    wl_files_prepare(L);
    if (is_new)
        guard_new(L, s);
    else
        guard_all(L, s);
}
