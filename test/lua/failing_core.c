/* SPDX-License-Identifier: ISC
 *
 * failing_core.c: weir.core with allocations that can be made to fail, for test_memory.lua.
 *
 * Linked with the binding and the core into a module of its own, with --wrap for malloc,
 * calloc, realloc and free: it counts what all of these hold, and fails every allocation
 * of one thread, or of all, after the n-th. The Lua state's own fail alike. It also
 * forks, for test_fork.lua, and looks at files as C does, for test_stream.lua.
 */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

void *__real_malloc(size_t);
void *__real_calloc(size_t, size_t);
void *__real_realloc(void *, size_t);
void  __real_free(void *);
void *__wrap_malloc(size_t);
void *__wrap_calloc(size_t, size_t);
void *__wrap_realloc(void *, size_t);
void  __wrap_free(void *);

/* How many are left before all fail; negative: none fails. */
static _Thread_local long own = -1;
static _Atomic long       everywhere = -1;
static long               lua = -1; /* the one state's that was told to fail */

static _Atomic long alive;

static bool may_allocate(void)
{
    if (own == 0)
        return false;
    own -= own > 0;
    long n = everywhere;
    while (n > 0 && !atomic_compare_exchange_weak(&everywhere, &n, n - 1))
        ;
    return n != 0;
}

void *__wrap_malloc(size_t n)
{
    void *p = may_allocate() ? __real_malloc(n) : NULL;
    alive += p != NULL;
    return p;
}

void *__wrap_calloc(size_t n, size_t size)
{
    void *p = may_allocate() ? __real_calloc(n, size) : NULL;
    alive += p != NULL;
    return p;
}

void *__wrap_realloc(void *old, size_t n)
{
    void *p = may_allocate() ? __real_realloc(old, n) : NULL;
    alive += p != NULL && old == NULL;
    return p;
}

void __wrap_free(void *p)
{
    alive -= p != NULL;
    __real_free(p);
}

/* ---- the state's ----------------------------------------------------------------- */

static lua_Alloc original;

static void *allocate(void *data, void *old, size_t old_size, size_t size)
{
    bool grows = size > 0 && (!old || size > old_size);
    if (grows && lua == 0)
        return NULL;
    lua -= grows && lua > 0;
    return original(data, old, old_size, size);
}

/* n or nothing -> */
static int fail_lua(lua_State *L)
{
    void     *data;
    lua_Alloc now = lua_getallocf(L, &data);
    if (now != allocate) {
        original = now;
        lua_setallocf(L, allocate, data);
    }
    lua = (long)luaL_optnumber(L, 1, -1);
    return 0;
}

static int fail_own(lua_State *L)
{
    own = (long)luaL_optnumber(L, 1, -1);
    return 0;
}

static int fail_everywhere(lua_State *L)
{
    everywhere = (long)luaL_optnumber(L, 1, -1);
    return 0;
}

/* -> blocks */
static int count(lua_State *L)
{
    lua_pushnumber(L, (lua_Number)alive);
    return 1;
}

/* -> process, or 0 in the child */
static int fork_here(lua_State *L)
{
    lua_pushinteger(L, fork());
    return 1;
}

/* process -> its exit status, or -1 when it was killed */
static int wait_for(lua_State *L)
{
    int status = -1;
    waitpid((pid_t)luaL_checkinteger(L, 1), &status, 0);
    lua_pushinteger(L, WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    return 1;
}

/* file -> descriptor */
static int descriptor(lua_State *L)
{
    lua_pushinteger(L, fileno(*(FILE **)luaL_checkudata(L, 1, LUA_FILEHANDLE)));
    return 1;
}

/* -> ; takes the lock of every FILE */
static int flush_all(lua_State *L)
{
    (void)L;
    fflush(NULL);
    return 0;
}

int luaopen_weir_core_failing(lua_State *L);

/* -> module */
int luaopen_weir_core_failing(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"lua", fail_lua},      {"own", fail_own},        {"everywhere", fail_everywhere},
        {"alive", count},       {"fork", fork_here},      {"wait", wait_for},
        {"fileno", descriptor}, {"flush_all", flush_all}, {NULL, NULL}};
    lua_newtable(L);
    for (const luaL_Reg *f = functions; f->name; f++) {
        lua_pushcfunction(L, f->func);
        lua_setfield(L, -2, f->name);
    }
#ifdef __GLIBC__ /* whose FILEs tell their descriptor and give their lock back, whatever they are  \
                  */
    lua_pushboolean(L, true);
    lua_setfield(L, -2, "glibc");
#endif
    return 1;
}
