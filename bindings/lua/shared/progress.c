/* SPDX-License-Identifier: ISC
 *
 * progress.c: the handles of functions that stay in the state that made them; see
 * weir/progress.lua.
 *
 * A handle is a name and a count. Its function is held in that state by a peg, a handle
 * that never crosses. So a count of one, seen there, stays one: nobody else has any to
 * copy. While the peg is there no other handle has the same address.
 */
#include "runtime/state.h"
#include "runtime/util.h"
#include "codec/codec.h"
#include "shared/shared.h"
#include "runtime/counted.h"

#include <stdlib.h>

static const char progress_class[] = "weir.progress";
static const wl_counted_class class = {progress_class, free};

/* -> handle, peg */
static int progress_new(lua_State *L)
{
    wl_need_unrestricted(L, "weir.progress");
    void **handle = wl_counted_slot(L, &class);
    void **peg = wl_counted_slot(L, &class);
    *peg = wl_counted_ref(wl_counted_make(L, handle, &class, sizeof(wl_counted)));
    return 2;
}

/* -> handle of nothing, whose collection tells that garbage is being collected */
static int progress_sentinel(lua_State *L) { return wl_counted_slot(L, &class), 1; }

/* handle -> lightuserdata, the same for all handles of the function */
static int progress_key(lua_State *L)
{
    wl_counted **slot = wl_check(L, 1, progress_class);
    luaL_argcheck(L, *slot, 1, "the handle was collected");
    return lua_pushlightuserdata(L, *slot), 1;
}

/* peg -> whether there are handles beside it; none when it was collected with the state */
static int progress_is_wanted(lua_State *L)
{
    wl_counted **slot = wl_check(L, 1, progress_class);
    return wl_boolean(L, *slot && atomic_load(&(*slot)->refs) > 1);
}

/* handle -> whether it was a sentinel */
static int progress_gc(lua_State *L)
{
    wl_counted **slot = lua_touserdata(L, 1);
    lua_pushboolean(L, !*slot);
    wl_counted_gc(L);
    return 1;
}

/* module -> module */
void wl_progress_register(lua_State *L)
{
    wl_counted_register(L, &class, "progress", progress_gc);
    wl_method(L, "progress_new", progress_new);
    wl_method(L, "progress_sentinel", progress_sentinel);
    wl_method(L, "progress_key", progress_key);
    wl_method(L, "progress_is_wanted", progress_is_wanted);
}
