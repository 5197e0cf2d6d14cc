/* SPDX-License-Identifier: ISC
 *
 * options.c: reads the options of create.
 */
#include "lus/options.h"
#include "lus/api.h"

#include <math.h>
#include <string.h>

static uint64_t read_count(lua_State *L, const char *name, lua_Number most)
{
    lua_Number n = lua_tonumber(L, -1);
    if (lua_type(L, -1) != LUA_TNUMBER || !(n >= 1 && n <= most && n == floor(n)))
        wl_fail_caller(L, "worker.create: argument 1.%s must be a whole number from 1 on, got %s",
                       name, wl_show(L, -1));
    return (uint64_t)n;
}

static int64_t read_time(lua_State *L)
{
    lua_Number seconds = lua_tonumber(L, -1);
    if (lua_type(L, -1) != LUA_TNUMBER || !(seconds > 0))
        wl_fail_caller(L,
                       "worker.create: argument 1.time must be a number of seconds above 0, got %s",
                       wl_show(L, -1));
    return wl_some_nanoseconds(seconds);
}

static bool read_amount(lua_State *L, const char *name, wl_amounts *most)
{
    if (strcmp(name, "memory") == 0)
        most->memory = read_count(L, name, 9007199254740992.0);
    else if (strcmp(name, "steps") == 0)
        most->steps = read_count(L, name, 9007199254740992.0);
    else if (strcmp(name, "time") == 0)
        most->time_ns = read_time(L);
    else
        return false;
    return true;
}

static bool read_on_full(lua_State *L)
{
    const char *word = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
    if (strcmp(word, "wait") != 0 && strcmp(word, "refuse") != 0)
        wl_fail_caller(L,
                       "worker.create: argument 1.on_full must be \"wait\" or \"refuse\", got %s",
                       wl_show(L, -1));
    return *word == 'r';
}

wl_actor_options wl_create_options(lua_State *L)
{
    wl_actor_options o = {0};
    for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) {
        const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
        if (strcmp(name, "limit") == 0)
            o.limit = (unsigned)read_count(L, name, INT32_MAX);
        else if (strcmp(name, "on_full") == 0)
            o.refuses = read_on_full(L);
        else if (!read_amount(L, name, &o.most) && strcmp(name, "path") != 0)
            wl_fail_caller(L, "worker.create: argument 1: unknown option %s", wl_show(L, -2));
    }
    lua_pushliteral(L, "path");
    lua_rawget(L, 1);
    lua_replace(L, 1);
    return o;
}
