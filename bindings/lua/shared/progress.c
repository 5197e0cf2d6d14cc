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

#include <stdatomic.h>
#include <stdlib.h>

static const char progress_class[] = "weir.progress";

typedef struct {
    _Atomic unsigned refs; /* handles, in states and in messages, and the peg */
} progress;

static void unref(progress *p)
{
    if (atomic_fetch_sub(&p->refs, 1) == 1)
        free(p);
}

/* -> handle, peg */
static int progress_new(lua_State *L)
{
    progress **handle = lua_newuserdata(L, sizeof *handle);
    progress **peg = lua_newuserdata(L, sizeof *peg);
    progress  *p = calloc(1, sizeof *p);
    if (!p)
        return luaL_error(L, "weir: not enough memory");
    atomic_init(&p->refs, 2);
    *handle = *peg = p;
    wl_set_class(L, progress_class);
    lua_insert(L, -2);
    wl_set_class(L, progress_class);
    lua_insert(L, -2);
    return 2;
}

/* -> handle of nothing, whose collection tells that garbage is being collected */
static int progress_sentinel(lua_State *L)
{
    *(progress **)lua_newuserdata(L, sizeof(progress *)) = NULL;
    wl_set_class(L, progress_class);
    return 1;
}

/* handle -> lightuserdata, the same for all handles of the function */
static int progress_key(lua_State *L)
{
    progress **slot = wl_check(L, 1, progress_class);
    luaL_argcheck(L, *slot, 1, "the handle was collected");
    lua_pushlightuserdata(L, *slot);
    return 1;
}

/* peg -> whether there are handles beside it; none when it was collected with the state */
static int progress_is_wanted(lua_State *L)
{
    progress **slot = wl_check(L, 1, progress_class);
    lua_pushboolean(L, *slot && atomic_load(&(*slot)->refs) > 1);
    return 1;
}

/* handle -> whether it was a sentinel */
static int progress_gc(lua_State *L)
{
    progress **slot = lua_touserdata(L, 1);
    lua_pushboolean(L, !*slot);
    if (*slot)
        unref(*slot);
    *slot = NULL;
    return 1;
}

static void *handle_retain(void *userdata)
{
    progress *p = *(progress **)userdata;
    if (p)
        atomic_fetch_add(&p->refs, 1);
    return p;
}
static void handle_release(void *p) { unref(p); }

/* -> handle */
static void handle_push(lua_State *L, void *target)
{
    wl_require(L, progress_class);
    progress **slot = lua_newuserdata(L, sizeof *slot);
    *slot = target;
    atomic_fetch_add(&(*slot)->refs, 1);
    wl_set_class(L, progress_class);
}

/* module -> module */
void wl_progress_register(lua_State *L)
{
    static const wl_handle_type type = {handle_retain, handle_release, handle_push};
    wl_class(L, progress_class, "progress", progress_gc);
    luaL_getmetatable(L, progress_class);
    wl_handle_metatable(L, lua_gettop(L), &type);
    lua_pop(L, 1);
    wl_method(L, "progress_new", progress_new);
    wl_method(L, "progress_sentinel", progress_sentinel);
    wl_method(L, "progress_key", progress_key);
    wl_method(L, "progress_is_wanted", progress_is_wanted);
}
