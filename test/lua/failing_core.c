/* SPDX-License-Identifier: ISC
 *
 * failing_core.c: weir.core with allocations that can be made to fail, for test_memory.lua.
 *
 * Linked with the binding and the core into a module of its own, with --wrap for malloc,
 * calloc, realloc and free: it counts what all of these hold, and refuses so many requests
 * after the n-th: allocations of one thread, of all, of this Lua state, of the states that were
 * told so; threads; descriptors. It also
 * forks and holds a thread inside a call to the system, for test_fork.lua, and looks at files
 * as C does, for test_stream.lua.
 */
#include <errno.h>
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* After `left` requests `row` of them are refused; negative: none is, and all are. */
typedef struct {
    _Atomic long left, row;
} fault;

static _Thread_local fault own = {-1, -1};
static fault               everywhere = {-1, -1}, threads = {-1, -1}, descriptors = {-1, -1};
static fault               lua = {-1, -1}, there = {-1, -1}; /* of states that were told */
static _Atomic long        injected;

static bool passes(_Atomic long *count)
{
    long n = *count;
    while (n > 0 && !atomic_compare_exchange_weak(count, &n, n - 1))
        ;
    return n != 0;
}

static bool refuses(fault *f)
{
    if (passes(&f->left) || !passes(&f->row))
        return false;
    injected++;
    return true;
}

static bool memory_refused(void) { return refuses(&own) || refuses(&everywhere); }
#define GIVEN(f) __wrap_##f
#define REAL(f) __real_##f
#include "../c/counted.h"

/* ---- a thread that stands still ------------------------------------------------- */

static const char *const  places[] = {"nowhere", "pthread_create", "pthread_kill", NULL};
static _Atomic int        hold_in; /* one of them */
static _Thread_local bool is_holder;
static sem_t              held, let_go;

static void make_semaphores(void)
{
    sem_init(&held, 0, 0);
    sem_init(&let_go, 0, 0);
}

static void take(sem_t *s)
{
    while (sem_wait(s) != 0)
        ;
}

static void pass(int place)
{
    if (is_holder || !atomic_compare_exchange_strong(&hold_in, &place, 0))
        return;
    sem_post(&held);
    take(&let_go);
}

int __real_pthread_create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
int __wrap_pthread_create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
int __real_pthread_kill(pthread_t, int);
int __wrap_pthread_kill(pthread_t, int);

int __wrap_pthread_create(pthread_t *out, const pthread_attr_t *attr, void *(*fn)(void *),
                          void *arg)
{
    pass(1);
    return refuses(&threads) ? EAGAIN : __real_pthread_create(out, attr, fn, arg);
}

/* ---- descriptors ---------------------------------------------------------------- */

int __real_eventfd(unsigned, int);
int __wrap_eventfd(unsigned, int);
int __real_pipe2(int[2], int);
int __wrap_pipe2(int[2], int);

static int no_descriptor(void)
{
    errno = EMFILE;
    return -1;
}

int __wrap_eventfd(unsigned n, int flags)
{
    return refuses(&descriptors) ? no_descriptor() : __real_eventfd(n, flags);
}

int __wrap_pipe2(int fds[2], int flags)
{
    return refuses(&descriptors) ? no_descriptor() : __real_pipe2(fds, flags);
}

int __wrap_pthread_kill(pthread_t thread, int number)
{
    pass(2);
    return __real_pthread_kill(thread, number);
}

/* place -> ; the first other thread that comes there is held */
static int hold(lua_State *L)
{
    is_holder = true;
    hold_in = luaL_checkoption(L, 1, NULL, places);
    return 0;
}

/* -> ; once a thread is held */
static int await_held(lua_State *L)
{
    (void)L;
    take(&held);
    return 0;
}

/* -> */
static int release(lua_State *L)
{
    (void)L;
    sem_post(&let_go);
    return 0;
}

/* ---- the state's ----------------------------------------------------------------- */

/* For good, because the state uses it until it has ended. */
typedef struct {
    lua_Alloc original;
    void     *data;
    fault    *fault;
} allocator;

static void *allocate(void *data, void *old, size_t old_size, size_t size)
{
    allocator *a = data;
    bool       grows = size > 0 && (!old || size > old_size);
    return grows && refuses(a->fault) ? NULL : a->original(a->data, old, old_size, size);
}

/* The state's allocations are of this fault from now on. */
static void tell(lua_State *L, fault *f)
{
    static allocator    all[1000];
    static _Atomic long n;
    void               *data;
    lua_Alloc           now = lua_getallocf(L, &data);
    if (now == allocate)
        return;
    allocator *a = &all[n++];
    *a = (allocator){now, data, f};
    lua_setallocf(L, allocate, a);
}

/* n or nothing, row or nothing -> */
static int arm(lua_State *L, fault *f)
{
    f->left = -1;
    f->row = (long)luaL_optnumber(L, 2, -1);
    if (!lua_isnoneornil(L, 1))
        injected = 0;
    f->left = (long)luaL_optnumber(L, 1, -1);
    return 0;
}

static int fail_lua(lua_State *L)
{
    tell(L, &lua);
    return arm(L, &lua);
}

/* -> ; of the state that calls it */
static int is_there(lua_State *L)
{
    tell(L, &there);
    return 0;
}

static int fail_there(lua_State *L) { return arm(L, &there); }
static int fail_own(lua_State *L) { return arm(L, &own); }
static int fail_everywhere(lua_State *L) { return arm(L, &everywhere); }
static int fail_threads(lua_State *L) { return arm(L, &threads); }
static int fail_descriptors(lua_State *L) { return arm(L, &descriptors); }

/* -> how many were refused since one of these was given a number */
static int count_injected(lua_State *L)
{
    lua_pushnumber(L, (lua_Number)injected);
    return 1;
}

/* -> blocks */
static int count(lua_State *L)
{
    lua_pushnumber(L, (lua_Number)live);
    return 1;
}

/* -> process, or 0 in the child */
static int fork_here(lua_State *L)
{
    lua_pushinteger(L, fork());
    return 1;
}

static _Atomic bool has_forked;

static char state_of(pid_t thread)
{
    char path[64], line[256] = "";
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)thread);
    FILE *f = fopen(path, "r");
    if (f && !fgets(line, sizeof line, f))
        line[0] = 0;
    if (f)
        fclose(f);
    const char *end = strrchr(line, ')');
    return end ? end[2] : 'X';
}

static void *release_when_asleep(void *thread)
{
    while (!has_forked && state_of(*(pid_t *)thread) != 'S')
        sched_yield();
    sem_post(&let_go);
    return NULL;
}

/* As fork, but lets the held thread go when the fork waits for it, and at the end. */
static int fork_beside_held(lua_State *L)
{
    pid_t     self = (pid_t)syscall(SYS_gettid);
    pthread_t watch;
    has_forked = false;
    if (__real_pthread_create(&watch, NULL, release_when_asleep, &self) != 0)
        return luaL_error(L, "no thread");
    pid_t child = fork();
    has_forked = true;
    if (child != 0)
        pthread_join(watch, NULL);
    lua_pushinteger(L, child);
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
    static const luaL_Reg functions[] = {{"lua", fail_lua},
                                         {"own", fail_own},
                                         {"everywhere", fail_everywhere},
                                         {"alive", count},
                                         {"fork", fork_here},
                                         {"fork_beside_held", fork_beside_held},
                                         {"there", fail_there},
                                         {"is_there", is_there},
                                         {"threads", fail_threads},
                                         {"descriptors", fail_descriptors},
                                         {"injected", count_injected},
                                         {"wait", wait_for},
                                         {"hold", hold},
                                         {"await_held", await_held},
                                         {"release", release},
                                         {"fileno", descriptor},
                                         {"flush_all", flush_all},
                                         {NULL, NULL}};
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_semaphores);
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
