/* SPDX-License-Identifier: ISC
 *
 * handle.h: the handles of actors.
 */
#pragma once

#include "lus/actor.h"

#pragma GCC visibility push(hidden)

wl_actor **wl_actor_slot(lua_State *L);                           /* -> handle of none; may raise */
void       wl_actor_let_go(wl_actor *a);                          /* one handle less */
void       wl_actor_register(lua_State *L, lua_CFunction module); /* which opens all of us */
void       wl_actor_metatable(lua_State *L);                      /* -> the handles' metatable */

#pragma GCC visibility pop
