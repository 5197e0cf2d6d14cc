/* SPDX-License-Identifier: ISC
 *
 * life.h: the module weir.lus.core, which weir.worker loads.
 */
#pragma once

#include <lua.h>

__attribute__((visibility("default"))) int luaopen_weir_lus_core(lua_State *L); /* -> module */
