/* SPDX-License-Identifier: ISC
 *
 * compat.h: what later Luas have and 5.1 has not, under the later names.
 *
 * A build against 5.1's headers also loads in LuaJIT, which has some of it, and a
 * build against LuaJIT's loads in 5.1, which has none. So for both only 5.1's own
 * functions are used, and those that cannot be made from them (lua_upvalueid,
 * lua_upvaluejoin, lua_isyieldable) are weak: NULL where the running Lua does not have them.
 */
#pragma once

#include <lauxlib.h>
#include <lua.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#if LUA_VERSION_NUM < 502

extern void *lua_upvalueid(lua_State *L, int function, int n) __attribute__((weak));
extern void  lua_upvaluejoin(lua_State *L, int to, int n, int from, int m) __attribute__((weak));
#undef lua_isyieldable
extern int lua_isyieldable(lua_State *L) __attribute__((weak));

static inline int wl_absindex(lua_State *L, int index)
{
    return index > 0 || index <= LUA_REGISTRYINDEX ? index : lua_gettop(L) + index + 1;
}

static inline void wl_rawgetp(lua_State *L, int table, const void *key)
{
    table = wl_absindex(L, table);
    lua_pushlightuserdata(L, (void *)key);
    lua_rawget(L, table);
}

static inline void wl_rawsetp(lua_State *L, int table, const void *key)
{
    table = wl_absindex(L, table);
    lua_pushlightuserdata(L, (void *)key);
    lua_insert(L, -2);
    lua_rawset(L, table);
}

#undef lua_absindex
#undef lua_rawgetp
#undef lua_rawsetp
#undef lua_rawlen
#undef lua_pushglobaltable
#define lua_absindex wl_absindex
#define lua_rawgetp wl_rawgetp
#define lua_rawsetp wl_rawsetp
#define lua_rawlen lua_objlen
#define lua_pushglobaltable(L) lua_pushvalue(L, LUA_GLOBALSINDEX)

/* Only bytecode of our own comes here, so no mode is needed. */
#define wl_loadbytes(L, bytes, size) luaL_loadbuffer(L, bytes, size, "=weir")

/* -> function: the same one each time in a state, for here each push would make one anew.
 * May raise the first time. */
static inline void wl_push_kept(lua_State *L, lua_CFunction fn)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, (void *)(uintptr_t)fn);
    if (!lua_isnil(L, -1))
        return;
    lua_pop(L, 1);
    lua_pushcfunction(L, fn);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, (void *)(uintptr_t)fn);
}

#else

#define wl_loadbytes(L, bytes, size) luaL_loadbufferx(L, bytes, size, "=weir", "b")
#define wl_push_kept(L, fn) lua_pushcfunction(L, fn)

#endif

/* A C function that is resumed cannot raise before 5.2. There a function in Lua stands
 * around each that may wait, and raises for it: see lus/api.c. So who called is one
 * level further. */
#if LUA_VERSION_NUM < 502
#define WL_WRAPPED 1
#define WL_CALLER 2
#else
#define WL_WRAPPED 0
#define WL_CALLER 1
#endif

/* Whether closures that share a variable can be told apart, and made, here. */
#if LUA_VERSION_NUM < 502
#define WL_HAS_UPVALUE_IDS (lua_upvalueid && lua_upvaluejoin)
#else
#define WL_HAS_UPVALUE_IDS 1
#endif

#if LUA_VERSION_NUM < 503 /* cannot strip */
#define wl_dump(L, writer, data, strip) ((void)(strip), lua_dump(L, writer, data))
typedef int wl_index; /* what lua_rawgeti and lua_rawseti take */
#define WL_MAX_INDEX INT32_MAX
#else
#define wl_dump(L, writer, data, strip) lua_dump(L, writer, data, strip)
typedef lua_Integer wl_index;
#define WL_MAX_INDEX INT64_MAX
#endif

/* 5.5's lua_pushvfstring pushes nothing where there is no memory, and its luaL_error
 * (5.5.0) then raises whatever lies below. */
#if LUA_VERSION_NUM >= 505

static inline const char *wl_pushvfstring(lua_State *L, const char *format, va_list values)
{
    const char *text = lua_pushvfstring(L, format, values);
    return text ? text : lua_pushfstring(L, "%s: not enough memory", format);
}

__attribute__((format(printf, 2, 3))) static inline int wl_error(lua_State *L, const char *format,
                                                                 ...)
{
    va_list values;
    va_start(values, format);
    luaL_where(L, 1);
    wl_pushvfstring(L, format, values);
    va_end(values);
    lua_concat(L, 2);
    return lua_error(L);
}

static inline void wl_checkstack(lua_State *L, int n, const char *what)
{
    if (!lua_checkstack(L, n))
        wl_error(L, "stack overflow (%s)", what ? what : "no room");
}

#undef luaL_error
#undef luaL_checkstack
#define luaL_error wl_error
#define luaL_checkstack wl_checkstack
#else
#define wl_pushvfstring lua_pushvfstring
#endif
