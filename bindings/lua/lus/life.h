/* SPDX-License-Identifier: ISC
 *
 * life.h: what the module brings of actors.
 */
#ifndef WL_LUS_LIFE_H
#define WL_LUS_LIFE_H

#include <lua.h>

#pragma GCC visibility push(hidden)

void wl_actors_register(lua_State *L);

#pragma GCC visibility pop
#endif
