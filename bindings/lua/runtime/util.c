/* SPDX-License-Identifier: ISC
 *
 * util.c: small things that every room needs. They have no state and need no other room,
 * so that each C module of ours has a copy.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "runtime/util.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int wl_protect(lua_State *L, lua_CFunction fn, void *ud)
{
#if LUA_VERSION_NUM < 502 /* making the closure may throw there */
    return lua_cpcall(L, fn, ud);
#else
    lua_pushcfunction(L, fn);
    lua_pushlightuserdata(L, ud);
    return lua_pcall(L, 1, 0, 0);
#endif
}

char *wl_strdup(const char *s)
{
    size_t size = strlen(s) + 1;
    char  *copy = malloc(size);
    return copy ? memcpy(copy, s, size) : NULL;
}

void *wl_alloc(lua_State *L, size_t size)
{
    void *p = calloc(1, size);
    if (!p)
        luaL_error(L, "weir: not enough memory");
    return p;
}

int64_t wl_nanoseconds(lua_Number seconds)
{
    return !(seconds > 0) ? 0 : seconds >= 9e9 ? INT64_MAX : (int64_t)(seconds * 1e9);
}

int64_t wl_some_nanoseconds(lua_Number seconds)
{
    int64_t ns = wl_nanoseconds(seconds);
    return ns ? ns : 1;
}

int64_t wl_opt_nanoseconds(lua_State *L, int i)
{
    return lua_isnoneornil(L, i) ? 0 : wl_some_nanoseconds(lua_tonumber(L, i));
}

/* ---- descriptors -------------------------------------------------------- */

int wl_fd_above(int fd)
{
    if (fd < 0 || fd > STDERR_FILENO)
        return fd;
    int above = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1), error = errno;
    close(fd);
    errno = error;
    return above;
}

int wl_fds_above(int fds[2])
{
    fds[0] = wl_fd_above(fds[0]), fds[1] = wl_fd_above(fds[1]);
    if (fds[0] >= 0 && fds[1] >= 0)
        return 0;
    int error = errno;
    for (int i = 0; i < 2; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    errno = error;
    return -1;
}

/* ---- classes ------------------------------------------------------------ */

void *wl_test(lua_State *L, int index, const char *type)
{
    void *u = lua_touserdata(L, index);
    if (!u || !lua_getmetatable(L, index))
        return NULL;
    lua_rawgetp(L, LUA_REGISTRYINDEX, type);
    bool same = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return same ? u : NULL;
}

void *wl_check(lua_State *L, int index, const char *type)
{
    void *u = wl_test(L, index, type);
    return u ? u : luaL_checkudata(L, index, type);
}

void wl_set_class(lua_State *L, const char *type)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, type);
    lua_setmetatable(L, -2);
}

/* For a handle that crossed: it needs its methods.
 *
 * -> */
void wl_require(lua_State *L, const char *type)
{
    luaL_getmetatable(L, type);
    if (lua_isnil(L, -1)) {
        lua_getglobal(L, "require");
        lua_pushliteral(L, "weir");
        lua_call(L, 1, 0);
    }
    lua_pop(L, 1);
}

/* ---- errors ------------------------------------------------------------- */

int wl_fail_caller(lua_State *L, const char *format, ...)
{
    va_list arguments;
    luaL_where(L, WL_CALLER);
    va_start(arguments, format);
    wl_pushvfstring(L, format, arguments);
    va_end(arguments);
    lua_concat(L, 2);
    return lua_error(L);
}

void wl_no_argument(lua_State *L, const char *method)
{
    if (lua_gettop(L) > 1 && !lua_isnil(L, 2))
        luaL_error(L, "%s: takes no argument 1, got %s", method,
                   lua_isstring(L, 2) ? lua_tostring(L, 2) : luaL_typename(L, 2));
}

/* ---- time --------------------------------------------------------------- */

int64_t wl_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t wl_after(int64_t ns)
{
    int64_t now = wl_now();
    return ns < 0 || ns > INT64_MAX - now ? INT64_MAX : now + ns;
}

struct timespec wl_timespec(int64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / 1000000000),
                             .tv_nsec = (long)(ns % 1000000000)};
}

void wl_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
#ifndef __APPLE__
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
#endif
    pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
}

int wl_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t until)
{
    if (until == INT64_MAX)
        return pthread_cond_wait(cond, lock);
#ifdef __APPLE__ /* which waits for so long, on no clock of ours */
    int64_t         left = until - wl_now();
    struct timespec t = wl_timespec(left);
    return left < 0 ? ETIMEDOUT : pthread_cond_timedwait_relative_np(cond, lock, &t);
#else
    struct timespec t = wl_timespec(until);
    return pthread_cond_timedwait(cond, lock, &t);
#endif
}

/* ---- results ------------------------------------------------------------ */

int wl_boolean(lua_State *L, bool b) { return lua_pushboolean(L, b), 1; }
int wl_number(lua_State *L, lua_Number n) { return lua_pushnumber(L, n), 1; }
int wl_integer(lua_State *L, int64_t n) { return lua_pushinteger(L, (lua_Integer)n), 1; }
int wl_false_and(lua_State *L) { return lua_pushboolean(L, false), lua_insert(L, -2), 2; }
int wl_nil_and(lua_State *L) { return lua_pushnil(L), lua_insert(L, -2), 2; }
int wl_nil(lua_State *L, const char *why) { return lua_pushnil(L), lua_pushstring(L, why), 2; }

/* ---- modules --------------------------------------------------------------- */

/* lua_close unloads modules, while threads of a pool may still run in this one. */
void wl_stay_loaded(lua_CFunction fn)
{
    Dl_info here;
    if (dladdr((void *)(uintptr_t)fn, &here) && here.dli_fname)
        dlopen(here.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE);
}
