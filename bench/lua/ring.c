/* SPDX-License-Identifier: ISC
 *
 * ring.c: what weir.worker is measured against: a bounded ring of numbers between two Lua
 * states, with nothing around it, and states that hold nothing but a parked coroutine.
 */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>

enum { SLOTS = 4096, PATIENCE = 200 };

/* One writes, one reads; each looks at the other's index only when it must. */
static struct {
    _Atomic uint64_t written;
    uint64_t         seen_read;
    char             apart[64];
    _Atomic uint64_t read;
    uint64_t         seen_written;
    char             apart_too[64];
    lua_Number       slots[SLOTS];
} ring;

static void rest(int *spins)
{
    if (++*spins > PATIENCE)
        sched_yield();
}

/* number -> */
static int push(lua_State *L)
{
    lua_Number n = lua_tonumber(L, 1);
    uint64_t at = atomic_load_explicit(&ring.written, memory_order_relaxed); /* the writer's own */
    for (int spins = 0; at - ring.seen_read == SLOTS; rest(&spins))
        ring.seen_read = atomic_load(&ring.read);
    ring.slots[at % SLOTS] = n;
    atomic_store_explicit(&ring.written, at + 1, memory_order_release); /* the load in pop */
    return 0;
}

/* -> number */
static int pop(lua_State *L)
{
    uint64_t at = atomic_load_explicit(&ring.read, memory_order_relaxed); /* the reader's own */
    for (int spins = 0; at == ring.seen_written; rest(&spins))
        ring.seen_written = atomic_load(&ring.written);
    lua_Number n = ring.slots[at % SLOTS];
    atomic_store_explicit(&ring.read, at + 1, memory_order_release); /* the load in push */
    lua_pushnumber(L, n);
    return 1;
}

static pthread_t thread;

static void *run(void *path)
{
    lua_State *L = luaL_newstate();
    luaL_openlibs(L);
    lua_pushcfunction(L, push);
    lua_setglobal(L, "push");
    if (luaL_loadfile(L, path) || lua_pcall(L, 0, 0, 0))
        fprintf(stderr, "ring: %s\n", lua_tostring(L, -1));
    lua_close(L);
    return NULL;
}

/* path -> ; a state on a thread of its own runs the script, which has push() */
static int start(lua_State *L)
{
    pthread_create(&thread, NULL, run, (void *)(uintptr_t)luaL_checkstring(L, 1));
    return 0;
}

static int join(lua_State *L)
{
    (void)L;
    pthread_join(thread, NULL);
    return 0;
}

static int park(lua_State *L) { return lua_yield(L, 0); }

/* count -> ; so many states stay, each with the libraries and a parked coroutine */
static int bare(lua_State *caller)
{
    for (lua_Integer n = luaL_checkinteger(caller, 1); n > 0; n--) {
        lua_State *L = luaL_newstate();
        luaL_openlibs(L);
        lua_State *co = lua_newthread(L);
        lua_pushcfunction(co, park);
#if LUA_VERSION_NUM >= 504
        int results;
        lua_resume(co, L, 0, &results);
#elif LUA_VERSION_NUM >= 502
        lua_resume(co, L, 0);
#else
        lua_resume(co, 0);
#endif
    }
    return 0;
}

int luaopen_ring(lua_State *L);

/* -> module */
int luaopen_ring(lua_State *L)
{
    const luaL_Reg functions[] = {{"pop", pop}, {"start", start}, {"join", join}, {"bare", bare}};
    lua_newtable(L);
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        lua_pushcfunction(L, functions[i].func);
        lua_setfield(L, -2, functions[i].name);
    }
    return 1;
}
