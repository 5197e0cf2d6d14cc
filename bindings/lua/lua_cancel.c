/* SPDX-License-Identifier: ISC
 *
 * lua_cancel.c: how a task that runs is stopped.
 *
 * The canceller sends one directed signal to the job's thread. Its handler, on that
 * thread, sets a hook that raises before the next instruction; lua_sethook from
 * another thread would race with the interpreter. The hook stays until the task is
 * left, so that no pcall swallows it. Hooks belong to coroutines (but in LuaJIT, where
 * they are the state's), so `current` follows coroutine.resume and wrap: whoever makes
 * a coroutine current looks at `stopping` afterwards, the handler sets `stopping`
 * before it looks at `current`; one of them sets the hook.
 *
 * What the signal does not stop in time (C that does not return, loops that LuaJIT
 * compiled) is abandoned by the watch: a thread with a list of deadlines.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "lua_core.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

static _Thread_local wl_worker *self;

int wl_cancel_signal(void) { return SIGRTMIN + 6; }

/* ---- the hook, on the worker ------------------------------------------------ */

static void stop(lua_State *L, lua_Debug *ar)
{
    (void)ar;
    luaL_error(L, "cancelled");
}

static void set_hook(lua_State *L)
{
    lua_sethook(L, stop, LUA_MASKCALL | LUA_MASKRET | LUA_MASKCOUNT, 1);
}

static void on_signal(int number)
{
    (void)number;
    int        error = errno;
    wl_worker *w = self;
    if (w && w->job && weir_cancel_requested(&w->job->u.task)) {
        w->stopping = 1;
        set_hook(w->current);
    }
    errno = error;
}

static void install(void)
{
    struct sigaction action = {.sa_handler = on_signal}; /* no SA_RESTART: ends sleeps */
    sigemptyset(&action.sa_mask);
    sigaction(wl_cancel_signal(), &action, NULL);
}

void wl_cancel_prepare(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install);
}

/* The job runs on this thread from here to end. */
void wl_cancel_begin(wl_worker *w, wl_job *j)
{
    self = w;
    w->current = w->L;
    w->job = j;
    pthread_mutex_lock(&j->lock);
    j->thread = pthread_self();
    j->on_thread = true;
    pthread_mutex_unlock(&j->lock);
}

/* No signal for this job comes later. Whether one had come. */
bool wl_cancel_end(wl_worker *w)
{
    wl_job *j = w->job;
    pthread_mutex_lock(&j->lock);
    j->on_thread = false;
    pthread_mutex_unlock(&j->lock);
    w->job = NULL;
    bool stopped = w->stopping;
    w->stopping = 0;
    return stopped;
}

/* ---- coroutines ------------------------------------------------------------- */

static void make_current(wl_worker *w, lua_State *L)
{
    w->current = L;
    if (w->stopping)
        set_hook(L);
}

/* Upvalue 1 is the original coroutine.resume.
 *
 * thread arguments... -> as coroutine.resume */
static int resume(lua_State *L)
{
    wl_worker *w = wl_worker_of(L);
    lua_State *co = lua_tothread(L, 1);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    if (co)
        make_current(w, co);
    int status = lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0);
    make_current(w, L);
    return status == 0 ? lua_gettop(L) : lua_error(L);
}

/* Upvalue 1 is resume above, 2 the coroutine.
 *
 * arguments... -> what it yields or returns */
static int resume_wrapped(lua_State *L)
{
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_insert(L, 2);
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    if (lua_toboolean(L, 1))
        return lua_gettop(L) - 1;
    if (lua_type(L, -1) == LUA_TSTRING) { /* as the original */
        luaL_where(L, 1);
        lua_insert(L, -2);
        lua_concat(L, 2);
    }
    return lua_error(L);
}

/* Upvalue 1 is resume above, 2 the original coroutine.create.
 *
 * function -> function */
static int wrap(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_settop(L, 1);
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_insert(L, 1);
    lua_call(L, 1, 1);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_pushcclosure(L, resume_wrapped, 2);
    return 1;
}

/* -> ; in a worker's new state */
void wl_cancel_follow(lua_State *L)
{
    lua_getglobal(L, "jit");
    lua_getglobal(L, "coroutine");
    if (lua_isnil(L, -2)) {
        lua_getfield(L, -1, "resume");
        lua_pushcclosure(L, resume, 1);
        lua_pushvalue(L, -1);
        lua_setfield(L, -3, "resume");
        lua_getfield(L, -2, "create");
        lua_pushcclosure(L, wrap, 2);
        lua_setfield(L, -2, "wrap");
    }
    lua_pop(L, 2);
}

/* ---- the canceller ---------------------------------------------------------- */

void wl_cancel_send(wl_job *j)
{
    pthread_mutex_lock(&j->lock);
    if (j->on_thread)
        pthread_kill(j->thread, wl_cancel_signal());
    pthread_mutex_unlock(&j->lock);
}

/* ---- the watch -------------------------------------------------------------- */

typedef struct deadline {
    struct deadline *next;
    wl_job          *job; /* held, as is */
    wl_pool         *pool;
    struct timespec  at;
} deadline;

static struct {
    pthread_mutex_t lock;
    pthread_cond_t  changed;
    bool            runs;
    deadline       *first; /* the earliest */
} watch = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool is_before(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec < b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec < b->tv_nsec);
}

/* A task that has ended meanwhile, or has no replacement, stays as it is. */
static void give_up(deadline *d)
{
    wl_job_ref(d->job); /* the lost thread's, until its release */
    if (weir_task_abandon(&d->job->u.task) != 0)
        wl_job_unref(d->job);
    wl_job_unref(d->job);
    wl_pool_unuse(d->pool);
    free(d);
}

static void *keep_watch(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&watch.lock);
    for (;;) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        deadline *d = watch.first;
        if (!d) {
            pthread_cond_wait(&watch.changed, &watch.lock);
        } else if (is_before(&now, &d->at)) {
            pthread_cond_timedwait(&watch.changed, &watch.lock, &d->at);
        } else {
            watch.first = d->next;
            pthread_mutex_unlock(&watch.lock);
            give_up(d);
            pthread_mutex_lock(&watch.lock);
        }
    }
    return NULL;
}

static bool start_locked(void)
{
    if (watch.runs)
        return true;
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&watch.changed, &attr);
    pthread_condattr_destroy(&attr);
    sigset_t  old;
    pthread_t thread;
    weir_block_signals(NULL, &old);
    watch.runs = pthread_create(&thread, NULL, keep_watch, NULL) == 0;
    weir_restore_signals(&old);
    if (watch.runs)
        pthread_detach(thread);
    return watch.runs;
}

/* The job is abandoned unless it has ended by then. Without memory or a thread it is
 * only not abandoned. */
void wl_cancel_watch(wl_job *j, int64_t timeout_ns)
{
    deadline *d = malloc(sizeof *d);
    if (!d)
        return;
    wl_job_ref(d->job = j);
    wl_pool_use(d->pool = j->pool);
    clock_gettime(CLOCK_MONOTONIC, &d->at);
    int64_t ns = d->at.tv_nsec + timeout_ns % 1000000000;
    d->at.tv_sec += (time_t)(timeout_ns / 1000000000 + ns / 1000000000);
    d->at.tv_nsec = (long)(ns % 1000000000);
    pthread_mutex_lock(&watch.lock);
    bool       runs = start_locked();
    deadline **at = &watch.first;
    while (runs && *at && !is_before(&d->at, &(*at)->at))
        at = &(*at)->next;
    if (runs) {
        d->next = *at;
        *at = d;
        pthread_cond_signal(&watch.changed);
    }
    pthread_mutex_unlock(&watch.lock);
    if (!runs) {
        wl_job_unref(d->job);
        wl_pool_unuse(d->pool);
        free(d);
    }
}
