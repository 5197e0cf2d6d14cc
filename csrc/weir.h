/* SPDX-License-Identifier: ISC
 *
 * weir.h: preemptive thread pools for programs on an event loop.
 *
 * Five words:
 *   POOL      a named set of threads and one queue. Each thread has a state: init makes
 *             it on that thread, at_exit releases it there.
 *   TASK      one weir_run.
 *   MAIN      the mailbox of a thread that runs an event loop, with one pollable
 *             descriptor.
 *   DELIVERY  anything that comes back to a main.
 *   WORKER    a thread while it serves a pool: owned (weir made it) or borrowed (the
 *             host made it and lends it).
 *
 * The comment of each function says its outcome, which threads may call it, who owns
 * what, and its partner. Functions that return int return 0 or a WEIR_E code. Results come
 * through `out`, which is untouched on failure. Times are in nanoseconds; a negative
 * timeout waits for ever, 0 only looks.
 *
 * "Any thread" does not mean a signal handler. A signal handler may call no function of
 * weir, because it may have interrupted a thread that holds a lock. Let the handler write
 * to a pipe that does not block and that the loop polls as well. Or let a thread of the
 * program wait for the signal in sigwait: that thread may call anything. A handled signal
 * ends no wait of weir early: poll weir_main_fd beside the pipe.
 *
 * A library that contains weir may be unloaded (dlclose) when
 *   - each of its pools was closed by a weir_close that returned 0, and was released;
 *   - each of its mains is closed;
 *   - borrowed workers have ended;
 *   - threads that were given up (`abandoned` in the statistics) have ended, which weir
 *     cannot tell;
 *   - the watcher was ended (weir_watch), the trace to a file (weir_trace_file), and what is
 *     published (weir_unpublish);
 *   - no call is under way.
 * A delivered `closed` or a weir_pool_release alone is too early, because the last thread
 * still returns through weir's code: call weir_close after `closed`.
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

/* The library's own part of the structs that users embed: zero-fill it, then leave it
 * alone. Only its size is for users, and it is the same in every build. */
typedef struct weir_link {
    struct weir_link       *next, *prev;
    const struct weir_kind *kind; /* of a delivery */
} weir_link;

/* ---- errors ------------------------------------------------------------ */

enum {
    WEIR_OK = 0,
    WEIR_EINVAL = -1,     /* an argument is out of its range */
    WEIR_ENOMEM = -2,     /* out of memory */
    WEIR_EAGAIN = -3,     /* the system refused a thread; of a look: nothing is there */
    WEIR_EMFILE = -4,     /* out of descriptors */
    WEIR_ECLOSED = -5,    /* the pool or main is closed, or closed before the task started */
    WEIR_EFULL = -6,      /* the queue is at its limit */
    WEIR_EBUSY = -7,      /* still in use: see the function */
    WEIR_ECANCELED = -8,  /* cancelled on request */
    WEIR_EEXPIRED = -9,   /* not started by its deadline */
    WEIR_ETIMEDOUT = -10, /* the timeout passed; nothing was undone */
    WEIR_EDEADLK = -11,   /* the wait would never end, because nobody is left to end it */
    WEIR_EINIT = -12,     /* an init failed; its code: weir_pool_init_error() */
    WEIR_ENOTSUP = -13,   /* an option that this library or system does not know */
    WEIR_EPERM = -14,     /* not allowed on this thread, or in this callback */
    WEIR_EFORKED = -15,   /* the pool's threads stayed behind in the parent process */
    WEIR_PARK = -1000016  /* not an error: a task's run returns it to park. No -errno is it */
};

/* The error's English sentence; never NULL, even if code is none of weir's. Any thread;
 * static memory. */
WEIR_API const char *weir_strerror(int code);

/* WEIR_VERSION of the library that runs, to compare with the header's. */
WEIR_API const char *weir_version(void);

/* ---- tasks ------------------------------------------------------------- */

/* idle -> queued -> running -> settled -> idle. Besides, a running task may park, and a
 * parked one is queued again; queued and parked tasks may settle without running. */
typedef enum {
    WEIR_TASK_IDLE = 0, /* zero-filled, or its done has begun */
    WEIR_TASK_QUEUED,
    WEIR_TASK_RUNNING,
    WEIR_TASK_PARKED,
    WEIR_TASK_SETTLED /* has its outcome; its done has not begun */
} weir_task_state;

/* Embed it in a struct of your own, so that a run allocates nothing. Zero-fill it except for
 * the callbacks. The pool owns the struct from an accepted weir_run() until its done begins
 * or, without done, until weir_wait() returns. Inside done the struct may be freed or run
 * again; weir does not touch it afterwards.
 *
 * run: on a worker, with that thread's state. Returns 0 (ok), WEIR_ECANCELED (honoured a
 *      request to cancel), WEIR_PARK (see weir_task_unpark), or anything else (failed; the
 *      value is kept as the outcome). Return codes of your own above 0, errno and not -errno,
 *      because done takes one below 0 for weir's. It must return: if it calls pthread_exit, or
 *      its thread is ended by pthread_cancel, the task stays running, and every wait for it
 *      and every close of the pool lasts for ever.
 * done: exactly once per accepted run; may be NULL. It runs
 *      - on the thread of the main given to weir_run(), inside dispatch; if that main was closed
 *        with WEIR_DETACH first, on a worker of the pool, see weir_task_orphaned;
 *      - without a main: on a worker of the pool;
 *      - without a main and without a thread in the pool: on the thread that settles the
 *        task, inside the weir function called there. That may be weir_run, if a lazy pool
 *        is refused its thread: a done that at once runs its task again nests one level
 *        deeper at each refusal.
 * release: called only if weir_task_abandon() has given the task up, and then once. */
struct weir_task {
    int (*run)(weir_task *task, void *state);
    void (*done)(weir_task *task);
    void (*release)(weir_task *task);

    /* Reserved for the library: zero-fill it, then leave it alone. No build option changes
     * it, so that the queue may change without a new ABI. What every run touches comes first,
     * so that a run touches as few cache lines as can be. */
    struct {
        weir_link    link;
        int          outcome;
        unsigned     state;
        unsigned     flags;
        unsigned     forks;
        weir_pool   *pool;
        weir_main   *main;
        weir_worker *worker;
        int64_t      deadline;
        unsigned     priority;
        unsigned     number; /* of this run, in records */
        int64_t      since;
        const char  *label;
        weir_task   *child, *sibling, *back; /* from here on rarely touched */
    } weir;
};

typedef enum { WEIR_NORMAL = 0, WEIR_HIGH = 1, WEIR_LOW = 2 } weir_priority;
enum { WEIR_LEVELS = 3 };

typedef struct {
    size_t        size; /* sizeof(weir_run_options) */
    weir_main    *deliver_to;
    weir_priority priority;
    /* 0: no deadline. Otherwise the task settles as WEIR_EEXPIRED if no worker has started
     * it within this time, even if every worker is stuck. */
    int64_t start_within_ns;
    /* What the task is called in running lists, in what the watcher says and in traces; NULL:
     * nothing. Only the pointer is kept, so the text must stay as long as the process: a
     * literal, or what weir_label returns. */
    const char *label;
} weir_run_options;

/* Queues task for a worker of pool. Its done comes back through deliver_to, or on a worker
 * if deliver_to is NULL. Returns 0, or
 *   WEIR_ECLOSED
 *   WEIR_EFULL    policy REFUSE, or DROP_OLDEST and all queued tasks are of higher levels
 *   WEIR_EBUSY    task is not idle
 *   WEIR_EINVAL
 *   WEIR_EDEADLK  policy BLOCK and a full queue, and the caller is a worker of pool, or
 *                 every worker waits for the caller in run_in_main
 *   WEIR_EFORKED
 *   WEIR_EAGAIN   it has a deadline, and no timer thread could be started
 * After an error the task is the caller's, untouched.
 * Any thread, but never in a signal handler (see the top). It blocks only with policy BLOCK
 * on a full queue. task->run runs inside this call only with policy CALLER_RUNS. While the
 * pool opens, tasks wait in the queue. Undo with weir_cancel(). */
WEIR_API int weir_run(weir_pool *pool, weir_task *task, weir_main *deliver_to);

/* The same with options. Workers serve the highest non-empty priority level first, except
 * that every 32nd pick serves the lowest. Within a level the order is FIFO. opts may be
 * NULL. */
WEIR_API int weir_run_with(weir_pool *pool, weir_task *task, const weir_run_options *opts);

/* The same for a caller that embeds no task: weir allocates one, and frees it. fn(arg, state) is
 * what a task's run is; done(arg, outcome) comes exactly once, where a task's done would, with
 * what weir_task_outcome says, also if fn never ran. With done NULL nothing is called. Returns
 * what weir_run returns, WEIR_EINVAL also if fn is NULL, or WEIR_ENOMEM. After an error neither
 * is called. Threads as for weir_run. The pool borrows arg until done begins. Inside fn
 * weir_task_current() is the task, to ask weir_cancel_requested; from outside only
 * weir_pool_purge and a close take it back. */
WEIR_API int weir_run_fn(weir_pool *pool, int (*fn)(void *arg, void *state), void *arg,
                         void (*done)(void *arg, int outcome), weir_main *deliver_to);

/* The one copy of `text` in this process, for labels that are made at run time. The same text
 * gives the same pointer. A copy stays for good, so texts that differ without end (with a
 * number of their own each) are no labels. NULL if text is NULL, or if there is no room: all
 * copies share WEIR_LABEL_BYTES. A task without a label runs all the same. Any thread; takes
 * no lock and no memory. */
#define WEIR_LABEL_BYTES ((size_t)256 * 1024)
WEIR_API const char *weir_label(const char *text);

/* The label that the task's last run was given, or NULL. Any thread while the pool owns the
 * task; the owner always. */
WEIR_API const char *weir_task_label(const weir_task *task);

/* Takes a queued or parked task back, or asks a running one to stop. Returns
 *   0            taken back: it settles as WEIR_ECANCELED and its done is delivered. done is
 *                called inside this function only if the task has no main and its pool no
 *                thread.
 *   WEIR_EBUSY   it runs and was asked to stop, see weir_cancel_requested. What its run
 *                returns decides its outcome.
 *   WEIR_EINVAL  the task is idle or settled: there is nothing to cancel.
 * Any thread, while the task's memory and a handle of its pool live. */
WEIR_API int weir_cancel(weir_task *task);

/* Whether weir_cancel() was called since task started: run polls it. Any thread while the
 * pool owns the task. Costs one load. NULL: false, for a callback that asks for
 * weir_task_current() and may be called outside a task. */
WEIR_API bool weir_cancel_requested(const weir_task *task);

/* Waits until a task without done settles. Returns 0 (see weir_task_outcome), or
 *   WEIR_ETIMEDOUT
 *   WEIR_EINVAL    it has a done, or never ran
 *   WEIR_EDEADLK   the caller is this task, or is inside it: it runs a task of a full queue
 *                  that this one submitted. Or timeout_ns is negative, and the caller is a worker
 *                  of its pool, all other threads of the pool wait so for tasks as well, and no
 *                  spare can be started; or every worker of the pool waits for the caller in
 *                  run_in_main. A wait with a limit is not refused then: WEIR_ETIMEDOUT ends it
 * A surplus thread that waits in at_exit is no thread of the pool any more: its wait lasts
 * while another thread is there or may come.
 * weir cannot see every wait: not one for a lock of the program, nor one for the answer of a
 * loop that waits for another task of the pool. It also does not find a wait for a task that
 * max_running keeps back. If every worker is in such a wait, all wait for ever.
 * Any thread, any number of waiters, while a handle of its pool lives. The task may be freed
 * or run again once all waiters have returned. A thread that owns a main serves posted
 * run_in_main calls while it waits; see weir_run_in_main. */
WEIR_API int weir_wait(weir_task *task, int64_t timeout_ns);

/* Meaningful once the task has settled: 0, WEIR_ECANCELED, WEIR_ECLOSED, WEIR_EEXPIRED,
 * WEIR_EFULL (dropped), the code of a lazy pool that has no thread (see its option), or
 * what run returned. Any thread that knows that the task has settled: inside done, or after
 * weir_wait. */
WEIR_API int weir_task_outcome(const weir_task *task);

/* The state at this moment, which another thread may change at once. Idle inside done, but an
 * abandoned task stays settled until its release; without done a task stays settled until it is
 * run again. Any thread, at any time while the task's memory lives: on the thread of its main
 * that is at least until its done. */
WEIR_API weir_task_state weir_task_get_state(const weir_task *task);

/* Inside done: whether the task's main was closed with WEIR_DETACH, or its thread stayed
 * behind in a fork, so that done runs on another thread than promised. */
WEIR_API bool weir_task_orphaned(const weir_task *task);

/* The task that the calling thread runs, or NULL. */
WEIR_API weir_task *weir_task_current(void);

/* A task whose run returned WEIR_PARK leaves its thread and waits. unpark queues the task
 * again, even if the queue is full, because the task was accepted before. run is then called
 * once more, on any thread of the pool. An unpark that comes while run still runs is
 * remembered until run returns. Returns 0, or WEIR_EINVAL if the task is idle or settled.
 * Any thread, while the task's memory and a handle of its pool live. */
WEIR_API int weir_task_unpark(weir_task *task);

/* run calls it before it returns WEIR_PARK: this park ends by itself after timeout_ns, as if
 * by an unpark, and run is called once more. Negative: only an unpark ends it, as without
 * this call. Returns 0; WEIR_EINVAL if the caller is not in the task's run; WEIR_EAGAIN or
 * WEIR_ENOMEM if no timer thread could be started, and then nothing is changed. The task's
 * own thread. */
WEIR_API int weir_task_park_within(weir_task *task, int64_t timeout_ns);

/* Gives up on a running task whose thread is stuck. The task settles now as WEIR_ECANCELED and
 * its done is delivered, but the lost thread still has the struct: neither free it nor run it
 * again until its release hook is called, and in done read nothing that run may write. The hook
 * is called when both run and done have returned, on the thread where the later of the two
 * returned, and may free the struct. On the thread of the task's main this returns before done
 * begins, so that what it returned can tell done to leave the struct to release. The pool
 * replaces the lost thread, and a close does not wait for it. When the lost thread wakes, it
 * runs at_exit and ends. If the init of the replacement fails and the pool has no other thread,
 * the pool closes; a lazy pool settles what is queued as WEIR_EINIT, and tries again with its next
 * task. Returns 0, or
 *   WEIR_EINVAL   the task is not running, or has no release
 *   WEIR_EAGAIN   the replacement was refused, and the pool would be left without a thread:
 *                 nothing is changed. A lazy pool may be left without one.
 *   WEIR_EDEADLK  on the task's own thread
 * Any other thread, while a handle of its pool lives. */
WEIR_API int weir_task_abandon(weir_task *task);

/* ---- pools ------------------------------------------------------------- */

typedef enum {
    WEIR_REFUSE = 0,  /* weir_run returns WEIR_EFULL */
    WEIR_BLOCK,       /* weir_run waits for space */
    WEIR_CALLER_RUNS, /* weir_run runs the task on its own thread, with a state of NULL even if the
                         pool has an init; done comes as always */
    WEIR_DROP_OLDEST  /* the oldest task of the lowest level at or below the new task's
                         settles as WEIR_EFULL; if all queued tasks are of higher levels,
                         weir_run returns WEIR_EFULL */
} weir_full_policy;

/* Zero-fill it, then set size and what differs from the default: zero is every default.
 * A pool may use the CPUs in `cpus`, or without `cpus` those that the opening thread may run
 * on, but no more of them than the quota of its control group is worth (Linux: cpu.max or
 * cpu.cfs_quota_us, rounded up). Both are read once, at the open. */
typedef struct {
    size_t      size;        /* sizeof(weir_pool_options) */
    const char *name;        /* copied; NULL: "weir". Threads are name/0, name/1, ... (15 bytes) */
    unsigned    threads;     /* 1..WEIR_MAX_THREADS; 0: one per CPU that the pool may use */
    unsigned    threads_max; /* grows up to here while tasks find no idle thread; 0: = threads */
    int64_t     idle_ns;     /* a thread above `threads` retires after idling so long; 0: 10 s */
    unsigned    max_blocked; /* spares, past threads_max, for blocked: weir_blocking_begin */
    unsigned    queue_limit; /* most queued tasks; 0: no limit */
    weir_full_policy when_full;
    unsigned         max_running[WEIR_LEVELS]; /* most running per weir_priority; 0: no limit */
    size_t           stack_size; /* of owned threads, in bytes, WEIR_MIN_STACK or more; 0: the
                                    system's default, but at least 1 MiB */
    int  worker_signal;          /* one signal that workers leave unblocked; 0: none */
    bool measure;                /* keep the histograms: a clock read at submit, start and end */
    /* An owned thread inherits from the thread that opens the pool, as it is then: its CPUs
     * (unless `cpus` is given), scheduling policy and priority, and on Linux its nice value.
     * Threads that come later get the same values, whichever thread causes them: by a
     * submit, a deadline or a resize. Where the system refuses to set a value, the new
     * thread keeps that of the causing thread. A user without the right to lower a nice
     * value, or to leave SCHED_IDLE, should open the pool with all its threads, or cause
     * them from a thread that is not nicer.
     *
     * Linux: while a main has many tasks in flight, 16 or so, a thread that serves it has
     * SCHED_BATCH in place of SCHED_OTHER, so that waking it does not interrupt the submitter.
     * Threads of weir, forked children and what is started between weir_spawning_begin and _end do
     * not inherit that; a thread that a task makes does. A thread with any other policy keeps it:
     * one that sets SCHED_OTHER | SCHED_RESET_ON_FORK in on_start stays as it is. Nothing is
     * changed in a process that filters its system calls (seccomp). */
    const uint64_t *cpus;   /* owned threads run on these CPUs only: a bit per CPU, lowest first */
    unsigned        n_cpus; /* bits in cpus; 0: the CPUs of the thread that opens */
    bool            borrowed; /* the host lends `threads` threads: weir_worker_enter() */
    void           *arg;      /* passed to the callbacks below */
    /* On each new thread, before its first task: sets *state and returns 0, or returns a
     * code that fails the open. A thread that comes after the open and fails its init is missing:
     * lends_refused in the statistics counts it, and weir_pool_init_error(pool) is its code. NULL:
     * the state is NULL. Not for borrowed pools, because their hosts run an init of their own
     * before weir_worker_enter. */
    int (*init)(void *arg, void **state);
    /* On the same thread, once per successful init, before the thread ends. */
    void (*at_exit)(void *arg, void *state);
    /* On every owned thread: on_start as it begins, before init; on_stop as it ends, after
     * at_exit, also if init failed. Must not fail. */
    void (*on_start)(void *arg, unsigned index);
    void (*on_stop)(void *arg, unsigned index);
    /* Borrowed pools: the pool asks its host for one more thread, because a worker was lost
     * or the pool grows. After a refusal it does not ask again for 100 ms. lend is a delivery
     * to the main that opened the pool; it comes even while the main's thread blocks inside
     * weir. Answer with a thread that calls weir_worker_enter(), or with
     * weir_worker_refuse(). NULL: every request is refused. */
    void (*lend)(weir_pool *pool, void *arg);
    /* The pool keeps no thread. The first task brings one, more come as the pool grows, and
     * each thread that idles for idle_ns retires, even the last. `threads` is then only the
     * default of threads_max, and reads back as 0. Such a pool opens at once, and stays open
     * without a thread. If a thread that a task needs is refused, or its init fails, and no
     * other thread is there or on its way, every queued task settles as WEIR_EAGAIN,
     * WEIR_ENOMEM, WEIR_EINVAL (the system cannot make such a thread) or WEIR_EINIT. The
     * next task tries again. A borrowed lazy pool needs lend, and every request must be
     * answered, because a task waits for the answer. */
    bool lazy;
} weir_pool_options;

#define WEIR_MAX_THREADS 1024u

/* Enough for a printf and little more. A smaller stack_size is WEIR_EINVAL; so is one below
 * the system's own minimum (PTHREAD_STACK_MIN). */
#define WEIR_MIN_STACK ((size_t)64 * 1024)

/* Tells a program that something has ended: fn runs inside the main's dispatch or, without a
 * main, on the thread that ended it. Zero-fill the struct except for fn; without fn, the
 * function that takes the notice returns WEIR_EINVAL. The caller keeps the memory until fn
 * begins. Until then, a function that is given the notice once more returns WEIR_EBUSY and changes
 * nothing. Inside fn it may be given again. In a child of fork, a notice whose main belongs to
 * another thread is not told: zero-fill it before it is given again. */
struct weir_notice {
    void (*fn)(weir_notice *notice, int outcome);
    struct {
        weir_link  link;
        weir_main *main;
        int        outcome;
        unsigned   forks;
        unsigned   given;
        void      *spare;
    } weir;
};

/* Announces that notice will come to main, which stays pending until then. With it a program
 * lets its loop wake a waiter for something of its own: an unlock, a message, an event.
 * Returns 0; WEIR_EINVAL (notice, its fn or main is NULL); WEIR_EBUSY (the notice was
 * taken already); WEIR_ECLOSED. Any thread that knows that main is open. Partner: weir_notice_post,
 * once. */
WEIR_API int weir_notice_expect(weir_notice *notice, weir_main *main);

/* Has fn(notice, outcome) run inside the dispatch of the main that expects it. If that main
 * has closed meanwhile, fn runs inside this call. Returns 0; WEIR_EINVAL: it does nothing, because
 * notice is NULL, or nobody expects it, or it was posted already. Any thread, but never in a signal
 * handler (see the top); never blocks. */
WEIR_API int weir_notice_post(weir_notice *notice, int outcome);

/* Has notice delivered to main when the queue of `pool` has space or takes no more tasks; at
 * once if that is so now. For a submitter that was refused with WEIR_EFULL and must not
 * block. Every waiting submitter is told, so weir_run may be refused again: then ask again.
 * The outcome of the notice is 0 or WEIR_ECLOSED. Returns 0; WEIR_EINVAL; WEIR_EBUSY (the notice
 * was taken already); WEIR_ECLOSED (main is closed). Any thread that knows that main is open and
 * has a handle of the pool. */
WEIR_API int weir_pool_on_space(weir_pool *pool, weir_notice *notice, weir_main *main);

/* Opens a pool and waits until every thread has run its init; a lazy pool is open at once.
 * Returns 0; WEIR_EINVAL; WEIR_ENOTSUP; WEIR_ENOMEM; WEIR_EAGAIN (the system made fewer
 * threads than asked, or none); WEIR_EINIT, after every thread whose init succeeded has run
 * at_exit and ended; weir_pool_init_error(NULL) is then what init returned. Borrowed pools need
 * weir_pool_open_async. Any thread but a worker inside init. Close with weir_close, then give the
 * handle back with weir_pool_release. */
WEIR_API int weir_pool_open(weir_pool **out, const weir_pool_options *opts);

/* The same without waiting: *out is set at once. `ready` is delivered to `main` with 0, or
 * with the error after the other threads have ended. A pool that failed to open is closed;
 * release it all the same. lend is delivered to `main` as well. For an owned pool `main` may
 * be NULL, and so may `ready`. WEIR_EBUSY: `ready` was taken already. */
WEIR_API int weir_pool_open_async(weir_pool **out, const weir_pool_options *opts, weir_main *main,
                                  weir_notice *ready);

/* What a failed init returned: the one that failed the open or, once the pool is open, the
 * last one that failed; 0 if none failed. NULL stands for the pool that this thread's last
 * weir_pool_open did not open, and gave no handle of. Any thread. */
WEIR_API int weir_pool_init_error(const weir_pool *pool);

typedef enum {
    WEIR_CLOSE = 0, /* queued and parked tasks settle as WEIR_ECLOSED now, running ones finish */
    WEIR_DRAIN      /* queued tasks run first. When only parked tasks are left, they settle as
                       closed. When no thread is left, everything does (a lazy pool may start
                       one, and drains) */
} weir_close_mode;

/* Closes the pool and waits until every thread has ended. Returns 0, also if the pool was
 * closed before; WEIR_EINVAL for a bad mode; WEIR_EDEADLK on a thread of the pool, also in a
 * destructor of its thread-specific data, and inside a run_in_main function that such a
 * thread waits for. After WEIR_EDEADLK nothing is changed: use weir_close_async there.
 * WEIR_CLOSE while the pool drains turns the drain into a close; WEIR_DRAIN while it closes
 * changes nothing. A pool that still opens fails to open with WEIR_ECLOSED. Any other
 * thread. A thread that owns a main serves posted run_in_main calls while it waits, but runs
 * no done. */
WEIR_API int weir_close(weir_pool *pool, weir_close_mode mode);

/* The same, but waits no longer than timeout_ns, whatever the threads are in (a task,
 * at_exit, on_stop, a destructor of thread-specific data). When the time has passed, tasks
 * that are still queued or parked settle as closed, and it returns WEIR_ETIMEDOUT; the close
 * goes on. A program may end then: it closes its mains with WEIR_DETACH, and what a running
 * task uses must stay until the process has ended. Where the system has no timed join (macOS,
 * OpenBSD) this does not wait for the destructors of the last thread: it returns 0 when that
 * thread has run on_stop, and a weir_close joins the thread. */
WEIR_API int weir_close_within(weir_pool *pool, weir_close_mode mode, int64_t timeout_ns);

/* Starts the close and returns. `closed` (may be NULL) is told once per call, after every
 * thread but the last has left, or at once if all is over: it is delivered to `main`, or if
 * main is NULL called on the last thread of the pool (a worker, or the one that keeps its
 * deadlines). That last thread is then still on its way out. A weir_close after the notice
 * waits for that thread as well; a program that unloads the library must do so. Returns 0;
 * WEIR_EINVAL (a bad mode, or `closed` has no fn); WEIR_EBUSY (`closed` was taken already);
 * WEIR_ECLOSED (main is closed). After an error nothing is changed. Any thread, also a worker. */
WEIR_API int weir_close_async(weir_pool *pool, weir_close_mode mode, weir_main *main,
                              weir_notice *closed);

/* Gives the handle back; an open pool is closed (WEIR_CLOSE) without waiting. The memory is
 * freed when the last thread and the last task are gone. No other call may name the pool
 * afterwards, nor be under way. NULL is allowed. Any thread. */
WEIR_API void weir_pool_release(weir_pool *pool);

/* Adds an owner of the handle. Each owner needs a weir_pool_release, and only the last one
 * closes the pool. */
WEIR_API void weir_pool_retain(weir_pool *pool);

/* Sets threads to min and threads_max to max, min <= max, 1 <= max <= WEIR_MAX_THREADS.
 * Surplus threads leave after their task, and no queued task is lost. Missing threads are
 * started. With min 0 the pool is lazy: threads that idle retire after idle_ns. With min 1
 * or more it keeps threads again, but stays open while it has none. Returns 0, or
 *   WEIR_EAGAIN   the system refused threads. The new bounds hold all the same: the pool
 *                 serves with what it has and grows when it can.
 *   WEIR_EINVAL   also min 0 for a borrowed pool without lend
 *   WEIR_ECLOSED
 * Any thread; does not wait. */
WEIR_API int weir_pool_resize(weir_pool *pool, unsigned min, unsigned max);

/* While a pool is paused no task starts; running tasks go on. resume ends the pause, and so
 * does a drain. Both return 0 or WEIR_ECLOSED. Any thread. */
WEIR_API int weir_pool_pause(weir_pool *pool);
WEIR_API int weir_pool_resume(weir_pool *pool);

/* Cancels every queued task, as weir_cancel would; returns how many. Any thread. */
WEIR_API size_t weir_pool_purge(weir_pool *pool);

/* The options in force, with the defaults filled in. opts->size must be set. The name lives
 * as long as the pool. Returns 0 or WEIR_EINVAL. Any thread. */
WEIR_API int weir_pool_get_options(const weir_pool *pool, weir_pool_options *opts);

typedef struct {
    size_t size; /* sizeof(weir_pool_stats) */
    /* Now. */
    unsigned threads; /* with a state, serving */
    unsigned idle;    /* of these threads, without a task */
    unsigned running; /* tasks in run, without abandoned ones */
    size_t   queued;
    size_t   parked;
    unsigned wanted;  /* requests to lend that are not answered yet */
    unsigned lost;    /* abandoned threads that still run */
    unsigned blocked; /* of `threads`, between weir_blocking_begin and _end */
    /* Since the pool opened. submitted = queued + running + parked + the sum of
     * the six outcomes, in every snapshot. */
    uint64_t submitted;
    uint64_t ok, failed, cancelled, expired, closed;
    uint64_t dropped;        /* settled as WEIR_EFULL */
    uint64_t refused;        /* runs that returned WEIR_EFULL */
    uint64_t abandoned;      /* also counted in cancelled */
    uint64_t wakes;          /* idle workers woken */
    uint64_t lends_refused;  /* threads, lent or owned, that could not be had after the open: they
                                were refused, or their init failed */
    uint64_t grown, retired; /* threads asked for after the open; ended before the close */
    /* Now, in ns, some ms inexact unless the pool measures; 0: there is no such task. How long
     * the task has been queued that has been longest, and how long that one has run. A task
     * that is unparked is queued anew, and its next run counts anew. */
    int64_t oldest_queued_ns;
    int64_t oldest_running_ns;
} weir_pool_stats;

/* One consistent snapshot. 0 or WEIR_EINVAL. Any thread. */
WEIR_API int weir_pool_get_stats(weir_pool *pool, weir_pool_stats *stats);

/* One task that runs or is parked, as it was when weir_pool_each_running looked. */
typedef struct {
    const weir_task *task;   /* a name: the task may be gone by now */
    const char      *label;  /* or NULL */
    weir_task_state  state;  /* WEIR_TASK_RUNNING or WEIR_TASK_PARKED */
    int              thread; /* its worker's number; -1: parked, or its submitter runs it */
    int64_t          since;  /* when this began, a time of weir_now, some ms inexact */
    bool             cancel_requested;
    bool             blocking; /* its worker is inside weir_blocking_begin or weir_wait */
} weir_running;

/* Calls fn for each task that runs, then for each that is parked, the oldest first. All are
 * looked at in one moment; fn is called after that, under no lock, and may call anything.
 * Returns 0, WEIR_EINVAL (NULL) or WEIR_ENOMEM, and then fn was not called. Abandoned tasks
 * are not among them. Any thread. */
WEIR_API int weir_pool_each_running(weir_pool *pool,
                                    void (*fn)(void *arg, const weir_running *task), void *arg);

/* Calls fn for each pool of the process that was not released. Under no lock; fn may call
 * anything, and the pool lives until fn returns. 0, WEIR_EINVAL or WEIR_ENOMEM. Any thread. */
WEIR_API int weir_each_pool(void (*fn)(void *arg, weir_pool *pool), void *arg);

/* The pool that the calling thread serves, or NULL. */
WEIR_API weir_pool *weir_pool_current(void);

/* ---- the watcher ----------------------------------------------------- */

typedef enum { WEIR_STUCK_TASK = 0, WEIR_STUCK_LOOP } weir_stuck;

/* What the watcher has found. It lasts until `tell` returns. */
typedef struct {
    weir_stuck  kind;
    int64_t     for_ns;   /* how long the task has run, or the loop has not turned */
    const char *text;     /* says it: "task 'import' has run for 30 s on db/2", "the loop has not
                             turned for 2 s" */
    const char   *pool;   /* its name, or NULL: of a loop */
    const char   *label;  /* of the task, or NULL */
    int           thread; /* the worker's number; -1: the submitter runs the task, or a loop */
    unsigned long loop;   /* the thread id of a loop's thread, or 0 */
} weir_sighting;

/* Zero-fill it, then set size and at least one limit. */
typedef struct {
    size_t  size;    /* sizeof(weir_watch_options) */
    int64_t task_ns; /* tells of a task that has run so long; 0: of none */
    int64_t loop_ns; /* tells of a loop that has not turned for so long; 0: of none */
    void (*tell)(void *arg, const weir_sighting *s); /* NULL: writes a line to stderr */
    void *arg;
} weir_watch_options;

/* Has a thread of weir's look, for the whole process, whether a task runs too long or a loop
 * does not turn. Each is told when it passes the limit, and again at each doubling. A loop is
 * the owner of a main, whatever that owner does instead of turning to it; a thread that serves
 * a pool is none. It is watched while something is pending, because glue polls a main only then.
 * So that it is seen though nothing comes, its main is woken a few times per limit: its owner
 * then dispatches nothing. tell runs on the watcher's thread, under
 * no lock, and may call anything but weir_watch; while it runs nothing is watched.
 *
 * A watcher of before has ended when this returns. opts NULL: there is none from then on.
 * Returns 0; WEIR_EINVAL (no limit, one below 0, size); WEIR_EAGAIN or WEIR_ENOMEM (nothing is
 * changed); WEIR_EDEADLK (inside tell). Any other thread. A child of fork has no watcher. */
WEIR_API int weir_watch(const weir_watch_options *opts);

/* ---- histograms ------------------------------------------------------ */

/* Coarse: bucket 0 counts times of 0 ns, bucket i times of [2^(i-1), 2^i) ns. */
enum { WEIR_BUCKETS = 64 };
typedef enum { WEIR_QUEUE_TIME = 0, WEIR_RUN_TIME } weir_histogram;

/* One histogram, over the started tasks of a pool opened with `measure`. Returns 0, or
 * WEIR_EINVAL (also without `measure`). Any thread. */
WEIR_API int weir_pool_get_histogram(weir_pool *pool, weir_histogram which,
                                     uint64_t buckets[WEIR_BUCKETS]);

/* The same times, four buckets for each power of 2: bucket i counts times below
 * weir_times_below(i) ns, and not below weir_times_below(i - 1). */
enum { WEIR_TIMES = 252 };
WEIR_API int      weir_pool_get_times(weir_pool *pool, weir_histogram which,
                                      uint64_t counts[WEIR_TIMES]);
WEIR_API uint64_t weir_times_below(unsigned bucket);

/* The time below which `percent` (0..100) of what was counted lie, too long by at most a
 * quarter; 0 when nothing was counted. Any thread. */
WEIR_API uint64_t weir_times_percentile(const uint64_t counts[WEIR_TIMES], double percent);

/* ---- for others to look at ------------------------------------------- */

/* Writes what all pools and loops of the process do, in Prometheus' text format 0.0.4, which an
 * HTTP server gives to a GET as "text/plain; version=0.0.4". The text has each pool's snapshot, and
 * the histograms of those opened with `measure`; the label `pool` is a pool's name. Where several
 * pools of one name are there, all but the first opened have a label `namesake` too. Of each loop,
 * which is a main of a thread that served no pool when it opened it, the text has what
 * weir_main_get_stats says; the label `loop` is the smallest number that none opened before has
 * or, past 64 loops, one more than the greatest. It is one text for all pools, because the format
 * wants the values of one name in one place.
 *
 * Returns the length of the text, without the 0 byte that ends it. As snprintf does, it writes
 * no more than size - 1 bytes of it and a 0 byte, and nothing if size is 0: with a longer result
 * call again with more. Or returns WEIR_EINVAL (buffer is NULL and size is not 0), or WEIR_ENOMEM.
 * Any thread; does not wait. */
WEIR_API int weir_metrics(char *buffer, size_t size);

/* Lets weir-top PID look at this process, until weir_unpublish or the end of the process: a socket
 * `weir-PID` in `folder` (an absolute path; NULL: $XDG_RUNTIME_DIR), which this user and root
 * alone may connect to, and a thread that sleeps until they do. Where the variable WEIR_TOP is
 * set and not 0, the first pool that opens does this, in the folder that WEIR_TOP names, or in
 * $XDG_RUNTIME_DIR if its value is no absolute path; if that fails, stderr says so. Returns 0, or
 *   WEIR_EINVAL   folder is relative, too long, or no socket can be made there; or it is NULL and
 *                 there is no $XDG_RUNTIME_DIR
 *   WEIR_EBUSY    it is published
 *   WEIR_ENOTSUP  elsewhere than on Linux
 *   WEIR_EAGAIN   the system refused the thread
 *   WEIR_EMFILE, WEIR_ENOMEM
 * After an error nothing is changed. Any thread. A child of fork is not published. */
WEIR_API int weir_publish(const char *folder);

/* Ends it, when the thread has ended. Without effect if nothing is published. Any thread. */
WEIR_API void weir_unpublish(void);

/* ---- mains ------------------------------------------------------------- */

/* Opens a main that the calling thread owns: only that thread may dispatch, wait and close.
 * Returns 0, WEIR_ENOMEM or WEIR_EMFILE. Partner: weir_main_close. */
WEIR_API int weir_main_open(weir_main **out);

/* Poll this descriptor for reading: it is readable while something waits for dispatch. Never
 * read or close it. The number stays valid until weir_main_close; after fork the same number
 * is a fresh descriptor in the child. While its thread blocks inside weir, run_in_main calls
 * and lends wake that thread and need not make it readable. So a function that runs inside
 * such a wait and turns the loop itself calls weir_main_wait and does not poll. An
 * edge-triggered poll (EPOLLET) misses nothing either: what comes to an empty main is a new
 * edge, and so is what a dispatch with a limit leaves. Any thread. */
WEIR_API int weir_main_fd(const weir_main *main);

/* Delivers what is there now, in order, without waiting; at most max deliveries if max > 0.
 * Returns the number delivered, or WEIR_EPERM on a foreign thread. What stays undelivered
 * keeps the descriptor readable. Callbacks may call any weir function but weir_main_close of
 * this main, which is refused there. A dispatch or weir_main_wait of this main inside a
 * callback goes on with the same ordered list. */
WEIR_API int weir_main_dispatch(weir_main *main, int max);

/* While a main is quiet, nothing makes its descriptor readable. This saves a write and a read
 * for what comes meanwhile. For an owner that dispatches anyway before it polls again: one
 * that only waits with weir_main_wait, or a loop's glue while it resumes what a dispatch has
 * woken. When quiet ends, the descriptor is readable at once if something waits. Returns 0,
 * WEIR_EINVAL, or WEIR_EPERM on a foreign thread. */
WEIR_API int weir_main_quiet(weir_main *main, bool quiet);

/* Waits until something can be delivered, then dispatches. Returns the number delivered
 * (0: the timeout passed, or nothing is pending and none can come), or WEIR_EPERM. With a
 * negative timeout and nothing pending it returns 0 at once, because it would sleep for
 * ever. A task or notice inside whose callback it is called does not count there. A call
 * does until it is finished, also inside its own fn: another thread may finish it. */
WEIR_API int weir_main_wait(weir_main *main, int64_t timeout_ns);

/* Before it sleeps, such a wait looks for what is pending for at most `ns`, because a sleep and
 * a wake-up on another CPU cost more than many tasks. It does not look when nothing is pending,
 * and seldom when it has looked in vain several times. 0: it sleeps at once. By default 20000,
 * and 0 if the main was opened by a thread that may run on one CPU only. Returns 0, WEIR_EINVAL
 * (NULL, or ns < 0), or WEIR_EPERM on a foreign thread. */
WEIR_API int weir_main_linger(weir_main *main, int64_t ns);

/* One delivery that the main's owner handles itself, see weir_main_next. Zero-fill it, then
 * set size. Of task, notice, call and pool, the one that was delivered is not NULL. */
typedef struct {
    size_t       size;    /* sizeof(weir_delivery) */
    weir_task   *task;    /* it settled with outcome; it is idle now, unless it was abandoned */
    weir_notice *notice;  /* it was posted with outcome */
    weir_call   *call;    /* weir_run_in_main was called with fn and arg */
    weir_pool   *pool;    /* it asks for `lends` threads, each as its lend(pool, arg) would */
    int          outcome; /* of task or notice */
    unsigned     lends;   /* 0: the pool needs none any more */
    void (*fn)(weir_call *call, void *arg);
    void *arg;

    /* Reserved for the library: zero-fill it, then leave it alone. */
    struct {
        weir_main              *main;
        const struct weir_kind *kind;
        void                   *of;
        int                     blocking;
        void                   *spare[2];
    } weir;
} weir_delivery;

/* Takes one delivery without calling its callback (done, fn, lend): the caller acts instead,
 * after this has returned. So a binding runs nothing under weir's frames.
 *
 * The first call with `out` begins a round. It takes what is there now, as a dispatch does.
 * The following calls with the same `out` return these deliveries, one by one and in order,
 * then WEIR_EAGAIN, which ends the round. A delivery that comes meanwhile waits for the next
 * round, so that a loop over next ends even if each task is run again.
 *
 * A delivery lasts until the following next with `out`, or until weir_delivery_end, which
 * also ends the round. While it lasts, all is as inside a callback that dispatch calls:
 *   - weir_main_pending counts it, unless it is a lend or a finished call, and a fork finds
 *     it there; on_busy waits for the end of the round, and weir_main_close returns
 *     WEIR_EBUSY until then;
 *   - a task may be freed or run again at once; an abandoned task is released at the end;
 *   - a call may be finished at once or later; at the end its fn counts as returned;
 *   - nested calls (weir_main_next, weir_main_dispatch, weir_main_wait) go on with the same
 *     ordered list, each with a weir_delivery of its own.
 * A blocking wait calls the fn or lend of what it serves, so that is not taken here.
 *
 * Returns 0; WEIR_EAGAIN (nothing is there, or the round is over); WEIR_EPERM (a foreign
 * thread); WEIR_EBUSY (`out` is in a round of another main); WEIR_EINVAL (NULL, or a size
 * that is too small). After WEIR_EAGAIN `out` holds no delivery; the other errors change
 * nothing. The main's own thread, also in a child of fork; `out` is the caller's. Partner:
 * weir_delivery_end. */
WEIR_API int weir_main_next(weir_main *main, weir_delivery *out);

/* The same, but if a round begins and nothing is there, it waits for something as
 * weir_main_wait does. WEIR_ETIMEDOUT if the timeout passed: then `out` holds no delivery
 * either. With a negative timeout and nothing pending it returns WEIR_EAGAIN at once. */
WEIR_API int weir_main_wait_next(weir_main *main, int64_t timeout_ns, weir_delivery *out);

/* Calls the delivery's own callback, as weir_main_dispatch would, for a delivery that the
 * caller does not know. Once, while the delivery lasts; without a delivery it does nothing.
 * The main's own thread. */
WEIR_API void weir_delivery_run(weir_delivery *delivery);

/* Ends the delivery, if there is one, and its round. What the round has not returned keeps
 * the descriptor readable. Not needed after WEIR_EAGAIN. NULL is allowed. The main's own
 * thread. */
WEIR_API void weir_delivery_end(weir_delivery *delivery);

/* How many deliveries are still to come or to be delivered: accepted tasks that have a done,
 * run_in_main calls that are not finished, notices. Not counted are tasks without done, lends and
 * finished calls. A loop may end when this is 0. Any thread. */
WEIR_API size_t weir_main_pending(const weir_main *main);

typedef struct {
    size_t size;    /* sizeof(weir_main_stats) */
    size_t pending; /* as weir_main_pending says */
    /* In ns, some ms inexact. How long the oldest delivery that has come, and has not ended,
     * has been there; 0: there is none. */
    int64_t lag_ns;
    /* How long the owner has not turned to the main though it had to: since its present round
     * began or, outside a round, since the oldest delivery came. 0: it has nothing to do. */
    int64_t       unturned_ns;
    unsigned long thread; /* the owner's thread id, as the system shows it; 0: not known */
} weir_main_stats;

/* 0 or WEIR_EINVAL. Any thread that knows that main is open. */
WEIR_API int weir_main_get_stats(const weir_main *main, weir_main_stats *stats);

/* Wakes the owner, as a delivery would, though nothing has come: its next dispatch delivers
 * nothing for it. For a thread that has something to tell by other means. Any thread that knows
 * that main is open. */
WEIR_API void weir_main_nudge(weir_main *main);

/* Calls fn for each open main of the process. Under no lock; the main's memory lives until fn
 * returns, but its owner may close it meanwhile: then its stats are those of an idle one. 0,
 * WEIR_EINVAL or WEIR_ENOMEM. Any thread. */
WEIR_API int weir_each_main(void (*fn)(void *arg, weir_main *main), void *arg);

/* Calls fn(main, true, arg) when pending leaves 0, and fn(main, false, arg) when it is 0
 * again; at once if main is busy now. fn always runs on the main's own thread, inside
 * dispatch or the weir call that changed pending, so that a loop's glue may hold and release
 * its loop. fn NULL ends this. Returns 0 or WEIR_EPERM. */
WEIR_API int weir_main_on_busy(weir_main *main, void (*fn)(weir_main *, bool busy, void *arg),
                               void      *arg);

enum { WEIR_DETACH = 1 };

/* Closes a main:
 *   - what is undelivered is delivered;
 *   - queued and parked tasks aimed at it settle as WEIR_ECLOSED and are delivered;
 *     submitters that wait for their space in the queue are told;
 *   - posted and begun run_in_main calls fail with WEIR_ECLOSED.
 * If tasks aimed at it that have a done still run, or notices are to come, it returns WEIR_EBUSY:
 * all this was done, but the main stays open. With WEIR_DETACH it closes nevertheless, and their
 * done and fn run on the worker, see weir_task_orphaned. WEIR_EPERM on a foreign thread; WEIR_EBUSY
 * inside its own dispatch, or in a call that it serves. The descriptor closes after its last
 * writer has let go. After a 0 no call may name the main any more: its memory is freed. NULL is
 * allowed. */
WEIR_API int weir_main_close(weir_main *main, unsigned flags);

/* ---- run_in_main ------------------------------------------------------- */

/* Runs fn(call, arg) on the thread of main, inside its dispatch, and waits until
 * weir_call_finish. With main NULL it takes the main of the task that the caller runs,
 * otherwise the first of the process that is still open. If no loop runs yet, it waits for
 * one. Returns the code that weir_call_finish was given, and with 0 its result in *result
 * (unless result is NULL); or
 *   WEIR_ECLOSED  the main closed first, or there is none
 *   WEIR_EDEADLK  on main's own thread; or the call is not finished and the loop does not
 *                 run: fn, served by a blocking call on that thread, returned before it was
 *                 finished, or fn has returned and that thread then waits without limit
 *                 for the pool whose task called
 *   WEIR_ENOMEM
 * Every thread but the main's own. */
WEIR_API int weir_run_in_main(weir_main *main, void (*fn)(weir_call *call, void *arg), void *arg,
                              void **result);

/* Ends a call, once: in fn, or later from any thread. code is 0 or an error of the
 * program's. A finish after the main closed is counted (weir_main_late_finishes) and does
 * nothing else. Consumes the call. */
WEIR_API void weir_call_finish(weir_call *call, int code, void *result);

/* How many finishes came after their call had failed, in the whole process. */
WEIR_API uint64_t weir_main_late_finishes(void);

/* ---- borrowed workers -------------------------------------------------- */

/* Makes the calling thread a worker of a borrowed pool and sets its signal mask, but not its
 * name, which is up to the host. Returns 0; WEIR_ECLOSED (run at_exit and end the thread);
 * WEIR_EFULL (no thread is wanted); WEIR_EPERM (it serves a pool already); WEIR_ENOMEM (call
 * weir_worker_refuse); WEIR_EINVAL (the pool is not borrowed). */
WEIR_API int weir_worker_enter(weir_pool *pool, weir_worker **out);

/* The host calls it instead of weir_worker_enter if it could not make the thread (code
 * WEIR_EAGAIN or WEIR_ENOMEM), or if its init failed with code. A pool that opens fails to
 * open. Otherwise the pool serves with the threads that it has. If it has none, it closes;
 * a lazy pool settles what is queued instead, see its option. Any thread. */
WEIR_API void weir_worker_refuse(weir_pool *pool, int code);

/* Takes the next task, which is then running. Returns 0 and *task; WEIR_ECLOSED: leave;
 * WEIR_EAGAIN: wait is false and no task is there. The worker's own thread. Partner:
 * weir_worker_settle. */
WEIR_API int weir_worker_next(weir_worker *worker, bool wait, weir_task **task);

/* Settles the task that weir_worker_next gave with what its run returned, and delivers it;
 * WEIR_PARK parks it. Returns 0, or WEIR_ECLOSED if the thread was abandoned: give back what
 * it holds and leave. The worker's own thread. */
WEIR_API int weir_worker_settle(weir_worker *worker, weir_task *task, int code);

/* The last call of a worker, after its host ran at_exit. A task that it still runs settles as
 * failed with code. If it runs none and lost is false, a code other than 0 says that its
 * init, run after weir_worker_enter, failed: the worker counts as refused with that code, see
 * weir_worker_refuse. lost: the thread ends in the middle of its service, and the pool asks
 * for a replacement. Restores the signal mask. */
WEIR_API void weir_worker_leave(weir_worker *worker, bool lost, int code);

/* The worker that the calling thread is, or NULL; its number in its pool. */
WEIR_API weir_worker *weir_worker_current(void);
WEIR_API unsigned     weir_worker_index(const weir_worker *worker);

/* Blocks in the calling thread every signal that workers of pool block, and puts the mask
 * before into *old (a sigset_t). A host calls the two around its thread creation, so that no
 * signal hits a new worker before it enters. */
WEIR_API void weir_block_signals(const weir_pool *pool, void *old);
WEIR_API void weir_restore_signals(const void *old);

/* Around code on a worker that waits for another task of its pool: meanwhile the pool may
 * start a spare thread, up to max_blocked of them. May nest. weir_wait does it by itself.
 * Without effect elsewhere. */
WEIR_API void weir_blocking_begin(void);
WEIR_API void weir_blocking_end(void);

/* Around a call on a worker that starts a command without fork, as posix_spawn, popen and
 * system of glibc do: meanwhile the thread has the signal mask of the thread that opened its
 * pool, and the command inherits that mask. Otherwise the command would ignore SIGTERM,
 * because a worker blocks it. It also has its own scheduling policy (see `cpus`). Signals that come
 * meanwhile may be handled on the worker. A forked child has that mask by itself. May nest; ends
 * with the task. Without effect elsewhere, also on a borrowed thread before weir_worker_enter.
 * Partners. */
WEIR_API void weir_spawning_begin(void);
WEIR_API void weir_spawning_end(void);

/* The policy alone, until the worker next sleeps: for whoever gives the command a mask of its own,
 * by posix_spawnattr_setsigmask. No signal is then handled on the worker. Without effect
 * elsewhere. */
WEIR_API void weir_restore_policy(void);

/* ---- fork, clock -------------------------------------------------------- */

/* In a child of fork every pool that was not closed is, and its unsettled tasks settle as
 * WEIR_ECLOSED; a task that forked in its run does when that run returns, whatever it
 * returns. The mains of the thread that forked stay open, those of other threads are closed.
 * What a dispatch delivers there is delivered in the parent too: a child that must answer
 * nobody twice calls exec or _exit without one.
 * A notice that was expected and not posted may be posted there, and pends from then on. Of
 * what the parent's pools were to tell, a notice without a main, or with another thread's, is
 * told in the parent alone, because no thread that it is promised to is left in the child. */

/* What is called around each fork, on the thread that forks. Each may be NULL. */
typedef struct {
    void (*before)(void); /* may take locks; weir's are free */
    void (*in_parent)(void);
    void (*in_child)(void); /* weir's pools and mains are the child's by then, its locks free */

    /* Reserved for the library: zero-fill, then leave alone. */
    struct {
        weir_link link;
        unsigned  added;
    } weir;
} weir_fork_hook;

/* Calls hook at each fork from now on, for good: *hook and its functions must stay. Its before
 * is called ahead of those of earlier hooks and of weir's own; its in_parent or in_child after
 * theirs. So before may take a lock that its holder keeps while it calls weir. The same hook
 * again changes nothing. 0, WEIR_EINVAL (NULL), WEIR_ENOMEM. Any thread, whatever it holds. */
WEIR_API int weir_on_fork(weir_fork_hook *hook);

/* The clock of weir's times, monotonic, in nanoseconds. Any thread. */
WEIR_API int64_t weir_now(void);

/* ---- tracing ----------------------------------------------------------- */

typedef enum {
    WEIR_TRACE_QUEUED = 0, /* a task was accepted */
    WEIR_TRACE_STARTED,    /* a worker took it */
    WEIR_TRACE_SETTLED,    /* with its outcome as value; not for a task without done that
                              settles off a worker (cancelled, closed, expired, dropped) */
    WEIR_TRACE_THREAD,     /* a thread entered (1) or left (0) */
    WEIR_TRACE_GREW,       /* a task found no idle thread, so one more was asked for; not
                              what a resize asks for, nor the replacement of a lost thread */
    WEIR_TRACE_CLOSED      /* a pool is closed */
} weir_trace_event;

/* From now on fn is called at each event, on the thread where it happens, outside every
 * lock. The task may be gone already: use the pointer only as a name. fn NULL ends tracing;
 * calls under way may still come, with the arg of before. It holds for the whole process.
 * Any thread; fn may call no weir function but weir_pool_get_options. While neither this nor
 * weir_trace_start is on, an event costs one load. */
WEIR_API void weir_trace(void (*fn)(void *arg, weir_trace_event event, const weir_pool *pool,
                                    const weir_task *task, int value),
                         void *arg);

/* What records tell besides the events of weir_trace_event. */
enum {
    /* A run has returned, with this code, and no SETTLED says so at that moment: it parked, or
     * its submitter ran it (STARTED then came on that thread), or it was abandoned. */
    WEIR_TRACE_RAN = WEIR_TRACE_CLOSED + 1,
    WEIR_TRACE_BLOCKED,   /* a thread waits for a task, or a worker begins a blocking section */
    WEIR_TRACE_UNBLOCKED, /* ... and goes on */
    WEIR_TRACE_DELIVERED, /* a task's done begins, or weir_main_next returned it; its outcome */
    WEIR_TRACE_DONE,      /* ... and that delivery has ended */
    WEIR_TRACE_ASKED,     /* weir_run_in_main waits for the main; `task` numbers the call */
    WEIR_TRACE_ANSWERED,  /* ... and returns; its code */
    WEIR_TRACE_CALLED,    /* on the main's thread: the call's fn begins */
    WEIR_TRACE_RETURNED,  /* ... and that delivery has ended */
    WEIR_TRACE_TURNED,    /* a loop turned to its main, which it had to since `value` us */
    WEIR_TRACE_BEGAN,     /* weir_trace_begin, with its label */
    WEIR_TRACE_ENDED      /* ... and weir_trace_end */
};

/* One event. Its texts are labels: they stay for good. */
typedef struct {
    int64_t  at;          /* a time of weir_now */
    unsigned event;       /* WEIR_TRACE_... */
    int32_t  value;       /* as the event says */
    uint32_t task;        /* the number of this run of a task, or of a call; 0: of none, or of
                             one that came before the trace */
    uint32_t      by;     /* QUEUED: the task that submitted it from its run, or 0 */
    const char   *label;  /* of the task, or NULL */
    const char   *pool;   /* its name, or NULL */
    unsigned long thread; /* where it happened: the system's id, and name */
    const char   *thread_name;
} weir_record;

/* Records the events of the whole process from now on, each thread in a ring of its own, which
 * keeps `per_thread` records until they are read (rounded up to a power of 2; 0: WEIR_RECORDS).
 * A record costs some ten ns and takes no lock. What finds the ring full is lost, and counted.
 * Returns 0; WEIR_EINVAL (more than WEIR_MAX_RECORDS); WEIR_EBUSY (it is on already); WEIR_EAGAIN.
 * Any thread. In a child of fork it is off. Partner: weir_trace_stop. */
#define WEIR_RECORDS 4096u
#define WEIR_MAX_RECORDS (1u << 20)
WEIR_API int weir_trace_start(unsigned per_thread);

/* Takes up to n records that are there; 0: none, or nothing is recorded. Those of one thread
 * are in the order in which they happened; those of two are to be ordered by `at`. Any thread;
 * two that read share the records. */
WEIR_API size_t weir_trace_read(weir_record *out, size_t n);

/* How many records were lost since the start. Any thread. */
WEIR_API uint64_t weir_trace_lost(void);

/* Records nothing more, and forgets what was not read. The memory of a thread's ring is given
 * back when that thread ends, or stops the trace. Any thread. */
WEIR_API void weir_trace_stop(void);

/* Records, and has a thread of weir's write it all to `path`, in the format that
 * https://ui.perfetto.dev opens: a track per thread with its tasks and dones, with flows from
 * submit to start to done; how many tasks are queued and run; when loops have not turned. NULL:
 * ends it, and returns when the file is whole. Meanwhile weir_trace_read takes what the file
 * lacks then. While something is pending to a loop, it is woken a hundred times a second, to see
 * whether it turns. Returns 0;
 * WEIR_EBUSY (a trace is on); WEIR_EINVAL (the file cannot be written, errno says why);
 * WEIR_EAGAIN, WEIR_ENOMEM. Any thread. A child of fork writes nothing to it.
 *
 * The environment variable WEIR_TRACE has the same done for a program as it is, from its first
 * pool, main or weir_trace_begin until its exit: WEIR_TRACE=FILE PROGRAM. %p in FILE becomes
 * the process's number, for a program that starts others. */
WEIR_API int weir_trace_file(const char *path);

/* Around what the program does itself, so that a trace shows it on the track of the calling
 * thread: what a loop does between its turns, or a step of a task. They nest. While nothing is
 * recorded they cost a few loads; otherwise weir keeps one copy of each label (weir_label).
 * Any thread. Partners. */
WEIR_API void weir_trace_begin(const char *label);
WEIR_API void weir_trace_end(void);

#ifdef __cplusplus
}
#endif
#endif
