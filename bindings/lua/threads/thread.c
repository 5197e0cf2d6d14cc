/* SPDX-License-Identifier: ISC
 *
 * thread.c: a pool thread's Lua state: made, used and closed on that thread.
 *
 * Two messages are what each state of a pool begins with:
 *     package   package.path, cpath, preload, searchers: where modules are found, before
 *               the second one mentions any
 *     setup     init, at_exit, what to pass to init...: in one message, so that these
 *               share the upvalues that they shared
 * What the state keeps for itself stands in its registry under the addresses below.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "runtime/cancel.h"
#include "runtime/error.h"
#include "runtime/job.h"
#include "runtime/mailbox.h"
#include "runtime/pool.h"
#include "runtime/state.h"
#include "runtime/thread.h"
#include "runtime/util.h"
#include "codec/codec.h"
#include "io/io.h"
#include "threads/threads.h"
#include "shared/shared.h"
#include "weir.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#ifdef __linux__
#include <sys/syscall.h>
#endif
#include <unistd.h>

enum { PATH = 1, CPATH, PRELOAD, SEARCHERS };
enum { INIT = 1, AT_EXIT, ARGS };

static char key_state, key_at_exit;

static void keep_first(_Atomic(wl_message *) *where, wl_message *m)
{
    wl_message *none = NULL;
    if (!atomic_compare_exchange_strong(where, &none, m))
        wl_message_free(m);
}

/* ---- a state begins -------------------------------------------------------- */

/* -> error */
static int no_exit(lua_State *L)
{
    return luaL_error(L, "os.exit: not in a thread of pool '%s'; use weir.run_in_main(os.exit)",
                      wl_thread_of(L)->pool->name);
}

static void keep_tools(lua_State *L)
{
    wl_jit_keep(L);
    wl_error_prepare(L);
    lua_getglobal(L, "os");
    wl_method(L, "exit", no_exit);
    wl_command_register(L);
    wl_stream_register(L);
    lua_settop(L, 0);
}

/* Upvalue 1 is the original. A module is loaded once for all tasks, so its globals are
 * the state's.
 *
 * name -> as require */
static int require_at_home(lua_State *L)
{
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_pushglobaltable(L);
    lua_insert(L, 1);
    wl_globals_go_home(L);
    int status = lua_pcall(L, lua_gettop(L) - 2, LUA_MULTRET, 0);
    lua_pushvalue(L, 1);
    wl_globals_use(L);
    return status == 0 ? lua_gettop(L) - 1 : lua_error(L);
}

static void keep_require(lua_State *L)
{
    lua_getglobal(L, "require");
    lua_pushcclosure(L, require_at_home, 1);
    lua_setglobal(L, "require");
}

/* package -> package; those of the program's stand where they stood there */
static void add_searchers(lua_State *L)
{
    lua_getfield(L, -1, LUA_VERSION_NUM < 502 ? "loaders" : "searchers");
    int to = lua_gettop(L), given = (int)lua_rawlen(L, SEARCHERS);
    for (int i = 1; i <= given; i++) {
        lua_rawgeti(L, SEARCHERS, i);
        if (lua_isfunction(L, -1)) {
            int last = (int)lua_rawlen(L, to), at = i <= last ? i : last + 1;
            for (; last >= at; last--) {
                lua_rawgeti(L, to, last);
                lua_rawseti(L, to, last + 1);
            }
            lua_rawseti(L, to, at);
        } else {
            lua_pop(L, 1);
        }
    }
    lua_pop(L, 1);
}

/* package... -> */
static void prepare_package(lua_State *L)
{
    lua_getglobal(L, "package");
    lua_pushvalue(L, PATH);
    lua_setfield(L, -2, "path");
    lua_pushvalue(L, CPATH);
    lua_setfield(L, -2, "cpath");
    if (lua_istable(L, SEARCHERS))
        add_searchers(L);
    lua_getfield(L, -1, "preload");
    if (lua_istable(L, PRELOAD))
        for (lua_pushnil(L); lua_next(L, PRELOAD);) {
            if (lua_islightuserdata(L, -1)) { /* of C: see c_function in module.c */
                lua_CFunction fn = (lua_CFunction)(uintptr_t)lua_touserdata(L, -1);
                lua_pop(L, 1);
                lua_pushcfunction(L, fn);
            }
            lua_pushvalue(L, -2);
            lua_insert(L, -2);
            lua_rawset(L, -4);
        }
    lua_settop(L, 0);
}

static int serve_task(lua_State *L);

/* So that pushing them cannot raise, and leaves no garbage, in any task. */
static void keep_functions(lua_State *L)
{
    wl_push_kept(L, serve_task);
    wl_push_kept(L, wl_note_failure);
    wl_push_kept(L, wl_cancel_too_late);
    lua_pop(L, 3);
}

/* lightuserdata thread -> ; everything up to init's call */
static int begin_state(lua_State *L)
{
    wl_thread *w = lua_touserdata(L, 1);
    luaL_openlibs(L);
    wl_random_seed(L);
    wl_state_open(L, w);
    keep_tools(L);
    keep_functions(L);
    if (w->pool->own_globals)
        keep_require(L);
    wl_coroutine_follow(L, w);
    if (wl_unpack(L, w->pool->package) < 0)
        return lua_error(L);
    prepare_package(L);
    if (wl_unpack(L, w->pool->setup) < 0)
        return lua_error(L);
    lua_pushvalue(L, AT_EXIT);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &key_at_exit);
    if (!lua_isfunction(L, INIT))
        return 0;
    w->has_state = true;
    lua_pushvalue(L, INIT);
    lua_insert(L, ARGS);
    lua_call(L, lua_gettop(L) - ARGS, 2);
    if (lua_isnil(L, -2) && !lua_isnil(L, -1)) /* as what opens things says that it could not */
        return lua_error(L);
    lua_pop(L, 1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &key_state);
    return 0;
}

/* lightuserdata thread -> ; begin_state's error becomes the pool's */
static int begin_and_tell(lua_State *L)
{
    wl_thread *w = lua_touserdata(L, 1);
    lua_pushcfunction(L, begin_state);
    lua_insert(L, 1);
    if (lua_pcall(L, 1, 0, 0) != 0) {
        w->failed = true;
        wl_pool_init_failed(w->pool, wl_pack_error(L, w->pool->metatables));
    }
    return 0;
}

/* False: why stands in the pool, unless there was no memory. */
static bool open_state(wl_thread *w)
{
    w->has_state = w->failed = false;
    w->L = luaL_newstate();
    if (w->L && wl_protect(w->L, begin_and_tell, w) == 0 && !w->failed) {
        wl_main_end(w->L);
        return true;
    }
    if (w->L)
        lua_close(w->L);
    w->L = NULL;
    return false;
}

/* To open libraries, or a connection in init, takes more stack than most tasks do: the
 * pages below this frame go back to the system, which has new ones when they are needed. */
static void give_back_stack(void)
{
#ifdef __linux__
    pthread_attr_t attr;
    uintptr_t      page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t      end = ((uintptr_t)__builtin_frame_address(0) & ~(page - 1)) - page;
    void          *stack;
    size_t         size;
    if (pthread_getattr_np(pthread_self(), &attr) != 0)
        return;
    if (pthread_attr_getstack(&attr, &stack, &size) == 0 && end > (uintptr_t)stack)
        madvise(stack, end - (uintptr_t)stack, MADV_DONTNEED);
    pthread_attr_destroy(&attr);
#endif
}

static void end_thread(wl_thread *w)
{
    wl_pool *p = w->pool;
    free(w);
    wl_pool_unref(p);
}

/* ---- how nice it is: Linux has that per thread --------------------------------- */

#ifdef __linux__
static id_t this_thread(void) { return (id_t)syscall(SYS_gettid); }

int wl_thread_nice(void) { return getpriority(PRIO_PROCESS, this_thread()); }

/* A new thread is as nice as the one that made it, which may be another pool's. */
static void set_nice(int nice)
{
    if (wl_thread_nice() != nice)
        setpriority(PRIO_PROCESS, this_thread(), nice);
}
#else
int         wl_thread_nice(void) { return 0; }
static void set_nice(int nice) { (void)nice; }
#endif

int wl_thread_init(void *pool, void **thread)
{
    wl_thread *w = calloc(1, sizeof *w);
    if (!w)
        return WEIR_ENOMEM;
    wl_pool_ref(w->pool = pool);
    set_nice(w->pool->nice);
    if (open_state(w)) {
        give_back_stack();
        *thread = w;
        return 0;
    }
    end_thread(w);
    return WEIR_ENOMEM; /* a better reason stands in the pool */
}

/* ---- a state ends ---------------------------------------------------------- */

/* For who closes the pool; where no handle is left, nobody will ask.
 *
 * error -> ... */
static void keep_exit_error(lua_State *L, wl_pool *p)
{
    wl_push_text(L, lua_gettop(L));
    char *text = wl_strdup(lua_tostring(L, -1));
    lua_pop(L, 1);
    keep_first(&p->exit_error, wl_pack_error(L, p->metatables));
    char *none = NULL;
    if (!text || !atomic_compare_exchange_strong(&p->exit_text, &none, text))
        free(text);
    if (atomic_load(&p->uses.refs) == 0)
        wl_pool_tell_exit_error(p);
}

/* lightuserdata thread -> */
static int say_goodbye(lua_State *L)
{
    wl_thread *w = lua_touserdata(L, 1);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &key_at_exit);
    if (!lua_isfunction(L, -1))
        return 0;
    if (w->has_state)
        lua_rawgetp(L, LUA_REGISTRYINDEX, &key_state);
    if (lua_pcall(L, w->has_state, 0, 0) != 0)
        keep_exit_error(L, w->pool);
    return 0;
}

static void close_state(wl_thread *w)
{
    if (!w->L)
        return;
    wl_protect(w->L, say_goodbye, w);
    lua_close(w->L);
    w->L = NULL;
}

void wl_thread_exit(void *pool, void *thread)
{
    (void)pool;
    close_state(thread);
    end_thread(thread);
}

/* ---- tasks ----------------------------------------------------------------- */

/* What the hook of runtime/cancel.c raises, and every wait of ours in a task that is stopped. */
static bool is_stop(lua_State *L, int index)
{
    static const char word[] = "cancelled";
    size_t            size = 0, n = sizeof word - 1;
    const char       *s = lua_type(L, index) == LUA_TSTRING ? lua_tolstring(L, index, &size) : "";
    return size >= n && strcmp(s + size - n, word) == 0 && (size == n || s[size - n - 1] == ' ');
}

/* handler error -> ... */
static void keep_failure(lua_State *L, wl_thread *w)
{
    w->code = is_stop(L, -1) ? WEIR_ECANCELED : WL_FAILED;
    w->job->result = wl_pack_error(L, w->pool->metatables);
    if (!w->job->result)
        w->job->failure = "not enough memory";
}

/* handler values... -> ... */
static void keep_result(lua_State *L, wl_thread *w)
{
    wl_pack_options options = {.what = "result",
                               .number = 1,
                               .metatables = w->pool->metatables,
                               .restricted = w->state->restricted};
    wl_job         *j = w->job; /* in the memory of the call: who made it frees it, on one thread */
    if (wl_pack_into(L, 2, lua_gettop(L) - 1, &options, &j->call, &j->result) != 0)
        keep_failure(L, w);
}

/* error -> error; its job has a traceback from here on */
static void note_failure(lua_State *L)
{
    wl_push_kept(L, wl_note_failure);
    lua_pushvalue(L, -2);
    lua_call(L, 1, 0);
}

/* handler -> handler f state arguments... | handler error; false for an error */
static bool push_call(lua_State *L, wl_thread *w)
{
    int n = wl_unpack_plainly(L, w->job->call);
    w->job->call = wl_message_empty(w->job->call);
    if (n < 0)
        note_failure(L);
    if (n < 0 || !w->has_state)
        return n >= 0;
    luaL_checkstack(L, 1, "too many arguments");
    lua_rawgetp(L, LUA_REGISTRYINDEX, &key_state);
    lua_insert(L, 3);
    return true;
}

/* lightuserdata thread -> */
static int serve_task(lua_State *L)
{
    wl_thread *w = lua_touserdata(L, 1);
    wl_job    *j = w->job;
    lua_settop(L, 0);
    lua_pushliteral(L, ""); /* lets the collector look: to load functions alone does not */
    lua_pop(L, 1);
    bool jit = j->cancellable && wl_jit_stop(L);
    if (w->pool->own_globals) {
        wl_globals_push_new(L);
        wl_globals_use(L);
    }
    wl_push_kept(L, wl_cancel_too_late);
    bool ok = push_call(L, w) && lua_pcall(L, lua_gettop(L) - 2, LUA_MULTRET, 1) == 0;
    wl_cancel_leave(w);
    if (ok)
        keep_result(L, w);
    else
        keep_failure(L, w);
    if (jit)
        wl_jit_go_on(L);
    return 0;
}

/* The state was given up after a task was stopped in it; this task needs another. */
static bool has_state(wl_thread *w, wl_job *j)
{
    if (w->L || open_state(w))
        return true;
    wl_job_failed(j, WEIR_EINIT);
    return false;
}

/* A task may leave while it is inside weir.blocking: by an error, or in a coroutine. */
static void unblock(wl_thread *w)
{
    for (; w->blocking; w->blocking--)
        weir_blocking_end();
}

static int serve_protected(wl_thread *w)
{
    wl_push_kept(w->L, serve_task);
    lua_pushlightuserdata(w->L, w);
    return lua_pcall(w->L, 1, 0, 0);
}

static void run_job(wl_thread *w, wl_job *j)
{
    w->code = 0;
    if (wl_cancel_begin(w, j) && serve_protected(w) != 0) { /* no memory for anything else */
        j->failure = "not enough memory";
        w->code = is_stop(w->L, -1) ? WEIR_ECANCELED : WL_FAILED;
    }
    wl_owner_end(w->owner);
    w->owner = NULL;
    bool stopped = wl_cancel_end(w);
    wl_cancel_unhook(w->L);
    lua_settop(w->L, 0);
    unblock(w);
    if (w->on_cancel)
        wl_on_cancel_end(w, weir_cancel_requested(&j->u.task));
    if (w->pool->own_globals)
        wl_globals_go_home(w->L);
    if (w->state->main) /* few tasks need one */
        wl_main_end(w->L);
    if (stopped) /* in the middle of anything */
        close_state(w);
}

int wl_thread_run(weir_task *task, void *thread)
{
    wl_thread *w = thread;
    wl_job    *j = (wl_job *)(void *)task;
    if (has_state(w, j))
        run_job(w, j);
    else
        w->code = WL_FAILED;
    if (!weir_cancel_requested(task))
        return w->code == 0 ? 0 : WL_FAILED;
    wl_cancel_left(j);
    if (w->code == WL_FAILED)
        atomic_store(&j->failed_late, true);
    return WEIR_ECANCELED;
}
