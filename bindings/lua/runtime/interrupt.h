/* SPDX-License-Identifier: ISC
 *
 * interrupt.h: waits that a signal of the program's ends.
 */
#pragma once

#include "runtime/main.h"

#pragma GCC visibility push(hidden)

int wl_interrupt_wait(lua_State *L, wl_main *m, int64_t ns); /* as weir_main_wait */

#pragma GCC visibility pop
