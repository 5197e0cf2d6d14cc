/* SPDX-License-Identifier: ISC
 *
 * ask.c: whether a state may, and what it is told if not.
 */
#include "lus/core.h"
#include "lus/rights.h"

static wl_rights *rights_of(lua_State *L)
{
    wl_lus *s = wl_lus_of(L);
    return s ? s->rights : NULL;
}

bool wl_is_restricted(lua_State *L) { return rights_of(L) != NULL; }

static const char *const names[] = {"fs:read", "fs:write", "load",   "exec", "env",
                                    "network", "stdio",    "locale", "exit", "all"};

void wl_deny(lua_State *L, const char *function, enum wl_right right, const char *value)
{
    luaL_where(L, 1);
    lua_pushfstring(L, "%s: permission \"%s\" denied", function, names[right]);
    if (value)
        lua_pushfstring(L, " for %s", value);
    else
        lua_pushliteral(L, "");
    lua_concat(L, 3);
    lua_error(L);
}

void wl_need(lua_State *L, const char *function, enum wl_right right, const char *value)
{
    if (!wl_rights_have(rights_of(L), right, value))
        wl_deny(L, function, right, value);
}
