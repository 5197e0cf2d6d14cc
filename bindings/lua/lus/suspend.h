/* SPDX-License-Identifier: ISC
 *
 * suspend.h: how an operation waits.
 */
#pragma once

#include "lus/pending.h"

#pragma GCC visibility push(hidden)

int  wl_pending_wait(lua_State *L, wl_pending *op); /* op, on top -> what its function returns */
int  wl_conclude(lua_State *L, int n);  /* that many values -> what its function returns */
void wl_suspend_register(lua_State *L); /* module -> module */
void wl_push_suspender(lua_State *L);   /* -> function, or nil */

#pragma GCC visibility pop
