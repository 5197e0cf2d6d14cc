/* SPDX-License-Identifier: ISC
 *
 * module.c: the module weir.core: the one room that knows all others.
 *
 * The module is for the modules of weir/ alone. Its functions check what would make C go
 * wrong; that arguments make sense is said in Lua, where the caller's line is known.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "module.h"
#include "abi.h"
#include "runtime/call.h"
#include "runtime/error.h"
#include "runtime/future.h"
#include "runtime/locks.h"
#include "runtime/mailbox.h"
#include "runtime/main.h"
#include "runtime/pool.h"
#include "runtime/state.h"
#include "runtime/thread.h"
#include "runtime/util.h"
#include "codec/codec.h"
#include "io/io.h"
#include "threads/threads.h"
#include "shared/shared.h"
#include "weir.h"

/* -> seconds, of a clock that never jumps */
static int clock_now(lua_State *L) { return wl_number(L, (lua_Number)wl_now() / 1e9); }

/* -> the text for Prometheus. A pool may come between two calls. */
static int metrics(lua_State *L)
{
    wl_need_unrestricted(L, "weir.metrics"); /* it tells of every pool of the process */
    int   size = 16384, length;
    char *buffer = lua_newuserdata(L, (size_t)size);
    while ((length = weir_metrics(buffer, (size_t)size)) >= size) {
        size = length + length / 8 + 1;
        buffer = lua_newuserdata(L, (size_t)size);
    }
    if (length < 0)
        return luaL_error(L, "weir: %s", wl_word(length));
    return lua_pushlstring(L, buffer, (size_t)length), 1;
}

/* What a task has begun and not ended, its thread ends.
 *
 * -> nothing; see weir_blocking_begin */
static int blocking_begin(lua_State *L)
{
    wl_thread *w = wl_this(L)->thread;
    if (w && w->job) {
        w->blocking++;
        weir_blocking_begin();
    }
    return 0;
}

static int blocking_end(lua_State *L)
{
    wl_thread *w = wl_this(L)->thread;
    if (w && w->blocking) {
        w->blocking--;
        weir_blocking_end();
    }
    return 0;
}

/* -> whether a task runs in this state */
static int in_task(lua_State *L)
{
    wl_thread *w = wl_thread_of(L);
    return wl_boolean(L, w && w->job);
}

/* handle -> whether this state is one of the pool's threads */
static int in_pool(lua_State *L)
{
    wl_pool   *p = wl_pool_check(L, 1);
    wl_thread *w = wl_thread_of(L);
    return wl_boolean(L, w && w->pool == p);
}

/* -> whether the task that runs here was asked to stop */
static int cancelled(lua_State *L)
{
    wl_thread *w = wl_thread_of(L);
    if (w)
        w->looks = 1;
    return wl_boolean(L, w && w->job && weir_cancel_requested(&w->job->u.task));
}

/* A loader of C is the same in every state, if it holds nothing of one.
 *
 * value -> lightuserdata | nil: it is no function of C, or has upvalues */
static int c_function(lua_State *L)
{
    lua_CFunction fn = lua_tocfunction(L, 1);
    if (!fn || lua_getupvalue(L, 1, 1))
        return 0;
    wl_stay_loaded(fn);
    return lua_pushlightuserdata(L, (void *)(uintptr_t)fn), 1;
}

#define WL_ABI_ENTRY(name) .name = name,

static const wl_abi abi = {.size = sizeof abi, .version = WEIR_VERSION, WL_ABI(WL_ABI_ENTRY)};

/* -> module */
int luaopen_weir_core(lua_State *L)
{
    wl_stay_loaded(luaopen_weir_core);
    wl_locks_register();
    wl_mains_register();
    wl_state_open(L, NULL);
    lua_newtable(L);
    wl_pool_class_make(L);
    wl_future_class_make(L);
    wl_main_register(L);
    wl_open_register(L);
    wl_run_register(L);
    wl_work_register(L);
    wl_on_cancel_register(L);
    wl_seen_register(L);
    wl_future_register(L);
    wl_call_register(L);
    wl_signal_register(L);
    wl_keep_sigpipe_register(L);
    wl_append_register(L);
    wl_mutex_register(L);
    wl_packed_register(L);
    wl_shared_register(L);
    wl_progress_register(L);
    wl_method(L, "clock", clock_now);
    wl_method(L, "metrics", metrics);
    wl_method(L, "blocking_begin", blocking_begin);
    wl_method(L, "blocking_end", blocking_end);
    wl_method(L, "in_task", in_task);
    wl_method(L, "in_pool", in_pool);
    wl_method(L, "cancelled", cancelled);
    wl_method(L, "register", wl_register);
    wl_method(L, "c_function", c_function);
    wl_method(L, "note_failure", wl_note_failure);
    wl_await_input_register(L);
    lua_pushlightuserdata(L, (void *)(uintptr_t)luaopen_weir_core);
    lua_setfield(L, -2, "loader");
    lua_pushlightuserdata(L, (void *)(uintptr_t)&abi);
    lua_setfield(L, -2, "abi");
    lua_pushliteral(L, WEIR_VERSION);
    lua_setfield(L, -2, "version");
    return 1;
}
