/* SPDX-License-Identifier: ISC
 *
 * core.c: the way from here to weir.core, and what is kept of each Lua state.
 */
#include "lus/core.h"

#include <stdatomic.h>
#include <string.h>

_Atomic(const wl_abi *) wl_core;

static bool fits(const wl_abi *abi)
{
    return abi && abi->size == sizeof *abi && strcmp(abi->version, WEIR_VERSION) == 0;
}

/* False: another weir.core is in use. Of that the address is compared alone, because a script
 * may have put anything there. */
static bool use(lua_State *L, const wl_abi *abi)
{
    const wl_abi *before = atomic_load(&wl_core);
    if (!before && !fits(abi))
        luaL_error(L, "weir.lus.core: weir.core is not of this release (%s)", WEIR_VERSION);
    return (!before && atomic_compare_exchange_strong(&wl_core, &before, abi)) || before == abi;
}

void wl_core_require(lua_State *L)
{
    lua_getglobal(L, "require");
    lua_pushliteral(L, "weir.core");
    lua_call(L, 1, 1);
    lua_getfield(L, -1, "abi");
    const wl_abi *abi = lua_touserdata(L, -1);
    lua_pop(L, 2);
    if (!use(L, abi))
        luaL_error(L, "weir.lus.core: there are two weir.core in this process");
}

/* ---- a state ----------------------------------------------------------------- */

static char key; /* its address names the record in the registry */

wl_lus *wl_lus_of(lua_State *L)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &key);
    wl_lus *s = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return s;
}

wl_lus *wl_lus_open(lua_State *L)
{
    wl_lus *s = wl_lus_of(L);
    if (s)
        return s;
    s = lua_newuserdata(L, sizeof *s);
    *s = (wl_lus){0};
    lua_rawsetp(L, LUA_REGISTRYINDEX, &key);
    return s;
}

void wl_lus_restrict(lua_State *L, wl_rights *r)
{
    wl_lus_of(L)->rights = r;
    wl_core->wl_state_of(L)->restricted = r != NULL;
}

void wl_function(lua_State *L, const char *name, lua_CFunction fn)
{
    lua_pushcfunction(L, fn);
    lua_setfield(L, -2, name);
}
