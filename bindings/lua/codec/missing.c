/* SPDX-License-Identifier: ISC
 *
 * missing.c: names the place of a value that is not there on this side.
 */
#include "codec/reader.h"

/* -> which of the values the one on top is, or "a value" for what is deeper; it goes */
static void push_root_of(wl_reader *r)
{
    lua_State *L = r->L;
    int        i = r->root;
    if (r->filled)
        for (i = 0; i < r->m->n && !lua_rawequal(L, -1, WL_FIRST_VALUE + i); i++)
            continue;
    lua_pop(L, 1);
    const char *what = r->m->what ? r->m->what : "argument";
    if (i == r->m->n)
        lua_pushfstring(L, "a value in %s", what);
    else if (r->m->number)
        lua_pushfstring(L, "%s %d", what, r->m->number + i);
    else
        lua_pushstring(L, what);
}

/* why -> error: the place, then why. What is no text stays what it is. */
int wl_reader_fail(wl_reader *r)
{
    lua_State  *L = r->L;
    const char *name = NULL;
    if (lua_type(L, -1) != LUA_TSTRING)
        return lua_error(L);
    lua_pushnil(L);
    if (r->filled) {
        lua_rawgeti(L, WL_OBJECTS, (wl_index)r->filled);
        lua_replace(L, -2);
        if (r->upvalue && (name = lua_getupvalue(L, -1, r->upvalue)) != NULL)
            lua_pop(L, 1);
    }
    push_root_of(r);
    if (name)
        lua_pushfstring(L, " (upvalue '%s')", name);
    else
        lua_pushliteral(L, "");
    lua_pushfstring(L, "%s%s: %s", lua_tostring(L, -2), lua_tostring(L, -1), lua_tostring(L, -3));
    return lua_error(L);
}
