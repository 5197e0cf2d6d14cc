/* SPDX-License-Identifier: ISC
 *
 * arena.h: the memory of an actor's state.
 */
#pragma once

#include <lua.h>

#pragma GCC visibility push(hidden)

lua_State *wl_arena_open(void);          /* as luaL_newstate */
void       wl_arena_close(lua_State *L); /* one of wl_arena_open; as lua_close */

#pragma GCC visibility pop
