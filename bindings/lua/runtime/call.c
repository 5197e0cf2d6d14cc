/* SPDX-License-Identifier: ISC
 *
 * call.c: run_in_main: a task has a function run in the state that submitted it.
 *
 * Two references: the caller's, and from the moment the core begins the call the
 * main's side's. The caller may be sent on early (its main closed, or its loop does
 * not turn), so that side finishes what nobody waits for any more; both hold.
 */
#include "runtime/call.h"
#include "runtime/job.h"
#include "runtime/error.h"
#include "runtime/state.h"
#include "runtime/thread.h"
#include "runtime/util.h"
#include "codec/codec.h"
#include "weir.h"

#include <stdlib.h>

static const char call_class[] = "weir.call";

struct wl_call {
    _Atomic unsigned refs;
    wl_main         *main; /* where it goes, held */
    wl_message      *in;   /* function and arguments */
    /* Written by the main's side before it finishes, read by the caller after. */
    wl_message *out;
    bool        ok;
    /* The main's side's. */
    weir_call *weir; /* NULL once finished */
    wl_call   *next;
};

static void unref(wl_call *c)
{
    if (atomic_fetch_sub(&c->refs, 1) != 1)
        return;
    wl_message_free(c->in);
    wl_message_free(c->out);
    wl_main_unref(c->main);
    free(c);
}

/* The main's side's. */
static void finish(wl_call *c, int code)
{
    weir_call *weir = c->weir;
    c->weir = NULL;
    if (weir)
        weir_call_finish(weir, code, NULL);
}

/* Either side holds its reference in one. */
typedef struct {
    wl_call *call;
    bool     is_caller;
} slot;

/* -> call without one */
static slot *slot_push(lua_State *L)
{
    slot *s = lua_newuserdata(L, sizeof *s);
    *s = (slot){0};
    wl_set_class(L, call_class);
    return s;
}

void wl_call_slot(lua_State *L) { slot_push(L); }

/* A finaliser may come to one that was collected with it. */
static wl_call *check_call(lua_State *L)
{
    wl_call *c = ((slot *)wl_check(L, 1, call_class))->call;
    if (!c)
        luaL_error(L, "weir: the call was collected");
    return c;
}

/* A call that its main's side collects unfinished will never be: its coroutine is gone.
 *
 * call -> */
static int call_gc(lua_State *L)
{
    slot *s = lua_touserdata(L, 1);
    if (!s->call)
        return 0;
    if (!s->is_caller) {
        finish(s->call, WEIR_ECANCELED);
        wl_main_look_idle(s->call->main);
    }
    unref(s->call);
    s->call = NULL;
    return 0;
}

/* ---- the main's side ------------------------------------------------------- */

static wl_call *take_call(wl_main *m)
{
    wl_call *c = m->calls;
    if (c && !(m->calls = c->next))
        m->last_call = &m->calls;
    return c;
}

/* call -> call */
bool wl_call_fill(lua_State *L, int index, wl_main *m)
{
    slot *s = lua_touserdata(L, index);
    s->call = take_call(m);
    return s->call != NULL;
}

void wl_calls_drop(wl_main *m)
{
    wl_call *c;
    while ((c = take_call(m))) {
        finish(c, WEIR_ECLOSED);
        unref(c);
    }
}

/* lightuserdata call -> */
static int run_now(lua_State *L)
{
    wl_call *c = lua_touserdata(L, 1);
    luaL_getmetatable(L, call_class);
    lua_getfield(L, -1, "serve");
    slot *s = slot_push(L);
    atomic_fetch_add(&c->refs, 1);
    s->call = c;
    lua_call(L, 1, 0);
    return 0;
}

/* Inside dispatch it waits until that has returned; inside a blocking call it runs,
 * and if it has not finished then, the core ends it. */
static void serve_call(weir_call *weir, void *arg)
{
    wl_call *c = arg;
    wl_main *m = c->main;
    c->weir = weir;
    atomic_fetch_add(&c->refs, 1);
    lua_State *L = m->blocked;
    if (L) {
        m->blocked = NULL; /* what runs now may dispatch */
        if (wl_protect(L, run_now, c) != 0)
            lua_pop(L, 1);
        m->blocked = L;
        unref(c);
    } else {
        c->next = NULL;
        *m->last_call = c;
        m->last_call = &c->next;
    }
}

/* call -> f, args... | nil, why they could not be had */
static int call_unpack(lua_State *L)
{
    wl_call *c = check_call(L);
    lua_settop(L, 1); /* it holds what is decoded */
    if (wl_unpack(L, c->in) < 0) {
        lua_pushnil(L);
        lua_insert(L, -2);
    }
    return lua_gettop(L) - 1;
}

/* call ok values... | call false error -> ; once */
static int call_finish(lua_State *L)
{
    wl_call *c = check_call(L);
    if (!c->weir)
        return 0;
    const wl_pack_options results = {
        .what = "result", .number = 1, .restricted = wl_this(L)->restricted};
    c->ok = lua_toboolean(L, 2) && wl_pack(L, 3, lua_gettop(L) - 2, &results, &c->out) == 0;
    if (!c->ok)
        c->out = wl_pack_error(L, WL_REFUSE);
    finish(c, 0);
    return 0;
}

/* For where there is no memory to finish it otherwise; once.
 *
 * call -> */
static int call_fail(lua_State *L) { return finish(check_call(L), WEIR_ENOMEM), 0; }

/* function(call) -> ; runs a call that is served inside a blocking one */
static int on_call(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    luaL_getmetatable(L, call_class);
    lua_pushvalue(L, 1);
    lua_setfield(L, -2, "serve");
    return 0;
}

/* ---- the caller's side ----------------------------------------------------- */

static wl_call *make_call(lua_State *L, wl_main *m)
{
    slot    *s = slot_push(L);
    wl_call *c = wl_alloc(L, sizeof *c);
    atomic_init(&c->refs, 1);
    wl_main_ref(c->main = m);
    s->is_caller = true;
    return s->call = c;
}

/* -> false, what the main's side made of it */
static int push_call_failure(lua_State *L, const wl_call *c, int rc)
{
    lua_pushboolean(L, false);
    if (rc != 0)
        lua_pushfstring(L, "run_in_main: %s", wl_word(rc));
    else if (!c->out)
        lua_pushliteral(L, "run_in_main: not enough memory");
    else
        wl_unpack(L, c->out);
    return 2;
}

/* Waits; calls made into this state by tasks of its own run meanwhile.
 *
 * f args... -> true, values... | false, error */
static int run_in_main(lua_State *L)
{
    static const wl_pack_options arguments = {.number = 1};
    int                          n = lua_gettop(L);
    wl_thread                   *w = wl_thread_of(L);
    luaL_checktype(L, 1, LUA_TFUNCTION);
    if (!w || !w->job)
        return luaL_error(L, "weir.run_in_main: called outside a task");
    wl_need_unrestricted(L, "weir.run_in_main");
    wl_call *c = make_call(L, w->job->main);
    lua_insert(L, 1);
    if (wl_pack(L, 2, n, &arguments, &c->in) != 0)
        return wl_false_and(L);
    lua_settop(L, 1);
    wl_main *own = wl_main_look(L);
    if (own)
        own->blocked = L;
    int rc = weir_run_in_main(NULL, serve_call, c, NULL);
    if (own)
        own->blocked = NULL;
    if (rc != 0 || !c->ok || !c->out)
        return push_call_failure(L, c, rc);
    lua_pushboolean(L, true);
    n = wl_unpack(L, c->out);
    if (n < 0) {
        lua_pushboolean(L, false);
        lua_replace(L, 2);
        n = 1;
    }
    return n + 1;
}

/* module -> module */
void wl_call_register(lua_State *L)
{
    wl_class(L, call_class, "call", call_gc);
    wl_method(L, "unpack", call_unpack);
    wl_method(L, "finish", call_finish);
    wl_method(L, "fail", call_fail);
    wl_method(L, "on_call", on_call);
    wl_method(L, "run_in_main", run_in_main);
}
