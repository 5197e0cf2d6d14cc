/* SPDX-License-Identifier: ISC
 *
 * life.c: the life of an actor: created, given its functions, run, parked, ended.
 *
 * Its state is made in its first run and closed in its last one.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <fcntl.h>

#include "lus/life.h"
#include "lus/checks.h"
#include "lus/options.h"
#include "lus/path.h"
#include "lus/core.h"
#include "lus/actor.h"
#include "lus/api.h"
#include "lus/arena.h"
#include "lus/channel.h"
#include "lus/failure.h"
#include "lus/family.h"
#include "lus/handle.h"
#include "lus/pending.h"
#include "lus/pool.h"
#include "lus/queue.h"
#include "lus/rights.h"
#include "lus/roster.h"
#include "lus/script.h"
#include "lus/stop.h"
#include "lus/suspend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Among the functions of a state is create, which gives other states theirs. */
static void push_functions(lua_State *L);

/* ---- how one ends ------------------------------------------------------------------------ */

/* Its children learn of it while the state is closed; its parent last of all. */
static void end_actor(wl_actor *a)
{
    int lives = WL_LIVES;
    if (a->L) {
        wl_lus    *s = wl_lus_of(a->L);
        wl_rights *r = s ? s->rights : NULL;
        if (s) { /* before the handles are collected, which say less */
            wl_family_end(s);
            s->sealed = true; /* no more of its rights go */
        }
        wl_stop_forget(a);
        wl_arena_close(a->L);
        wl_stop_end(a);
        wl_rights_unref(r);
    }
    a->L = a->root = NULL;
    wl_channel_clear(&a->in);
    wl_family_leave(a);
    if (atomic_compare_exchange_strong(&a->ended_by, &lives, WL_ENDED_ITSELF))
        wl_channel_end(&a->out, WL_DEAD);
}

/* ---- how one runs ------------------------------------------------------------------------- */

/* -> error */
static int no_exit(lua_State *L)
{
    return luaL_error(L, "os.exit: not in a worker; return, or send the parent a message");
}

static void end_family(void *lus) { wl_family_end(lus); }

static void register_handles(lua_State *L)
{
    wl_actor_register(L, luaopen_weir_lus_core);
    wl_pending_class_make(L);
    wl_core->wl_state_on_end(wl_core->wl_state_of(L), end_family, wl_lus_open(L));
}

static void set_package(lua_State *L, wl_actor *a)
{
    lua_getglobal(L, "package");
    lua_pushstring(L, a->package_path);
    lua_setfield(L, -2, "path");
    lua_pushstring(L, a->package_cpath);
    lua_setfield(L, -2, "cpath");
    free(a->package_path);
    free(a->package_cpath);
    a->package_path = a->package_cpath = NULL;
    lua_getfield(L, -1, "preload");
    wl_function(L, "weir.core", wl_core->luaopen_weir_core);
    wl_function(L, "weir.lus.core", luaopen_weir_lus_core);
    lua_getfield(L, -2, "loaded");
    push_functions(L);
    lua_pushvalue(L, -1);
    lua_setglobal(L, "worker");
    lua_setfield(L, -2, "weir.worker");
    lua_getglobal(L, "os");
    wl_function(L, "exit", no_exit);
    lua_settop(L, 0);
    wl_pledge_push(L);
    lua_setglobal(L, "pledge");
    if (wl_is_restricted(L))
        wl_foreign_empty(L); /* there is no foreign code yet, and nothing brings it later */
    lua_settop(L, 0);
}

/* Its creator could read it, and so may it; but what stands there may have changed. */
static void load_script(lua_State *L, const char *path)
{
    bool restricted = wl_is_restricted(L);
    int  fd = restricted ? wl_open_judged(L, "worker.create", WL_RIGHT(WL_FS_READ), path, O_RDONLY)
                         : wl_fd_above(open(path, O_RDONLY | O_CLOEXEC));
    wl_script_load(L, fd, path, restricted);
}

/* -> script, arguments... ; everything up to its call */
static int begin_script(lua_State *L, wl_actor *a)
{
    lua_gc(L, LUA_GCSTOP, 0); /* all that is made stays */
    luaL_openlibs(L);
    if (a->limits)
        wl_stop_prepare(L, a);
    wl_core->wl_random_seed(L);
    wl_core->wl_state_open(L, NULL);
    wl_core->wl_state_of(L)->spares = true;
    wl_lus_open(L)->actor = a;
    wl_core->wl_command_register(L);
    wl_core->wl_stream_register(L);
    register_handles(L);
    wl_lus_restrict(L, a->rights);
    a->rights = NULL;
    set_package(L, a);
    wl_failure_prepare(L);
    a->root = lua_newthread(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &a->root);
    load_script(L, a->path);
    lua_gc(L, LUA_GCRESTART, 0);
    if (a->arguments && wl_core->wl_unpack(L, a->arguments) < 0)
        lua_error(L);
    wl_core->wl_message_free(a->arguments);
    a->arguments = NULL;
    return lua_gettop(L) - 1;
}

static int resume(lua_State *root, lua_State *from, int n)
{
#if LUA_VERSION_NUM >= 504
    int results;
    return lua_resume(root, from, n, &results);
#elif LUA_VERSION_NUM >= 502
    return lua_resume(root, from, n);
#else
    (void)from;
    return lua_resume(root, n);
#endif
}

/* The operation that root has yielded for -> what it comes to, or nothing */
static int try_again(lua_State *L, wl_actor *a)
{
    a->trying = true;
    int n = wl_pending_again(L, a->op);
    a->trying = false;
    if (n == 0)
        return 0;
    lua_pushnil(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &a->op);
    a->op = NULL;
    return n;
}

static void step(lua_State *L, wl_actor *a, int n)
{
    int         status = resume(a->root, L, n);
    const char *stopped = wl_stop_text(a);
    if (status != LUA_YIELD && status != 0 && stopped)
        return wl_failure_text(a, stopped);
    if (status == LUA_YIELD && !a->op)
        wl_failure_text(a, "attempt to yield from outside a coroutine");
    else if (status != 0 && status != LUA_YIELD)
        wl_failure_of_script(L, a);
}

/* lightuserdata actor -> ; until it parks or ends */
static int go(lua_State *L)
{
    wl_actor *a = lua_touserdata(L, 1);
    lua_settop(L, 0);
    wl_stop_check(L, a);
    bool begins = !a->root;
    int  n = begins ? begin_script(L, a) : try_again(L, a);
    if (n == 0 && !begins)
        return 0;
    if (!begins && lua_status(a->root) != LUA_YIELD)
        return luaL_error(L, "the main chunk was resumed while it waited");
    if (!lua_checkstack(a->root, n + 1))
        return luaL_error(L, "too many values");
    lua_xmove(L, a->root, n + begins);
    step(L, a, n);
    return 0;
}

/* Its script has forked, and this is the child: a program of its own, that ends with the
 * script. Nobody is there to be told of an error. */
static void end_process(wl_actor *a)
{
    bool failed = atomic_load(&a->failed);
    if (failed)
        fprintf(stderr, "weir.worker: %.*s\n", a->error ? (int)a->error_size : 17,
                a->error ? a->error : "not enough memory");
    end_actor(a);
    exit(failed ? EXIT_FAILURE : EXIT_SUCCESS);
}

static void enter(wl_actor *a)
{
    wl_slice_begin(a);
    if (wl_protect(a->L, go, a) != 0) {
        a->op = NULL;
        if (wl_stop_text(a))
            wl_failure_text(a, wl_stop_text(a));
        else
            wl_failure_keep(a->L, a);
    }
    wl_slice_end(a);
}

static int run_actor(weir_task *task, void *unused)
{
    (void)unused;
    wl_actor *a = (wl_actor *)(void *)task;
    if (!a->L)
        a->L = wl_arena_open();
    if (!a->L) {
        wl_failure_text(a, "not enough memory");
    } else {
        enter(a);
    }
    if (a->op && !atomic_load(&a->failed)) {
        if (!wl_stop_text(a))
            return WEIR_PARK;
        wl_failure_text(a, wl_stop_text(a));
    }
    if (wl_actor_is_lost(a))
        end_process(a);
    end_actor(a);
    return 0;
}

static void done(weir_task *task) { wl_actor_unref((wl_actor *)(void *)task); }

/* Its thread was given up, and has left it now. It was about to park then, if there is a state. */
static void released(weir_task *task)
{
    wl_actor *a = (wl_actor *)(void *)task;
    if (a->L)
        end_actor(a);
    wl_actor_unref(a);
}

/* ---- create ---------------------------------------------------------------------------------- */

static char *copy_field(lua_State *L, const char *name)
{
    int top = lua_gettop(L);
    lua_getglobal(L, "package");
    if (lua_istable(L, -1))
        lua_getfield(L, -1, name);
    char *copy = wl_strdup(lua_isstring(L, -1) ? lua_tostring(L, -1) : "");
    lua_settop(L, top);
    return copy;
}

static wl_actor *actor_new(const wl_actor_options *o)
{
    wl_actor *a = calloc(1, sizeof *a);
    if (!a)
        return NULL;
    atomic_init(&a->refs, 1);
    atomic_init(&a->holders, 1);
    a->generation = wl_generation();
    a->task.run = run_actor;
    a->task.done = done;
    a->task.release = released;
    wl_channel_init(&a->in, o->limit, o->refuses);
    wl_channel_init(&a->out, o->limit, o->refuses);
    a->path = wl_strdup(o->path);
    return a;
}

static const char *start_actor(lua_State *L, wl_actor *a)
{
    if (wl_lus_of(L)->ended)
        return "this state is being closed";
    if (!a->path || !a->package_path || !a->package_cpath)
        return "not enough memory";
    int rc = wl_actor_pool_open();
    if (rc != 0)
        return wl_core->wl_word(rc);
    const char *why = wl_family_enter(L, a);
    if (why)
        return why;
    wl_actor_ref(a); /* the task's */
    if ((rc = wl_actor_pool_run(&a->task)) == 0)
        return NULL;
    wl_family_leave(a);
    wl_actor_unref(a);
    return wl_core->wl_word(rc);
}

/* Its limits stand below its creator's, which pay for what is sent to it. False: no memory. */
static bool limit(lua_State *L, wl_actor *a, const wl_actor_options *o)
{
    wl_actor  *creator = wl_lus_of(L)->actor;
    wl_limits *above = creator ? creator->limits : NULL;
    bool       own = o->most.memory || o->most.steps || o->most.time_ns;
    a->limits = own ? wl_limits_new(above, &o->most) : wl_limits_ref(above);
    a->in.payer = wl_limits_ref(above);
    a->out.payer = wl_limits_ref(a->limits);
    return a->limits || !own;
}

/* In a state that closes no new handle would be collected. */
static const char *drop_new(wl_actor **slot, wl_actor *a, const char *why)
{
    *slot = NULL;
    wl_actor_let_go(a);
    return why;
}

static const char *create_actor(lua_State *L, const wl_actor_options *o)
{
    wl_actor **slot = lua_touserdata(L, -1);
    wl_actor  *a = *slot = actor_new(o);
    if (!a) {
        wl_core->wl_message_free(o->arguments);
        return "not enough memory";
    }
    a->arguments = o->arguments;
    if ((a->rights = wl_lus_of(L)->rights))
        wl_rights_ref(a->rights);
    if (!limit(L, a, o))
        return drop_new(slot, a, "not enough memory");
    a->package_path = copy_field(L, "path");
    a->package_cpath = copy_field(L, "cpath");
    const char *why = start_actor(L, a);
    return why ? drop_new(slot, a, why) : NULL;
}

/* A worker has its creator's rights, to which its script belongs. */
static void check_rights(lua_State *L, const char *path)
{
    enum wl_right    missing;
    const wl_rights *r = wl_lus_of(L)->rights;
    if (!r)
        return;
    int fd = wl_path_open(r, WL_RIGHT(WL_FS_READ), path, WL_PATH_ONLY, &missing);
    if (fd >= 0)
        close(fd);
    if (fd == WL_PATH_DENIED)
        wl_fail_caller(L, "worker.create: permission \"fs:read\" denied for %s", path);
    if (!wl_rights_have(r, WL_LOAD, NULL))
        wl_fail_caller(L, "worker.create: permission \"load\" denied");
}

/* path | options, arguments... -> handle */
static int worker_create(lua_State *L)
{
    static const wl_pack_options how = {.number = 2, .metatables = WL_DROP, .data = true};
    wl_actor_options             o = {0};
    int                          n = lua_gettop(L) - 1;
    bool                         has_options = lua_istable(L, 1);
    if (wl_lus_of(L)->actor)
        wl_stop_check(L, wl_lus_of(L)->actor);
    if (has_options)
        o = wl_create_options(L);
    if (!lua_isstring(L, 1))
        wl_fail_caller(L, "worker.create: argument 1%s must be a path (a string), got %s",
                       has_options ? ".path" : "", wl_show(L, 1));
    check_rights(L, lua_tostring(L, 1));
    wl_actor_slot(L);
    if (n > 0 && wl_core->wl_pack(L, 2, n, &how, &o.arguments) != 0)
        wl_fail_caller(L, "worker.create: %s", lua_tostring(L, -1));
    o.path = lua_tostring(L, 1);
    const char *why = create_actor(L, &o);
    if (why)
        wl_fail_caller(L, "worker.create: %s", why);
    return wl_api_results(L, 1);
}

/* ---- the functions of a state ------------------------------------------- */

static char key_functions;

static void push_functions(lua_State *L)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &key_functions);
    if (lua_istable(L, -1))
        return;
    lua_pop(L, 1);
    wl_api_push(L);
    wl_api_add(L, "create", worker_create);
    wl_actor *a = wl_lus_of(L)->actor; /* before its script has begun */
    wl_guards_install(L, a && !a->limits);
    wl_pledge_push(L);
    lua_setfield(L, -2, "pledge");
    lua_replace(L, -3);
    lua_pop(L, 1);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &key_functions);
}

/* -> functions */
static int functions(lua_State *L) { return push_functions(L), 1; }

/* So that states that are made later find this very file.
 *
 * -> */
static void preload(lua_State *L)
{
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "preload");
    if (lua_istable(L, -1))
        wl_function(L, "weir.lus.core", luaopen_weir_lus_core);
    lua_pop(L, 2);
}

/* -> module */
int luaopen_weir_lus_core(lua_State *L)
{
    wl_stay_loaded(luaopen_weir_lus_core);
    wl_core_require(L);
    register_handles(L);
    preload(L);
    lua_newtable(L);
    wl_function(L, "functions", functions);
    wl_suspend_register(L);
    return 1;
}
