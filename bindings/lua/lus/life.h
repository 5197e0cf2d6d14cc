/* SPDX-License-Identifier: ISC
 *
 * life.h: the module weir.lus.core, which weir.worker loads.
 */
#ifndef WL_LUS_LIFE_H
#define WL_LUS_LIFE_H

#include <lua.h>

__attribute__((visibility("default"))) int luaopen_weir_lus_core(lua_State *L); /* -> module */

#endif
