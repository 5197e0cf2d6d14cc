/* SPDX-License-Identifier: ISC
 *
 * job.h: a job: a task, an opening, a close or a mutex's turn, and its future.
 */
#pragma once

#include "runtime/main.h"
#include "runtime/pool.h"

#pragma GCC visibility push(hidden)

enum wl_kind { WL_TASK, WL_OPEN, WL_CLOSE, WL_SIGNAL };

enum { WL_FAILED = 1 }; /* the outcome of a task that raised */

struct wl_job {
    union {
        weir_task   task;
        weir_notice notice;
    } u; /* first: the core's callbacks find the job by it */
    enum wl_kind     kind;
    _Atomic unsigned refs;    /* its futures', the core's */
    _Atomic bool     settled; /* outcome, result and traceback are final */
    int              outcome;
    wl_pool         *pool; /* one use, until settled; NULL for signals */
    wl_main         *main;
    wl_main         *root; /* of the first task of the chain that submitted this one */
    /* The pool thread's until settled. */
    wl_message  *call, *result;
    const char  *failure; /* in place of a result: there was no memory for one, or no thread */
    wl_reason   *reason;  /* likewise: an init failed */
    char        *traceback;
    _Atomic bool failed_late; /* by an error of its own, after it was asked to stop */
    /* Set before it is submitted. */
    bool cancellable;
    bool limited; /* its future has a limit */
    bool is_work; /* no future: a function is called with what it returns, see threads/work.c */
    int  expired; /* the outcome of one that no thread started in time */
    wl_deadline
        *deadline; /* guarded by the lock of runtime/deadline.c; NULL: none, or not any more */
    /* Guarded by wl_lock. */
    pthread_t thread; /* where it runs, while it is on_thread */
    bool      on_thread;
    bool      left_thread, watched_over; /* once it was cancelled */
    wl_main  *asleep_in;                 /* its task waits there, or at this, and can be woken */
    void     *asleep_at;
    void (*wake_up)(void *asleep_at);
    weir_notice wake; /* posted to it then, once */
    /* The submitting thread's. */
    bool     has_future, watched, submitted, given_up;
    bool     read;   /* its failure was told */
    bool     gone;   /* nothing of it is to be told any more */
    bool     listed; /* among the told, until Lua takes it */
    int      ended;  /* 0, or what its future is over with, before its task was: doc/states.md */
    uint32_t key;    /* 0: none, nobody ever waited */
    wl_job  *next;   /* of the told */
    wl_job  *under_way, **link; /* in its main's list; link is NULL: in none */
};

/* A future, its memory in Lua. */
typedef struct {
    wl_job *job; /* NULL: not yet, or not any more */
    enum {
        WL_KEPT_NOT,
        WL_KEPT_NOTHING,
        WL_KEPT_NIL,
        WL_KEPT_FALSE,
        WL_KEPT_TRUE,
        WL_KEPT_INTEGER,
        WL_KEPT_NUMBER,
        WL_KEPT_STRING /* a long one, in Lua */
    } kept;            /* what its job returned, which was read; then it has none */
    union {
        lua_Integer integer;
        lua_Number  number;
    } value;
} wl_future;

wl_job *wl_job_make(lua_State *L, enum wl_kind kind, wl_main *m, wl_pool *p); /* may throw */
wl_job *wl_job_push(lua_State *L, enum wl_kind kind, wl_pool *p); /* -> future; may throw */
void    wl_job_ref(wl_job *j);
void    wl_job_unref(wl_job *j);
void    wl_job_keep(wl_job *j); /* the same, on its main's thread: it may be used again */
void    wl_jobs_drop_spare(wl_main *m);
wl_job *wl_job_check(lua_State *L, int index); /* of a future that is not over */
wl_job *wl_job_at(lua_State *L, int index);    /* NULL: all that is left is the value */
int     wl_job_failed(wl_job *j, int outcome); /* no memory, thread or init: its outcome */
bool    wl_job_is_over(const wl_job *j);       /* for its state */
bool    wl_job_is_untold(const wl_job *j);     /* a failure that no future tells */
void    wl_job_gone(wl_job *j); /* it was told, or will not be; its main's thread, main open */

wl_future *wl_future_push(lua_State *L); /* -> future without a job; may throw */
wl_future *wl_future_new(lua_State *L);  /* the same, without its metatable */
wl_future *wl_future_check(lua_State *L, int index);
wl_job    *wl_future_job(lua_State *L, const wl_future *f); /* the same */

#pragma GCC visibility pop
