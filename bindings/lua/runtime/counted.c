/* SPDX-License-Identifier: ISC
 *
 * counted.c: what handles in any number of states stand for.
 */
#include "runtime/counted.h"
#include "codec/codec.h"

#include <stdlib.h>

void *wl_counted_ref(void *counted)
{
    wl_counted *c = counted;
    atomic_fetch_add(&c->refs, 1);
    return c;
}

void wl_counted_unref(void *counted)
{
    wl_counted *c = counted;
    if (c && atomic_fetch_sub(&c->refs, 1) == 1)
        c->class->free(c);
}

void **wl_counted_slot(lua_State *L, const wl_counted_class *class)
{
    void **slot = lua_newuserdata(L, sizeof *slot);
    *slot = NULL;
    wl_set_class(L, class->name);
    return slot;
}

void *wl_counted_make(lua_State *L, void *slot, const wl_counted_class *class, size_t size)
{
    wl_counted *c = wl_alloc(L, size);
    atomic_init(&c->refs, 1);
    c->class = class;
    return *(void **)slot = c;
}

int wl_counted_gc(lua_State *L)
{
    void **slot = lua_touserdata(L, 1);
    wl_counted_unref(*slot);
    *slot = NULL;
    return 0;
}

/* ---- how handles cross ----------------------------------------------------------- */

static void *retain(void *userdata)
{
    void *counted = *(void **)userdata;
    return counted ? wl_counted_ref(counted) : NULL;
}

/* -> handle */
static void push(lua_State *L, void *counted)
{
    const wl_counted_class *class = ((wl_counted *)counted)->class;
    wl_require(L, class->name);
    *wl_counted_slot(L, class) = wl_counted_ref(counted);
}

void wl_counted_register(lua_State *L, const wl_counted_class *class, const char *field,
                         lua_CFunction gc)
{
    static const wl_handle_type type = {retain, wl_counted_unref, push};
    wl_class(L, class->name, field, gc);
    luaL_getmetatable(L, class->name);
    wl_handle_metatable(L, lua_gettop(L), &type);
    lua_pop(L, 1);
}
