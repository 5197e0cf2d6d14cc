/* SPDX-License-Identifier: ISC
 *
 * mailbox.h: what comes back to the thread of an event loop, and waits for it: the memory of a
 * main, who holds it, and posts.
 */
#pragma once

#include "base/linger.h"
#include "base/list.h"
#include "base/stack.h"
#include "mailbox/thread.h"

#pragma GCC visibility push(hidden)

/* Where a delivery waits. Lends come before all others; a call stands among the others and
 * on a list of calls too. These two are urgent: a blocking wait finds and serves them. What
 * is in the lane of the others pends until its end, and has been expected. */
enum wi_lane { WI_OTHERS, WI_CALLS, WI_LENDS };

/* How a delivery is delivered: a constant of the room that posts it, named by its link.
 * What waits in the lane of calls is a wi_call_links. All on the owner's thread. */
struct weir_kind {
    /* e is off every list: fills in what d says of it. d->weir.blocking: a wait serves it, so
     * no loop turns. */
    void (*begin)(weir_link *e, weir_delivery *d);
    void (*run)(weir_delivery *d); /* the user's callback, which may be left out */
    void (*end)(weir_delivery *d); /* what is left to do then; NULL: nothing */
    enum wi_lane lane;
    /* Does what those three do, for a dispatch; NULL: they are called. */
    void (*deliver)(weir_link *e, weir_delivery *d);
};

typedef struct {
    weir_link link, of_calls;
} wi_call_links;

/* What was posted, in order: what is for the round under way, and what came since. The calls
 * of both, and all lends. */
typedef struct {
    wi_list now, later, calls, lends;
} wi_box;

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

    _Atomic unsigned notices; /* expected, and not posted yet: a fork's child may post them */
    unsigned         forks;   /* wi_forks when what is to come was last counted anew */

    unsigned long tid;    /* the owner's */
    uint64_t      served; /* the pool that the owner belonged to at the open, or 0 */
    unsigned      number; /* among the loops: the mains of owners that belonged to none */

    wi_apart        apart;
    _Atomic int64_t arrived; /* when the first of the arrivals came, see lag.h */
    wi_stack arrivals;       /* posted; taken and shut under lock, shut only by the owner's close */
    wi_apart apart_too;

    wi_mutex lock;
    /* Guarded by lock. */
    _Atomic int64_t sorted_since; /* when the first of sorted came; 0: it is empty. See lag.h */
    wi_box          sorted;  /* taken from arrivals, in order; only the owner takes it from here */
    wi_list         begun;   /* calls whose fn has begun and that nobody finished */
    wi_list         callers; /* waiters inside run_in_main */
    weir_link       nudge;   /* posted to make dispatch look at the pending count */
    bool            nudged;  /* it is posted, and not delivered yet */
    unsigned        handed;  /* calls begun whose finish has not come: each holds the main */
    unsigned        writers; /* posters between their unlock and the end of their write */
    bool            shut;    /* nobody reads the descriptor any more; the last writer closes it */
    bool            signalled; /* a write is owed or done, and was not read yet */
    bool            waited;    /* weir_main_wait sleeps: unpark in place of a write */
    bool            quiet;     /* no write is owed: the owner looks before it polls */

    /* The owner's alone; `own` and `busy` are read by others. */
    _Atomic int64_t own; /* of the pending; may be negative, the sum is not */
    _Atomic bool    busy;
    _Atomic int64_t taken;  /* when the first of the batch came; 0: it is empty. See lag.h */
    _Atomic int64_t busied; /* when `busy` became true; 0: it is not. See lag.h */
    _Atomic int64_t round;  /* when the round under way began; 0: none is */
    wi_box          batch;  /* taken from sorted, in order, not delivered yet */
    weir_link       of_thread;
    unsigned        depth;     /* of nested rounds, and of what must not close the main */
    unsigned        telling;   /* tasks and notices between begin and end: each still pends */
    unsigned        beginning; /* calls between begin and end, each with a hold of its own */
    unsigned        kept;      /* fork: holds of pools and tasks that stay */
    unsigned        coming;    /* fork: tasks that run on in the child, and are told here */
    int64_t         linger_ns; /* how long weir_main_wait looks before it sleeps; 0: not at all */
    wi_linger       looks;     /* how that went; it handles deliveries */
    uint64_t        given;     /* deliveries ever */
    void (*on_busy)(weir_main *, bool, void *);
    void *on_busy_arg;
};

/* ---- references */

#define WI_HOLDER ((uint64_t)1 << 32)

void wi_main_hold(weir_main *m);
void wi_main_release(weir_main *m);
/* The same for any count of refs. May free the main. */
void wi_main_uncount(weir_main *m, uint64_t count);

/* ---- the mailbox */

/* What a poster owes the main after every unlock: to tell its owner, if the delivery came
 * first or is urgent; to sort the arrivals, if it ended a lot. The poster holds the main until
 * then. */
typedef unsigned wi_debt;
enum { WI_OWES_NEWS = 1, WI_OWES_URGENT = 2, WI_OWES_ORDER = 4 };

/* Appends e, whose kind is set. False: the main is closed, e stays the caller's. Any thread. */
bool wi_main_post(weir_main *m, weir_link *e);
/* Its two halves, for a caller inside a pool's lock: fork must find a settled task
 * in the pool or in the mailbox, never between. Every append is paid. */
bool               wi_main_append_owing(weir_main *m, weir_link *e, bool ends_lot, wi_debt *debt);
static inline bool wi_main_append(weir_main *m, weir_link *e, wi_debt *debt)
{
    bool       ends_lot = wi_stack_ends_lot(&m->arrivals);
    weir_link *newest = wi_stack_newest(&m->arrivals);
    bool       owes = !newest || newest == WI_SHUT || ends_lot || e->kind->lane != WI_OTHERS;
    *debt = 0;
    if (!owes && wi_stack_push_onto(&m->arrivals, newest, e))
        return true;
    return wi_main_append_owing(m, e, ends_lot, debt);
}
void               wi_main_pay_some(weir_main *m, wi_debt debt);
static inline void wi_main_pay(weir_main *m, wi_debt debt)
{
    if (debt)
        wi_main_pay_some(m, debt);
}

/* Whether something waits for the owner to take it, or was taken and not delivered. */
bool wi_main_has_some_locked(const weir_main *m);
/* Moves the arrivals to sorted; the second refuses every post from now on. */
void wi_main_sort_locked(weir_main *m);
void wi_main_shut_arrivals_locked(weir_main *m);
void wi_box_init(wi_box *b);
/* Adds what was taken from a stack, newest first, behind what is there. */
void wi_box_put(wi_box *b, weir_link *newest);
bool wi_box_is_empty(const wi_box *b);
/* A writer has written, or else the owner reads no more: the last of them all closes. */
void                   wi_main_close_wake(weir_main *m, bool writer);
#pragma GCC visibility pop
