/* SPDX-License-Identifier: ISC
 *
 * lua_actor.h: Lua states that belong to a task: what the rooms of weir.actor share.
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
 *   collection     A handle that is collected only counts down; the last one ends `in`.
 *                  The memory stays until the task is done.
 *   fork           See lua_crew.c: a child has none of its parent's actors, but what they
 *                  had sent.
 *   exit           Nobody waits for an actor. A process that ends cuts it off.
 */
#ifndef WL_ACTOR_H
#define WL_ACTOR_H

#include "lua_core.h"

#pragma GCC visibility push(hidden)

typedef struct wl_channel wl_channel;
typedef struct wl_waker   wl_waker;
typedef struct wl_node    wl_node;
typedef struct wl_op      wl_op;
typedef struct wl_family  wl_family;
typedef struct wl_chunk   wl_chunk;

/* ---- wakers: who waits at a channel, see lua_waker.c -------------------------- */

enum wl_waker_kind { WL_UNPARKS, WL_UNBLOCKS, WL_MAILS };

struct wl_waker {
    weir_notice        notice; /* first: a mailed one is found by it */
    _Atomic unsigned   refs;
    _Atomic bool       told;   /* it was fired */
    enum wl_waker_kind kind;   /* constant, as are the two below */
    wl_actor          *actor;  /* held */
    wl_main           *main;   /* held */
    pthread_t          thread; /* of main */
    wl_ping            ping;   /* of a mailed one */
    /* Of an unblocking one alone. */
    pthread_mutex_t lock;
    pthread_cond_t  up;
    bool            is_up; /* guarded by lock */
};

wl_waker *wl_waker_new(enum wl_waker_kind kind, wl_actor *a, wl_main *m); /* NULL: no memory */
void      wl_waker_fire(wl_waker *k);   /* once counts; any thread */
void      wl_waker_forked(wl_waker *k); /* in a child: fires one that is of this thread */
bool      wl_waker_wait(wl_waker *k, int64_t timeout_ns); /* an unblocking one; false: time is up */
void      wl_waker_ref(wl_waker *k);
void      wl_waker_unref(wl_waker *k);

/* One place that a waker stands at; in the memory of who waits. */
struct wl_node {
    wl_node  *next, *prev; /* guarded by the channel's lock */
    bool      linked;
    wl_waker *waker;
};

/* ---- channels: see lua_channel.c ----------------------------------------------- */

/* One value, on its way. */
typedef struct {
    unsigned char kind; /* enum wl_item_kind */
    uint32_t      size; /* of a text */
    union {
        int64_t     i;
        double      n;
        wl_message *m;
    } u;
    char text[240];
} wl_item;

enum wl_item_kind {
    WL_ITEM_VALUES,
    WL_ITEM_NIL,
    WL_ITEM_FALSE,
    WL_ITEM_TRUE,
    WL_ITEM_INT8,
    WL_ITEM_INT,
    WL_ITEM_FLOAT,
    WL_ITEM_TEXT
};

/* Why nothing more will come. The first one stays. */
enum wl_end { WL_OPEN_END, WL_DEAD, WL_PARENT_ENDED, WL_UNHELD, WL_CLOSED, WL_FORKED };

typedef struct {
    _Atomic bool waited;
    wl_node     *first; /* guarded by the channel's lock */
} wl_queue;

struct wl_channel {
    /* Set before anybody else knows of it. */
    unsigned limit;   /* most messages in it; 0: none */
    bool     refuses; /* one more; else who sends it waits */
    /* The writer's: one state, or under `writing` when it is shared. */
    wl_chunk           *tail;
    uint32_t            size;    /* of it, in use */
    _Atomic uint64_t    written; /* counted where there is a limit, as is read */
    _Atomic(wl_chunk *) first;   /* the reader's way in */
    char                apart[64];
    /* The reader's, likewise. */
    wl_chunk        *head;
    uint32_t         at, known; /* in it: read, and seen to be there */
    _Atomic uint64_t read;
    char             apart_too[64];
    /* Anybody's. */
    _Atomic bool    shared; /* more than one state writes, or more than one reads */
    _Atomic int     ended;
    wl_queue        readers, writers;
    pthread_mutex_t lock, writing, reading;
};

/* ---- what is in one: see lua_queue.c; of who writes, or reads ------------------ */

bool wl_queue_append(wl_channel *c, const wl_item *item); /* false: no memory */
bool wl_queue_look(wl_channel *c);                        /* something is there */
bool wl_queue_take(wl_channel *c, wl_item *item);

/* ---- the channel itself ----------------------------------------------------------- */

void wl_channel_init(wl_channel *c, unsigned limit, bool refuses);
void wl_channel_destroy(wl_channel *c); /* also what is in it */
void wl_channel_clear(wl_channel *c);   /* the reader's */
/* Consumes the item: true; false: it is full, or there is no memory (*no_memory). */
bool wl_channel_write(wl_channel *c, const wl_item *item, bool *no_memory);
bool wl_channel_ready(wl_channel *c); /* the reader's: something is there */
bool wl_channel_read(wl_channel *c, wl_item *item);
bool wl_channel_is_full(const wl_channel *c);
void wl_channel_end(wl_channel *c, enum wl_end why);
void wl_channel_wake(wl_channel *c); /* everybody, to look again */
void wl_channel_lock(wl_channel *c); /* all that is locked in it, for a fork */
void wl_channel_unlock(wl_channel *c);
void wl_channel_wait_for_wakes(void);  /* while all are locked: none is on its way */
void wl_channel_forked(wl_channel *c); /* in the child, where the process has no other thread */
void wl_queue_join(wl_channel *c, wl_queue *q, wl_node *n);
void wl_queue_leave(wl_channel *c, wl_queue *q, wl_node *n);

/* ---- actors: see lua_actor.c ----------------------------------------------------- */

struct wl_actor {
    weir_task        task;       /* first: found by it */
    _Atomic unsigned refs;       /* handles, its task, wakers, whoever is at it */
    _Atomic unsigned holders;    /* handles; without one nothing can be sent any more */
    unsigned         generation; /* of the process: a forked child has none of its threads */
    wl_channel       in, out;
    /* Set by create, the running thread's from then on. */
    char         *path, *package_path, *package_cpath;
    wl_message   *arguments;
    wl_rights    *rights; /* that its state begins with, held; NULL: all */
    lua_CFunction loader; /* of weir.core */
    lua_State    *L, *root;
    wl_op        *op; /* that root has yielded for */
    /* Written before `out` ends. */
    char        *error; /* NULL: none, or there was no memory for it */
    size_t       error_size;
    char        *traceback; /* NULL: none */
    _Atomic bool failed;    /* and the error was not thrown yet */
    /* Guarded by the roster's lock. */
    wl_family *family;        /* the parent's, held */
    wl_actor  *next, *prev;   /* in it */
    wl_actor  *older, *newer; /* of all there are */
};

/* What a state's actors have in common: their parent. Counted. */
struct wl_family {
    _Atomic unsigned refs;
    unsigned         generation; /* of the process */
    wl_actor        *first;      /* guarded by the roster's lock */
};

void wl_actor_ref(wl_actor *a);
void wl_actor_unref(wl_actor *a);
bool wl_actor_is_lost(const wl_actor *a); /* in a child of fork: from before that */
bool wl_actor_is_dead(wl_actor *a);       /* what it sent before may still be there */
void wl_actor_let_go(wl_actor *a);        /* one handle less */
void wl_actor_register(lua_State *L);
void wl_actor_metatable(lua_State *L); /* -> the handles' metatable */

typedef struct {
    const char *path;
    unsigned    limit;   /* of each channel; 0: none */
    bool        refuses; /* what is above it; else its sender waits */
    wl_message *arguments;
} wl_actor_options;

wl_actor **wl_actor_slot(lua_State *L); /* -> handle of none; may raise */
/* Of the state in which it is made. NULL, or why it cannot live. */
const char *wl_family_enter(lua_State *L, wl_actor *a);
void        wl_family_leave(wl_actor *a); /* it has entered, and lives no more */
void        wl_family_end(wl_state *s);   /* the state makes no more, and those it made are told */

/* What it fails with; see lua_failure.c. */
void wl_failure_prepare(lua_State *L);
void wl_failure_text(wl_actor *a, const char *text);
void wl_failure_keep(lua_State *L, wl_actor *a);       /* error -> error */
void wl_failure_of_script(lua_State *L, wl_actor *a);  /* with its traceback */
void wl_failure_push(lua_State *L, const wl_actor *a); /* -> error */

/* -> function; may raise. The name stands in errors. */
void wl_script_load(lua_State *L, const char *path, const char *name, bool text_only);

/* ---- all of them: see lua_roster.c ---------------------------------------------------- */

extern pthread_mutex_t wl_roster_lock;

void      wl_roster_take(void);
void      wl_roster_give(void);
bool      wl_roster_enter_locked(wl_actor *a); /* it lives from now on; false: too many do */
void      wl_roster_ended_locked(const wl_actor *a);
void      wl_roster_forget(wl_actor *a); /* its memory goes */
unsigned  wl_roster_most(void);
wl_actor *wl_roster_newest_locked(void); /* then by `older` */
void      wl_roster_forked_locked(void);
unsigned  wl_generation(void); /* how often the process has forked from another */

/* ---- the threads of all actors: see lua_crew.c ------------------------------------------ */

int      wl_crew_open(void);        /* 0, or why there is none */
int      wl_crew_run(weir_task *t); /* of an open one: 0, or why it was not accepted */
unsigned wl_crew_most_threads(void);
bool     wl_crew_begin_block(void);
void     wl_crew_end_block(void);

/* ---- the memory of its state: see lua_block.c ------------------------------------------ */

lua_State *wl_block_open(void);          /* as luaL_newstate */
void       wl_block_close(lua_State *L); /* one of wl_block_open; as lua_close */

/* ---- one value: see lua_item.c ------------------------------------------------------ */

/* The value at i, which the item owns from then on; raises at the caller of function. */
void wl_item_pack(lua_State *L, int i, const char *function, wl_item *item);
void wl_item_push(lua_State *L, wl_item *item); /* -> value; what is left of the item goes */
void wl_item_drop(wl_item *item);

/* ---- operations that may wait: see lua_op.c, lua_await.c ----------------------------- */

/* A state's. */
typedef struct {
    wl_actor   *self;      /* NULL: the state is no actor's */
    const void *last;      /* the worker last served: a name, never followed */
    const void *metatable; /* of handles */
} wl_talk;

enum wl_op_kind { WL_PEEK, WL_RECEIVE, WL_SEND };

struct wl_op {
    enum wl_op_kind kind;
    wl_talk        *t;
    wl_waker       *waker;    /* while it is armed */
    int64_t         deadline; /* negative: none */
    wl_item        *item;     /* to send; owned */
    int             n;
    struct {
        wl_actor *actor; /* held */
        wl_node   node;
    } at[];
};

wl_op  *wl_op_push(lua_State *L, wl_talk *t, enum wl_op_kind kind, int n); /* -> op for n actors */
void    wl_op_add(wl_op *op, wl_actor *a);
wl_op  *wl_op_check(lua_State *L, int index);
int     wl_op_try(lua_State *L, wl_op *op);                          /* -> that many values */
bool    wl_op_arm(lua_State *L, wl_op *op, enum wl_waker_kind kind); /* false: try again */
void    wl_op_disarm(wl_op *op);
int     wl_op_again(lua_State *L, wl_op *op);  /* for an actor that parks: 0, and it is armed */
int64_t wl_op_left(const wl_op *op);           /* negative: without end */
int     wl_op_expire(lua_State *L, wl_op *op); /* -> that many values: its time is up */
int     wl_op_wait(lua_State *L, wl_op *op);   /* op, on top -> what its function returns */
int     wl_conclude(lua_State *L, int n);      /* that many values -> what its function returns */
void    wl_op_class_make(lua_State *L);        /* in every state that pushes ops */
void    wl_await_register(lua_State *L);       /* module -> module */
void    wl_push_suspender(lua_State *L);       /* -> function, or nil */

/* -> wl_talk wrap functions: those of weir.worker, but for create and pledge */
void        wl_talk_push(lua_State *L);
void        wl_talk_add(lua_State *L, const char *name, lua_CFunction fn); /* to these three */
int         wl_talk_results(lua_State *L, int n); /* results... -> what the function returns */
const char *wl_show(lua_State *L, int i);         /* a wrong argument, for an error */

#pragma GCC visibility pop
#endif
