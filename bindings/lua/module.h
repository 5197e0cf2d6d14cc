/* SPDX-License-Identifier: ISC
 *
 * module.h: the module weir.core.
 */
#ifndef WL_MODULE_H
#define WL_MODULE_H

#include <lua.h>

__attribute__((visibility("default"))) int luaopen_weir_core(lua_State *L); /* -> module */

#endif
