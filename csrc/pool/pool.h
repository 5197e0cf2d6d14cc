/* SPDX-License-Identifier: ISC
 *
 * pool.h: what every room of a pool stands on: the struct, its references, the threads
 * that serve it. The rooms and their floors are in ../README.md; life.c says how the
 * state moves.
 */
#pragma once

#include "base/heap.h"
#include "base/linger.h"
#include "base/patience.h"
#include "base/record.h"
#include "base/spawning.h"
#include "mailbox/call.h"
#include "mailbox/main.h"
#include "mailbox/notice.h"
#include "mailbox/task.h"
#include "mailbox/waiter.h"
#include "pool/probe.h"
#include "pool/queue.h"

#pragma GCC visibility push(hidden)

enum wi_pool_state { WI_OPENING, WI_OPEN, WI_DRAINING, WI_CLOSING, WI_CLOSED };

enum { WI_RETRY_MS = 100 }; /* until a pool tries to grow again after a refusal */

struct weir_pool {
    /* Set by open, constant afterwards. */
    char       *name;
    const char *label; /* the name as records have it, or NULL */
    uint64_t   *cpus;
    sigset_t    commands; /* the mask of commands that its threads start */
    wi_nature   nature;   /* of the threads that its opener made; those to come take it on */
    uint64_t    serial;   /* no other pool's, ever */
    unsigned    namesake; /* tells it from the pools of its name that are there with it */
    weir_main  *main;     /* that opened it, held; where lends go */
    weir_link   registered;
    void *(*serve)(void *); /* the body of a thread, which has its worker */
    bool lingers;
    bool plain; /* it measures nothing, and its queue has no limit */

    /* Written under lock, read by submitters without it: see staff.c. */
    _Atomic bool must_lock;
    _Atomic bool hailed; /* the lingering worker is to look into the queue */

    wi_apart apart;
    wi_mutex lock;
    /* Guarded by lock. */
    weir_pool_options  opts; /* resize changes threads, threads_max, lazy */
    enum wi_pool_state state;
    bool               paused;
    bool               forked;   /* we are a child: its threads stayed behind */
    bool               reported; /* ready was posted, or is about to be */
    bool               held;     /* no task starts yet, because ready must come first */
    bool               traced_close;
    enum { WI_NOTHING, WI_DUE, WI_TELLING } notices; /* of `closed`, once CLOSED */
    pthread_t teller; /* while not NOTHING: gives them after its unlock */
    int       open_rc;
    int       init_error;
    unsigned  handles; /* weir_pool_retain */
    unsigned  refs;    /* handles + threads + a posted lend + calls under way */
    bool      hires;   /* its minimum is or was 0: without a thread it stays open, see staff.c */

    wi_queue queue;     /* its inbox without lock */
    wi_heap  deadlines; /* of queued tasks */
    wi_list  parked;
    wi_list  visits;  /* running tasks of callers; a worker says itself what it runs */
    wi_list  outbox;  /* for mains, not posted yet: tasks that settled */
    wi_list  settled; /* settled, for a worker to tell */

    wi_list   workers;   /* those that serve */
    wi_list   idle;      /* of them, asleep; the last to sleep first */
    unsigned  asleep;    /* on it */
    unsigned  searching; /* idle workers that were woken and have not looked yet; who lingers */
    bool      lingering;
    wi_linger looks; /* how lingering went; it handles picked tasks */
    unsigned  serving;
    unsigned  leaving;  /* of them: will look for no more work */
    unsigned  blocked;  /* of them, inside weir_blocking_begin or weir_wait */
    unsigned  in_wait;  /* of them, in an endless weir_wait for a task that has not settled */
    unsigned  timed;    /* of them, idle, and to retire if nobody wakes them */
    unsigned  visiting; /* tasks that callers run themselves which do not serve; in a child of
                         * fork, tasks that its one thread is still inside of */
    unsigned swapping;  /* abandons under way, each with one thread more than may stay */
    unsigned expected;  /* threads that will report, certainly */
    unsigned started;   /* threads ever: the next one's number */
    unsigned wanted;    /* lends asked for: they may never be answered */
    unsigned lost;
    int64_t  refused_until; /* no growth before: the system refused a thread */

    wi_list waiters;       /* for a change of state */
    wi_list task_waiters;  /* in weir_wait */
    wi_list space_waiters; /* in weir_run on a full queue */
    wi_list space_notices; /* of who was refused, and wants to hear of space */
    wi_list space_told;    /* of them, those to be posted */

    weir_notice *ready;
    wi_list      closed; /* notices, told once CLOSED */
    weir_link    lend;   /* a delivery to main, see hire.c */
    bool         lend_posted;
    unsigned     lending;   /* lends delivered, not at their end; each holds the pool */
    unsigned     lends_due; /* of `wanted`, not asked for yet */

    wi_parker timer_parker;
    int64_t   timer_until; /* when the timer looks next; negative: when unparked */
    bool      timer;       /* its thread lives */

    pthread_t last; /* the thread of ours that left last, to be joined */
    bool      has_last;
    bool      joining; /* weir_close joins it */

    uint64_t        fine[2][WEIR_TIMES];
    uint64_t        times[2]; /* the sums of what the histograms count, in nanoseconds */
    weir_pool_stats stats;    /* the counters; the rest is filled in by a snapshot */

    /* Held while the timer is made: taken before the pool's. */
    wi_mutex timer_lock;
};

struct weir_worker {
    weir_pool *pool; /* constant, and index, owned, later */
    unsigned   index;
    bool       owned;
    bool       later;    /* not the open made it, but whoever wanted one more */
    sigset_t   old_mask; /* borrowed */
    wi_parker  parker;
    /* The worker's thread alone. */
    void      *state;
    weir_task *task;     /* between next and settle */
    unsigned  *spawning; /* its depth of weir_spawning_begin */
    /* Guarded by the pool's lock. */
    weir_link   of_workers, of_idle;
    weir_task  *runs;  /* picked, not settled, not abandoned */
    bool        woken; /* woken to take a task: it is the searcher */
    bool        lost;  /* its task was abandoned */
    bool        timed; /* idle, and counted in pool.timed */
    bool        leaving;
    wi_patience patience;
    weir_task  *awaited; /* by the wait that counts in pool.in_wait, the innermost, or NULL */
    unsigned    blocked; /* depth of weir_blocking_begin */
    unsigned    visits;  /* tasks that it runs as the caller of a full queue, nested */
};

/* ---- references --------------------------------------------------------- */

void wi_pool_ref_locked(weir_pool *p);
void wi_pool_unref(weir_pool *p);

/* A reference of a call of this thread inside which user code may run, and fork. The
 * child keeps it, unlike those of the threads that it has lost. */
typedef struct wi_pin {
    weir_pool       *pool;
    struct wi_pin   *outer;
    const weir_task *task; /* that the call runs, or NULL */
} wi_pin;

void     wi_pool_pin(wi_pin *s, weir_pool *p);  /* takes a reference over */
void     wi_pool_hold(wi_pin *s, weir_pool *p); /* takes one of its own; no lock held */
void     wi_pool_unpin(wi_pin *s);              /* gives it back */
unsigned wi_pool_pins(const weir_pool *p);      /* of this thread */
bool     wi_task_runs_here(const weir_task *t); /* on this thread's stack */
void     wi_pool_discard(weir_pool *p);         /* one that nobody else has seen */

/* Locks the pool that has t queued, running or parked, or returns NULL. */
weir_pool *wi_task_lock_pool(const weir_task *t);

/* ---- threads that serve it ---------------------------------------------- */

void wi_worker_init(weir_worker *w, weir_pool *p, bool owned);
void wi_worker_free(weir_worker *w);
void wi_worker_set_self(weir_worker *w);   /* of the calling thread; NULL: no more */
bool wi_pool_can_lend(const weir_pool *p); /* its host: there is one, with a main */
void wi_pool_note_init_error_locked(weir_pool *p, int code);

/* ---- each.c -------------------------------------------------------------- */

/* Every pool that there is, each held by this thread until it lets them go. 0, WEIR_ENOMEM. */
int  wi_pools_hold(wi_pin **pins, size_t *n);
void wi_pools_let_go(wi_pin *pins, size_t n);

/* ---- stats.c ------------------------------------------------------------- */

void wi_pool_snapshot_locked(weir_pool *p, weir_pool_stats *out);

/* ---- trace.c ------------------------------------------------------------ */

typedef void wi_hook(void *, weir_trace_event, const weir_pool *, const weir_task *, int);

/* name NULL: t is there, or NULL as well. */
void wi_trace_call(unsigned event, const weir_pool *p, const weir_task *t, const wi_name *name,
                   int value);

/* times.c */
void wi_times_coarse(const uint64_t counts[WEIR_TIMES], uint64_t buckets[WEIR_BUCKETS]);
void wi_note_time_locked(weir_pool *p, weir_histogram which, weir_task *t);

/* Inline also without optimization, so that a probe stands where its event happens. */
#define WI_EVENT __attribute__((always_inline)) static inline

WI_EVENT void wi_trace(unsigned event, const weir_pool *p, const weir_task *t, int value)
{
    wi_probe(event, p->name, t, value);
    if (wi_is_traced())
        wi_trace_call(event, p, t, NULL, value);
}

/* Of a task that may be gone when the event is told: its name as it is now. */
static inline wi_name wi_name_of(const weir_task *t)
{
    return wi_is_traced() & WI_RECORDED ? wi_task_name(t) : (wi_name){0};
}

WI_EVENT void wi_trace_named(unsigned event, const weir_pool *p, const weir_task *t,
                             const wi_name *name, int value)
{
    wi_probe(event, p->name, t, value);
    if (wi_is_traced())
        wi_trace_call(event, p, t, name, value);
}

/* For task.weir.since: exact where times are measured. */
static inline int64_t wi_pool_clock(const weir_pool *p)
{
    return p->opts.measure ? weir_now() : wi_now_coarse();
}

#pragma GCC visibility pop
