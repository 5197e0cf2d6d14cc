/* SPDX-License-Identifier: ISC
 *
 * lua_core.h: what the C half of the Lua binding shares between its rooms.
 *
 * Three structs live longer than any Lua object, so they are counted and hold no
 * lua_State: a wl_pool (until its last thread has left), a wl_main (until the last
 * job that came from its state), a wl_job (until its future is collected and the
 * core has let go of it). A Lua state has one wl_main at a time; the state of a
 * pool's thread gets one per task that needs it.
 *
 * Nothing of Lua runs under the core's frames. The core's callbacks append to the
 * lists of a wl_main; Lua takes from these with `told` when the call has returned.
 * The one exception is a run_in_main served inside a close that blocks: it must
 * have run before that returns.
 */
#ifndef WL_CORE_H
#define WL_CORE_H

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "codec.h"
#include "lua_compat.h"
#include "weir.h"

#pragma GCC visibility push(hidden)

typedef struct wl_pool     wl_pool;
typedef struct wl_main     wl_main;
typedef struct wl_job      wl_job;
typedef struct wl_call     wl_call;
typedef struct wl_worker   wl_worker;
typedef struct wl_waiter   wl_waiter;
typedef struct wl_state    wl_state;
typedef struct wl_actor    wl_actor;
typedef struct wl_ping     wl_ping;
typedef struct wl_family   wl_family;
typedef struct wl_owner    wl_owner;
typedef struct wl_packed   wl_packed;
typedef struct wl_rights   wl_rights;
typedef struct wl_deadline wl_deadline;

/* ---- a pool ---------------------------------------------------------------- */

/* What an init failed with, for each who is told. */
typedef struct {
    _Atomic unsigned refs;
    wl_message      *value;
} wl_reason;

struct wl_pool {
    weir_notice gone; /* first: found by it */
    /* Set by open, constant afterwards. */
    weir_pool    *weir;
    char         *name;
    bool          waits;           /* on_full = "wait" */
    bool          lazy;            /* its threads come with tasks: no init fails the open */
    bool          own_globals;     /* each task has a table of its own for them */
    wl_metatables metatables;      /* what becomes of them where values cross */
    unsigned      queue_limit;     /* 0: none */
    int           nice;            /* of its threads: as setpriority's */
    int64_t       cancel_ns;       /* until a cancelled task is abandoned; negative: never */
    wl_message   *package, *setup; /* what every thread unpacks first: see lua_worker.c */
    /* Atomic. */
    _Atomic unsigned uses;      /* handles and unsettled jobs; the last one closes the pool */
    _Atomic unsigned refs;      /* threads, and one until the pool is gone; the last one frees */
    _Atomic unsigned most;      /* threads and spares that there may be */
    _Atomic uint64_t timed_out; /* futures that their timeout ended */
    /* The first; taken by who is told of a close. */
    _Atomic(wl_message *) exit_error;
    _Atomic(char *)       exit_text; /* of the exit error, until it was told */
    pthread_mutex_t       lock;
    /* Guarded by lock. */
    wl_reason *init_error; /* of the first init that failed while it opened, else of the last */
    bool       opened;
    wl_waiter *waiters;
    unsigned   waits_begun; /* and ended: how often waiters changed */
};

wl_pool          *wl_pool_check(lua_State *L, int index);
bool              wl_pool_is(lua_State *L, int index);
void              wl_pool_use(wl_pool *p);
void              wl_pool_unuse(wl_pool *p);
void              wl_pool_ref(wl_pool *p);
void              wl_pool_unref(wl_pool *p);
void              wl_pool_init_failed(wl_pool *p, wl_message *m); /* takes m; NULL: no memory */
wl_reason        *wl_pool_init_error(wl_pool *p);                 /* NULL: no memory */
void              wl_reason_unref(wl_reason *r);                  /* NULL is allowed */
void              wl_pool_tell_exit_error(wl_pool *p); /* to stderr, if nobody was told */
void              wl_pool_class_make(lua_State *L);    /* module -> module; before any function */
wl_pool         **wl_pool_slot(lua_State *L);          /* -> handle of none; may raise */
void              wl_open_register(lua_State *L);
extern const char wl_pool_class[];

/* A worker that waits for a job, or for space in its own pool's queue; on its stack. */
struct wl_waiter {
    wl_waiter *next;
    wl_job    *job; /* NULL: of another pool */
    bool       for_space;
};

bool wl_pool_begin_wait(wl_pool *p, wl_waiter *w, wl_job *j); /* j NULL: for space */
void wl_pool_end_wait(wl_pool *p, wl_waiter *w);

/* ---- a worker's state ------------------------------------------------------ */

struct wl_worker {
    lua_State *L;
    wl_state  *state; /* L's record */
    wl_pool   *pool;
    wl_job *volatile job;        /* that runs; the handler of the signal reads what is volatile */
    lua_State *volatile current; /* coroutine of L that runs */
    volatile sig_atomic_t stopping;  /* the task is being stopped */
    volatile sig_atomic_t left;      /* it has ended: what came of it is being kept */
    wl_owner             *owner;     /* of the mutexes that the task has locked, or NULL */
    int                   code;      /* what its run returns */
    bool                  has_state; /* init was given: its value is every task's first argument */
    bool                  failed;    /* to begin */
    unsigned              blocking;  /* depth of weir.blocking in the task that runs */
    bool                  patient;   /* see lua_burst.c */
};

int        wl_worker_init(void *pool, void **worker);
void       wl_worker_exit(void *pool, void *worker);
int        wl_worker_run(weir_task *task, void *worker);
int        wl_thread_nice(void);       /* the calling thread's */
wl_worker *wl_worker_of(lua_State *L); /* NULL in a state that is no worker's */

void  wl_command_register(lua_State *L); /* in a worker's new state, like the next */
void  wl_stream_register(lua_State *L);
void  wl_random_seed(lua_State *L);                  /* its libraries are open */
void  wl_keep_sigpipe_register(lua_State *L);        /* in core */
FILE *wl_stream_wrap(FILE *below, const char *mode); /* owns below; or is below */

/* ---- errors, see lua_error.c -------------------------------------------------- */

void        wl_error_prepare(lua_State *L);                        /* in a new state */
void        wl_push_text(lua_State *L, int index);                 /* -> text of the value there */
int         wl_note_failure(lua_State *L);                         /* a message handler */
wl_message *wl_pack_error(lua_State *L, wl_metatables metatables); /* error -> ... */

/* ---- bursts ----------------------------------------------------------------- */

void wl_burst_look(wl_worker *w, wl_main *m); /* a task from m is about to run */
void wl_burst_end(wl_worker *w); /* a command is about to start, which would inherit it */

/* ---- cancelling a task that runs -------------------------------------------- */

int wl_cancel_signal(void);

void wl_cancel_prepare(void);                       /* before the first pool opens */
void wl_cancel_current(wl_worker *w, lua_State *L); /* runs in w from now on */
bool wl_cancel_begin(wl_worker *w, wl_job *j);
void wl_cancel_leave(wl_worker *w); /* from here on it is not stopped any more */
bool wl_cancel_end(wl_worker *w);
void wl_cancel_unhook(lua_State *L);
void wl_cancel_send(wl_job *j, int64_t abandon_ns);
void wl_cancel_left(wl_job *j);
bool wl_cancel_asleep(wl_job *j, wl_main *m, void (*wake_up)(void *), void *at); /* m, or at */
bool wl_cancel_awake(wl_job *j);
void wl_coroutine_follow(lua_State *L, wl_worker *w); /* in its new state */

/* ---- a job's one deadline, see lua_deadline.c --------------------------------- */

struct wl_deadline {
    weir_notice notice; /* a limit's, first: found by it */
    /* Constant. */
    struct timespec at;
    wl_job         *job; /* held, as is */
    wl_pool        *pool;
    void (*passed)(wl_deadline *d); /* on the watch's thread */
    /* Guarded by the watch's lock. */
    unsigned     heap;                   /* the number of the heap that it is in; 0: none */
    wl_deadline *child, *sibling, *back; /* its parent, or the sibling before it */
    /* Its main's thread's, once its future has ended. */
    wl_deadline *next;
    uint32_t     key; /* of who waits for that */
};

wl_deadline *wl_deadline_make(wl_job *j, int64_t timeout_ns,
                              void (*passed)(wl_deadline *)); /* NULL: no memory */
bool         wl_deadline_add(wl_job *j, wl_deadline *d);      /* takes d; false: no thread */
bool         wl_deadline_take_off(wl_deadline *d);            /* whether it was the job's still */
void         wl_deadline_drop(wl_deadline *d);
void         wl_deadline_remove(wl_job *j);
bool         wl_deadline_abandon(wl_job *j,
                                 int64_t timeout_ns); /* then it is given up; false: it has none */

/* ---- futures' limits, see lua_limit.c ------------------------------------------- */

int      wl_limit_begin(wl_job *j, int64_t timeout_ns); /* then its future is over; 0, or why not */
uint32_t wl_limit_take(wl_main *m); /* the key of who waits for a future that was ended so */
void     wl_limits_drop(wl_main *m);

/* ---- a state and its mailbox ------------------------------------------------ */

enum { WL_MOST_ON_END = 2 };

/* What is told by its address alone. */
struct wl_ping {
    wl_ping *next;
    void (*let_go)(wl_ping *p); /* it was told, or will not be */
};

/* In the registry, from the first `require` (or from its making, in a pool thread) to
 * lua_close. */
struct wl_state {
    wl_main   *main; /* NULL until needed */
    wl_worker *worker;
    bool       over; /* being closed, while finalisers of the user's may still come */
    /* Keys: whoever waits for a job is found by a small number, for Lua finds those
     * fastest. One more than the main before had given out, until it is told. */
    uint32_t *free_keys, n_free_keys, n_keys, max_keys;
    uint64_t  keys_before;
    void (*on_end[WL_MOST_ON_END])(wl_state *s); /* the last one first, on the state's thread */
    lua_Hook      hook;                          /* seen by the last wait; see lua_interrupt.c */
    wl_actor     *actor;                         /* whose state it is, or NULL; outlives it */
    wl_family    *family;                        /* of the actors that were made here */
    bool          ended;                         /* no more are */
    wl_rights    *rights;                        /* NULL: all; see lua_rights.h */
    bool          sealed;                        /* they stay as they are */
    bool          guarded;                       /* its library's functions ask for them */
    lua_CFunction loader; /* of weir.core, for the states that are made here */
};

struct wl_main {
    _Atomic unsigned refs;
    /* Tasks that were submitted and were not told. Written by the owner's thread. */
    _Atomic unsigned in_flight;
    wl_state        *state; /* its owner's, while it is not closed */
    /* Set before the mailbox closes: what is delivered from then on, here or on a
     * worker, only settles. Set under lock, which other threads hold while they post. */
    _Atomic bool    closed;
    pthread_mutex_t lock;
    /* Constant while it is not closed. */
    weir_main *weir;
    /* The owner's thread only. */
    uint64_t     number;
    bool         held;           /* some loop watches it */
    bool         polled;         /* this thread is about to poll its descriptor itself */
    bool         turning, quiet; /* see wl_main_quieten */
    int64_t      turning_since;
    lua_State   *blocked;   /* inside a blocking call of the core, made from here; else NULL */
    bool         lined_up;  /* some wait for space: see weir/space.lua */
    unsigned     cancelled; /* jobs that run on, and nobody waits for */
    weir_notice  look;      /* posted to itself, while `looks` */
    bool         looks;
    wl_job      *jobs, **last_job; /* told, for Lua to take */
    wl_deadline *due, **last_due;
    wl_call     *calls, **last_call;
    wl_ping     *pings, **last_ping;
};

void      wl_state_open(lua_State *L, wl_worker *w); /* once per state, before all else */
void      wl_state_push(lua_State *L);               /* -> the record, or nil */
wl_state *wl_state_of(lua_State *L);                 /* the same; NULL: none */
void      wl_state_on_end(wl_state *s, void (*fn)(wl_state *)); /* once counts */
wl_main  *wl_main_get(lua_State *L);  /* the state's, opened on demand; may throw */
int       wl_main_open(lua_State *L); /* so that the next one throws nothing; 0, or why not */
wl_main  *wl_main_of(lua_State *L, wl_state *s); /* the same, of a state that is known */
wl_main  *wl_main_look(lua_State *L);            /* the same, or NULL when none is open */
void      wl_main_end(lua_State *L); /* closes it: the task that it belongs to has ended */
void      wl_main_ref(wl_main *m);
void      wl_main_unref(wl_main *m);
void      wl_main_tell(wl_main *m, wl_job *j);
uint32_t  wl_key_take(lua_State *L, wl_state *s);                     /* may throw */
void      wl_key_push(lua_State *L, const wl_state *s, uint32_t key); /* -> number, 0 for none */
void      wl_key_give(wl_state *s, uint32_t key);
void      wl_keys_forget(wl_state *s); /* its main has closed */
void      wl_main_tell_ping(wl_main *m, wl_ping *p);
void      wl_main_quieten(wl_main *m);      /* whether to write to its descriptor has changed */
void      wl_main_count(wl_main *m, int n); /* in_flight; its thread */
int       wl_mains_here(int more);          /* of this thread, with so many more */
/* Waits for deliveries, at most so long. False: the task that waits was cancelled. */
bool wl_main_sleep(lua_State *L, wl_main *m, int64_t ns, int *n);
void wl_main_polled(wl_main *m, bool polled); /* whether its thread is about to poll it itself */
bool wl_main_has_told(const wl_main *m);      /* something that an error kept from being taken */
bool wl_main_is_idle(lua_State *L); /* none is open, or nothing is to come and nothing was told */
void wl_main_look_idle(wl_main *m); /* something ended outside dispatch, and nobody may know */
void wl_main_register(lua_State *L);

/* ---- a state that belongs to a task, and its children: see lua_actor.h ------- */

void wl_actors_register(lua_State *L);

/* ---- a job: a task, an opening, a close or a mutex's turn, and its future ------- */

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
    /* The worker's until settled. */
    wl_message  *call, *result;
    const char  *failure; /* in place of a result: there was no memory for one, or no thread */
    wl_reason   *reason;  /* likewise: an init failed */
    char        *traceback;
    _Atomic bool failed_late; /* by an error of its own, after it was asked to stop */
    /* Set before it is submitted. */
    bool         cancellable;
    bool         limited;  /* its future has a limit */
    int          expired;  /* the outcome of one that no thread started in time */
    wl_deadline *deadline; /* guarded by the lock of lua_deadline.c; NULL: none, or not any more */
    pthread_mutex_t lock;
    /* Guarded by lock. */
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

wl_job    *wl_job_make(lua_State *L, enum wl_kind kind, wl_main *m, wl_pool *p); /* may throw */
wl_job    *wl_job_push(lua_State *L, enum wl_kind kind, wl_pool *p); /* -> future; may throw */
wl_future *wl_future_push(lua_State *L);          /* -> future without a job; may throw */
wl_future *wl_future_new(lua_State *L);           /* the same, without its metatable */
wl_job    *wl_job_check(lua_State *L, int index); /* of a future that is not over */
wl_job    *wl_job_at(lua_State *L, int index);    /* NULL: all that is left is the value */
wl_job    *wl_future_job(lua_State *L, const wl_future *f); /* the same */
void       wl_job_ref(wl_job *j);
void       wl_job_unref(wl_job *j);
int        wl_job_failed(wl_job *j, int outcome); /* no memory, thread or init: its outcome */
void       wl_job_settle(wl_job *j, int outcome);
bool       wl_job_end(wl_job *j, int how, int64_t abandon_ns); /* false: it is over already */
bool       wl_job_is_over(const wl_job *j);                    /* for its state */
bool       wl_job_is_untold(const wl_job *j);                  /* a failure that no future tells */
void       wl_job_gone(wl_job *j); /* it was told, or will not be; its main's thread, main open */
void       wl_future_class_make(lua_State *L); /* module -> module; before any function */
void       wl_future_register(lua_State *L);
void       wl_run_register(lua_State *L);
extern const char wl_future_class[];

/* ---- run_in_main ----------------------------------------------------------- */

void wl_call_slot(lua_State *L); /* -> empty call; may throw */
bool wl_call_fill(lua_State *L, int index,
                  wl_main *m); /* the oldest into it; false: none is there */
void wl_calls_drop(wl_main *m);
void wl_call_register(lua_State *L);

/* ---- waits that a signal of the program's ends ------------------------------ */

int wl_interrupt_wait(lua_State *L, wl_main *m, int64_t ns); /* as weir_main_wait */

/* ---- signals, descriptors, files -------------------------------------------- */

void wl_signal_register(lua_State *L);
void wl_append_register(lua_State *L);
/* ---- mutexes, packed and shared values ------------------------------------- */

void wl_owner_end(wl_owner *o); /* gives back what it owns; NULL is allowed */
void wl_mutex_register(lua_State *L);

wl_packed  *wl_packed_ref(wl_packed *p);
void        wl_packed_unref(wl_packed *p); /* NULL is allowed */
wl_packed **wl_packed_slot(lua_State *L);  /* -> packed, empty; may throw */
bool wl_packed_fill(lua_State *L, wl_packed **slot, int first, int n, const wl_pack_options *o);
int  wl_packed_push(lua_State *L, const wl_packed *p); /* -> values...; may throw */
void wl_packed_register(lua_State *L);
void wl_shared_register(lua_State *L);
void wl_progress_register(lua_State *L); /* see weir/progress.lua */

/* ---- small things ---------------------------------------------------------- */

/* Condition variables on the monotonic clock: `until` is a time of that. */
void wl_cond_init(pthread_cond_t *cond);
int  wl_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, const struct timespec *until);
/* Calls fn(lightuserdata ud) protected: 0, or the status with a message pushed. */
int wl_protect(lua_State *L, lua_CFunction fn, void *ud);
int wl_push_refusal(lua_State *L, int code); /* -> nil, word; returns 2 */
/* The function's upvalues are those below. table -> table */
void wl_method(lua_State *L, const char *name, lua_CFunction fn);
void wl_class(lua_State *L, const char *type, const char *name, lua_CFunction gc);
/* luaL_testudata and luaL_checkudata for the types of wl_class, without their search by
 * name: `type` must be the very string that was given there. */
void *wl_test(lua_State *L, int index, const char *type);
void *wl_check(lua_State *L, int index, const char *type);
void  wl_set_class(lua_State *L, const char *type); /* userdata -> userdata */

/* What every call asks for; in the registry it would be searched. */
enum { WL_THIS_STATE = 1, WL_FUTURE, WL_POOL, WL_UPVALUES = WL_POOL };

static inline wl_state *wl_this(lua_State *L)
{
    return lua_touserdata(L, lua_upvalueindex(WL_THIS_STATE));
}

void wl_need_all(lua_State *L, const char *function); /* raises in a state that has pledged */

static inline void wl_need_unrestricted(lua_State *L, const char *function)
{
    if (wl_this(L)->rights)
        wl_need_all(L, function);
}

/* NULL when the value is not of that class, WL_FUTURE or WL_POOL. */
static inline void *wl_is(lua_State *L, int index, int class)
{
    void *u = lua_touserdata(L, index);
    if (!u || !lua_getmetatable(L, index))
        return NULL;
    bool same = lua_rawequal(L, -1, lua_upvalueindex(class));
    lua_pop(L, 1);
    return same ? u : NULL;
}

void wl_no_argument(lua_State  *L,
                    const char *method); /* raises unless only the receiver is given */
int  wl_fail_caller(lua_State *L, const char *format, ...); /* raises at the line of the caller's */
void wl_require(lua_State *L, const char *type); /* weir, where the type is not known yet */
const char *wl_word(int code);
char       *wl_strdup(const char *s);
int64_t     wl_nanoseconds(lua_Number seconds);
int64_t     wl_some_nanoseconds(lua_Number seconds); /* where 0 means something else to the core */
int64_t     wl_now(void);                            /* of a clock that never jumps */

#pragma GCC visibility pop

__attribute__((visibility("default"))) int luaopen_weir_core(lua_State *L); /* -> module */
#endif
