/* SPDX-License-Identifier: ISC
 *
 * pending.c: operations that may find nothing: what they wait at, and what they try.
 *
 * To try gives a number of values on the stack, a boolean first: whether they are results
 * or an error to raise. 0 says to wait: the op is armed (its waker stands at each channel)
 * and tried again when it was woken.
 */
#include "lus/pending.h"
#include "lus/core.h"
#include "lus/channel.h"
#include "lus/failure.h"
#include "lus/message.h"
#include "lus/queue.h"
#include "lus/waker.h"

#include <stdlib.h>
#include <string.h>

#define OP "weir.op"

static wl_channel *channel_of(const wl_pending *op, int i)
{
    wl_actor *a = op->at[i].actor;
    return op->kind == WL_PEEK || (op->kind == WL_SEND && a != op->t->self) ? &a->in : &a->out;
}

static wl_queue *queue_of(const wl_pending *op, int i)
{
    wl_channel *c = channel_of(op, i);
    return op->kind == WL_SEND ? &c->writers : &c->readers;
}

/* A mailed waker that nobody needs any more comes at once: a loop turns until it has. */
void wl_pending_disarm(wl_pending *op)
{
    if (!op->waker)
        return;
    for (int i = 0; i < op->n; i++)
        wl_queue_leave(channel_of(op, i), queue_of(op, i), &op->at[i].node);
    if (op->waker->kind == WL_MAILS)
        wl_waker_fire(op->waker);
    wl_waker_unref(op->waker);
    op->waker = NULL;
}

/* op -> */
static int op_gc(lua_State *L)
{
    wl_pending *op = luaL_checkudata(L, 1, OP);
    wl_pending_disarm(op);
    for (int i = 0; i < op->n; i++)
        wl_actor_unref(op->at[i].actor);
    op->n = 0;
    if (op->item)
        wl_msg_drop(op->item);
    free(op->item);
    op->item = NULL;
    return 0;
}

/* -> op for n actors, which are still to be set */
wl_pending *wl_pending_push(lua_State *L, wl_api *t, enum wl_pending_kind kind, int n)
{
    wl_pending *op = lua_newuserdata(L, sizeof *op + (size_t)n * sizeof *op->at);
    *op = (wl_pending){.kind = kind, .t = t, .deadline = -1};
    luaL_getmetatable(L, OP);
    lua_setmetatable(L, -2);
    return op;
}

void wl_pending_add(wl_pending *op, wl_actor *a)
{
    memset(&op->at[op->n], 0, sizeof *op->at);
    wl_actor_ref(a);
    op->at[op->n++].actor = a;
}

/* What was collected holds no actor. */
wl_pending *wl_pending_check(lua_State *L, int index)
{
    wl_pending *op = luaL_checkudata(L, index, OP);
    luaL_argcheck(L, op->n > 0, index, "the operation was collected");
    return op;
}

static bool send_is_over(const wl_pending *op)
{
    wl_actor   *a = op->at[0].actor;
    wl_channel *c = channel_of(op, 0);
    return !wl_channel_is_full(c) ||
           (c == &a->in ? wl_actor_is_dead(a) : atomic_load(&a->holders) == 0);
}

/* Whether to try it would do something. Of an end and what came before it the end is
 * looked at first. */
static bool is_ready(const wl_pending *op)
{
    bool all = true;
    if (op->kind == WL_SEND)
        return send_is_over(op);
    for (int i = 0; i < op->n; i++) {
        wl_channel *c = channel_of(op, i);
        wl_actor   *a = op->at[i].actor;
        bool        over = op->kind == WL_PEEK ? atomic_load(&c->ended) : wl_actor_is_dead(a);
        if (wl_channel_ready(c) || (over && wl_failure_waits(a)))
            return true;
        all &= over;
    }
    return all;
}

/* False: it is ready. */
bool wl_pending_arm(lua_State *L, wl_pending *op, enum wl_waker_kind kind)
{
    wl_main *m = kind == WL_MAILS ? wl_core->wl_main_get(L) : NULL;
    wl_pending_disarm(op);
    op->waker = wl_waker_new(kind, kind == WL_UNPARKS ? op->t->self : NULL, m);
    if (!op->waker)
        luaL_error(L, "weir: not enough memory");
    for (int i = 0; i < op->n; i++) {
        op->at[i].node.waker = op->waker;
        wl_queue_join(channel_of(op, i), queue_of(op, i), &op->at[i].node);
    }
    return !is_ready(op);
}

/* ---- what they try ----------------------------------------------------------------- */

static int push_refusal(lua_State *L, const char *why)
{
    lua_pushboolean(L, 0);
    lua_pushstring(L, why);
    return 2;
}

static const char *why_ended(int end)
{
    switch (end) {
    case WL_PARENT_ENDED: return "worker.peek: the parent has ended";
    case WL_CLOSED: return "worker.peek: the worker was closed";
    case WL_FORKED: return "worker.peek: the parent is in another process";
    default: return "worker.peek: nobody holds this worker any more";
    }
}

static int try_peek(lua_State *L, wl_actor *a)
{
    wl_msg item;
    int    end = atomic_load(&a->in.ended);
    if (!wl_channel_read(&a->in, &item))
        return end ? push_refusal(L, why_ended(end)) : 0;
    lua_pushboolean(L, 1);
    wl_msg_push(L, &item);
    return 2;
}

/* value -> true, and the value at position i of n */
static int push_at(lua_State *L, int i, int n)
{
    int value = lua_gettop(L);
    luaL_checkstack(L, n + 2, "too many workers");
    lua_pushboolean(L, 1);
    for (int k = 0; k < n; k++)
        if (k == i)
            lua_pushvalue(L, value);
        else
            lua_pushnil(L);
    return n + 1;
}

static int first_to_look_at(const wl_pending *op)
{
    for (int i = 0; op->n > 1 && i < op->n; i++)
        if (op->at[i].actor == op->t->last)
            return (i + 1) % op->n;
    return 0;
}

/* An error is thrown only when there is no message, once, and takes none with it. It is the last
 * that is heard of its actor: the thread of one that was closed now may be inside message still,
 * and what that writes afterwards is lost. */
static int try_errors(lua_State *L, wl_pending *op, bool *is_over)
{
    *is_over = true;
    for (int i = 0; i < op->n; i++)
        *is_over &= wl_actor_is_dead(op->at[i].actor);
    for (int i = 0; i < op->n; i++) {
        wl_actor *a = op->at[i].actor;
        if (wl_actor_is_dead(a) && !wl_channel_ready(&a->out) && wl_failure_take(a)) {
            wl_channel_finish(&a->out);
            lua_pushboolean(L, 0);
            wl_failure_push(L, a);
            return 2;
        }
    }
    return 0;
}

static int try_receive(lua_State *L, wl_pending *op)
{
    wl_msg item;
    bool   is_over;
    int    first = first_to_look_at(op), n = 0;
    for (int k = 0; k < op->n; k++) {
        int i = (first + k) % op->n;
        if (wl_channel_read(&op->at[i].actor->out, &item)) {
            op->t->last = op->at[i].actor;
            wl_msg_push(L, &item);
            return push_at(L, i, op->n);
        }
    }
    if ((n = try_errors(L, op, &is_over)) || !is_over)
        return n;
    for (int i = 0; i < op->n; i++) /* it died after we had looked */
        if (wl_channel_ready(&op->at[i].actor->out))
            return try_receive(L, op);
    lua_pushnil(L);
    return push_at(L, 0, op->n);
}

/* Where nobody can read it any more, it is lost. */
static int try_send(lua_State *L, wl_pending *op)
{
    wl_channel *c = channel_of(op, 0);
    bool        no_memory = false;
    if (!op->item) { /* tried again, although it was sent */
        return wl_boolean(L, 1);
    }
    if (wl_channel_write(c, op->item, &no_memory)) {
        free(op->item);
        op->item = NULL;
    } else if (no_memory) {
        return push_refusal(L, "not enough memory");
    } else if (!send_is_over(op)) {
        return 0;
    } else if (!wl_channel_is_full(c)) {
        return try_send(L, op);
    }
    return wl_boolean(L, 1);
}

int wl_pending_try(lua_State *L, wl_pending *op)
{
    wl_pending_disarm(op);
    luaL_checkstack(L, 4, NULL);
    switch (op->kind) {
    case WL_PEEK: return try_peek(L, op->at[0].actor);
    case WL_RECEIVE: return try_receive(L, op);
    default: return try_send(L, op);
    }
}

int64_t wl_pending_left(const wl_pending *op)
{
    if (op->deadline < 0)
        return -1;
    int64_t now = wl_now();
    return op->deadline > now ? op->deadline - now : 0;
}

/* The time of the park that is to come. */
static int set_time(lua_State *L, wl_pending *op)
{
    int rc = wl_core->weir_task_park_within(&op->t->self->task, wl_pending_left(op));
    if (rc == 0)
        return 0;
    wl_pending_disarm(op);
    return push_refusal(L, rc == WEIR_ENOMEM
                               ? "not enough memory"
                               : "worker.receive_within: there is no thread to keep the time");
}

int wl_pending_again(lua_State *L, wl_pending *op)
{
    int n;
    do {
        if ((n = wl_pending_try(L, op)))
            return n;
        if (wl_pending_left(op) == 0)
            return wl_pending_expire(L, op);
    } while (!wl_pending_arm(L, op, WL_UNPARKS));
    return set_time(L, op);
}

/* The time is up. */
int wl_pending_expire(lua_State *L, wl_pending *op)
{
    wl_pending_disarm(op);
    lua_pushnil(L);
    return push_at(L, 0, op->n);
}

/* In every state that pushes one, before the first: else none is collected. A suspender gets ops,
 * but no finalizer. */
void wl_pending_class_make(lua_State *L)
{
    luaL_newmetatable(L, OP);
    wl_function(L, "__gc", op_gc);
    lua_pushliteral(L, "weir");
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
}
