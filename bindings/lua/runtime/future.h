/* SPDX-License-Identifier: ISC
 *
 * future.h: the functions of futures.
 */
#pragma once

#include "runtime/job.h"

#pragma GCC visibility push(hidden)

void wl_future_class_make(lua_State *L); /* module -> module; before any function */
void wl_future_register(lua_State *L);

#pragma GCC visibility pop
