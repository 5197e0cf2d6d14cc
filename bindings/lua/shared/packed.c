/* SPDX-License-Identifier: ISC
 *
 * packed.c: values packed once, to be unpacked in any state, any number of times.
 */
#include "runtime/state.h"
#include "runtime/util.h"
#include "codec/codec.h"
#include "shared/shared.h"

#include <stdatomic.h>
#include <stdlib.h>

static const char packed_class[] = "weir.packed";

struct wl_packed {
    _Atomic unsigned refs;
    wl_message      *m;
};

wl_packed *wl_packed_ref(wl_packed *p)
{
    atomic_fetch_add(&p->refs, 1);
    return p;
}

void wl_packed_unref(wl_packed *p)
{
    if (!p || atomic_fetch_sub(&p->refs, 1) != 1)
        return;
    wl_message_free(p->m);
    free(p);
}

/* -> packed, empty */
wl_packed **wl_packed_slot(lua_State *L)
{
    wl_packed **slot = lua_newuserdata(L, sizeof *slot);
    *slot = NULL;
    wl_set_class(L, packed_class);
    return slot;
}

/* False, with why on top, when one of the n values at `first` cannot cross. */
bool wl_packed_fill(lua_State *L, wl_packed **slot, int first, int n, const wl_pack_options *o)
{
    wl_packed *p = calloc(1, sizeof *p);
    if (!p)
        luaL_error(L, "weir: not enough memory");
    atomic_init(&p->refs, 1);
    *slot = p;
    return wl_pack(L, first, n, o, &p->m) == 0;
}

/* -> values...; raises what the unpacking does */
int wl_packed_push(lua_State *L, const wl_packed *p)
{
    int n = wl_unpack(L, p->m);
    return n < 0 ? lua_error(L) : n;
}

static wl_packed **check(lua_State *L) { return wl_check(L, 1, packed_class); }

/* values... -> packed | nil, why */
static int pack(lua_State *L)
{
    static const wl_pack_options options = {.number = 1};
    int                          n = lua_gettop(L);
    wl_packed                  **slot = wl_packed_slot(L);
    lua_insert(L, 1);
    if (!wl_packed_fill(L, slot, 2, n, &options)) {
        lua_pushnil(L);
        lua_insert(L, -2);
        return 2;
    }
    lua_settop(L, 1);
    return 1;
}

/* packed -> values... */
static int unpack(lua_State *L)
{
    wl_packed **slot = check(L);
    wl_no_argument(L, "unpack");
    luaL_argcheck(L, *slot, 1, "nothing was packed");
    return wl_packed_push(L, *slot);
}

/* packed -> bytes, bytecode not counted */
static int size(lua_State *L)
{
    wl_packed **slot = check(L);
    wl_no_argument(L, "size");
    lua_pushinteger(L, *slot ? (lua_Integer)wl_message_size((*slot)->m) : 0);
    return 1;
}

/* packed -> */
static int packed_gc(lua_State *L)
{
    wl_packed **slot = lua_touserdata(L, 1);
    wl_packed_unref(*slot);
    *slot = NULL;
    return 0;
}

static void *handle_retain(void *userdata)
{
    wl_packed *p = *(wl_packed **)userdata;
    return p ? wl_packed_ref(p) : NULL;
}
static void handle_release(void *packed) { wl_packed_unref(packed); }

/* -> packed */
static void handle_push(lua_State *L, void *packed)
{
    wl_require(L, packed_class);
    *wl_packed_slot(L) = wl_packed_ref(packed);
}

/* module -> module */
void wl_packed_register(lua_State *L)
{
    static const wl_handle_type type = {handle_retain, handle_release, handle_push};
    wl_class(L, packed_class, "packed", packed_gc);
    luaL_getmetatable(L, packed_class);
    wl_handle_metatable(L, lua_gettop(L), &type);
    wl_method(L, "unpack", unpack);
    wl_method(L, "size", size);
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
    wl_method(L, "pack", pack);
}
