/* SPDX-License-Identifier: ISC
 *
 * checks.h: what guarded functions ask, for the rooms that have them.
 */
#pragma once

#include "lus/guard.h"

#pragma GCC visibility push(hidden)

void wl_streams_prepare(lua_State *L); /* before a guard stands in the state */

wl_check_fn wl_needs_stdio, wl_uses_file, wl_uses_input, wl_uses_output, wl_closes;

#pragma GCC visibility pop
