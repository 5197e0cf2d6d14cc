/* SPDX-License-Identifier: ISC
 *
 * main.h: the mailbox of a thread that runs an event loop.
 */
#ifndef WI_MAIN_H
#define WI_MAIN_H

#include "base/list.h"
#include "base/stack.h"
#include "mailbox/thread.h"

#pragma GCC visibility push(hidden)

/* What link.kind says of a delivery. */
enum wi_kind { WI_TASK = 1, WI_CALL, WI_NOTICE, WI_LEND, WI_NUDGE };

/* One ordered list of deliveries, but for lends, which come first; its calls also
 * stand on a list of their own. So a blocking wait finds what it serves. */
typedef struct {
    wi_list all, calls, lends;
} wi_box;

/* A lend, posted by who knows how it is delivered. */
typedef struct {
    weir_link link;
    void (*deliver)(weir_link *link); /* constant */
} wi_lend;

/* A run_in_main call, counted: its caller and the main's side. All but the
 * constants is guarded by the main's lock. */
struct weir_call {
    weir_link  link;     /* in a box, or among the begun */
    weir_link  of_calls; /* in the same box's calls */
    weir_main *main;     /* constant, and fn, arg */
    void (*fn)(weir_call *, void *);
    void      *arg;
    weir_pool *pool;     /* whose task waits for it, or NULL: a name, never followed */
    uint64_t   of;       /* the pool whose thread waits for it, see wi_thread_pool */
    bool       returned; /* fn has, and nobody has finished the call */
    enum { WI_POSTED, WI_BEGUN, WI_ENDED } state;
    unsigned   refs;
    int        code;
    void      *result;
    wi_waiter *caller; /* NULL: gone, or not waiting yet */
};

struct weir_main {
    /* Set by weir_main_open, constant afterwards; fork's child renews wake. */
    wi_thread *owner;
    wi_wake    wake;
    weir_link  registered;

    /* Low half: what is pending. High half: holders (the open handle, writers,
     * callers inside run_in_main). At 0 the memory goes. What the owner itself
     * expects and sees come is counted apart, in `own`, until it closes. */
    _Atomic uint64_t refs;
    _Atomic bool     closed; /* written by the owner, under lock */

    wi_apart apart;
    wi_stack arrivals; /* posted; only the owner takes, only its close shuts */
    wi_apart apart_too;

    wi_mutex lock;
    /* Guarded by lock. */
    wi_list   begun;     /* calls whose fn has begun and that nobody finished */
    wi_list   callers;   /* waiters inside run_in_main */
    weir_link nudge;     /* posted to make dispatch look at the pending count */
    bool      nudged;    /* it is posted, and not delivered yet */
    unsigned  handed;    /* calls begun whose finish has not come: each holds the main */
    unsigned  writers;   /* posters between their unlock and the end of their write */
    bool      shut;      /* nobody reads the descriptor any more; the last writer closes it */
    bool      signalled; /* a write is owed or done, and was not read yet */
    bool      waited;    /* weir_main_wait sleeps: unpark in place of a write */
    bool      quiet;     /* no write is owed: the owner looks before it polls */

    /* The owner's alone; `own` and `busy` are read by others. */
    _Atomic int64_t own; /* of the pending; may be negative, the sum is not */
    _Atomic bool    busy;
    wi_box          batch; /* taken from arrivals, in order, not delivered yet */
    weir_link       of_thread;
    unsigned        depth;     /* of nested dispatches */
    unsigned        telling;   /* tasks and notices inside their done or fn: each still pends */
    unsigned        beginning; /* calls inside their fn, each with a hold of its own */
    unsigned        pools;     /* fork: those opened from here, each with a hold */
    void (*on_busy)(weir_main *, bool, void *);
    void *on_busy_arg;
};

/* ---- references */

void wi_main_hold(weir_main *m);
void wi_main_release(weir_main *m);
/* One more thing is to come. False, with nothing counted: the main is closed. */
bool wi_main_expect(weir_main *m);
/* Whether that would call on_busy, so user code. */
bool wi_main_tells_busy(const weir_main *m);
/* It came, or will never. May free the main. */
void wi_main_came(weir_main *m);

/* Made for this thread, not registered yet. 0, WEIR_ENOMEM, WEIR_EMFILE. */
int wi_main_make(weir_main **out);

/* ---- the mailbox */

/* What a post owes the main after every unlock: to tell its owner, if it came
 * first or is urgent. It holds the main until then. */
typedef struct {
    bool tell, urgent;
} wi_debt;

/* Appends a delivery. False: closed, it stays the caller's. Any thread. */
bool wi_main_post(weir_main *m, weir_link *e, enum wi_kind kind);
/* Its two halves, for a caller inside a pool's lock: fork must find a settled task
 * in the pool or in the mailbox, never between. Every append is paid. */
bool wi_main_append(weir_main *m, weir_link *e, enum wi_kind kind, wi_debt *debt);
void wi_main_pay(weir_main *m, wi_debt debt);

/* Moves what was posted to the batch. The owner's thread. */
void wi_main_take_arrivals(weir_main *m);
/* Runs one posted call or lend of the thread's mains but `except`; false: none. */
bool wi_mains_serve(wi_thread *t, const weir_main *except);
/* Makes every descriptor of the thread readable whose main has something left. */
void wi_mains_rearm(wi_thread *t);
/* Delivers everything, new things too; the owner's thread, depth 0. */
void wi_main_flush(weir_main *m);
/* Calls on_busy when the pending count left or reached 0. The owner's thread. */
void wi_main_look_busy(weir_main *m);

/* ---- deliveries: each is implemented in the room that owns its kind */

void wi_task_delivered(weir_link *e, weir_main *m);
void wi_call_begin(weir_call *call, bool blocking);
void wi_notice_delivered(weir_link *e, weir_main *m);
/* Counts notice on main (NULL: none). 0, WEIR_EINVAL (no fn), WEIR_ECLOSED (the main). */
int wi_notice_expect(weir_notice *notice, weir_main *main);
/* Posts it, or calls it here when there is no main. NULL is allowed. */
void wi_notice_post(weir_notice *notice, int outcome);

/* The thread is about to wait without end for pool p, and its loops will not turn:
 * begun calls of p's tasks could be waited for in a circle. Those whose fn is on
 * this stack hold up so many workers of p: whether that matters, the caller knows.
 * Those whose fn has returned are failed with WEIR_EDEADLK. Who waits for the end of p's
 * threads gives its serial number: then a call counts from wherever such a thread made it,
 * init and at_exit too. Else 0. t may be NULL. No lock held. */
unsigned wi_mains_calls_on_stack(wi_thread *t, const weir_pool *p, uint64_t serial);
void     wi_mains_fail_returned(wi_thread *t, const weir_pool *p, uint64_t serial);
/* Fails every posted and begun call. The owner's thread. */
void wi_main_fail_calls(weir_main *m);
/* Marks it closed, gives the open handle back. The owner's thread. */
void wi_main_shut(weir_main *m);
/* In fork's child, with the lock held: only the owner's own deliveries remain. */
void wi_main_forked_locked(weir_main *m);
void wi_calls_forked_locked(weir_main *m);

#pragma GCC visibility pop
#endif
