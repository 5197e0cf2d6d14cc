/* SPDX-License-Identifier: ISC
 *
 * names.c: which tables, functions and userdata cross by name.
 *
 * A name is a path from one of two roots, package.loaded and what weir.register was
 * given: a first name and up to three string keys below it. To ask for every table
 * and function that is packed must cost next to nothing, so the state keeps an
 * index, address -> the table that it stands in. It is a hint: whoever finds an
 * address there looks the path up anew before it counts, and the index is made
 * anew when the roots have changed. What is added to a module later than that is
 * not seen, and crosses by copy; the other side's module would not have it.
 *
 * Of the globals only the C functions have names: a script's own are not over there.
 *
 * Of several names the one counts that a new state has, see codec/stock.c. Next come
 * those in modules that it has to load, which bring their parts along, and last what
 * was put into its own modules or globals, as in table.unpack = table.unpack or unpack.
 * Of equals it is the shortest.
 */
#include <stdlib.h>
#include <string.h>

#include "codec/format.h"

typedef struct {
    const void *object, *parent; /* NULL: free */
    bool        stock;           /* a new state has it there */
} place;

struct wl_names {
    place      *places; /* n_places, a power of two, at most three quarters in use */
    size_t      n_places, used;
    uint64_t    made_of; /* what the roots looked like */
    const void *loaded, *registered;
    bool        over; /* the state is closing, later finalizers still may pack */
};

static const char names_key, registered_key, handle_key; /* names in the registry */

/* ---- the index: no call in here allocates in Lua, so no finalizer sees it half -- */

static place *place_of(const wl_names *names, const void *object)
{
    size_t i = (size_t)(((uintptr_t)object >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 32);
    for (;; i++) {
        place *at = &names->places[i & (names->n_places - 1)];
        if (at->object == object || !at->object)
            return at;
    }
}

static const void *parent_of(const wl_names *names, const void *object)
{
    return names->n_places ? place_of(names, object)->parent : NULL;
}

static bool make_room(wl_names *names)
{
    wl_names bigger = {.n_places = names->n_places ? 2 * names->n_places : 256};
    bigger.places = calloc(bigger.n_places, sizeof *bigger.places);
    if (!bigger.places)
        return false;
    for (size_t i = 0; i < names->n_places; i++)
        if (names->places[i].object)
            *place_of(&bigger, names->places[i].object) = names->places[i];
    free(names->places);
    names->places = bigger.places;
    names->n_places = bigger.n_places;
    return true;
}

static bool add(wl_names *names, const void *object, const void *parent, bool stock)
{
    if (4 * (names->used + 1) > 3 * names->n_places && !make_room(names))
        return false;
    place *at = place_of(names, object);
    if (!at->object) {
        *at = (place){object, parent, stock};
        names->used++;
    }
    return true;
}

/* key value: whether the value can have a name here */
static bool can_have_name(lua_State *L, bool c_functions_only)
{
    if (lua_type(L, -2) != LUA_TSTRING)
        return false;
    switch (lua_type(L, -1)) {
    case LUA_TFUNCTION: return !c_functions_only || lua_iscfunction(L, -1);
    case LUA_TTABLE:
    case LUA_TUSERDATA: return !c_functions_only;
    default: return false;
    }
}

typedef struct {
    wl_names   *names;
    const void *globals;
    enum { STOCK, MODULES, REST, N_PASSES } pass; /* the best names first */
} scanner;

/* key value -> the same: whether the pass takes it. Module "": the value is one, or a
 * part of one; NULL: it is registered. */
static bool takes(lua_State *L, const scanner *s, const char *module, bool is_global)
{
    if (!can_have_name(L, is_global))
        return false;
    if (s->pass == STOCK)
        return wl_stock_has(L, module);
    return !module || *module || wl_stock_has(L, module) == (s->pass == REST);
}

/* table -> table: adds what stands `deeper` tables below it; better and shorter paths are
 * there already, and win. Recursion ends at WL_MAX_PATH. */
static bool scan(lua_State *L, const scanner *s, const char *module, int deeper)
{
    const void *table = lua_topointer(L, -1);
    bool        ok = true;
    lua_pushnil(L);
    while (ok && lua_next(L, -2)) {
        if (takes(L, s, module, table == s->globals)) {
            const void *value = lua_topointer(L, -1);
            if (deeper == 0)
                ok = add(s->names, value, table, s->pass == STOCK);
            else if (lua_istable(L, -1) && value != s->globals &&
                     parent_of(s->names, value) == table)
                ok = scan(L, s, module && !*module ? lua_tostring(L, -2) : module, deeper - 1);
        }
        lua_pop(L, 1);
    }
    if (!ok)
        lua_pop(L, 1); /* the key */
    return ok;
}

static void push_root(lua_State *L, enum wl_tag tag)
{
    if (tag == WL_MODULE)
        lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
    else
        lua_rawgetp(L, LUA_REGISTRYINDEX, &registered_key);
}

/* registered loaded -> the same */
static bool scan_globals(lua_State *L, const scanner *s)
{
    if (s->pass == MODULES || parent_of(s->names, s->globals) != s->names->loaded)
        return true;
    wl_globals_push_home(L);
    bool ok = scan(L, s, "_G", 0);
    lua_pop(L, 1);
    return ok;
}

/* registered loaded -> the same */
static bool scan_all(lua_State *L, scanner *s)
{
    for (s->pass = STOCK; s->pass < N_PASSES; s->pass++) {
        for (int deeper = 0; deeper < (s->pass == STOCK ? 2 : WL_MAX_PATH); deeper++) {
            lua_pushvalue(L, -2);
            bool ok = s->pass != MODULES || !lua_istable(L, -1) || scan(L, s, NULL, deeper);
            lua_pop(L, 1);
            if (!ok || !scan(L, s, "", deeper))
                return false;
        }
        if (!scan_globals(L, s))
            return false;
    }
    return true;
}

/* table or nil -> the same: changes when something comes, goes or is replaced */
static uint64_t look_of(lua_State *L)
{
    uint64_t sum = 0;
    if (lua_istable(L, -1))
        for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
            sum += (uintptr_t)lua_topointer(L, -1) * UINT64_C(0x9e3779b97f4a7c15) + 1;
    return sum;
}

/* registered loaded -> the same */
static bool make_anew(lua_State *L, wl_names *names)
{
    scanner s = {.names = names};
    wl_globals_push_home(L);
    s.globals = lua_topointer(L, -1);
    lua_pop(L, 1);
    if (names->n_places)
        memset(names->places, 0, names->n_places * sizeof *names->places);
    names->used = 0;
    names->registered = lua_topointer(L, -2);
    names->loaded = lua_topointer(L, -1);
    return scan_all(L, &s);
}

/* Makes the index anew if the roots have changed since. */
static void renew(lua_State *L, wl_names *names)
{
    push_root(L, WL_REGISTERED);
    uint64_t look = 3 * look_of(L);
    push_root(L, WL_MODULE);
    look += look_of(L);
    if (look != names->made_of) {
        names->made_of = make_anew(L, names) ? look : 0;
        wl_blob_forget(L);
    }
    lua_pop(L, 2);
    if (!names->made_of)
        luaL_error(L, "not enough memory");
}

/* names -> */
static int names_gc(lua_State *L)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &names_key);
    wl_names *names = lua_touserdata(L, -1);
    if (!names || names != lua_touserdata(L, 1))
        return 0;
    free(names->places);
    memset(names, 0, sizeof *names);
    names->over = true;
    return 0;
}

static wl_names *make_names(lua_State *L)
{
    wl_names *names = memset(lua_newuserdata(L, sizeof *names), 0, sizeof *names);
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, names_gc);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &names_key);
    return names;
}

wl_names *wl_names_get(lua_State *L)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &names_key);
    wl_names *names = lua_touserdata(L, -1);
    lua_pop(L, 1);
    if (!names)
        names = make_names(L);
    if (!names->over)
        renew(L, names);
    return names;
}

/* ---- from an object to its path -------------------------------------------------- */

/* table -> key value, or nothing when no string key leads to the object */
static bool step(lua_State *L, const place *to, const char *module)
{
    if (lua_istable(L, -1))
        for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
            if (can_have_name(L, false) && lua_topointer(L, -1) == to->object &&
                (!to->stock || wl_stock_has(L, module))) {
                lua_remove(L, -3);
                return true;
            }
    lua_pop(L, 1);
    return false;
}

/* chain: the object first, then what it stands in, up to the root. -> strings */
static int walk(lua_State *L, const place **chain, int length, enum wl_tag tag)
{
    push_root(L, tag);
    const char *module = "";
    int         found = 0;
    for (; found < length && step(L, chain[length - 1 - found], module); found++)
        if (found == 0)
            module = lua_tostring(L, -2);
    if (found == length)
        lua_pop(L, 1);
    else
        lua_pop(L, found);
    return found == length ? length : 0;
}

/* The index's answer, looked up. */
static int look_up(lua_State *L, const wl_names *names, const void *object, enum wl_tag *tag)
{
    const place *chain[WL_MAX_PATH], *at;
    for (int n = 0; n < WL_MAX_PATH && (at = place_of(names, object))->object;
         object = at->parent) {
        chain[n++] = at;
        if (at->parent == names->loaded || at->parent == names->registered) {
            *tag = at->parent == names->loaded ? WL_MODULE : WL_REGISTERED;
            return walk(L, chain, n, *tag);
        }
    }
    return 0;
}

int wl_names_find(lua_State *L, wl_names *names, const void *object, enum wl_tag *tag)
{
    if (!parent_of(names, object))
        return 0;
    int found = look_up(L, names, object, tag);
    if (found)
        return found;
    names->made_of = 0;
    renew(L, names);
    return look_up(L, names, object, tag);
}

/* ---- and back -------------------------------------------------------------------- */

/* -> module, table | why there is none; whether there is */
static bool push_first(lua_State *L, enum wl_tag tag, int name, bool loaded)
{
    push_root(L, tag);
    if (lua_istable(L, -1)) {
        lua_pushvalue(L, name);
        lua_rawget(L, -2);
        lua_remove(L, -2);
    }
    int type = lua_type(L, -1);
    if (type == LUA_TTABLE || type == LUA_TFUNCTION || type == LUA_TUSERDATA)
        return true;
    lua_pop(L, 1);
    if (tag == WL_REGISTERED) {
        lua_pushfstring(L, "'%s' is not registered in this state (see weir.register)",
                        lua_tostring(L, name));
        return false;
    }
    if (loaded) {
        lua_pushfstring(L, "module '%s' is not loaded here, and the value is of a restricted state",
                        lua_tostring(L, name));
        return false;
    }
    lua_getglobal(L, "require");
    lua_pushvalue(L, name);
    return lua_pcall(L, 1, 1, 0) == 0;
}

/* table key -> value. As Lua looks, for modules that load their parts late, unless they may not. */
static void look_in(lua_State *L, bool loaded)
{
    if (!loaded) {
        lua_gettable(L, -2);
    } else if (lua_istable(L, -2)) {
        lua_rawget(L, -2);
    } else {
        lua_pop(L, 1);
        lua_pushnil(L);
    }
    lua_remove(L, -2);
}

bool wl_names_push(lua_State *L, enum wl_tag tag, int first, int count, bool loaded)
{
    if (!push_first(L, tag, first, loaded))
        return false;
    for (int i = 1; i < count && !lua_isnil(L, -1); i++) {
        lua_pushvalue(L, first + i);
        look_in(L, loaded);
    }
    if (!lua_isnil(L, -1))
        return true;
    lua_pushfstring(L, "'%s' has no '%s' in this state", lua_tostring(L, first),
                    lua_tostring(L, first + count - 1));
    return false;
}

/* ---- weir.register ---------------------------------------------------------------- */

/* table, name at 1, metatable at 2: raises when one of them has another partner */
static void check_free(lua_State *L)
{
    lua_pushvalue(L, 1);
    lua_rawget(L, -2);
    if (!lua_isnil(L, -1) && !lua_rawequal(L, -1, 2))
        luaL_argerror(L, 1,
                      lua_pushfstring(L, "'%s' is another metatable's name", lua_tostring(L, 1)));
    lua_pop(L, 1);
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
        if (lua_rawequal(L, -1, 2) && !lua_rawequal(L, -2, 1))
            luaL_argerror(L, 2,
                          lua_pushfstring(L, "it is registered as '%s'", lua_tostring(L, -2)));
}

int wl_register(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TSTRING);
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 2);
    push_root(L, WL_REGISTERED);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushvalue(L, -1);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &registered_key);
    }
    check_free(L);
    lua_pushvalue(L, 1);
    lua_pushvalue(L, 2);
    lua_rawset(L, -3);
    return 0;
}

/* ---- handles ------------------------------------------------------------------------ */

void wl_handle_metatable(lua_State *L, int index, const wl_handle_type *type)
{
    index = lua_absindex(L, index);
    lua_pushlightuserdata(L, (void *)type);
    lua_rawsetp(L, index, &handle_key);
}

const wl_handle_type *wl_handle_type_of(lua_State *L, int index)
{
    if (!lua_getmetatable(L, index))
        return NULL;
    lua_rawgetp(L, -1, &handle_key);
    const wl_handle_type *type = lua_touserdata(L, -1);
    lua_pop(L, 2);
    return type;
}
