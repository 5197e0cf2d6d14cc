/* SPDX-License-Identifier: ISC
 *
 * path.c: names the place of a value that cannot cross.
 *
 * While packing, an object only remembers in whose contents it was met. The keys
 * on the way are searched for when there is an error to tell, and only the last
 * STEPS of them are told.
 */
#include <string.h>

#include "codec/packer.h"

enum { STEPS = 8 };

/* -> whether the string at the top can stand after a dot */
static bool is_identifier(lua_State *L)
{
    size_t      size;
    const char *s = lua_tolstring(L, -1, &size);
    const char *letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";
    return size > 0 && size < 40 && strspn(s, letters) == size && (*s < '0' || *s > '9');
}

/* key -> ".name", "[1]", "['any text']" or "[table]" */
static void format_key(lua_State *L)
{
    if (lua_type(L, -1) == LUA_TSTRING)
        lua_pushfstring(L, is_identifier(L) ? ".%s" : "['%s']", lua_tostring(L, -1));
    else if (lua_type(L, -1) == LUA_TNUMBER)
        lua_pushfstring(L, "[%s]", lua_tostring(L, -1)); /* of a copy, lua_next is over */
    else if (lua_type(L, -1) == LUA_TBOOLEAN)
        lua_pushstring(L, lua_toboolean(L, -1) ? "[true]" : "[false]");
    else
        lua_pushfstring(L, "[%s]", luaL_typename(L, -1));
    lua_remove(L, -2);
}

/* value table -> value table step */
static void step_in_table(lua_State *L)
{
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        if (lua_rawequal(L, -1, -4)) {
            lua_pop(L, 1);
            format_key(L);
            return;
        }
        if (lua_rawequal(L, -2, -4)) {
            lua_pop(L, 2);
            lua_pushliteral(L, " (a key)");
            return;
        }
    }
    lua_pushliteral(L, " (its metatable)");
}

/* value function -> value function step */
static void step_in_function(lua_State *L)
{
    const char *name;
    for (int i = 1; (name = lua_getupvalue(L, -1, i)); i++) {
        bool same = lua_rawequal(L, -1, -3);
        lua_pop(L, 1);
        if (same) {
            lua_pushfstring(L, " (upvalue '%s')", name);
            return;
        }
    }
    lua_pushliteral(L, " (its environment)");
}

/* value -> step: which of the roots it is */
static void step_of_root(wl_packer *p)
{
    lua_State  *L = p->L;
    const char *what = p->options->what ? p->options->what : "argument";
    int         i = 0;
    while (i + 1 < p->m->n && !lua_rawequal(L, -1, WL_ROOTS + i))
        i++;
    lua_pop(L, 1);
    if (p->options->number)
        lua_pushfstring(L, "%s %d", what, p->options->number + i);
    else
        lua_pushstring(L, what);
}

/* value -> object step: in the object of that number */
static void step_in(wl_packer *p, uint32_t number)
{
    lua_rawgeti(p->L, p->anchor, (wl_index)number);
    if (lua_istable(p->L, -1))
        step_in_table(p->L);
    else
        step_in_function(p->L);
    lua_remove(p->L, -3);
}

/* text object step -> text object */
static void put_before(lua_State *L)
{
    lua_pushvalue(L, -3);
    lua_concat(L, 2);
    lua_replace(L, -3);
}

/* value text -> path: what leads to the value, then text */
static void path(wl_packer *p)
{
    lua_State *L = p->L;
    uint32_t   number = p->current;
    lua_insert(L, -2);
    for (int i = 0; i < STEPS && number != WL_NOBODY; i++) {
        step_in(p, number);
        put_before(L);
        number = p->entries[number - 1].parent;
    }
    if (number != WL_NOBODY) {
        lua_pop(L, 1);
        lua_pushliteral(L, "[...]");
        lua_insert(L, -2);
        lua_concat(L, 2);
        while (p->entries[number - 1].parent != WL_NOBODY)
            number = p->entries[number - 1].parent;
        lua_rawgeti(L, p->anchor, (wl_index)number);
    }
    step_of_root(p);
    lua_insert(L, -2);
    lua_concat(L, 2);
}

int wl_refuse(wl_packer *p, const char *why)
{
    luaL_checkstack(p->L, 12, NULL);
    lua_pushfstring(p->L, ": %s", why);
    path(p);
    return lua_error(p->L);
}
