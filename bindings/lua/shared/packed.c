/* SPDX-License-Identifier: ISC
 *
 * packed.c: values packed once, to be unpacked in any state, any number of times.
 */
#include "runtime/state.h"
#include "runtime/util.h"
#include "codec/codec.h"
#include "shared/shared.h"
#include "runtime/counted.h"

#include <stdlib.h>

static const char packed_class[] = "weir.packed";

struct wl_packed {
    wl_counted  counted;
    wl_message *m;
};

static void drop(void *packed)
{
    wl_message_free(((wl_packed *)packed)->m);
    free(packed);
}

static const wl_counted_class class = {packed_class, drop};

wl_packed **wl_packed_slot(lua_State *L) { return (wl_packed **)wl_counted_slot(L, &class); }

/* False, with why on top, when one of the n values at `first` cannot cross. */
bool wl_packed_fill(lua_State *L, wl_packed **slot, int first, int n, const wl_pack_options *o)
{
    wl_packed *p = wl_counted_make(L, slot, &class, sizeof *p);
    return wl_pack(L, first, n, o, &p->m) == 0;
}

/* -> values...; raises what the unpacking does */
int wl_packed_push(lua_State *L, const wl_packed *p)
{
    int n = wl_unpack(L, p->m);
    return n < 0 ? lua_error(L) : n;
}

static wl_packed **check_packed(lua_State *L) { return wl_check(L, 1, packed_class); }

/* values... -> packed | nil, why */
static int pack(lua_State *L)
{
    wl_need_unrestricted(L, "weir.pack");
    static const wl_pack_options options = {.number = 1};
    int                          n = lua_gettop(L);
    wl_packed                  **slot = wl_packed_slot(L);
    lua_insert(L, 1);
    if (!wl_packed_fill(L, slot, 2, n, &options))
        return wl_nil_and(L);
    lua_settop(L, 1);
    return 1;
}

/* packed -> values... */
static int unpack(lua_State *L)
{
    wl_need_unrestricted(L, "unpack");
    wl_packed **slot = check_packed(L);
    wl_no_argument(L, "unpack");
    luaL_argcheck(L, *slot, 1, "nothing was packed");
    return wl_packed_push(L, *slot);
}

/* packed -> bytes, bytecode not counted */
static int size(lua_State *L)
{
    wl_packed **slot = check_packed(L);
    wl_no_argument(L, "size");
    return wl_integer(L, *slot ? (lua_Integer)wl_message_size((*slot)->m) : 0);
}

/* module -> module */
void wl_packed_register(lua_State *L)
{
    wl_counted_register(L, &class, "packed", wl_counted_gc);
    luaL_getmetatable(L, packed_class);
    wl_method(L, "unpack", unpack);
    wl_method(L, "size", size);
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
    wl_method(L, "pack", pack);
}
