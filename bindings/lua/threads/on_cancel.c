/* SPDX-License-Identifier: ISC
 *
 * on_cancel.c: functions that a task gives for the case that it is cancelled.
 *
 * They run on the task's thread when the task has ended, by an error or by its own return,
 * the last one given first. No signal stops them then. They count as the task's: what takes
 * longer than cancel_timeout is abandoned with it.
 */
#include "runtime/state.h"
#include "runtime/util.h"
#include "threads/threads.h"

static char key_functions; /* a list, of the task that runs */

/* function -> */
static int on_cancel(lua_State *L)
{
    wl_thread *w = wl_thread_of(L);
    luaL_checktype(L, 1, LUA_TFUNCTION);
    if (!w || !w->job)
        return luaL_error(L, "on_cancel: called outside a task");
    lua_rawgetp(L, LUA_REGISTRYINDEX, &key_functions);
    if (!w->on_cancel) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushvalue(L, -1);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &key_functions);
    }
    lua_pushvalue(L, 1);
    lua_rawseti(L, -2, (int)lua_rawlen(L, -2) + 1);
    w->on_cancel = true;
    return 0;
}

/* lightuserdata whether it was cancelled -> */
static int call_all(lua_State *L)
{
    bool cancelled = lua_touserdata(L, 1) != NULL;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &key_functions);
    lua_pushnil(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &key_functions);
    for (int n = cancelled ? (int)lua_rawlen(L, -1) : 0; n > 0; n--) {
        lua_rawgeti(L, -1, n);
        lua_call(L, 0, 0);
    }
    return 0;
}

void wl_on_cancel_end(wl_thread *w, bool cancelled)
{
    w->on_cancel = false;
    if (wl_protect(w->L, call_all, cancelled ? w : NULL) != 0) /* no memory to call them */
        lua_pop(w->L, 1);
}

/* module -> module */
void wl_on_cancel_register(lua_State *L) { wl_method(L, "on_cancel", on_cancel); }
