/* SPDX-License-Identifier: ISC
 *
 * stop.c: what an actor uses is metered, and what stops it raises.
 */
#include "lus/stop.h"
#include "lus/core.h"

#include <stdlib.h>

enum { STEPS = 1000 }; /* between two looks */

/* Of one actor's state; its thread's. */
struct wl_meter {
    lua_Alloc allocate; /* the state's own */
    void     *arg;
    wl_actor *actor;
    uint64_t  held; /* bytes, charged to its limits */
    bool      refused;
};

/* ---- why ----------------------------------------------------------------------------- */

void wl_stop_set(wl_actor *a, enum wl_stop why)
{
    int goes_on = WL_GOES_ON;
    if (why != WL_GOES_ON)
        atomic_compare_exchange_strong(&a->stop, &goes_on, (int)why);
}

const char *wl_stop_text(const wl_actor *a)
{
    static const char *const texts[] = {
        NULL, "worker: its limit of memory is reached", "worker: its limit of steps is reached",
        "worker: its limit of time is reached", "worker: it was closed"};
    return texts[atomic_load(&((wl_actor *)(uintptr_t)a)->stop)];
}

/* ---- the hook ---------------------------------------------------------------------------- */

static void spend(wl_actor *a, uint64_t steps)
{
    int64_t now = wl_now();
    wl_stop_set(a, wl_limits_spend(a->limits, steps, now - a->entered));
    a->entered = now;
}

static void count_steps(lua_State *L, lua_Debug *ar)
{
    (void)ar;
    wl_actor *a = wl_lus_of(L)->actor;
    if (!atomic_load(&a->stop))
        spend(a, STEPS);
    wl_stop_check(L, a);
}

void wl_stop_check(lua_State *L, wl_actor *a)
{
    if (!atomic_load(&a->stop))
        return;
    lua_sethook(L, count_steps, LUA_MASKCOUNT, 1);
    luaL_error(L, "%s", wl_stop_text(a));
}

void wl_stop_look(lua_State *L)
{
    wl_actor *a = wl_lus_of(L)->actor;
    if (a && a->limits)
        count_steps(L, NULL);
}

void wl_slice_begin(wl_actor *a)
{
    if (a->limits)
        a->entered = wl_now();
}

void wl_slice_end(wl_actor *a)
{
    if (a->limits)
        spend(a, 0);
}

/* ---- memory -------------------------------------------------------------------------------- */

/* From 5.2 on a refused allocation is tried again after a collection: two in a row are one
 * too many. What shrinks is never refused. A lua_Alloc. */
static void *meter_memory(void *arg, void *old, size_t old_size, size_t size)
{
    wl_meter *m = arg;
    uint64_t  before = old ? old_size : 0;
    if (!m->actor)
        return m->allocate(m->arg, old, old_size, size);
    if (size > before && !wl_limits_take(m->actor->limits, size - before)) {
        if (m->refused || LUA_VERSION_NUM < 502)
            wl_stop_set(m->actor, WL_STOP_MEMORY);
        m->refused = true;
        return NULL;
    }
    void *new = m->allocate(m->arg, old, old_size, size);
    if (!new &&size > before) {
        wl_limits_give(m->actor->limits, size - before);
        return NULL;
    }
    if (size > before) {
        m->refused = false;
        m->held += size - before;
    } else {
        wl_limits_give(m->actor->limits, before - size);
        m->held -= before - size;
    }
    return new;
}

static void begin_memory(lua_State *L, wl_actor *a)
{
    wl_meter *m = calloc(1, sizeof *m);
    if (!m)
        luaL_error(L, "not enough memory");
    m->actor = a;
    m->held = (uint64_t)lua_gc(L, LUA_GCCOUNT, 0) * 1024 + (uint64_t)lua_gc(L, LUA_GCCOUNTB, 0);
    if (!wl_limits_take(a->limits, m->held)) {
        free(m);
        wl_stop_set(a, WL_STOP_MEMORY);
        wl_stop_check(L, a);
    }
    m->allocate = lua_getallocf(L, &m->arg);
    a->meter = m;
    lua_setallocf(L, meter_memory, m);
}

void wl_stop_forget(wl_actor *a)
{
    wl_meter *m = a->meter;
    if (!m)
        return;
    m->actor = NULL;
    lua_setallocf(a->L, m->allocate, m->arg);
    wl_limits_give(a->limits, m->held);
}

/* A long string of 5.5 is freed by the allocator that its state had when it was made. */
void wl_stop_end(wl_actor *a)
{
    free(a->meter);
    a->meter = NULL;
}

/* ---- what would get around it -----------------------------------------------------------------
 */

static int not_here(lua_State *L)
{
    return luaL_error(L, "%s: not in a worker with limits", lua_tostring(L, lua_upvalueindex(1)));
}

/* library -> library */
static void take_away(lua_State *L, const char *name, const char *full)
{
    lua_pushstring(L, full);
    lua_pushcclosure(L, not_here, 1);
    lua_setfield(L, -2, name);
}

/* No hook runs in a finalizer. Upvalue 1 is the original. */
static int limited_setmetatable(lua_State *L)
{
    if (lua_istable(L, 2)) {
        lua_pushliteral(L, "__gc");
        lua_rawget(L, 2);
        if (!lua_isnil(L, -1))
            luaL_error(L, "setmetatable: no __gc in a worker with limits");
        lua_pop(L, 1);
    }
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, 1);
    return 1;
}

static void refuse_finalizers(lua_State *L)
{
    lua_getglobal(L, "setmetatable");
    lua_pushcclosure(L, limited_setmetatable, 1);
    lua_setglobal(L, "setmetatable");
    lua_pushnil(L);
    lua_setglobal(L, "newproxy");
    luaL_getmetatable(L, LUA_FILEHANDLE);
    lua_pushliteral(L, "file");
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
}

/* What a hook raises, Lua hands to the message handler before it lets hooks run again. So a
 * handler of the script's is not called then. Upvalue 1 is the script's handler.
 *
 * error -> error */
static int handle(lua_State *L)
{
    if (atomic_load(&wl_lus_of(L)->actor->stop))
        return 1;
    lua_settop(L, 1);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, 1, 1);
    return 1;
}

/* handler -> handler */
static int make_handler(lua_State *L)
{
    lua_settop(L, 1);
    return lua_pushcclosure(L, handle, 1), 1;
}

static int check(lua_State *L)
{
    wl_stop_check(L, wl_lus_of(L)->actor);
    return 0;
}

/* In Lua, so that they can be yielded across. From 5.4 on a coroutine that failed is closed, by
 * wrap of itself, and what closes its variables would run without hooks: so wrap closes nothing,
 * and close asks first. */
static const char wrappers[] =
    "local make_handler, check = ...\n"
    "local xpcall_before, coroutine, error = xpcall, coroutine, error\n"
    "function xpcall(f, handler, ...) return xpcall_before(f, make_handler(handler), ...) end\n"
    "local create, resume, close = coroutine.create, coroutine.resume, coroutine.close\n"
    "if not close then return end\n"
    "local function finish(ok, ...)\n"
    "  if ok then return ... end\n"
    "  error((...), 0)\n"
    "end\n"
    "function coroutine.wrap(f)\n"
    "  local co = create(f)\n"
    "  return function(...) return finish(resume(co, ...)) end\n"
    "end\n"
    "function coroutine.close(co)\n"
    "  check()\n"
    "  return close(co)\n"
    "end\n";

static void wrap_functions(lua_State *L)
{
    if (luaL_loadbuffer(L, wrappers, sizeof wrappers - 1, "=weir") != 0)
        lua_error(L);
    lua_pushcfunction(L, make_handler);
    lua_pushcfunction(L, check);
    lua_call(L, 2, 0);
}

/* Code that LuaJIT has compiled looks at no hook. */
static void switch_compiler_off(lua_State *L)
{
    lua_getglobal(L, "jit");
    if (lua_istable(L, -1)) {
        lua_getfield(L, -1, "off");
        lua_call(L, 0, 0);
        take_away(L, "on", "jit.on");
    }
    lua_pop(L, 1);
}

void wl_stop_prepare(lua_State *L, wl_actor *a)
{
    switch_compiler_off(L);
    refuse_finalizers(L);
    wrap_functions(L);
    lua_getglobal(L, "debug");
    take_away(L, "sethook", "debug.sethook");
    take_away(L, "setmetatable", "debug.setmetatable");
    lua_pop(L, 1);
    lua_sethook(L, count_steps, LUA_MASKCOUNT, STEPS); /* coroutines have it from who makes them */
    begin_memory(L, a);
}
