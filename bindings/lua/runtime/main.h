/* SPDX-License-Identifier: ISC
 *
 * main.h: a Lua state's main: opened by the first thing that needs it, and what is told to it.
 */
#pragma once

#include <stdatomic.h>

#include "runtime/state.h"
#include "weir.h"

#pragma GCC visibility push(hidden)

typedef struct wl_job      wl_job;
typedef struct wl_call     wl_call;
typedef struct wl_deadline wl_deadline;
typedef struct wl_ping     wl_ping;

enum { WL_MOST_TOLD = 64 }; /* at once, and in a turn of a loop */

/* What is told by its address alone. */
struct wl_ping {
    wl_ping *next;
    void (*let_go)(wl_ping *p); /* it was told, or will not be */
};

struct wl_main {
    _Atomic unsigned refs;
    wl_state        *state; /* its owner's, while it is not closed */
    /* Set before the mailbox closes: what is delivered from then on, here or on a
     * worker, only settles. Set under lock, which other threads hold while they post. */
    _Atomic bool    closed;
    pthread_mutex_t lock;
    /* Constant while it is not closed. */
    weir_main *weir;
    /* Guarded by the lock of all mains. */
    wl_main *older, *newer;
    /* The owner's thread only. */
    uint64_t     number;
    bool         held;           /* some loop watches it */
    bool         polled;         /* this thread is about to poll its descriptor itself */
    bool         turning, quiet; /* see wl_main_quieten */
    int          turn_left;      /* deliveries of the turn that are still to come */
    int64_t      turn_ends;
    lua_State   *blocked;   /* inside a blocking call of the core, made from here; else NULL */
    bool         lined_up;  /* some wait for space: see weir/space.lua */
    unsigned     cancelled; /* jobs that run on, and nobody waits for */
    weir_notice  look;      /* posted to itself, while `looks` */
    bool         looks;
    wl_job      *under_way;        /* tasks with a future, and works, that were not settled here */
    wl_job      *jobs, **last_job; /* told, for Lua to take */
    wl_job      *works, **last_work; /* likewise: those that call a function */
    wl_deadline *due, **last_due;
    wl_call     *calls, **last_call;
    wl_ping     *pings, **last_ping;
    wl_job      *spare; /* jobs to be used again */
    unsigned     n_spare, n_told;
    uint32_t     told[WL_MOST_TOLD]; /* keys that Lua was told last */
};

wl_main *wl_main_get(lua_State *L);  /* the state's, opened on demand; may throw */
void     wl_mains_register(void);    /* before the first one */
int      wl_main_open(lua_State *L); /* so that the next one throws nothing; 0, or why not */
wl_main *wl_main_of(lua_State *L, wl_state *s); /* the same, of a state that is known */
wl_main *wl_main_look(lua_State *L);            /* the same, or NULL when none is open */
void     wl_main_ref(wl_main *m);
void     wl_main_unref(wl_main *m);
void     wl_main_tell(wl_main *m, wl_job *j);
bool     wl_main_post(wl_main *m, weir_notice *n); /* from any thread; false: it is closed */
void     wl_main_tell_ping(wl_main *m, wl_ping *p);
void     wl_main_quieten(wl_main *m);         /* whether to write to its descriptor has changed */
int      wl_mains_here(int more);             /* of this thread, with so many more */
void wl_main_polled(wl_main *m, bool polled); /* whether its thread is about to poll it itself */
bool wl_main_has_told(const wl_main *m);      /* something that an error kept from being taken */
bool wl_main_is_idle(lua_State *L); /* none is open, or nothing is to come and nothing was told */
void wl_main_look_idle(wl_main *m); /* something ended outside dispatch, and nobody may know */

#pragma GCC visibility pop
