/* SPDX-License-Identifier: ISC
 *
 * unpack.c: a message into values; the format stands in codec/format.h.
 *
 * The reader holds no memory of its own: objects stand in a Lua table by their
 * number, if they are referred to or have contents to come. Those without, which may be
 * anybody's tables and functions, and trees, stand at the negative number, with `false` at
 * the number itself, so that no byte can make the reader write into them. A cell's place
 * holds its function's number.
 */
#include <stdlib.h>
#include <string.h>

#include "codec/reader.h"

static int malformed(wl_reader *r) { return luaL_error(r->L, "malformed message"); }

/* ---- bytes ------------------------------------------------------------------------ */

static const unsigned char *take_bytes(wl_reader *r, size_t n)
{
    if ((size_t)(r->end - r->at) < n)
        malformed(r);
    const unsigned char *at = r->at;
    r->at += n;
    return at;
}

static unsigned take_u8(wl_reader *r) { return *take_bytes(r, 1); }

static uint32_t take_u32(wl_reader *r)
{
    uint32_t n;
    memcpy(&n, take_bytes(r, sizeof n), sizeof n);
    return n;
}

static int64_t take_i64(wl_reader *r)
{
    int64_t n;
    memcpy(&n, take_bytes(r, sizeof n), sizeof n);
    return n;
}

static void push_float(wl_reader *r)
{
    lua_Number n;
    memcpy(&n, take_bytes(r, sizeof n), sizeof n);
    lua_pushnumber(r->L, n);
}

static void push_string(wl_reader *r, uint64_t length)
{
    if (length > (size_t)(r->end - r->at))
        malformed(r);
    lua_pushlstring(r->L, (const char *)take_bytes(r, (size_t)length), (size_t)length);
}

static const wl_side *take_side(wl_reader *r, int kind)
{
    uint32_t i = take_u32(r);
    if (i >= r->m->n_sides || (int)r->m->sides[i].kind != kind)
        malformed(r);
    return &r->m->sides[i];
}

/* ---- objects ----------------------------------------------------------------------- */

static uint32_t next_number(wl_reader *r)
{
    if (r->made == INT32_MAX)
        malformed(r);
    return ++r->made;
}

/* value -> value */
static void remember_at(wl_reader *r, lua_Integer place)
{
    lua_State *L = r->L;
    if (!r->has_objects) {
        lua_newtable(L);
        lua_replace(L, WL_OBJECTS);
        r->has_objects = true;
    }
    lua_pushvalue(L, -1);
    lua_rawseti(L, WL_OBJECTS, (wl_index)place);
}

/* value -> value: it has contents, and they are this message's */
static void remember(wl_reader *r) { remember_at(r, next_number(r)); }

/* value -> value: it has none */
static void remember_opaque(wl_reader *r, bool needed)
{
    uint32_t number = next_number(r);
    if (!needed)
        return;
    remember_at(r, -(lua_Integer)number);
    lua_pushboolean(r->L, 0);
    lua_rawseti(r->L, WL_OBJECTS, (wl_index)number);
}

static uint32_t take_number(wl_reader *r)
{
    uint32_t number = take_u32(r);
    if (number < 1 || number > r->made)
        malformed(r);
    return number;
}

static void push_reference(wl_reader *r)
{
    uint32_t number = take_number(r);
    if (!r->has_objects)
        malformed(r);
    lua_rawgeti(r->L, WL_OBJECTS, (wl_index)number);
    if (lua_isboolean(r->L, -1)) {
        lua_pop(r->L, 1);
        lua_rawgeti(r->L, WL_OBJECTS, (wl_index) - (lua_Integer)number);
    } else if (!lua_istable(r->L, -1) && !lua_isfunction(r->L, -1)) {
        malformed(r); /* a cell is no value, and one that nobody needs was not kept */
    }
}

static int hint(wl_reader *r, uint32_t n)
{
    if (n > r->hints || n > INT32_MAX)
        return 0;
    r->hints -= n;
    return (int)n;
}

static void push_new_table(wl_reader *r)
{
    int items = hint(r, take_u32(r)), pairs = hint(r, take_u32(r));
    lua_createtable(r->L, items, pairs);
}

static void push_table(wl_reader *r)
{
    push_new_table(r);
    remember(r);
}

static void fill_table(wl_reader *r);

static void push_tree(wl_reader *r, bool needed)
{
    if (++r->depth > WL_MAX_DEPTH)
        malformed(r);
    luaL_checkstack(r->L, LUA_MINSTACK, "too deep a table");
    push_new_table(r);
    remember_opaque(r, needed);
    fill_table(r);
    r->depth--;
}

/* function -> function: the globals are its environment */
static void bind_globals(wl_reader *r)
{
    lua_pushglobaltable(r->L);
#if LUA_VERSION_NUM < 502
    lua_setfenv(r->L, -2);
#else
    if (!lua_setupvalue(r->L, -2, 1))
        lua_pop(r->L, 1);
#endif
}

static void push_function(wl_reader *r)
{
    wl_blob_load(r->L, take_side(r, WL_SIDE_BLOB)->p);
    remember(r);
}

/* Kept ones are shared by calls; one with other globals must not be. */
static void push_constant(wl_reader *r)
{
    wl_blob *b = take_side(r, WL_SIDE_BLOB)->p;
    if (wl_globals_are_home(r->L))
        wl_blob_load_kept(r->L, b);
    else
        wl_blob_load(r->L, b);
    bind_globals(r);
}

static void push_handle(wl_reader *r)
{
    const wl_side *side = take_side(r, WL_SIDE_HANDLE);
    side->type->push(r->L, side->p);
}

static void push_light(wl_reader *r)
{
    lua_pushlightuserdata(r->L, take_side(r, WL_SIDE_LIGHT)->p);
}

static void push_value(wl_reader *r, unsigned tag);

static void push_named(wl_reader *r, enum wl_tag tag)
{
    unsigned count = take_u8(r);
    int      first = lua_gettop(r->L) + 1;
    if (count < 1 || count > WL_MAX_PATH)
        malformed(r);
    for (unsigned i = 0; i < count; i++) {
        unsigned kind = take_u8(r);
        if (kind != WL_STRING8 && kind != WL_STRING)
            malformed(r);
        push_value(r, kind);
    }
    if (!wl_names_push(r->L, tag, first, (int)count, r->m->restricted))
        wl_reader_fail(r);
    lua_replace(r->L, first);
    lua_settop(r->L, first);
}

/* One without contents to come. */
static void push_opaque(wl_reader *r, unsigned tag)
{
    switch (tag & ~(unsigned)WL_NEEDED) {
    case WL_CONSTANT: push_constant(r); break;
    case WL_TEXT: push_string(r, (uint64_t)take_i64(r)); break;
    case WL_HANDLE: push_handle(r); break;
    case WL_MODULE: push_named(r, WL_MODULE); break;
    case WL_REGISTERED: push_named(r, WL_REGISTERED); break;
    default: malformed(r);
    }
    remember_opaque(r, tag & WL_NEEDED);
}

static void push_value(wl_reader *r, unsigned tag)
{
    lua_State *L = r->L;
    switch (tag) {
    case WL_NIL: lua_pushnil(L); break;
    case WL_FALSE: lua_pushboolean(L, 0); break;
    case WL_TRUE: lua_pushboolean(L, 1); break;
    case WL_INT8: lua_pushinteger(L, (int8_t)take_u8(r)); break;
    case WL_INT32: lua_pushinteger(L, (int32_t)take_u32(r)); break;
    case WL_INT64: lua_pushinteger(L, (lua_Integer)take_i64(r)); break;
    case WL_FLOAT: push_float(r); break;
    case WL_STRING8: push_string(r, take_u8(r)); break;
    case WL_STRING: push_string(r, (uint64_t)take_i64(r)); break;
    case WL_REFERENCE: push_reference(r); break;
    case WL_GLOBALS: lua_pushglobaltable(L); break;
    case WL_LIGHT: push_light(r); break;
    case WL_TABLE: push_table(r); break;
    case WL_TREE: push_tree(r, false); break;
    case WL_TREE | WL_NEEDED: push_tree(r, true); break;
    case WL_FUNCTION: push_function(r); break;
    default: push_opaque(r, tag);
    }
}

/* ---- contents ----------------------------------------------------------------------- */

/* -> string */
static void push_new_key(wl_reader *r)
{
    if (r->keys == WL_MAX_KEYS)
        malformed(r);
    if (r->keys++ == 0) {
        lua_createtable(r->L, WL_MAX_KEYS, 0);
        lua_replace(r->L, WL_NEW_KEYS);
    }
    push_string(r, take_u8(r));
    lua_pushvalue(r->L, -1);
    lua_rawseti(r->L, WL_NEW_KEYS, (int)r->keys);
}

static void push_old_key(wl_reader *r)
{
    unsigned number = take_u8(r);
    if (number < 1 || number > r->keys)
        malformed(r);
    lua_rawgeti(r->L, WL_NEW_KEYS, (int)number);
}

/* -> value, neither nil nor not a number */
static void push_key(wl_reader *r)
{
    unsigned tag = take_u8(r);
    switch (tag) {
    case WL_KEY: push_old_key(r); break;
    case WL_NEW_KEY: push_new_key(r); break;
    case WL_STRING8: push_string(r, take_u8(r)); break;
    default:
        push_value(r, tag);
        if (lua_isnil(r->L, -1) || !lua_rawequal(r->L, -1, -1))
            malformed(r);
    }
}

/* table -> table */
static void fill_pair(wl_reader *r)
{
    push_key(r);
    push_value(r, take_u8(r));
    lua_rawset(r->L, -3);
}

static void fill_metatable(wl_reader *r)
{
    push_value(r, take_u8(r));
    if (!lua_istable(r->L, -1))
        malformed(r);
    lua_setmetatable(r->L, -2);
}

static void fill_table(wl_reader *r)
{
    int64_t  i = 0;
    unsigned tag;
    while ((tag = take_u8(r)) != WL_END) {
        if (tag == WL_PAIR) {
            fill_pair(r);
        } else if (tag == WL_METATABLE) {
            fill_metatable(r);
        } else if (tag == WL_GAP) {
            i += take_u32(r);
        } else {
            push_value(r, tag);
            if (++i > INT32_MAX)
                malformed(r);
            lua_rawseti(r->L, -2, (wl_index)i);
        }
    }
}

/* function -> function: its upvalue i and the one told are one variable from now on */
static void join_cell(wl_reader *r, int i)
{
    lua_State *L = r->L;
    uint32_t   cell = take_number(r);
    int        index = (int)take_u8(r);
    if (!r->has_objects)
        malformed(r);
    lua_rawgeti(L, WL_OBJECTS, (wl_index)cell);
    if (lua_type(L, -1) != LUA_TNUMBER)
        malformed(r);
    lua_rawgeti(L, WL_OBJECTS, (wl_index)lua_tointeger(L, -1));
    if (!WL_HAS_UPVALUE_IDS || !lua_getupvalue(L, -3, i) || !lua_getupvalue(L, -2, index))
        malformed(r);
    lua_pop(L, 2);
    lua_upvaluejoin(L, -3, i, -1, index);
    lua_pop(L, 2);
}

static void fill_function(wl_reader *r, uint32_t number)
{
    lua_State *L = r->L;
    unsigned   tag;
#if LUA_VERSION_NUM < 502
    push_value(r, take_u8(r));
    if (!lua_istable(L, -1))
        malformed(r);
    lua_setfenv(L, -2);
#endif
    for (int i = 1; (tag = take_u8(r)) != WL_END; i++) {
        r->upvalue = i;
        if (tag == WL_SAME_CELL) {
            join_cell(r, i);
            continue;
        }
        if (tag == WL_CELL) {
            lua_pushinteger(L, (lua_Integer)number);
            lua_rawseti(L, WL_OBJECTS, (wl_index)next_number(r));
            tag = take_u8(r);
        }
        push_value(r, tag);
        if (!lua_setupvalue(L, -2, i))
            malformed(r);
    }
}

static void fill(wl_reader *r, uint32_t number)
{
    lua_rawgeti(r->L, WL_OBJECTS, (wl_index)number);
    r->filled = number;
    r->upvalue = 0;
    if (lua_istable(r->L, -1))
        fill_table(r);
    else if (lua_isfunction(r->L, -1))
        fill_function(r, number);
    lua_pop(r->L, 1);
}

/* ---- all of it ------------------------------------------------------------------------ */

/* reader -> values... */
static int unpack_all(lua_State *L)
{
    wl_reader *r = lua_touserdata(L, WL_READER);
    luaL_checkstack(L, r->m->n + LUA_MINSTACK, "too many values");
    lua_settop(L, WL_FIRST_VALUE - 1);
    for (r->root = 0; r->root < r->m->n; r->root++)
        push_value(r, take_u8(r));
    for (uint32_t number = 1; r->has_objects && number <= r->made; number++)
        fill(r, number);
    if (r->at != r->end)
        malformed(r);
    return r->m->n;
}

/* A collector that looks for garbage while a large message is read finds none, and in 5.4's
 * generational mode takes what is new for old meanwhile. It does its work afterwards. */
#if LUA_VERSION_NUM == 504
enum { LARGE = 1 << 16 }; /* bytes */

static int pause_collector(lua_State *L, const wl_message *m)
{
    if (m->size < LARGE || lua_gc(L, LUA_GCISRUNNING) != 1)
        return -1;
    lua_gc(L, LUA_GCSTOP);
    return lua_gc(L, LUA_GCCOUNT);
}

static void resume_collector(lua_State *L, int kib_before)
{
    int kib = kib_before < 0 ? 0 : lua_gc(L, LUA_GCCOUNT) - kib_before;
    if (kib_before >= 0)
        lua_gc(L, LUA_GCRESTART);
    if (kib > 0)
        lua_gc(L, LUA_GCSTEP, kib);
}
#else
#define pause_collector(L, m) 0
#define resume_collector(L, before) ((void)(before))
#endif

static wl_reader reader_of(lua_State *L, const wl_message *m)
{
    return (wl_reader){.L = L, .m = m, .at = m->bytes, .end = m->bytes + m->size, .hints = m->size};
}

int wl_unpack(lua_State *L, const wl_message *m)
{
    wl_reader r = reader_of(L, m);
    if (!lua_checkstack(L, 4)) {
        lua_pushliteral(L, "stack overflow");
        return -1;
    }
    wl_push_kept(L, unpack_all);
    lua_pushlightuserdata(L, &r);
    int before = pause_collector(L, m);
    int status = lua_pcall(L, 1, LUA_MULTRET, 0);
    resume_collector(L, before);
    return status == 0 ? m->n : -1;
}

enum { FEW_VALUES = 8 }; /* for which every C function has the stack */

int wl_unpack_plainly(lua_State *L, const wl_message *m)
{
    if (!m->plain || m->n > FEW_VALUES)
        return wl_unpack(L, m);
    wl_reader r = reader_of(L, m);
    while (r.root++ < m->n)
        push_value(&r, take_u8(&r));
    return m->n;
}
