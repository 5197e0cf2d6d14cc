/* SPDX-License-Identifier: ISC
 *
 * fields.h: the structs of weir_remote.h as tables of Lua.
 */
#pragma once

#include "weir_remote.h"

#include <lua.h>

#pragma GCC visibility push(hidden)

int64_t wf_ns(lua_Number seconds);

/* Of the table at that index, which keeps the texts. They were checked in Lua; what is out of the
 * library's range, weir_remote_open says. */
weir_remote_options wf_options(lua_State *L, int table);

int wf_push_options(lua_State *L, const weir_remote_options *o); /* -> table; returns 1 */
int wf_push_stats(lua_State *L, const weir_remote_stats *s);     /* likewise */

#pragma GCC visibility pop
