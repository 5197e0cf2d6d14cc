/* SPDX-License-Identifier: ISC
 *
 * lua_actor.c: the life of an actor: made, run, parked, ended; and its handles.
 *
 * Its state is made in its first run and closed in its last one.
 */
#include "lua_actor.h"
#include "lua_rights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORKER "weir.worker"

/* ---- families ---------------------------------------------------------------------- */

static void family_unref(wl_family *f)
{
    if (atomic_fetch_sub(&f->refs, 1) != 1)
        return;
    free(f);
}

static wl_family *family_new(void)
{
    wl_family *f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    atomic_init(&f->refs, 1);
    f->generation = wl_crew_generation();
    return f;
}

/* The state's; one from before a fork stays behind. NULL: no memory. */
static wl_family *family_at(wl_family **slot)
{
    if (!*slot || (*slot)->generation != wl_crew_generation())
        *slot = family_new();
    return *slot;
}

/* The family's own state does it, and ends it: it has not ended yet. False: too many
 * live. */
static bool enter(wl_family *f, wl_actor *a)
{
    wl_crew_lock();
    bool may = wl_crew_enter_locked(a);
    if (may) {
        atomic_fetch_add(&f->refs, 1);
        a->family = f;
        if ((a->next = f->first))
            a->next->prev = a;
        f->first = a;
    }
    wl_crew_unlock();
    return may;
}

static void unlink_locked(wl_family *f, wl_actor *a)
{
    if (a->next)
        a->next->prev = a->prev;
    if (a->prev)
        a->prev->next = a->next;
    else if (f->first == a)
        f->first = a->next;
    a->next = a->prev = NULL;
}

/* It has entered, and lives no more. */
static void leave(wl_actor *a)
{
    wl_family *f = a->family;
    a->family = NULL;
    wl_crew_lock();
    unlink_locked(f, a);
    wl_crew_ended_locked(a);
    wl_crew_unlock();
    family_unref(f);
}

void wl_family_end(wl_family *f)
{
    if (!f || f->generation != wl_crew_generation())
        return;
    for (wl_actor *a;;) {
        wl_crew_lock();
        if ((a = f->first)) {
            unlink_locked(f, a);
            wl_actor_ref(a);
        }
        wl_crew_unlock();
        if (!a)
            break;
        wl_channel_end(&a->in, WL_PARENT_ENDED);
        wl_actor_unref(a);
    }
    family_unref(f);
}

/* ---- references ---------------------------------------------------------------------- */

void wl_actor_ref(wl_actor *a) { atomic_fetch_add(&a->refs, 1); }

void wl_actor_unref(wl_actor *a)
{
    if (atomic_fetch_sub(&a->refs, 1) != 1)
        return;
    wl_crew_forget(a);
    wl_channel_destroy(&a->in);
    wl_channel_destroy(&a->out);
    wl_message_free(a->arguments);
    wl_rights_unref(a->rights);
    free(a->path);
    free(a->package_path);
    free(a->package_cpath);
    free(a->error);
    free(a->traceback);
    free(a);
}

bool wl_actor_is_lost(const wl_actor *a) { return a->generation != wl_crew_generation(); }

bool wl_actor_is_dead(wl_actor *a) { return wl_actor_is_lost(a) || atomic_load(&a->out.ended); }

static void hold(wl_actor *a)
{
    atomic_fetch_add(&a->holders, 1);
    wl_actor_ref(a);
}

/* What waits for a message, or for room for one, waits in vain without a handle. */
static void let_go(wl_actor *a)
{
    if (wl_actor_is_lost(a))
        return;
    if (atomic_fetch_sub(&a->holders, 1) == 1) {
        wl_channel_end(&a->in, WL_UNHELD);
        wl_channel_wake(&a->out);
    }
    wl_actor_unref(a);
}

/* ---- handles ---------------------------------------------------------------------------- */

static wl_actor **slot_push(lua_State *L)
{
    wl_actor **slot = lua_newuserdata(L, sizeof *slot);
    *slot = NULL;
    luaL_getmetatable(L, WORKER);
    lua_setmetatable(L, -2);
    return slot;
}

void wl_actor_slot(lua_State *L) { slot_push(L); }

/* handle -> */
static int handle_gc(lua_State *L)
{
    wl_actor **slot = lua_touserdata(L, 1);
    if (*slot)
        let_go(*slot);
    *slot = NULL;
    return 0;
}

/* handle -> string */
static int handle_tostring(lua_State *L)
{
    lua_pushfstring(L, "worker: %p", *(void **)luaL_checkudata(L, 1, WORKER));
    return 1;
}

static void *handle_retain(void *userdata)
{
    wl_actor *a = *(wl_actor **)userdata;
    if (!a)
        return NULL;
    atomic_store(&a->in.shared, true);
    atomic_store(&a->out.shared, true);
    hold(a);
    return a;
}
static void handle_release(void *actor) { let_go(actor); }

/* -> handle */
static void handle_push(lua_State *L, void *actor)
{
    luaL_getmetatable(L, WORKER);
    if (lua_isnil(L, -1)) { /* a state that does not know of us yet */
        lua_getglobal(L, "require");
        lua_pushliteral(L, "weir.core");
        lua_call(L, 1, 0);
    }
    lua_pop(L, 1);
    wl_actor **slot = slot_push(L);
    hold(actor);
    *slot = actor;
}

static const wl_handle_type handle_type = {handle_retain, handle_release, handle_push};

/* -> */
void wl_actor_register(lua_State *L)
{
    luaL_newmetatable(L, WORKER);
    wl_handle_metatable(L, lua_gettop(L), &handle_type);
    wl_method(L, "__gc", handle_gc);
    wl_method(L, "__tostring", handle_tostring);
    lua_pushliteral(L, "weir");
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
    wl_op_class_make(L);
}

void wl_actor_metatable(lua_State *L) { luaL_getmetatable(L, WORKER); }

/* ---- how one ends ------------------------------------------------------------------------ */

/* Its children learn of it while the state is closed; its parent last of all. */
static void end(wl_actor *a)
{
    if (a->L) {
        wl_state_end_family(a->L); /* before the handles are collected, which say less */
        wl_rights *r = wl_state_seal(a->L);
        wl_block_close(a->L);
        wl_rights_unref(r);
    }
    a->L = a->root = NULL;
    wl_channel_clear(&a->in);
    leave(a);
    wl_channel_end(&a->out, WL_DEAD);
}

/* ---- how one runs ------------------------------------------------------------------------- */

/* -> error */
static int no_exit(lua_State *L)
{
    return luaL_error(L, "os.exit: not in a worker; return, or send the parent a message");
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
    wl_method(L, "weir.core", luaopen_weir_core);
    lua_getfield(L, -2, "loaded");
    wl_talk_push(L);
    lua_pushvalue(L, -1);
    lua_setglobal(L, "worker");
    lua_setfield(L, -2, "weir.worker");
    lua_getglobal(L, "os");
    wl_method(L, "exit", no_exit);
    lua_settop(L, 0);
    wl_pledge_push(L);
    lua_setglobal(L, "pledge");
}

/* Its creator could read it, and so may it; but what stands there may have changed. */
static void load_script(lua_State *L, const char *path)
{
    bool restricted = wl_is_restricted(L);
    lua_pushstring(L, path);
    if (restricted)
        wl_need_path(L, "worker.create", WL_FS_READ, lua_gettop(L));
    wl_script_load(L, lua_tostring(L, -1), path, restricted);
    lua_remove(L, -2);
}

/* -> script, arguments... ; everything up to its call */
static int begin(lua_State *L, wl_actor *a)
{
    lua_gc(L, LUA_GCSTOP, 0); /* all that is made stays */
    luaL_openlibs(L);
    wl_random_seed(L);
    wl_state_open(L, NULL);
    wl_state_set_actor(L, a);
    wl_command_register(L);
    wl_stream_register(L);
    wl_actor_register(L);
    wl_state_set_rights(L, a->rights);
    a->rights = NULL;
    set_package(L, a);
    wl_failure_prepare(L);
    a->root = lua_newthread(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &a->root);
    load_script(L, a->path);
    lua_gc(L, LUA_GCRESTART, 0);
    if (a->arguments && wl_unpack(L, a->arguments) < 0)
        lua_error(L);
    wl_message_free(a->arguments);
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

static void step(lua_State *L, wl_actor *a, int n)
{
    int status = resume(a->root, L, n);
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
    bool begins = !a->root;
    int  n = begins ? begin(L, a) : wl_op_again(L, a->op);
    if (n == 0 && !begins)
        return 0;
    a->op = NULL;
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
    end(a);
    exit(failed ? EXIT_FAILURE : EXIT_SUCCESS);
}

static int run(weir_task *task, void *unused)
{
    (void)unused;
    wl_actor *a = (wl_actor *)(void *)task;
    if (!a->L)
        a->L = wl_block_open();
    if (!a->L) {
        wl_failure_text(a, "not enough memory");
    } else if (wl_protect(a->L, go, a) != 0) {
        a->op = NULL;
        wl_failure_keep(a->L, a);
    }
    if (a->op && !atomic_load(&a->failed))
        return WEIR_PARK;
    if (wl_actor_is_lost(a))
        end_process(a);
    end(a);
    return 0;
}

static void done(weir_task *task) { wl_actor_unref((wl_actor *)(void *)task); }

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
    a->generation = wl_crew_generation();
    a->task.run = run;
    a->task.done = done;
    wl_channel_init(&a->in, o->limit, o->refuses);
    wl_channel_init(&a->out, o->limit, o->refuses);
    a->path = wl_strdup(o->path);
    return a;
}

static const char *start(lua_State *L, wl_actor *a)
{
    wl_family **slot = wl_family_slot(L), *f = slot ? family_at(slot) : NULL;
    if (!slot)
        return "this state is being closed";
    if (!f || !a->path || !a->package_path || !a->package_cpath)
        return "not enough memory";
    int rc = wl_crew_open();
    if (rc != 0)
        return wl_word(rc);
    if (!enter(f, a))
        return lua_pushfstring(L, "%d workers live already", (int)wl_crew_most_actors());
    wl_actor_ref(a); /* the task's */
    if ((rc = wl_crew_run(&a->task)) == 0)
        return NULL;
    leave(a);
    wl_actor_unref(a);
    return wl_word(rc);
}

const char *wl_actor_create(lua_State *L, const wl_actor_options *o)
{
    wl_actor **slot = lua_touserdata(L, -1);
    wl_actor  *a = *slot = actor_new(o);
    if (!a) {
        wl_message_free(o->arguments);
        return "not enough memory";
    }
    a->arguments = o->arguments;
    if ((a->rights = wl_state_rights(L)))
        wl_rights_ref(a->rights);
    a->package_path = copy_field(L, "path");
    a->package_cpath = copy_field(L, "cpath");
    const char *why = start(L, a);
    if (why) { /* in a state that closes no new handle would be collected */
        *slot = NULL;
        let_go(a);
    }
    return why;
}
