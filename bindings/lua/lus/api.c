/* SPDX-License-Identifier: ISC
 *
 * api.c: what actors and who holds them say to each other: the functions of
 * weir.worker.
 */
#include "lus/api.h"
#include "lus/core.h"
#include "lus/actor.h"
#include "lus/channel.h"
#include "lus/handle.h"
#include "lus/message.h"
#include "lus/pending.h"
#include "lus/queue.h"
#include "lus/roster.h"
#include "lus/stop.h"
#include "lus/suspend.h"

#include <stdlib.h>
#include <string.h>

static wl_api *api_of(lua_State *L)
{
    wl_api *t = lua_touserdata(L, lua_upvalueindex(1));
    if (t->self && atomic_load(&t->self->stop))
        wl_stop_check(L, t->self);
    return t;
}

/* ---- arguments and results ------------------------------------------------------------ */

/* NULL: it is no handle. */
static wl_actor *look(lua_State *L, const wl_api *t, int i)
{
    wl_actor **slot = lua_touserdata(L, i);
    if (!slot || !lua_getmetatable(L, i))
        return NULL;
    bool is = lua_topointer(L, -1) == t->metatable;
    lua_pop(L, 1);
    return is ? *slot : NULL;
}

const char *wl_show(lua_State *L, int i)
{
    switch (lua_type(L, i)) {
    case LUA_TNONE: return "nothing";
    case LUA_TNUMBER: lua_pushvalue(L, i); return lua_tostring(L, -1);
    case LUA_TSTRING: return lua_pushfstring(L, "\"%s\"", lua_tostring(L, i));
    case LUA_TBOOLEAN: return lua_toboolean(L, i) ? "true" : "false";
    default: return luaL_typename(L, i);
    }
}

static wl_actor *check_handle(lua_State *L, const wl_api *t, int i, const char *function)
{
    wl_actor *a = look(L, t, i);
    if (!a)
        wl_fail_caller(L, "%s: argument %d must be a worker, got %s", function, i, wl_show(L, i));
    return a;
}

/* results... -> what the function returns */
int wl_api_results(lua_State *L, int n)
{
    if (WL_WRAPPED) {
        lua_pushboolean(L, 1);
        lua_insert(L, -n - 1);
    }
    return n + WL_WRAPPED;
}

/* ---- the functions ------------------------------------------------------------------ */

/* handle -> "running" | "dead" */
static int worker_status(lua_State *L)
{
    wl_actor *a = check_handle(L, api_of(L), 1, "worker.status");
    lua_pushstring(L, wl_actor_is_dead(a) ? "dead" : "running");
    return wl_api_results(L, 1);
}

/* handle -> the traceback of its script's error | nil */
static int worker_traceback(lua_State *L)
{
    wl_actor *a = check_handle(L, api_of(L), 1, "worker.traceback");
    if (!wl_actor_is_lost(a) && atomic_load(&a->ended_by) == WL_ENDED_ITSELF && a->traceback)
        lua_pushstring(L, a->traceback);
    else
        lua_pushnil(L);
    return wl_api_results(L, 1);
}

/* handles from `first` on -> op */
static wl_pending *receive_op(lua_State *L, wl_api *t, int first, const char *function)
{
    int n = lua_gettop(L) - first + 1;
    if (n < 1)
        wl_fail_caller(L, "%s: no worker was given", function);
    for (int i = first; i < first + n; i++)
        check_handle(L, t, i, function);
    wl_pending *op = wl_pending_push(L, t, WL_RECEIVE, n);
    for (int i = first; i < first + n; i++)
        wl_pending_add(op, look(L, t, i));
    return op;
}

static int attempt(lua_State *L, wl_pending *op)
{
    int n = wl_pending_try(L, op);
    return n ? wl_conclude(L, n) : wl_pending_wait(L, op);
}

/* handles... -> a value for each */
static int worker_receive(lua_State *L)
{
    wl_api   *t = api_of(L);
    wl_msg    item;
    wl_actor *a;
    if (lua_gettop(L) == 1 && (a = look(L, t, 1)) && wl_channel_read(&a->out, &item)) {
        t->last = a;
        if (WL_WRAPPED)
            lua_pushboolean(L, 1);
        wl_msg_push(L, &item);
        return 1 + WL_WRAPPED;
    }
    return attempt(L, receive_op(L, t, 1, "worker.receive"));
}

/* seconds handles... -> a value for each */
static int worker_receive_within(lua_State *L)
{
    lua_Number seconds = lua_tonumber(L, 1);
    if (lua_type(L, 1) != LUA_TNUMBER || !(seconds >= 0))
        wl_fail_caller(
            L, "worker.receive_within: argument 1 must be a number of seconds, 0 or more, got %s",
            wl_show(L, 1));
    wl_pending *op = receive_op(L, api_of(L), 2, "worker.receive_within");
    int64_t     ns = wl_nanoseconds(seconds), now = wl_now();
    op->deadline = ns < INT64_MAX - now ? now + ns : -1;
    int n = wl_pending_try(L, op);
    if (n)
        return wl_conclude(L, n);
    return ns == 0 ? wl_conclude(L, wl_pending_expire(L, op)) : wl_pending_wait(L, op);
}

/* The channel is full. The value at i is packed when the op is there to own it. */
static int send_later(lua_State *L, wl_actor *a, int i, const char *function)
{
    wl_pending *op = wl_pending_push(L, api_of(L), WL_SEND, 1);
    wl_pending_add(op, a);
    if (!(op->item = malloc(sizeof *op->item)))
        return luaL_error(L, "not enough memory");
    op->item->kind = WL_MSG_NIL;
    wl_msg_pack(L, i, function, op->item);
    return attempt(L, op);
}

/* The value at i. */
static int put_message(lua_State *L, wl_actor *a, wl_channel *c, int i, const char *function)
{
    wl_msg item;
    bool   no_memory;
    if (!c->refuses && wl_channel_is_full(c))
        return send_later(L, a, i, function);
    wl_msg_pack(L, i, function, &item);
    if (wl_channel_write(c, &item, &no_memory)) {
        lua_pushboolean(L, 1);
        return wl_api_results(L, c->refuses);
    }
    wl_msg_drop(&item);
    if (!no_memory && !c->refuses) /* another writer was faster */
        return send_later(L, a, i, function);
    if (no_memory) {
        const wl_api *t = lua_touserdata(L, lua_upvalueindex(1));
        if (t->self && t->self->limits)
            wl_stop_set(t->self, WL_STOP_MEMORY);
        return luaL_error(L, "not enough memory");
    }
    lua_pushnil(L);
    lua_pushliteral(L, "full");
    return wl_api_results(L, 2);
}

/* handle value -> */
static int worker_send(lua_State *L)
{
    wl_actor *a = check_handle(L, api_of(L), 1, "worker.send");
    wl_msg    item;
    if (lua_gettop(L) < 2)
        wl_fail_caller(L, "worker.send: argument 2 is missing: what to send");
    if (!wl_actor_is_dead(a))
        return put_message(L, a, &a->in, 2, "worker.send");
    wl_msg_pack(L, 2, "worker.send", &item);
    wl_msg_drop(&item);
    lua_pushboolean(L, 1);
    return wl_api_results(L, a->in.refuses);
}

/* value -> */
static int worker_message(lua_State *L)
{
    wl_actor *a = api_of(L)->self;
    if (lua_gettop(L) < 1)
        wl_fail_caller(L, "worker.message: argument 1 is missing: what to send");
    return put_message(L, a, &a->out, 1, "worker.message");
}

/* -> value */
static int worker_peek(lua_State *L)
{
    wl_api *t = api_of(L);
    wl_msg  item;
    if (wl_channel_read(&t->self->in, &item)) {
        if (WL_WRAPPED)
            lua_pushboolean(L, 1);
        wl_msg_push(L, &item);
        return 1 + WL_WRAPPED;
    }
    wl_pending *op = wl_pending_push(L, t, WL_PEEK, 1);
    wl_pending_add(op, t->self);
    return attempt(L, op);
}

/* It is dead for everybody at once. A thread that is in its state stays behind, until the script
 * finds that it was stopped. */
static void cut_off(wl_actor *a)
{
    int lives = WL_LIVES;
    wl_stop_set(a, WL_STOP_CLOSED);
    wl_channel_end(&a->in, WL_CLOSED);
    if (atomic_compare_exchange_strong(&a->ended_by, &lives, WL_CUT_OFF)) {
        atomic_store(&a->cut_off, true);
        wl_channel_end(&a->out, WL_DEAD);
    }
    wl_actor_ref(a); /* the lost thread's, until its release */
    if (wl_core->weir_task_abandon(&a->task) != 0)
        wl_actor_unref(a);
    wl_core->weir_task_unpark(&a->task);
}

/* handle ["now"] -> */
static int worker_close(lua_State *L)
{
    wl_actor   *a = check_handle(L, api_of(L), 1, "worker.close");
    const char *how = lua_tostring(L, 2);
    if (!lua_isnoneornil(L, 2) && (lua_type(L, 2) != LUA_TSTRING || strcmp(how, "now") != 0))
        wl_fail_caller(L, "worker.close: argument 2 must be \"now\" or nothing, got %s",
                       wl_show(L, 2));
    if (!how)
        wl_channel_end(&a->in, WL_CLOSED);
    else if (!wl_actor_is_lost(a))
        cut_off(a);
    return wl_api_results(L, 0);
}

/* ---- the table ---------------------------------------------------------------------- */

#if WL_WRAPPED

/* -> suspender */
static int get_suspender(lua_State *L) { return wl_push_suspender(L), 1; }

/* get_suspender -> function that makes the function around another one */
static const char wrapper[] =
    "local suspender = ...\n"
    "local function finish(ok, ...)\n"
    "  if ok then return ... end\n"
    "  if ok == nil then return finish(suspender()(...)) end\n"
    "  error((...), 0)\n"
    "end\n"
    "return function(f) return function(...) return finish(f(...)) end end\n";

/* -> wrap */
static void push_wrap(lua_State *L)
{
    if (luaL_loadbuffer(L, wrapper, sizeof wrapper - 1, "=weir") != 0)
        lua_error(L);
    lua_pushcfunction(L, get_suspender);
    lua_call(L, 1, 1);
}

#endif

/* wl_api wrap table -> the same */
void wl_api_add(lua_State *L, const char *name, lua_CFunction fn)
{
    if (WL_WRAPPED)
        lua_pushvalue(L, -2);
    lua_pushvalue(L, WL_WRAPPED ? -4 : -3);
    lua_pushcclosure(L, fn, 1);
    if (WL_WRAPPED)
        lua_call(L, 1, 1);
    lua_setfield(L, -2, name);
}

/* -> lightuserdata api */
static void push_api(lua_State *L)
{
    wl_lus *s = wl_lus_of(L);
    wl_actor_metatable(L);
    s->api = (wl_api){.self = s->actor, .metatable = lua_topointer(L, -1)};
    lua_pop(L, 1);
    lua_pushlightuserdata(L, &s->api);
}

/* -> wl_api wrap functions */
void wl_api_push(lua_State *L)
{
    push_api(L);
#if WL_WRAPPED
    push_wrap(L);
#else
    lua_pushnil(L);
#endif
    lua_newtable(L);
    wl_api_add(L, "status", worker_status);
    wl_api_add(L, "traceback", worker_traceback);
    wl_api_add(L, "receive", worker_receive);
    wl_api_add(L, "receive_within", worker_receive_within);
    wl_api_add(L, "send", worker_send);
    wl_api_add(L, "close", worker_close);
    if (wl_lus_of(L)->actor) {
        wl_api_add(L, "message", worker_message);
        wl_api_add(L, "peek", worker_peek);
    }
}
