/* SPDX-License-Identifier: ISC
 *
 * call.h: run_in_main.
 */
#pragma once

#include "runtime/main.h"

#pragma GCC visibility push(hidden)

void wl_call_slot(lua_State *L); /* -> empty call; may throw */
bool wl_call_fill(lua_State *L, int index,
                  wl_main *m); /* the oldest into it; false: none is there */
void wl_calls_drop(wl_main *m);
void wl_call_register(lua_State *L);

#pragma GCC visibility pop
