/* SPDX-License-Identifier: ISC
 *
 * random.c: new states draw random numbers of their own.
 *
 * A state of LuaJIT begins with the same numbers as every other one. One of Lua 5.4 takes
 * the second and its own address, which two states that follow each other share. Before,
 * all states of a process draw from the C library's one sequence, and a seed in one of
 * them would begin that anew for the program: there is nothing to do there.
 */
#include "threads/threads.h"

#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

/* Well mixed, so that seeds that are near each other give numbers that are not. */
static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
}

/* Another one at each call. */
static uint64_t next_seed(void)
{
    static _Atomic uint64_t n;
    struct timespec         now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t time = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
    return mix(mix(time ^ (uint64_t)getpid() << 40) + atomic_fetch_add(&n, 1));
}

static bool has_sequence(lua_State *L)
{
    if (LUA_VERSION_NUM >= 504)
        return true;
    lua_getglobal(L, "jit");
    bool is = LUA_VERSION_NUM == 501 && !lua_isnil(L, -1);
    lua_pop(L, 1);
    return is;
}

void wl_random_seed(lua_State *L)
{
    if (!has_sequence(L))
        return;
    lua_getglobal(L, "math");
    lua_getfield(L, -1, "randomseed");
    lua_pushnumber(L, (lua_Number)(next_seed() >> 11)); /* what a double holds */
    lua_call(L, 1, 0);
    lua_pop(L, 1);
}
