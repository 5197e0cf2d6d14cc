/* SPDX-License-Identifier: ISC
 *
 * fresh.c: the peer without a pool: a thread and a Lua state for each call. Also what
 * the Lua driver needs of the system: a clock, the memory in use, bare states.
 *
 * A thread that has its result links itself into a list and writes the eventfd if the
 * list was empty, as a careful user would; the loop takes and joins.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* A number, or a string of its own. */
struct value {
    lua_Number number;
    char      *string;
    size_t     length;
};

struct call {
    struct call *next;
    pthread_t    thread;
    struct value code, value;
};

static struct {
    pthread_mutex_t lock;
    struct call    *done; /* guarded by lock */
    int             fd;
} mailbox = {PTHREAD_MUTEX_INITIALIZER, NULL, -1};

static void get(lua_State *L, int index, struct value *v)
{
    *v = (struct value){.number = lua_tonumber(L, index)};
    if (lua_type(L, index) == LUA_TSTRING) {
        const char *s = lua_tolstring(L, index, &v->length);
        v->string = memcpy(malloc(v->length + 1), s, v->length);
    }
}

/* -> value */
static void push(lua_State *L, struct value *v)
{
    if (v->string)
        lua_pushlstring(L, v->string, v->length);
    else
        lua_pushnumber(L, v->number);
    free(v->string);
    v->string = NULL;
}

static void tell(struct call *c)
{
    pthread_mutex_lock(&mailbox.lock);
    bool was_empty = !mailbox.done;
    c->next = mailbox.done;
    mailbox.done = c;
    pthread_mutex_unlock(&mailbox.lock);
    if (was_empty)
        eventfd_write(mailbox.fd, 1);
}

static void *run(void *arg)
{
    struct call *c = arg;
    lua_State   *L = luaL_newstate();
    luaL_openlibs(L);
    int rc = luaL_loadbuffer(L, c->code.string, c->code.length, "=fresh");
    free(c->code.string);
    push(L, &c->value);
    if (rc != 0 || lua_pcall(L, 1, 1, 0) != 0)
        abort();
    get(L, -1, &c->value);
    lua_close(L);
    tell(c);
    return NULL;
}

/* bytecode, argument -> call */
static int start(lua_State *L)
{
    struct call *c = calloc(1, sizeof *c);
    get(L, 1, &c->code);
    get(L, 2, &c->value);
    if (pthread_create(&c->thread, NULL, run, c) != 0)
        return luaL_error(L, "fresh: no thread");
    lua_pushlightuserdata(L, c);
    return 1;
}

/* -> descriptor, readable when calls are done */
static int fd(lua_State *L)
{
    if (mailbox.fd < 0)
        mailbox.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    lua_pushinteger(L, mailbox.fd);
    return 1;
}

/* function(call, result) -> ; calls it for each that is done */
static int take(lua_State *L)
{
    eventfd_t n;
    eventfd_read(mailbox.fd, &n);
    pthread_mutex_lock(&mailbox.lock);
    struct call *c = mailbox.done, *next;
    mailbox.done = NULL;
    pthread_mutex_unlock(&mailbox.lock);
    for (; c; c = next) {
        next = c->next;
        pthread_join(c->thread, NULL);
        lua_pushvalue(L, 1);
        lua_pushlightuserdata(L, c);
        push(L, &c->value);
        free(c);
        lua_call(L, 2, 0);
    }
    return 0;
}

/* -> microseconds, of a clock that never jumps */
static int now(lua_State *L)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    lua_pushnumber(L, (lua_Number)t.tv_sec * 1e6 + (lua_Number)t.tv_nsec / 1e3);
    return 1;
}

/* n -> ; makes so many states with the standard libraries, for ever */
static int bare(lua_State *L)
{
    for (lua_Integer n = luaL_checkinteger(L, 1); n > 0; n--)
        luaL_openlibs(luaL_newstate());
    return 0;
}

int luaopen_bench_fresh(lua_State *L);
int luaopen_bench_fresh(lua_State *L)
{
    static const struct {
        const char   *name;
        lua_CFunction fn;
    } functions[] = {{"start", start}, {"fd", fd}, {"take", take}, {"now", now}, {"bare", bare}};
    lua_newtable(L);
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        lua_pushcfunction(L, functions[i].fn);
        lua_setfield(L, -2, functions[i].name);
    }
    return 1;
}
