/* SPDX-License-Identifier: ISC
 *
 * weir.h: preemptive thread pools for programs that live on an event loop.
 *
 * Five words. A POOL is a named set of threads and one queue; each thread has
 * a state, made on that thread by init and given back on it by at_exit. A TASK
 * is one weir_run. A MAIN is the mailbox of a thread that runs an event loop;
 * it has one pollable descriptor. A DELIVERY is whatever comes back into a
 * main. A WORKER is a thread while it serves a pool: owned (weir made it) or
 * borrowed (the host made it and lends it).
 *
 * Every function says its outcome, the threads that may call it, who owns
 * what, and its partner. Functions that return int return 0 or a WEIR_E code;
 * results come through `out`, which is untouched on failure. Times are in
 * nanoseconds; a negative timeout waits for ever, 0 only looks.
 *
 * "Any thread" does not mean a signal handler: there no function may be called, because
 * the handler may have interrupted one that holds a lock. Let it write to a pipe that
 * the loop polls as well, and that does not block; or let a thread of the program wait
 * for the signal in sigwait, for that one may call anything. No wait of ours ends early
 * because a signal was handled: poll weir_main_fd beside the pipe.
 *
 * A library that contains weir may be unloaded (dlclose) when each of its pools was closed
 * by a weir_close that returned 0 and was released, each main is closed, borrowed workers
 * have ended, and no call is under way. A delivered `closed` or a weir_pool_release alone
 * is too early, because the last thread still returns through our code: call weir_close
 * after `closed`. A thread that was given up (`abandoned` in the statistics) must have
 * ended, too, and nothing of ours tells when.
 */
#ifndef WEIR_H
#define WEIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WEIR_VERSION "0.1.0"

#if defined(WEIR_PRIVATE) && defined(__GNUC__) /* compiled into another shared object */
#define WEIR_API __attribute__((visibility("hidden")))
#elif defined(__GNUC__)
#define WEIR_API __attribute__((visibility("default")))
#else
#define WEIR_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weir_pool   weir_pool;
typedef struct weir_main   weir_main;
typedef struct weir_task   weir_task;
typedef struct weir_worker weir_worker;
typedef struct weir_call   weir_call;
typedef struct weir_notice weir_notice;

/* The library's own words inside the structs that users embed: zero-fill, then
 * leave alone. */
typedef struct weir_link {
    struct weir_link *next, *prev;
    unsigned          kind;
} weir_link;

/* ---- errors ------------------------------------------------------------ */

enum {
    WEIR_OK = 0,
    WEIR_EINVAL = -1,     /* an argument is out of its range */
    WEIR_ENOMEM = -2,     /* out of memory */
    WEIR_EAGAIN = -3,     /* the system refused a thread, or nothing is there yet */
    WEIR_EMFILE = -4,     /* out of descriptors */
    WEIR_ECLOSED = -5,    /* the pool or main is closed, or closed before the task started */
    WEIR_EFULL = -6,      /* the queue is at its limit */
    WEIR_EBUSY = -7,      /* still in use: see the function */
    WEIR_ECANCELED = -8,  /* cancelled on request */
    WEIR_EEXPIRED = -9,   /* not started by its deadline */
    WEIR_ETIMEDOUT = -10, /* the timeout passed; nothing was undone */
    WEIR_EDEADLK = -11,   /* the caller would wait for itself */
    WEIR_EINIT = -12,     /* an init failed; its code: weir_pool_init_error() */
    WEIR_ENOTSUP = -13,   /* a newer option than this library knows */
    WEIR_EPERM = -14,     /* not allowed on this thread, or in this callback */
    WEIR_EFORKED = -15,   /* the pool's threads stayed behind in the parent process */
    WEIR_PARK = -16       /* not an error: a task's run returns it to park */
};

/* The error's English sentence; never NULL, also for codes that are no weir
 * code. Any thread; static memory. */
WEIR_API const char *weir_strerror(int code);

/* WEIR_VERSION of the library that runs, to compare with the header's. */
WEIR_API const char *weir_version(void);

/* ---- tasks ------------------------------------------------------------- */

/* idle -> queued -> running <-> parked -> settled. */
typedef enum {
    WEIR_TASK_IDLE = 0, /* zero-filled, or its done has begun */
    WEIR_TASK_QUEUED,
    WEIR_TASK_RUNNING,
    WEIR_TASK_PARKED,
    WEIR_TASK_SETTLED /* has its outcome; its done has not begun */
} weir_task_state;

/* Embed it in a struct of your own, zero-filled but for the callbacks: a run
 * allocates nothing. The pool owns the struct from an accepted weir_run()
 * until its done begins or, without done, until weir_wait() returns. Inside
 * done it may be freed or run again; nothing of ours touches it afterwards.
 *
 * run: on a worker, with that thread's state. It must return: pthread_exit, and
 *      pthread_cancel of a thread that is in it, leave the task running for ever, and who
 *      waits for it or closes the pool waits for ever, too. Returns 0 (ok), WEIR_ECANCELED
 *      (honoured a request to cancel), WEIR_PARK (see weir_task_unpark), or
 *      anything else (failed; the value is kept as the outcome).
 * done: on the thread of the main given to weir_run(), inside dispatch; on a
 *      worker of the pool when none was given (on the thread that settles the
 *      task when the pool has no thread, inside the weir function called there:
 *      weir_run, too, where a lazy pool is refused its thread: a done that runs its task
 *      again at once nests there, once for each refusal). May be NULL.
 *      Exactly once per accepted run.
 * release: only for weir_task_abandon(). */
struct weir_task {
    int (*run)(weir_task *task, void *state);
    void (*done)(weir_task *task);
    void (*release)(weir_task *task);

    /* Reserved for the library: zero-fill, then leave alone. The same on every
     * build option, so that the queue may change without a new ABI. */
    struct {
        weir_link    link;
        int          outcome;
        unsigned     state;
        unsigned     flags;
        unsigned     priority;
        weir_pool   *pool;
        weir_main   *main;
        weir_worker *worker;
        int64_t      deadline; /* from here on rarely touched */
        int64_t      queued_at;
        weir_task   *child, *sibling, *back;
        void        *spare[2];
    } weir;
};

typedef enum { WEIR_NORMAL = 0, WEIR_HIGH = 1, WEIR_LOW = 2 } weir_priority;
enum { WEIR_LEVELS = 3 };

typedef struct {
    size_t        size; /* sizeof(weir_run_options) */
    weir_main    *deliver_to;
    weir_priority priority;
    /* 0: no deadline. Else the task settles as WEIR_EEXPIRED when no worker has
     * started it after so long, even if every worker is stuck. */
    int64_t start_within_ns;
} weir_run_options;

/* Queues task for a worker of pool; done comes back through deliver_to, or on
 * a worker when deliver_to is NULL.
 * Returns 0, or WEIR_ECLOSED / WEIR_EFULL (policy REFUSE) / WEIR_EBUSY (task is
 * not idle) / WEIR_EINVAL / WEIR_EDEADLK (policy BLOCK, full, called by a worker
 * of pool, or where every worker waits for the caller in run_in_main) / WEIR_EFORKED /
 * WEIR_EAGAIN (a deadline, and no timer thread could be had). After an error the task is
 * the caller's, untouched.
 * Any thread, but never in a signal handler (see the top); blocks only with policy
 * BLOCK on a full queue; task->run never runs inside this call but with policy
 * CALLER_RUNS. While the pool opens, tasks wait for it. Undo with weir_cancel(). */
WEIR_API int weir_run(weir_pool *pool, weir_task *task, weir_main *deliver_to);

/* The same with a priority: the highest non-empty level is served first, but
 * every 32nd pick serves the lowest; FIFO within a level. opts may be NULL. */
WEIR_API int weir_run_with(weir_pool *pool, weir_task *task, const weir_run_options *opts);

/* Takes a queued or parked task back (0: it settles as WEIR_ECANCELED and its done
 * is delivered, never called inside this function but where it has no main and its
 * pool no thread), or asks a running one to stop (WEIR_EBUSY: see
 * weir_cancel_requested; its own return decides). WEIR_EINVAL: the task is idle or
 * settled, nothing to cancel.
 * Any thread, while the task's memory and a handle of its pool live. */
WEIR_API int weir_cancel(weir_task *task);

/* Whether weir_cancel() was called since task started. For run, to poll. Any
 * thread while the pool owns the task. One load. */
WEIR_API bool weir_cancel_requested(const weir_task *task);

/* Waits for a task without done to settle. 0 (see weir_task_outcome),
 * WEIR_ETIMEDOUT, WEIR_EINVAL (it has a done, or never ran), WEIR_EDEADLK (the
 * caller is this task; or is a worker of its pool whose other threads all wait
 * likewise, and no spare can be had). Waits that weir cannot see, as for a lock of yours or
 * for an answer of a loop that waits for another task of the pool, are not found, nor is one
 * for a task that max_running keeps back: where every worker waits so, all wait for ever.
 * Any thread, any number of waiters, while a handle of its pool lives; the task may be freed
 * or run again once all have returned. On a thread that owns a main it serves posted
 * run_in_main calls meanwhile; see weir_run_in_main. */
WEIR_API int weir_wait(weir_task *task, int64_t timeout_ns);

/* Meaningful once settled: 0, WEIR_ECANCELED, WEIR_ECLOSED, WEIR_EEXPIRED, what a
 * lazy pool without a thread settles with (see its option), or what run returned. Any
 * thread that knows it settled: inside done, after weir_wait. */
WEIR_API int             weir_task_outcome(const weir_task *task);
WEIR_API weir_task_state weir_task_get_state(const weir_task *task);

/* Inside done: true when the task's main was closed with WEIR_DETACH, so that
 * done runs on another thread than it was promised. */
WEIR_API bool weir_task_orphaned(const weir_task *task);

/* The task that the calling thread runs, or NULL. */
WEIR_API weir_task *weir_task_current(void);

/* A task whose run returned WEIR_PARK leaves its thread and waits; unpark
 * queues it again (past the queue limit: it was accepted before) and run is
 * called once more, on any thread of the pool. An unpark that comes while run
 * still runs is remembered until it returns. 0, or WEIR_EINVAL when the task is
 * idle or settled. Any thread, while the task's memory and a handle of its pool
 * live. */
WEIR_API int weir_task_unpark(weir_task *task);

/* For run, before it returns WEIR_PARK: this park ends by itself when timeout_ns have
 * passed, as by an unpark, and run is called once more. Negative: only by an unpark, as
 * without this call. 0; WEIR_EINVAL when the caller is not in the task's run;
 * WEIR_EAGAIN or WEIR_ENOMEM when no timer thread could be had: nothing is changed. The
 * task's own thread. */
WEIR_API int weir_task_park_within(weir_task *task, int64_t timeout_ns);

/* Gives up on a running task whose thread is stuck. The task settles now as
 * WEIR_ECANCELED and its done is delivered, but the struct stays with the lost
 * thread: neither free nor run it before its release hook was called, when both
 * run and done have returned, on the thread where the later of them did. The pool
 * replaces the thread; close does not wait for it; it runs at_exit and ends when
 * it wakes.
 * 0; WEIR_EINVAL when the task is not running or has no release; WEIR_EAGAIN
 * when the replacement was refused and the pool would be left without a thread
 * (nothing is changed; a lazy pool may be left without). Any thread but the task's own
 * (WEIR_EDEADLK), while a handle of its pool lives. */
WEIR_API int weir_task_abandon(weir_task *task);

/* ---- pools ------------------------------------------------------------- */

typedef enum {
    WEIR_REFUSE = 0,  /* weir_run returns WEIR_EFULL */
    WEIR_BLOCK,       /* weir_run waits for space */
    WEIR_CALLER_RUNS, /* weir_run runs it, with a NULL state; done comes as always */
    WEIR_DROP_OLDEST  /* the oldest task of the lowest level at or below the new one's
                         settles as WEIR_EFULL; WEIR_EFULL when all are above it */
} weir_full_policy;

/* Zero-fill it, then set size and what differs: zero is every default.
 * A pool may use the CPUs in `cpus`, without them those that the opening thread may run
 * on, but no more than the quota of its control group is worth (Linux: cpu.max, or
 * cpu.cfs_quota_us; rounded up). It is asked once, at the open. */
typedef struct {
    size_t      size;        /* sizeof(weir_pool_options) */
    const char *name;        /* copied; NULL: "weir". Threads are name/0, name/1, ... (15 bytes) */
    unsigned    threads;     /* 1..WEIR_MAX_THREADS; 0: one per CPU that it may use, see below */
    unsigned    threads_max; /* grows up to here while tasks find no idle thread; 0: = threads */
    int64_t     idle_ns;     /* so long a thread above `threads` idles, then retires; 0: 10 s */
    unsigned    max_blocked; /* spares, past threads_max, for blocked ones: weir_blocking_begin */
    unsigned    queue_limit; /* most queued tasks; 0: no limit */
    weir_full_policy when_full;
    unsigned         max_running[WEIR_LEVELS]; /* most running per weir_priority; 0: no limit */
    size_t           stack_size; /* owned threads, bytes, WEIR_MIN_STACK or more; 0: the system's
                                    default, but at least 1 MiB */
    int  worker_signal;          /* one signal that workers leave unblocked; 0: none */
    bool measure;                /* keep the histograms: a clock read at submit, start and end */
    /* An owned thread is as one that the thread that opens makes then: its CPUs (but for
     * `cpus` below), scheduling policy and priority, and on Linux its nice value. That
     * holds for those that come later, too, whichever thread brings them: by a submit, a
     * deadline, a resize. What the system refuses them stays as with that thread: a user
     * without the right to lower a nice value, or to leave SCHED_IDLE, should open the
     * pool with all its threads, or bring them from a thread that is not nicer. */
    const uint64_t *cpus;   /* owned threads run on these CPUs only: a bit per CPU, lowest first */
    unsigned        n_cpus; /* bits in cpus; 0: as the thread that opens */
    bool            borrowed; /* the host lends `threads` threads: weir_worker_enter() */
    void           *arg;      /* passed to the callbacks below */
    /* On each new thread, before its first task: 0 and *state, or a code that
     * fails the open. NULL: the state is NULL. Not for borrowed pools, whose
     * hosts run their own init before weir_worker_enter. */
    int (*init)(void *arg, void **state);
    /* On the same thread, once per successful init, before the thread ends. */
    void (*at_exit)(void *arg, void *state);
    /* On every owned thread as it begins and as it ends, before init and after
     * at_exit, also when init failed. Must not fail. */
    void (*on_start)(void *arg, unsigned index);
    void (*on_stop)(void *arg, unsigned index);
    /* Borrowed pools: one more thread is wanted (a worker was lost, or the pool
     * grows); after a refusal not again for 100 ms. A delivery to the main that
     * opened the pool, also while its thread blocks inside weir; answer with a thread that calls
     * weir_worker_enter(), or with weir_worker_refuse(). NULL: refused. */
    void (*lend)(weir_pool *pool, void *arg);
    /* No thread is kept: the first task brings one, threads above it come as the pool
     * grows, and each that idles for idle_ns retires, the last one too. `threads` is
     * then only what threads_max is by default, and reads back as 0. Such a pool opens
     * at once, and stays open without a thread. When a thread that a task needs is
     * refused, or its init fails, and no other is there or on its way, every queued
     * task settles as WEIR_EAGAIN, WEIR_ENOMEM, WEIR_EINVAL (the system cannot make
     * such a thread) or WEIR_EINIT, and the next task tries again. A borrowed one needs
     * lend, which must answer each time: a task waits for the answer. */
    bool lazy;
} weir_pool_options;

#define WEIR_MAX_THREADS 1024u

/* Holds a printf, and little more; less is WEIR_EINVAL. So is what the system itself holds
 * too little (PTHREAD_STACK_MIN). */
#define WEIR_MIN_STACK ((size_t)64 * 1024)

/* Tells its owner that something ended: fn runs inside the main's dispatch or,
 * with no main, on the thread that ended it. The caller's memory, until fn
 * begins. Zero-filled but for fn, without which the call is WEIR_EINVAL. */
struct weir_notice {
    void (*fn)(weir_notice *notice, int outcome);
    struct {
        weir_link  link;
        weir_main *main;
        int        outcome;
        void      *spare[2];
    } weir;
};

/* Announces that notice will come to main, which stays pending until then; so who
 * waits for its own unlock, message or event is woken by the loop that it runs on.
 * 0; WEIR_EINVAL (notice, its fn or main is NULL); WEIR_ECLOSED. Any thread that
 * knows main to be open. Partner: weir_notice_post, once. */
WEIR_API int weir_notice_expect(weir_notice *notice, weir_main *main);

/* Has fn(notice, outcome) run inside the dispatch of the main that expects it; when
 * that has closed meanwhile, here and now. Any thread, but never in a signal handler (see
 * the top); never blocks. */
WEIR_API void weir_notice_post(weir_notice *notice, int outcome);

/* Has notice told to main when the queue of `pool` has space, or takes no more tasks:
 * at once if that is so now. For who was refused with WEIR_EFULL and must not block. All
 * who wait are told, so weir_run may be refused again: then ask again. The outcome is 0,
 * or WEIR_ECLOSED. 0; WEIR_EINVAL; WEIR_ECLOSED (the main). Any thread that knows main to
 * be open and has a handle of the pool. */
WEIR_API int weir_pool_on_space(weir_pool *pool, weir_notice *notice, weir_main *main);

/* Opens a pool and waits until every thread has run its init; a lazy one is open at once.
 * 0; WEIR_EINVAL; WEIR_ENOTSUP; WEIR_ENOMEM; WEIR_EAGAIN (not one thread could
 * be made, or fewer than asked); WEIR_EINIT after every thread whose init
 * succeeded has run at_exit and ended. Borrowed pools need weir_pool_open_async.
 * Any thread but a worker inside init. Close with weir_close, then give the
 * handle back with weir_pool_release. */
WEIR_API int weir_pool_open(weir_pool **out, const weir_pool_options *opts);

/* The same without waiting: *out is set at once, `ready` is delivered to `main`
 * with 0 or the error, after the others were wound down. A pool that failed to
 * open is closed; release it all the same. `main` is also where lend goes. May
 * be NULL for owned pools, as may `ready`. */
WEIR_API int weir_pool_open_async(weir_pool **out, const weir_pool_options *opts, weir_main *main,
                                  weir_notice *ready);

/* What the init returned that failed the open or, once open, that failed last; 0 when
 * none failed. Any thread. */
WEIR_API int weir_pool_init_error(const weir_pool *pool);

typedef enum {
    WEIR_CLOSE = 0, /* queued and parked tasks settle as WEIR_ECLOSED now, running ones finish */
    WEIR_DRAIN      /* queued tasks run first; tasks parked when nothing else is left settle as
                       closed, and so does everything when no thread is left to run it
                       (a lazy pool has the right to one, and drains) */
} weir_close_mode;

/* Closes and waits until every thread has ended. 0, also when it was closed
 * before; WEIR_CLOSE while draining turns the drain into a close, WEIR_DRAIN
 * while closing changes nothing. WEIR_EDEADLK from a thread of the pool, also in a
 * destructor of its thread-specific data, and inside a run_in_main function that such a
 * thread waits for; nothing is changed then: use weir_close_async there. WEIR_EINVAL for a
 * bad mode. A pool that still opens fails to open with WEIR_ECLOSED. Any other thread; on
 * one that owns a main it serves posted run_in_main calls, no done runs. */
WEIR_API int weir_close(weir_pool *pool, weir_close_mode mode);

/* The same, but waits no longer than timeout_ns, whatever the threads are in (a task,
 * at_exit, on_stop, a destructor of thread-specific data): then what is still queued or
 * parked settles as closed and it returns WEIR_ETIMEDOUT; the close goes on. A program may
 * end then: it closes its mains with WEIR_DETACH, and what a running task uses must stay
 * until the process has ended. Where the
 * system has no timed join (macOS, OpenBSD) it does not wait for destructors of the last
 * thread: it returns 0 when that has run on_stop, and a weir_close joins it. */
WEIR_API int weir_close_within(weir_pool *pool, weir_close_mode mode, int64_t timeout_ns);

/* Starts the close and returns. `closed` (may be NULL) is delivered to `main`,
 * or called on the last thread of the pool (a worker, or the one that keeps its
 * deadlines) when main is NULL, after every other has left; one per call, at once
 * when all is over. That last thread is still on its way out then; a weir_close after
 * the notice waits for it, too, as whoever unloads the library must. Any thread, workers
 * too. */
WEIR_API int weir_close_async(weir_pool *pool, weir_close_mode mode, weir_main *main,
                              weir_notice *closed);

/* Gives the handle back; an open pool is closed (WEIR_CLOSE) without waiting.
 * Its memory goes when its last thread and task have. No other call may name
 * the pool afterwards, nor be under way. NULL is allowed. Any thread. */
WEIR_API void weir_pool_release(weir_pool *pool);

/* One more owner of the handle: each needs a weir_pool_release, and only the
 * last one closes. */
WEIR_API void weir_pool_retain(weir_pool *pool);

/* Sets threads and threads_max, min <= max, 1 <= max <= WEIR_MAX_THREADS. Threads too
 * many leave after their task, no queued task is lost; threads too few are
 * started: WEIR_EAGAIN when the system refused some (the bounds hold all the
 * same, the pool serves with what it has and grows when it can). With min 0 the pool
 * is lazy: those that idle retire after idle_ns. With min 1 or more it keeps threads
 * again, but stays open where it is without one. WEIR_EINVAL (also min 0 for a
 * borrowed pool without lend), WEIR_ECLOSED. Any thread; does not wait. */
WEIR_API int weir_pool_resize(weir_pool *pool, unsigned min, unsigned max);

/* No task starts while paused; running ones go on. resume undoes it. Both 0, or
 * WEIR_ECLOSED. A drain of a paused pool resumes it. Any thread. */
WEIR_API int weir_pool_pause(weir_pool *pool);
WEIR_API int weir_pool_resume(weir_pool *pool);

/* Cancels every queued task, as weir_cancel would; returns how many. Any thread. */
WEIR_API size_t weir_pool_purge(weir_pool *pool);

/* The options in force, defaults filled in. opts->size must be set; name lives
 * as long as the pool. 0 or WEIR_EINVAL. Any thread. */
WEIR_API int weir_pool_get_options(const weir_pool *pool, weir_pool_options *opts);

typedef struct {
    size_t size; /* sizeof(weir_pool_stats) */
    /* Now. */
    unsigned threads; /* with a state, serving */
    unsigned idle;    /* of them without a task */
    unsigned running; /* tasks in run, abandoned ones not counted */
    size_t   queued;
    size_t   parked;
    unsigned wanted;  /* lends asked for and not answered */
    unsigned lost;    /* abandoned threads that still run */
    unsigned blocked; /* of them between weir_blocking_begin and _end */
    /* Since the pool opened. submitted = queued + running + parked + the sum of
     * the six outcomes, in every snapshot. */
    uint64_t submitted;
    uint64_t ok, failed, cancelled, expired, closed;
    uint64_t dropped;        /* settled as WEIR_EFULL */
    uint64_t refused;        /* runs that returned WEIR_EFULL */
    uint64_t abandoned;      /* also counted in cancelled */
    uint64_t wakes;          /* idle workers woken */
    uint64_t lends_refused;  /* threads that could not be had, lent or owned */
    uint64_t grown, retired; /* threads asked for past the open, and gone before the close */
} weir_pool_stats;

/* One consistent snapshot. 0 or WEIR_EINVAL. Any thread. */
WEIR_API int weir_pool_get_stats(weir_pool *pool, weir_pool_stats *stats);

/* Bucket i counts times of [2^(i-1), 2^i) ns, bucket 0 those of 0. */
enum { WEIR_BUCKETS = 64 };
typedef enum { WEIR_QUEUE_TIME = 0, WEIR_RUN_TIME } weir_histogram;

/* One histogram of a pool opened with `measure`: of started tasks. 0, WEIR_EINVAL
 * (also without measure). Any thread. */
WEIR_API int weir_pool_get_histogram(weir_pool *pool, weir_histogram which,
                                     uint64_t buckets[WEIR_BUCKETS]);

/* The pool that the calling thread serves, or NULL. */
WEIR_API weir_pool *weir_pool_current(void);

/* ---- mains ------------------------------------------------------------- */

/* Opens a main owned by the calling thread: only it may dispatch, wait and
 * close. 0, WEIR_ENOMEM, WEIR_EMFILE. Partner: weir_main_close. */
WEIR_API int weir_main_open(weir_main **out);

/* Poll it for reading; it is readable while something waits for dispatch. Never
 * read or close it. The number stays valid until weir_main_close; after fork
 * the same number is a fresh descriptor in the child. Any thread. */
WEIR_API int weir_main_fd(const weir_main *main);

/* Delivers what is there now, at most max when max > 0, in order, without
 * waiting. Returns the number delivered, or WEIR_EPERM on a foreign thread. What
 * stays undelivered keeps the descriptor readable. Callbacks may call any weir
 * function, dispatch and weir_main_wait of this main too (they go on with the
 * same ordered list); only weir_main_close is refused there. */
WEIR_API int weir_main_dispatch(weir_main *main, int max);

/* While a main is quiet nothing makes its descriptor readable. For an owner that looks
 * by itself before it polls again: one that waits by weir_main_wait alone, or a loop's
 * glue while it lets those go on whom a dispatch has woken. It is spared a write and a
 * read for what comes meanwhile. When that ends the descriptor is readable at once if
 * something waits. 0, WEIR_EINVAL, or WEIR_EPERM on a foreign thread. */
WEIR_API int weir_main_quiet(weir_main *main, bool quiet);

/* Waits until something can be delivered, then dispatches. The number delivered
 * (0: the timeout passed, or nothing is pending and none can come), or
 * WEIR_EPERM. With a negative timeout and nothing pending it returns 0 at once
 * rather than sleep for ever. */
WEIR_API int weir_main_wait(weir_main *main, int64_t timeout_ns);

/* What is still to come or to be delivered: accepted tasks, run_in_main calls
 * not finished, notices. A loop may end when it is 0. Any thread. */
WEIR_API size_t weir_main_pending(const weir_main *main);

/* fn(main, true, arg) when pending leaves 0, fn(main, false, arg) when it is 0
 * again: always on the main's own thread, inside dispatch or the weir call that
 * changed it, so that a loop's glue may hold and release its loop. At once if it is busy
 * now. NULL ends it. 0 or WEIR_EPERM. */
WEIR_API int weir_main_on_busy(weir_main *main, void (*fn)(weir_main *, bool busy, void *arg),
                               void      *arg);

enum { WEIR_DETACH = 1 };

/* Delivers what is undelivered, settles queued and parked tasks aimed at it as
 * WEIR_ECLOSED (and delivers those; who waits for the space that they leave is told), fails
 * posted and begun run_in_main calls with WEIR_ECLOSED. While aimed tasks still run or
 * notices are to come: WEIR_EBUSY; all this was done, but the main stays open. With
 * WEIR_DETACH it closes, and their done and fn run on the worker, see weir_task_orphaned.
 * WEIR_EPERM on a foreign thread, WEIR_EBUSY inside its own dispatch, or in a call that it
 * serves. The descriptor closes after its last writer has let go. NULL is allowed. */
WEIR_API int weir_main_close(weir_main *main, unsigned flags);

/* ---- run_in_main ------------------------------------------------------- */

/* Runs fn(call, arg) on the thread of main, inside its dispatch, and waits until
 * weir_call_finish. main NULL: the main of the task that the caller runs, else
 * the process's first one still open. 0 or what finish was given, with *result;
 * WEIR_ECLOSED when the main closes first or none is there; WEIR_EDEADLK on
 * main's own thread, or when the loop does not turn while fn is unfinished: fn
 * was served by a blocking call on that thread and had not finished when it
 * returned, or that thread then waits without end for the pool whose task called;
 * WEIR_ENOMEM. Every thread but the
 * main's own. Where no loop turns yet it waits for one. */
WEIR_API int weir_run_in_main(weir_main *main, void (*fn)(weir_call *call, void *arg), void *arg,
                              void **result);

/* Ends a call, once: in fn, or later from any thread. code 0 or the caller's
 * error. A finish after the main closed is counted (weir_main_late_finishes)
 * and does nothing else. Consumes the call. */
WEIR_API void weir_call_finish(weir_call *call, int code, void *result);

/* How many finishes came after their call had been failed, process-wide. */
WEIR_API uint64_t weir_main_late_finishes(void);

/* ---- borrowed workers -------------------------------------------------- */

/* Makes the calling thread a worker of a borrowed pool and sets its signal mask;
 * a host that names its threads does so itself. 0; WEIR_ECLOSED (run at_exit and
 * end); WEIR_EFULL (no thread is wanted); WEIR_EPERM (it serves a pool already);
 * WEIR_ENOMEM (then weir_worker_refuse); WEIR_EINVAL (the pool is not borrowed). */
WEIR_API int weir_worker_enter(weir_pool *pool, weir_worker **out);

/* In place of an enter: the thread could not be made (code WEIR_EAGAIN or
 * WEIR_ENOMEM), or its init failed with code. Fails an open; otherwise the pool serves
 * with what it has, and closes when that is nothing; a lazy one settles then what is
 * queued, see its option. Any thread. */
WEIR_API void weir_worker_refuse(weir_pool *pool, int code);

/* The next task, now running: 0 and *task. WEIR_ECLOSED: leave. With wait false
 * WEIR_EAGAIN when none is there. The worker's own thread. Partner: settle. */
WEIR_API int weir_worker_next(weir_worker *worker, bool wait, weir_task **task);

/* Settles what next gave with run's value (WEIR_PARK parks) and delivers it. The
 * worker's own thread. Returns 0, or WEIR_ECLOSED when the thread was abandoned:
 * give back what it holds and leave. */
WEIR_API int weir_worker_settle(weir_worker *worker, weir_task *task, int code);

/* The last call of a worker, after its host ran at_exit. A task that it still runs
 * settles as failed with code. Where it runs none and is not lost, a code other than 0
 * says that its init, run after weir_worker_enter, failed: it counts as refused with that
 * code, see weir_worker_refuse. lost: the thread ends in the middle of its service,
 * and a replacement is asked for. Restores the mask. */
WEIR_API void weir_worker_leave(weir_worker *worker, bool lost, int code);

/* The worker that the calling thread is, or NULL; its number in its pool. */
WEIR_API weir_worker *weir_worker_current(void);
WEIR_API unsigned     weir_worker_index(const weir_worker *worker);

/* Blocks in the calling thread every signal that workers of pool block; *old
 * holds the mask before (a sigset_t). For a host to wrap its thread creation,
 * so that no signal hits a new worker before it enters. */
WEIR_API void weir_block_signals(const weir_pool *pool, void *old);
WEIR_API void weir_restore_signals(const void *old);

/* Around code on a worker that waits for another task of its pool: while it
 * does, the pool may start a spare thread, up to max_blocked of them. May nest.
 * weir_wait does it by itself. Without effect elsewhere. */
WEIR_API void weir_blocking_begin(void);
WEIR_API void weir_blocking_end(void);

/* Around a call on a worker that starts a command without fork, so posix_spawn, popen and
 * system with glibc: meanwhile the thread has the signal mask of the thread that opened its
 * pool, and the command gets that. Without it the command ignores SIGTERM, because a worker
 * blocks it. Signals that come meanwhile may be handled on the worker. A forked child has
 * that mask by itself. May nest; ends with the task. Without effect elsewhere: on a
 * borrowed thread before weir_worker_enter, too. Partners. */
WEIR_API void weir_spawning_begin(void);
WEIR_API void weir_spawning_end(void);

/* ---- tracing ----------------------------------------------------------- */

typedef enum {
    WEIR_TRACE_QUEUED = 0, /* a task was accepted */
    WEIR_TRACE_STARTED,    /* a worker took it */
    WEIR_TRACE_SETTLED,    /* with its outcome as value; not for a task without done that
                              settles off a worker (cancelled, closed, expired, dropped) */
    WEIR_TRACE_THREAD,     /* a thread entered (1) or left (0) */
    WEIR_TRACE_GREW,       /* one more thread was asked for */
    WEIR_TRACE_CLOSED      /* a pool is closed */
} weir_trace_event;

/* From now on fn is called at each event, on the thread where it happens, outside
 * every lock; task may be gone already: it is a name. NULL ends it; calls under way may
 * still come, with their own arg. Process-wide. Any thread; fn may call no weir function
 * but weir_pool_get_options. When off, an event costs one load. */
WEIR_API void weir_trace(void (*fn)(void *arg, weir_trace_event event, const weir_pool *pool,
                                    const weir_task *task, int value),
                         void *arg);

#ifdef __cplusplus
}
#endif
#endif
