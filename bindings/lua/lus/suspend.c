/* SPDX-License-Identifier: ISC
 *
 * suspend.c: how an operation waits, in one of three ways:
 *   it parks   in the main chunk of an actor, where that can yield: the thread leaves
 *              the state, and the runner tries the operation again when it is woken
 *   Lua waits  under a loop, or where the mailbox has something to serve: weir.lus.actor
 *              gave a function that suspends whatever runs there (the suspender)
 *   it blocks  anywhere else: the thread waits, and a spare one may start
 *
 * Before Lua 5.2 a C function that has yielded can only return. So there every function
 * returns a boolean first, and one in Lua around it raises (lus/api.c); nil and an op
 * is what Lua must wait for.
 */
#include "lus/suspend.h"
#include "lus/core.h"
#include "lus/actor.h"
#include "lus/pool.h"
#include "lus/roster.h"
#include "lus/waker.h"

#include <string.h>

static char key_suspender;

/* boolean results... | false error -> the same; or raises */
int wl_conclude(lua_State *L, int n)
{
    if (WL_WRAPPED)
        return n;
    if (lua_toboolean(L, -n))
        return n - 1;
    return lua_error(L);
}

/* ---- in C ----------------------------------------------------------------------- */

static int would_deadlock(lua_State *L)
{
    int most = (int)wl_actor_pool_most_threads();
    lua_pushfstring(L, "would deadlock: pool 'worker', %d of %d threads wait", most, most);
    return wl_false_and(L);
}

/* A worker's thread that waits without end may be missed by the others. */
static bool begin_block(const wl_pending *op)
{
    if (op->t->self && op->deadline < 0)
        return wl_actor_pool_begin_block();
    wl_core->weir_blocking_begin();
    return true;
}

static void end_block(const wl_pending *op)
{
    if (op->t->self && op->deadline < 0)
        wl_actor_pool_end_block();
    else
        wl_core->weir_blocking_end();
}

static void fire(void *waker) { wl_waker_fire(waker); }

/* False: the task that waits was cancelled. */
static bool sleep_at(lua_State *L, wl_waker *k, int64_t ns)
{
    wl_thread *w = wl_core->wl_thread_of(L);
    wl_job    *j = w ? w->job : NULL;
    if (j && !wl_core->wl_cancel_asleep(j, NULL, fire, k))
        return false;
    wl_waker_wait(k, ns);
    return !j || wl_core->wl_cancel_awake(j);
}

static int block(lua_State *L, wl_pending *op)
{
    int     n;
    int64_t ns;
    while (!(n = wl_pending_try(L, op))) {
        if ((ns = wl_pending_left(op)) == 0)
            return wl_pending_expire(L, op);
        if (!wl_pending_arm(L, op, WL_UNBLOCKS))
            continue;
        if (!begin_block(op)) {
            wl_pending_disarm(op);
            return would_deadlock(L);
        }
        bool goes_on = sleep_at(L, op->waker, ns);
        end_block(op);
        if (!goes_on) {
            wl_pending_disarm(op);
            return luaL_error(L, "cancelled");
        }
    }
    return n;
}

/* ---- parked ---------------------------------------------------------------------- */

#if !WL_WRAPPED

/* The script itself may have resumed what waits, with anything. */
static int conclude_wait(lua_State *L, int n)
{
    return n > 0 ? wl_conclude(L, n) : luaL_error(L, "resumed while it waits");
}

#endif

#if LUA_VERSION_NUM < 502

/* On 5.1 nothing says whether a coroutine can be suspended. It cannot where C stands
 * below: a C function, or the interpreter itself for a metamethod, an iterator or a
 * finalizer. Those have no name, as far as the caller's instruction tells; neither has
 * who was called by a tail call. */
static bool is_plain_lua(lua_State *L)
{
    lua_Debug frame, outer;
    for (int level = 1; lua_getstack(L, level, &frame); level++) {
        lua_getinfo(L, "Sn", &frame);
        if (*frame.what == 'C' || *frame.what == 't')
            return false;
        if (!lua_getstack(L, level + 1, &outer))
            return true;
        if (!*frame.namewhat || !frame.name || strcmp(frame.name, "(for generator)") == 0)
            return false;
    }
    return true;
}

static bool can_yield(lua_State *L)
{
    return lua_isyieldable ? lua_isyieldable(L) : is_plain_lua(L);
}
static int yield(lua_State *L, wl_pending *op)
{
    (void)op;
    return lua_yield(L, 0);
}

#elif LUA_VERSION_NUM == 502

static bool can_yield(lua_State *L)
{
    (void)L;
    return true; /* to try is the only way to know */
}

static int yielded(lua_State *L)
{
    int top, status = lua_getctx(L, &top);
    (void)status;
    return conclude_wait(L, lua_gettop(L) - top);
}

static int yield_now(lua_State *L) { return lua_yield(L, 0); }

static int yield(lua_State *L, wl_pending *op)
{
    int top = lua_gettop(L);
    lua_pushcfunction(L, yield_now);
    lua_pcallk(L, 0, LUA_MULTRET, 0, top, yielded);
    lua_settop(L, top); /* it could not */
    op->t->self->op = NULL;
    return wl_conclude(L, block(L, op));
}

#else

static bool can_yield(lua_State *L) { return lua_isyieldable(L); }

static int yielded(lua_State *L, int status, lua_KContext top)
{
    (void)status;
    return conclude_wait(L, lua_gettop(L) - (int)top);
}

static int yield(lua_State *L, wl_pending *op)
{
    (void)op;
    return lua_yieldk(L, 0, lua_gettop(L), yielded);
}

#endif

/* Its thread may change when it parks: so must its mailbox, which belongs to one. In a
 * child of fork it has only this one, which would end. */
static bool can_park(lua_State *L, const wl_pending *op)
{
    wl_actor *a = op->t->self;
    if (!a || L != a->root || a->trying || wl_actor_is_lost(a) || !wl_core->wl_main_is_idle(L) ||
        !can_yield(L))
        return false;
    wl_core->wl_main_end(L);
    return true;
}

static int park(lua_State *L, wl_pending *op)
{
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &op->t->self->op);
    int n = wl_pending_again(L, op);
    if (n)
        return wl_conclude(L, n);
    op->t->self->op = op;
    return yield(L, op);
}

/* ---- in Lua ----------------------------------------------------------------------- */

void wl_push_suspender(lua_State *L) { lua_rawgetp(L, LUA_REGISTRYINDEX, &key_suspender); }

/* Whether a loop is loaded that knows nothing of weir yet. */
static bool has_loop(lua_State *L)
{
    static const char *const names[] = {"weir.loop", "copas", "cqueues", "luv", NULL};
    bool                     found = false;
    lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
    for (int i = 0; !found && names[i]; i++) {
        lua_getfield(L, -1, names[i]);
        found = lua_toboolean(L, -1);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    return found;
}

/* -> suspender | ; whether there is one. Not for who is in the main program of a state
 * whose mailbox has nothing to serve. */
static bool push_suspender(lua_State *L, const wl_pending *op)
{
    bool in_main = lua_pushthread(L) || (op->t->self && L == op->t->self->root);
    lua_pop(L, 1);
    if (in_main && wl_core->wl_main_is_idle(L))
        return false;
    if (!in_main && has_loop(L)) {
        lua_getglobal(L, "require");
        lua_pushliteral(L, "weir.lus.actor");
        lua_call(L, 1, 0);
    }
    wl_push_suspender(L);
    if (lua_isfunction(L, -1))
        return true;
    lua_pop(L, 1);
    return false;
}

#if WL_WRAPPED

/* op suspender -> nil op */
static int suspend(lua_State *L) { return lua_pop(L, 1), wl_nil_and(L); }

#else

/* op suspender -> results */
static int suspend(lua_State *L)
{
    int top = lua_gettop(L) - 2;
    lua_insert(L, -2);
    lua_callk(L, 1, LUA_MULTRET, top, yielded);
    return wl_conclude(L, lua_gettop(L) - top);
}

#endif

/* op, on top of the stack -> what it comes to */
int wl_pending_wait(lua_State *L, wl_pending *op)
{
    luaL_checkstack(L, 8, NULL);
    if (can_park(L, op))
        return park(L, op);
    if (push_suspender(L, op))
        return suspend(L);
    return wl_conclude(L, block(L, op));
}

/* function(op) -> ; it returns what op_try does when that is something */
static int set_suspender(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_settop(L, 1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &key_suspender);
    return 0;
}

/* op -> nothing: wait. Else a boolean, and results or an error. */
static int op_attempt(lua_State *L)
{
    wl_pending *op = wl_pending_check(L, 1);
    int         n = wl_pending_try(L, op);
    return n == 0 && wl_pending_left(op) == 0 ? wl_pending_expire(L, op) : n;
}

/* op -> key that the mailbox will tell | nil: try now */
static int op_arm(lua_State *L)
{
    wl_pending *op = wl_pending_check(L, 1);
    if (!wl_pending_arm(L, op, WL_MAILS))
        return 0;
    return lua_pushlightuserdata(L, &op->waker->ping), 1;
}

/* op -> whether it is the main program that waits */
static int op_in_main(lua_State *L)
{
    wl_pending *op = wl_pending_check(L, 1);
    bool        is_main = lua_pushthread(L) || (op->t->self && L == op->t->self->root);
    return wl_boolean(L, is_main);
}

/* op -> seconds | nil: for ever */
static int op_left(lua_State *L)
{
    int64_t ns = wl_pending_left(wl_pending_check(L, 1));
    if (ns < 0)
        return 0;
    return wl_number(L, (lua_Number)ns / 1e9);
}

/* The thread waits for the mailbox.
 *
 * op -> error | */
static int op_block(lua_State *L)
{
    wl_pending *op = wl_pending_check(L, 1);
    if (!begin_block(op)) {
        wl_pending_disarm(op);
        would_deadlock(L);
        return 1;
    }
    wl_main *m = wl_core->wl_main_get(L);
    int      n;
    bool     goes_on = wl_core->wl_main_sleep(L, m, wl_pending_left(op), &n);
    end_block(op);
    if (goes_on)
        return 0;
    wl_pending_disarm(op);
    return lua_pushliteral(L, "cancelled"), 1;
}

/* module -> module */
void wl_suspend_register(lua_State *L)
{
    wl_function(L, "set_suspender", set_suspender);
    wl_function(L, "op_try", op_attempt);
    wl_function(L, "op_arm", op_arm);
    wl_function(L, "op_block", op_block);
    wl_function(L, "op_in_main", op_in_main);
    wl_function(L, "op_left", op_left);
}
