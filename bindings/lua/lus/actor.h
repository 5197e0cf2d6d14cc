/* SPDX-License-Identifier: ISC
 *
 * actor.h: Lua states that belong to a task: what their rooms share.
 *
 * An actor is a counted struct with a Lua state and two channels, `in` (from who holds
 * it) and `out` (to them). Its script is the coroutine `root` of the state.
 *
 *     queued -> running <-> parked -> dead
 *
 * queued   create has submitted its task; there is no state yet
 * running  a thread of the pool is in the state, nobody else
 * parked   its operation found nothing, root has yielded, no thread is in the state
 * dead     the state is closed; what is left in `out`, and the error, can be received
 *
 * Who wins which race:
 *   post, park     The poster publishes, then reads `waited`; who parks sets `waited`,
 *                  then looks again. One of them sees the other. A wake that comes
 *                  before the task has left its thread is the core's to remember.
 *   close, park    The same, with the channel's `ended` in the place of the message.
 *   parent's end   A state makes its actors and ends their family on one thread: each
 *                  that was made is in the list, unless it is dead, and its `in` is
 *                  ended; later ones are refused. The list itself is under a lock, for
 *                  actors leave it on their own threads.
 *   resume, run    A finalizer of the script's may resume root while its operation is
 *                  tried. Root may run, and end, but cannot park; its operation is kept,
 *                  and what it comes to is not handed to a root that does not wait.
 *   collection     A handle that is collected only counts down; the last one ends `in`.
 *                  The memory stays until the task is done.
 *   fork           See lus/pool.c: a child has none of its parent's actors, but what they
 *                  had sent.
 *   close now, end Who sets `ended_by` ends `out`: the actor's thread when the state is closed,
 *                  or who closes it now. The latter also gives the thread up; when that
 *                  leaves the state after all, it closes it, or the task's release does.
 *   exit           Nobody waits for an actor. A process that ends cuts it off.
 */
#pragma once

#include "lus/channel.h"
#include "lus/limits.h"

#pragma GCC visibility push(hidden)

typedef struct wl_pending wl_pending;
typedef struct wl_meter   wl_meter;

enum wl_ended_by { WL_LIVES, WL_ENDED_ITSELF, WL_CUT_OFF };

struct wl_actor {
    weir_task        task;       /* first: found by it */
    _Atomic unsigned refs;       /* handles, its task, wakers, whoever is at it */
    _Atomic unsigned holders;    /* handles; without one nothing can be sent any more */
    unsigned         generation; /* of the process: a forked child has none of its threads */
    wl_channel       in, out;
    /* Set by create, the running thread's from then on. */
    char       *path, *package_path, *package_cpath;
    wl_message *arguments;
    wl_rights  *rights;  /* that its state begins with, held; NULL: all */
    wl_limits  *limits;  /* held; NULL: none */
    wl_meter   *meter;   /* of the state; NULL: none */
    int64_t     entered; /* the time, or of the last look at it */
    lua_State  *L, *root;
    wl_pending *op;     /* that root has yielded for; anchored in the registry */
    bool        trying; /* it, in the main thread of the state: root must not park meanwhile */
    /* Written before `out` ends. */
    char        *error; /* NULL: none, or there was no memory for it */
    size_t       error_size;
    char        *traceback; /* NULL: none */
    _Atomic bool failed;    /* and the error was not thrown yet */
    /* Anybody's. */
    _Atomic int  stop;     /* enum wl_stop */
    _Atomic int  ended_by; /* enum wl_ended_by */
    _Atomic bool cut_off;  /* ended by who closed it, and that was not thrown yet */
    /* Guarded by the roster's lock. */
    wl_family *family;        /* the parent's, held */
    wl_actor  *next, *prev;   /* in it */
    wl_actor  *older, *newer; /* of all there are */
};

void wl_actor_ref(wl_actor *a);
void wl_actor_unref(wl_actor *a);
bool wl_actor_is_dead(wl_actor *a); /* what it sent before may still be there */

#pragma GCC visibility pop
