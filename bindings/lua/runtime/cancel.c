/* SPDX-License-Identifier: ISC
 *
 * cancel.c: how a task that runs is stopped.
 *
 * The canceller sends one directed signal to the job's thread. Its handler, on that
 * thread, sets a hook that raises before the next instruction; lua_sethook from
 * another thread would race with the interpreter. The hook stays until the task is
 * left, so that no pcall swallows it. Hooks belong to coroutines (but in LuaJIT, where
 * they are the state's), so `current` follows them, see threads/coroutine.c: whoever makes
 * a coroutine current looks at `stopping` afterwards, the handler sets `stopping`
 * before it looks at `current`; one of them sets the hook.
 *
 * A request that comes before the job is on its thread sends no signal: `begin` looks
 * for it after `on_thread` is set, the canceller at `on_thread` after the request is
 * made; one of them sees the other's.
 *
 * A task that waits in weir is woken, too: `asleep` looks for the request under the lock
 * under which the canceller looks for a sleeper. No main closes while one sleeps in it.
 *
 * A task that has asked whether it was cancelled (`looks`) is not stopped by the hook: it
 * looks again, and goes on to its end. The signal ends its sleeps all the same.
 *
 * What the signal does not stop in time (C that does not return, loops that LuaJIT
 * compiled) is abandoned, see runtime/deadline.c.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "runtime/cancel.h"
#include "runtime/deadline.h"
#include "runtime/error.h"
#include "runtime/job.h"
#include "runtime/locks.h"
#include "runtime/main.h"
#include "runtime/thread.h"
#include "weir.h"

#include <errno.h>
#include <signal.h>

static _Thread_local wl_thread *self;

/* Without signals of real time (macOS, OpenBSD) the one that means least to others: by
 * default it is ignored, and it may come at any time anyway. */
#ifdef SIGRTMIN
int wl_cancel_signal(void) { return SIGRTMIN + 6; }
#else
int wl_cancel_signal(void) { return SIGURG; }
#endif

/* ---- the hook, on the pool thread ------------------------------------------- */

static bool is_too_late(lua_State *L, lua_Debug *ar)
{
    if (ar->event != LUA_HOOKCALL)
        return false;
    lua_getinfo(L, "f", ar);
    bool is = lua_tocfunction(L, -1) == wl_cancel_too_late;
    lua_pop(L, 1);
    return is;
}

static void stop(lua_State *L, lua_Debug *ar)
{
    if (self && self->stopping && !is_too_late(L, ar))
        luaL_error(L, "cancelled");
    lua_sethook(L, NULL, 0, 0); /* of a coroutine that the stopped task left behind */
}

static void set_hook(lua_State *L)
{
    lua_sethook(L, stop, LUA_MASKCALL | LUA_MASKRET | LUA_MASKCOUNT, 1);
}

static void on_signal(int number)
{
    (void)number;
    int        error = errno;
    wl_thread *w = self;
    if (w && w->job && !w->left && !w->looks && weir_cancel_requested(&w->job->u.task)) {
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

/* The user's hooks stay. */
void wl_cancel_unhook(lua_State *L)
{
    if (lua_gethook(L) == stop)
        lua_sethook(L, NULL, 0, 0);
}

/* The job runs on this thread from here to end. False: it was cancelled before that. */
bool wl_cancel_begin(wl_thread *w, wl_job *j)
{
    self = w;
    w->current = w->L;
    w->left = w->looks = 0;
    w->job = j;
    wl_lock(j);
    j->thread = pthread_self();
    j->on_thread = true;
    wl_unlock(j);
    return !weir_cancel_requested(&j->u.task);
}

/* A signal that comes now, or has come since the last instruction, stops nothing. */
void wl_cancel_leave(wl_thread *w)
{
    w->left = 1;
    wl_cancel_unhook(w->L);
}

/* The message handler of a task, which has failed: it keeps its own error, because what a
 * hook raises in here would take that one's place.
 *
 * error -> error */
int wl_cancel_too_late(lua_State *L)
{
    wl_cancel_leave(self);
    return wl_note_failure(L);
}

/* No signal for this job comes later. Whether one had come. */
bool wl_cancel_end(wl_thread *w)
{
    wl_job *j = w->job;
    wl_lock(j);
    j->on_thread = false;
    wl_unlock(j);
    w->job = NULL;
    bool stopped = w->stopping;
    w->stopping = 0;
    self = NULL;
    return stopped;
}

/* ---- coroutines ------------------------------------------------------------- */

void wl_cancel_current(wl_thread *w, lua_State *L)
{
    w->current = L;
    if (w->stopping)
        set_hook(L);
}

/* ---- the canceller ---------------------------------------------------------- */

static void nothing(weir_notice *notice, int outcome)
{
    (void)notice;
    (void)outcome;
}

static void wake_locked(wl_job *j)
{
    j->wake.fn = nothing;
    if (j->asleep_in && weir_notice_expect(&j->wake, j->asleep_in->weir) == 0)
        weir_notice_post(&j->wake, 0);
    if (j->asleep_at)
        j->wake_up(j->asleep_at);
}

/* The task is about to wait, in m, or at what wake_up wakes. False: it was cancelled. */
bool wl_cancel_asleep(wl_job *j, wl_main *m, void (*wake_up)(void *), void *at)
{
    wl_lock(j);
    bool goes_on = !weir_cancel_requested(&j->u.task);
    j->asleep_in = goes_on ? m : NULL;
    j->asleep_at = goes_on ? at : NULL;
    j->wake_up = wake_up;
    wl_unlock(j);
    return goes_on;
}

/* False: it was cancelled. */
bool wl_cancel_awake(wl_job *j)
{
    wl_lock(j);
    j->asleep_in = NULL;
    j->asleep_at = NULL;
    wl_unlock(j);
    return !weir_cancel_requested(&j->u.task);
}

/* With a deadline, unless that is negative, after which the job is abandoned. */
void wl_cancel_send(wl_job *j, int64_t abandon_ns)
{
    bool watched = abandon_ns >= 0 && wl_deadline_abandon(j, abandon_ns);
    wl_lock(j);
    if (j->on_thread)
        pthread_kill(j->thread, wl_cancel_signal());
    wake_locked(j);
    bool left = j->left_thread;
    j->watched_over = watched && !left;
    wl_unlock(j);
    if (watched && left)
        wl_deadline_remove(j);
}

/* A cancelled job's thread is about to return to the core. */
void wl_cancel_left(wl_job *j)
{
    wl_lock(j);
    j->left_thread = true;
    bool watched = j->watched_over;
    wl_unlock(j);
    if (watched)
        wl_deadline_remove(j);
}
