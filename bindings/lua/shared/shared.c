/* SPDX-License-Identifier: ISC
 *
 * shared.c: values by name, the same for every state of the process.
 *
 * DESIGN. One lock guards the table; under it pointers and numbers are copied, no more.
 * Values are packed before it is taken and unpacked after it was given back, from a
 * reference of one's own. Each change gives the entry a version that nothing else
 * ever has (0: no entry), so that a change may depend on what was read: of several that
 * depend on the same version the first to take the lock wins, the others read again.
 */
#include "shared/shared.h"
#include "runtime/counted.h"
#include "weir.h"

#include <stdlib.h>
#include <string.h>

enum kind { ABSENT = 0, NUMBER, INTEGER, PACKED };

typedef struct {
    enum kind   kind;
    lua_Number  number;
    lua_Integer integer;
    wl_packed  *packed; /* a reference */
} value;

typedef struct entry {
    struct entry *next;
    value         value;
    uint64_t      version; /* no other value ever had it, of any key */
    size_t        length;
    char          key[];
} entry;

static struct {
    pthread_mutex_t lock;
    /* Guarded by lock. No entry is ABSENT. */
    entry   *buckets[256];
    uint64_t version;
} shared = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- the table -------------------------------------------------------------- */

/* Where the entry of key hangs, or would. */
static entry **find_locked(const char *key, size_t length)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)key[i]) * 16777619u;
    entry **at =
        &shared.buckets[(hash ^ (hash >> 16)) % (sizeof shared.buckets / sizeof *shared.buckets)];
    while (*at && ((*at)->length != length || memcmp((*at)->key, key, length) != 0))
        at = &(*at)->next;
    return at;
}

/* Sets or, with v ABSENT, removes what hangs at `at`. What is left in *fresh and *v is
 * the caller's to give back after the unlock. */
static void put_locked(entry **at, entry **fresh, value *v)
{
    entry *e = *at;
    value  old = e ? e->value : (value){0};
    if (v->kind == ABSENT && e) {
        *at = e->next;
        e->next = *fresh;
        *fresh = e;
    } else if (v->kind != ABSENT) {
        if (!e) {
            e = *at = *fresh;
            *fresh = NULL;
        }
        e->value = *v;
        e->version = ++shared.version;
    }
    *v = old;
}

static entry *make_entry(lua_State *L, const char *key, size_t length)
{
    entry *e = wl_alloc(L, sizeof *e + length);
    e->length = length;
    memcpy(e->key, key, length);
    return e;
}

static void give_back(entry *e, value v)
{
    for (entry *next; e; e = next) {
        next = e->next;
        free(e);
    }
    if (v.kind == PACKED)
        wl_counted_unref(v.packed);
}

static void lock(void) { pthread_mutex_lock(&shared.lock); }
static void unlock(void) { pthread_mutex_unlock(&shared.lock); }

/* A child of fork finds the table whole. */
static weir_fork_hook at_fork = {.before = lock, .in_parent = unlock, .in_child = unlock};

/* ---- numbers ------------------------------------------------------------------ */

static bool is_integer(lua_State *L, int index)
{
#if LUA_VERSION_NUM >= 503
    return lua_isinteger(L, index);
#else
    (void)L, (void)index;
    return false;
#endif
}

static value number_at(lua_State *L, int index)
{
    if (is_integer(L, index))
        return (value){.kind = INTEGER, .integer = lua_tointeger(L, index)};
    return (value){.kind = NUMBER, .number = lua_tonumber(L, index)};
}

static lua_Number as_number(value v)
{
    return v.kind == INTEGER ? (lua_Number)v.integer : v.number;
}

/* As Lua adds: integers stay integers and wrap. Nothing counts as 0. */
static value sum(value a, value b)
{
    if (a.kind == ABSENT)
        return b;
    if (a.kind == INTEGER && b.kind == INTEGER)
        return (value){.kind = INTEGER,
                       .integer = (lua_Integer)((unsigned long long)a.integer +
                                                (unsigned long long)b.integer)};
    return (value){.kind = NUMBER, .number = as_number(a) + as_number(b)};
}

/* ---- what Lua calls ------------------------------------------------------------- */

/* -> value */
static int push(lua_State *L, value v)
{
    switch (v.kind) {
    case NUMBER: lua_pushnumber(L, v.number); return 1;
    case INTEGER: lua_pushinteger(L, v.integer); return 1;
    case PACKED: return wl_packed_push(L, v.packed);
    case ABSENT: break;
    }
    return lua_pushnil(L), 1;
}

/* key -> value, version */
static int get(lua_State *L)
{
    wl_need_unrestricted(L, "weir.shared.get");
    size_t      length;
    const char *key = luaL_checklstring(L, 1, &length);
    wl_packed **slot = wl_packed_slot(L); /* holds the reference while it is unpacked */
    lock();
    entry   *e = *find_locked(key, length);
    value    v = e ? e->value : (value){0};
    uint64_t version = e ? e->version : 0;
    if (v.kind == PACKED)
        *slot = wl_counted_ref(v.packed);
    unlock();
    lua_settop(L, 2);
    push(L, v);
    lua_settop(L, 3);
    lua_pushnumber(L, (lua_Number)version);
    return 2;
}

/* key -> version */
static int version(lua_State *L)
{
    wl_need_unrestricted(L, "weir.shared.version");
    size_t      length;
    const char *key = luaL_checklstring(L, 1, &length);
    lock();
    entry   *e = *find_locked(key, length);
    uint64_t n = e ? e->version : 0;
    unlock();
    return wl_number(L, (lua_Number)n);
}

/* The value at index 2, a packed one owned by what is pushed; false, with why pushed,
 * when it cannot cross. */
static bool read_value(lua_State *L, value *v)
{
    static const wl_pack_options options = {.what = "value"};
    *v = (value){0};
    if (lua_isnoneornil(L, 2))
        return true;
    if (lua_type(L, 2) == LUA_TNUMBER) {
        *v = number_at(L, 2);
        return true;
    }
    wl_packed **slot = wl_packed_slot(L);
    bool        crosses = wl_packed_fill(L, slot, 2, 1, &options);
    *v = (value){.kind = PACKED, .packed = *slot};
    return crosses;
}

/* key value [version, 0 for none] -> whether that was the version, and it was set |
 * nil, why it cannot cross */
static int set(lua_State *L)
{
    wl_need_unrestricted(L, "weir.shared.set");
    size_t      length;
    const char *key = luaL_checklstring(L, 1, &length);
    lua_Number  expected = luaL_optnumber(L, 3, -1);
    value       v;
    lua_settop(L, 3);
    if (!read_value(L, &v))
        return wl_nil_and(L);
    entry *fresh = make_entry(L, key, length);
    if (v.kind == PACKED)
        wl_counted_ref(v.packed);
    lock();
    entry **at = find_locked(key, length);
    bool    agreed = expected < 0 || (lua_Number)(*at ? (*at)->version : 0) == expected;
    if (agreed)
        put_locked(at, &fresh, &v);
    unlock();
    give_back(fresh, v);
    return wl_boolean(L, agreed);
}

/* key number -> the sum | nil when something else than a number is there */
static int add(lua_State *L)
{
    wl_need_unrestricted(L, "weir.shared.add");
    size_t      length;
    const char *key = luaL_checklstring(L, 1, &length);
    luaL_checknumber(L, 2);
    value  n = number_at(L, 2), v = {0};
    entry *fresh = make_entry(L, key, length);
    lock();
    entry **at = find_locked(key, length);
    bool    is_number = !*at || (*at)->value.kind != PACKED;
    if (is_number) {
        v = n = sum(*at ? (*at)->value : v, n);
        put_locked(at, &fresh, &v);
    }
    unlock();
    give_back(fresh, (value){0});
    return push(L, is_number ? n : (value){0});
}

/* module -> module */
void wl_shared_register(lua_State *L)
{
    weir_on_fork(&at_fork);
    wl_method(L, "shared_get", get);
    wl_method(L, "shared_version", version);
    wl_method(L, "shared_set", set);
    wl_method(L, "shared_add", add);
}
