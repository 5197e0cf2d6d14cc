/* SPDX-License-Identifier: ISC
 *
 * pack.c: values into a message; the format stands in codec/format.h.
 *
 * The packer is on wl_pack's C stack and owns all memory; everything that can raise
 * runs below one protected call, so that wl_pack frees it whatever happened.
 * Objects are known by their address. A finalizer that changes what is packed could let
 * an address be used twice; so nothing is done, at first, that lets the collector run.
 * Where that must be, and where objects are asked for by number (for their contents when
 * it is their turn; to tell the way to one that cannot cross), it begins again, and holds
 * them in a Lua table by their number.
 */
#include <stdlib.h>
#include <string.h>

#include "codec/packer.h"

/* ---- objects --------------------------------------------------------------------- */

/* The same for the value at i, whose tag comes next. If it is held, it stays until the
 * message is done; the stack is enough for an argument that nobody asks for by number. */
static void remember_value(wl_packer *p, int i, const void *object, enum wl_tag kind)
{
    lua_State *L = p->L;
    wl_entry  *e = wl_entry_add(p, object, kind);
    p->loose = p->loose || (!p->holds && i >= p->anchor);
    if (!p->holds || (i < p->anchor && !wl_entry_holds_others(e)))
        return;
    if (!p->anchored) {
        lua_newtable(L);
        lua_replace(L, p->anchor);
        p->anchored = true;
    }
    lua_pushvalue(L, i);
    lua_rawseti(L, p->anchor, (wl_index)p->n_entries);
}

/* The value at i is the one whose path the error tells. */
static int refuse_value(wl_packer *p, int i, const char *why)
{
    wl_pack_hold(p);
    lua_pushvalue(p->L, i);
    return wl_refuse(p, why);
}

static void put_reference(wl_packer *p, uint32_t number)
{
    const wl_entry *e = &p->entries[number - 1];
    if (!wl_entry_has_contents(e))
        p->m->bytes[e->at] |= WL_NEEDED;
    wl_put_u32(p, WL_REFERENCE, number);
}

static void pack_light(wl_packer *p, int i)
{
    *wl_side_next(p) = (wl_side){WL_SIDE_LIGHT, NULL, lua_touserdata(p->L, i)};
    wl_put_side(p, WL_LIGHT);
}

static bool pack_handle(wl_packer *p, int i, const void *object)
{
    const wl_handle_type *type = wl_handle_type_of(p->L, i);
    if (!type)
        return false;
    remember_value(p, i, object, WL_HANDLE);
    wl_side *side = wl_side_next(p);
    *side = (wl_side){WL_SIDE_HANDLE, type, type->retain(lua_touserdata(p->L, i))};
    if (!side->p)
        refuse_value(p, i, "the handle was closed");
    wl_put_side(p, WL_HANDLE);
    return true;
}

static bool pack_named(wl_packer *p, int i, const void *object)
{
    enum wl_tag tag;
    if (!p->names)
        p->names = wl_names_get(p->L);
    int n = wl_names_find(p->L, p->names, object, &tag);
    if (!n)
        return false;
    remember_value(p, i, object, tag);
    unsigned char *at = wl_put(p, 2);
    at[0] = (unsigned char)tag;
    at[1] = (unsigned char)n;
    for (int k = -n; k < 0; k++) {
        size_t      size;
        const char *s = lua_tolstring(p->L, k, &size);
        wl_put_string(p, s, size);
    }
    lua_pop(p->L, n);
    return true;
}

static void pack_table(wl_packer *p, size_t at);

/* Its contents come at once, or when it is its turn. */
static void pack_new_table(wl_packer *p, int i, const void *object)
{
    const uint32_t none[2] = {0, 0};
    bool           at_once = p->depth < WL_MAX_DEPTH;
    enum wl_tag    tag = at_once ? WL_TREE : WL_TABLE;
    uint32_t       outer = p->current;
    size_t         at = p->m->size;
    if (!at_once)
        wl_pack_hold(p);
    remember_value(p, i, object, tag);
    wl_put_field(p, tag, none, sizeof none);
    if (!at_once)
        return;
    luaL_checkstack(p->L, LUA_MINSTACK, "too deep a table");
    p->depth++;
    p->current = p->n_entries;
    lua_pushvalue(p->L, i);
    pack_table(p, at);
    lua_pop(p->L, 1);
    p->current = outer;
    p->depth--;
}

/* ---- functions ------------------------------------------------------------------- */

static void pack_new_function(wl_packer *p, int i, const void *object)
{
    if (p->options->restricted)
        refuse_value(p, i, "function of a restricted state cannot cross to another thread");
    enum wl_tag tag = wl_is_constant(p, i) ? WL_CONSTANT : WL_FUNCTION;
    if (tag == WL_FUNCTION)
        wl_pack_hold(p);
    remember_value(p, i, object, tag);
    wl_put_code(p, tag, i);
}

/* ---- values ---------------------------------------------------------------------- */

static int refuse(wl_packer *p, int i)
{
    lua_State *L = p->L;
    wl_pack_hold(p); /* before a text is made */
    const char *what = lua_iscfunction(L, i)           ? "C function"
                       : lua_type(L, i) == LUA_TTHREAD ? "coroutine"
                                                       : luaL_typename(L, i);
    const char *why = lua_pushfstring(L, "%s cannot cross to another thread", what);
    if (lua_type(L, i) == LUA_TUSERDATA && luaL_getmetafield(L, i, "__name"))
        why = lua_pushfstring(L, "userdata (%s) cannot cross to another thread",
                              lua_isstring(L, -1) ? lua_tostring(L, -1) : "?");
    return refuse_value(p, i, why);
}

/* i: an absolute index */
static void pack_object(wl_packer *p, int i)
{
    lua_State  *L = p->L;
    const void *object = lua_topointer(L, i);
    uint32_t    number = wl_entry_number(p, object);
    int         type = lua_type(L, i);
    if (number)
        put_reference(p, number);
    else if (p->options->data && type == LUA_TTABLE)
        pack_new_table(p, i, object);
    else if (p->options->data)
        refuse(p, i);
    else if (wl_stands_for_globals(p, object))
        wl_put_tag(p, WL_GLOBALS);
    else if (type == LUA_TUSERDATA && pack_handle(p, i, object))
        ;
    else if (pack_named(p, i, object))
        ;
    else if (type == LUA_TTABLE)
        pack_new_table(p, i, object);
    else if (type == LUA_TFUNCTION && !lua_iscfunction(L, i))
        pack_new_function(p, i, object);
    else
        refuse(p, i);
}

static void pack_string(wl_packer *p, int i)
{
    size_t      size;
    const char *s = lua_tolstring(p->L, i, &size);
    uint64_t    length = size;
    uint32_t    number;
    if (size < WL_LONG_TEXT) {
        wl_put_string(p, s, size);
    } else if ((number = wl_entry_number(p, s))) {
        put_reference(p, number);
    } else {
        remember_value(p, i, s, WL_TEXT);
        wl_put_field(p, WL_TEXT, &length, sizeof length);
        memcpy(wl_put(p, size), s, size);
    }
}

/* The value's type */
static int pack_value(wl_packer *p, int i)
{
    lua_State *L = p->L;
    int        type = lua_type(L, i);
    switch (type) {
    case LUA_TNIL: wl_put_tag(p, WL_NIL); break;
    case LUA_TBOOLEAN: wl_put_tag(p, lua_toboolean(L, i) ? WL_TRUE : WL_FALSE); break;
    case LUA_TNUMBER: wl_put_number(p, i); break;
    case LUA_TSTRING: pack_string(p, lua_absindex(L, i)); break;
    case LUA_TLIGHTUSERDATA:
        if (p->options->data)
            refuse(p, i);
        pack_light(p, i);
        break;
    case LUA_TTABLE:
    case LUA_TFUNCTION:
    case LUA_TUSERDATA: pack_object(p, lua_absindex(L, i)); break;
    default: refuse(p, lua_absindex(L, i));
    }
    return type;
}

/* ---- contents --------------------------------------------------------------------- */

/* table -> table */
static void pack_metatable(wl_packer *p)
{
    lua_State *L = p->L;
    if (p->options->metatables == WL_DROP || !lua_getmetatable(L, -1))
        return;
    const void *object = lua_topointer(L, -1);
    wl_put_tag(p, WL_METATABLE);
    if (p->options->metatables == WL_COPY || wl_entry_number(p, object))
        pack_object(p, lua_gettop(L));
    else if (!pack_named(p, lua_gettop(L), object))
        refuse_value(p, -1, "not registered (see weir.register)");
    lua_pop(L, 1);
}

static wl_key *key_of(wl_packer *p, const char *s)
{
    return &p->keys[(uint64_t)(uintptr_t)s * UINT64_C(0x9e3779b97f4a7c15) >> 32 &
                    (WL_MAX_KEYS - 1)];
}

/* Most tables have the keys of others. */
static void put_key(wl_packer *p, const char *s, size_t size)
{
    wl_key *k = key_of(p, s);
    if (!k->at || k->size != size || memcmp(p->m->bytes + k->at, s, size) != 0) {
        if (!k->number && p->m->size < UINT32_MAX - 2)
            *k = (wl_key){(uint32_t)p->m->size + 2, (uint8_t)size, 0};
        wl_put_short(p, WL_STRING8, s, size);
    } else if (!k->number) {
        k->number = ++p->n_keys;
        wl_put_short(p, WL_NEW_KEY, s, size);
    } else {
        unsigned char *at = wl_put(p, 2);
        at[0] = WL_KEY;
        at[1] = k->number;
    }
}

/* key value -> key value */
static void pack_key(wl_packer *p)
{
    size_t      size = SIZE_MAX;
    const char *s = lua_type(p->L, -2) == LUA_TSTRING ? lua_tolstring(p->L, -2, &size) : NULL;
    if (size <= UINT8_MAX)
        put_key(p, s, size);
    else
        pack_value(p, -2);
}

/* key value -> key value. In a run of integers the next is likely to be one. */
static bool pack_item(wl_packer *p, bool integers)
{
#if LUA_VERSION_NUM >= 503
    if (integers && lua_isinteger(p->L, -1)) {
        wl_put_integer(p, lua_tointeger(p->L, -1));
        return true;
    }
#else
    (void)integers;
#endif
    return pack_value(p, -1) == LUA_TNUMBER;
}

/* The index that the key at -2 is, if it is one that can follow; else 0. */
static int64_t next_index(lua_State *L, int64_t last, int64_t most)
{
#if LUA_VERSION_NUM >= 503
    lua_Integer k = lua_isinteger(L, -2) ? lua_tointeger(L, -2) : 0;
#else
    lua_Number n = lua_type(L, -2) == LUA_TNUMBER ? lua_tonumber(L, -2) : 0;
    int64_t    k = n > (lua_Number)last && n <= (lua_Number)most ? (int64_t)n : 0;
    if ((lua_Number)k != n)
        return 0;
#endif
    return k > last && k <= most ? k : 0;
}

/* In one pass: indices up to the border as they come, everything else in pairs, so
 * that a sequence costs its values, and holes in it are still there. */
static void pack_table(wl_packer *p, size_t at)
{
    lua_State *L = p->L;
    size_t     length = lua_rawlen(L, -1);
    int64_t    last = 0, k, most = length < INT32_MAX ? (int64_t)length : INT32_MAX;
    uint32_t   hints[2] = {0, 0};
    bool       integers = false;
    pack_metatable(p);
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        if (last < most && (k = next_index(L, last, most))) {
            if (k != last + 1)
                wl_put_u32(p, WL_GAP, (uint32_t)(k - last - 1));
            last = k;
        } else {
            wl_put_tag(p, WL_PAIR);
            pack_key(p);
            hints[1]++;
        }
        integers = pack_item(p, integers);
    }
    wl_put_tag(p, WL_END);
    hints[0] = (uint32_t)last;
    memcpy(p->m->bytes + at + 1, hints, sizeof hints);
}

/* function value -> function value. A variable met before is the same variable over
 * there; one that holds the globals is not followed, it is hardly ever assigned. */
static void pack_upvalue(wl_packer *p, int i)
{
    lua_State  *L = p->L;
    const void *cell = NULL;
    if (WL_HAS_UPVALUE_IDS && !wl_stands_for_globals(p, lua_topointer(L, -1)))
        cell = lua_upvalueid(L, -2, i);
    uint32_t number = cell ? wl_entry_number(p, cell) : 0;
    if (number) {
        unsigned char index = (unsigned char)p->entries[number - 1].at;
        wl_put_u32(p, WL_SAME_CELL, number);
        *wl_put(p, 1) = index;
        return;
    }
    if (cell) {
        wl_entry_add(p, cell, WL_CELL)->at = (size_t)i;
        wl_put_tag(p, WL_CELL);
    }
    pack_value(p, -1);
}

static void pack_function(wl_packer *p)
{
    lua_State *L = p->L;
#if LUA_VERSION_NUM < 502
    lua_getfenv(L, -1);
    pack_value(p, -1);
    lua_pop(L, 1);
#endif
    for (int i = 1; lua_getupvalue(L, -1, i); i++) {
        pack_upvalue(p, i);
        lua_pop(L, 1);
    }
    wl_put_tag(p, WL_END);
}

static void pack_contents(wl_packer *p, uint32_t number)
{
    const wl_entry *e = &p->entries[number - 1];
    if (!wl_entry_has_contents(e))
        return;
    p->current = number;
    lua_rawgeti(p->L, p->anchor, (wl_index)number);
    if (e->kind == WL_TABLE)
        pack_table(p, e->at);
    else
        pack_function(p);
    lua_pop(p->L, 1);
}

/* ---- all of it ---------------------------------------------------------------------- */

/* packer values... -> */
static int pack_all(lua_State *L)
{
    wl_packer *p = lua_touserdata(L, 1);
    luaL_checkstack(L, 40, "too many values");
    lua_pushnil(L);
    p->anchor = lua_gettop(L);
    for (int i = 0; i < p->m->n; i++)
        pack_value(p, WL_ROOTS + i);
    for (uint32_t number = 1; number <= p->n_entries; number++)
        pack_contents(p, number);
    return 0;
}

static int fail(lua_State *L, const char *why) { return lua_pushstring(L, why), LUA_ERRMEM; }

static const void *globals_of(lua_State *L)
{
    lua_pushglobaltable(L);
    const void *globals = lua_topointer(L, -1);
    lua_pop(L, 1);
    return globals;
}

static wl_message *take_message(wl_message **used)
{
    wl_message *m = *used ? *used : wl_message_new();
    *used = NULL;
    return m;
}

/* All but what the plain way has filled in already. */
static void begin_packing(wl_packer *p)
{
    p->names = NULL;
    p->anchored = p->loose = p->again = false;
    p->current = WL_NOBODY;
    p->depth = p->n_keys = 0;
    memset(p->keys, 0, sizeof p->keys);
    p->entries = p->few_entries;
    p->n_entries = 0;
    p->max_entries = WL_FEW;
    p->slots = memset(p->few_slots, 0, sizeof p->few_slots);
    p->n_slots = 2 * WL_FEW;
    p->code = p->little_code;
    p->code_capacity = WL_LITTLE;
}

static void end_packing(wl_packer *p)
{
    if (p->entries != p->few_entries)
        free(p->entries);
    if (p->slots != p->few_slots)
        free(p->slots);
    if (p->code != p->little_code)
        free(p->code);
}

/* -> | error; status */
static int attempt(wl_packer *p, int first, int n)
{
    lua_State *L = p->L;
    wl_push_kept(L, pack_all);
    lua_pushlightuserdata(L, p);
    for (int i = 0; i < n; i++)
        lua_pushvalue(L, first + i);
    p->m->n = n;
    p->m->plain = false;
    begin_packing(p);
    int status = lua_pcall(L, n + 1, 0, 0);
    end_packing(p);
    return status;
}

static int pack_protected(wl_packer *p, int first, int n, wl_message **used)
{
    lua_State  *L = p->L;
    wl_message *emptied;
    wl_push_kept(L, pack_all); /* may raise the first time: nothing is held yet */
    lua_pop(L, 1);
    for (p->holds = false;; p->holds = true) { /* twice at most */
        if (!(p->m = take_message(used)))
            return fail(L, "not enough memory");
        int status = attempt(p, first, n);
        if (!p->again)
            return status;
        lua_pop(L, 1);
        emptied = wl_message_empty(p->m);
        used = &emptied;
    }
}

int wl_pack_into(lua_State *L, int first, int n, const wl_pack_options *options, wl_message **used,
                 wl_message **out)
{
    static const wl_pack_options defaults;
    wl_packer                    p;
    p.L = L;
    p.options = options ? options : &defaults;
    first = lua_absindex(L, first);
    if (!lua_checkstack(L, n + 6)) /* may raise, on 5.1 */
        return fail(L, "too many values");
    p.globals = globals_of(L);
    int status = wl_pack_plain(&p, first, n, used) ? 0 : pack_protected(&p, first, n, used);
    if (status != 0) {
        wl_message_free(p.m);
        return status;
    }
    p.m->what = p.options->what;
    p.m->number = p.options->number;
    p.m->restricted = p.options->restricted;
    *out = wl_message_fit(p.m);
    return 0;
}

int wl_pack(lua_State *L, int first, int n, const wl_pack_options *options, wl_message **out)
{
    wl_message *none = NULL;
    return wl_pack_into(L, first, n, options, &none, out);
}
