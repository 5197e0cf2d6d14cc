/* SPDX-License-Identifier: ISC
 *
 * module.h: the module weir.core.
 */
#pragma once

#include <lua.h>

__attribute__((visibility("default"))) int luaopen_weir_core(lua_State *L); /* -> module */
