/* SPDX-License-Identifier: ISC
 *
 * api.h: the functions of weir.worker.
 */
#pragma once

#include <lua.h>

#pragma GCC visibility push(hidden)

/* -> wl_api wrap functions: those of weir.worker, but for create and pledge */
void        wl_api_push(lua_State *L);
void        wl_api_add(lua_State *L, const char *name, lua_CFunction fn); /* to these three */
int         wl_api_results(lua_State *L, int n); /* results... -> what the function returns */
const char *wl_show(lua_State *L, int i);        /* a wrong argument, for an error */

#pragma GCC visibility pop
