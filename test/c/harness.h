/* SPDX-License-Identifier: ISC
 *
 * harness.h: what every C test stands on.
 *
 * Order comes from gates, tallies and joins, never from sleep. A failed expect
 * aborts from whatever thread it happens on, after it printed the test, both
 * values and the seed: unwinding would leave threads behind and blame the next
 * test. A test ends with as many threads, descriptors and live blocks as it
 * began with, and each thread joined or detached; the watchdog names the test
 * that hangs and what it waited for.
 */
#ifndef WEIR_TEST_HARNESS_H
#define WEIR_TEST_HARNESS_H

#include "weir.h"

#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* ---- tests -------------------------------------------------------------- */

/* A test that may assume that the system gives what is asked for. */
#define TEST(name)                                                                                 \
    static void name##_body(void);                                                                 \
    START_TEST(name)                                                                               \
    {                                                                                              \
        test_begin(#name);                                                                         \
        name##_body();                                                                             \
        test_end();                                                                                \
    }                                                                                              \
    END_TEST                                                                                       \
    static void name##_body(void)

/* A test that test_sweep.c also runs with the n-th request to the system failing:
 * what depends on an answer stands behind given(), and the end is always reached. */
#define SCENARIO(name)                                                                             \
    static void                              name##_body(void);                                    \
    static scenario                          name##_scenario = {#name, name##_body, NULL};         \
    __attribute__((constructor)) static void name##_enlist(void)                                   \
    {                                                                                              \
        scenario_enlist(&name##_scenario);                                                         \
    }                                                                                              \
    TEST(name)

typedef struct scenario {
    const char *name;
    void (*body)(void);
    struct scenario *next;
} scenario;

extern scenario *scenarios;
void             scenario_enlist(scenario *s);

/* What a fresh process does when a test starts it, for what a process looks at once only. */
#define PROGRAM(name)                                                                              \
    static void                              name##_main(void);                                    \
    static program                           name##_program = {#name, name##_main, NULL};          \
    __attribute__((constructor)) static void name##_enlist(void)                                   \
    {                                                                                              \
        program_enlist(&name##_program);                                                           \
    }                                                                                              \
    static void name##_main(void)

typedef struct program {
    const char *name;
    void (*run)(void);
    struct program *next;
} program;

void program_enlist(program *p);
/* In a forked child the same executable begins anew, and runs that one. */
pid_t program_start(const char *name);
/* Of main: whether it was begun for that, and did it. */
bool program_was_run(void);

#define SUITE(room, ...)                                                                           \
    Suite *room##_suite(void);                                                                     \
    Suite *room##_suite(void)                                                                      \
    {                                                                                              \
        const TTest *const tests[] = {__VA_ARGS__};                                                \
        return suite_of(#room, tests, sizeof tests / sizeof *tests);                               \
    }

Suite *suite_of(const char *room, const TTest *const *tests, size_t n);
/* Called before each test, in its process; NULL: nothing. */
extern void (*test_before)(void);
void test_begin(const char *name);
void test_end(void);
/* What the test does now, for the watchdog's message. */
void test_stage(const char *stage);

/* n, scaled by WEIR_SCALE (a factor, default 1), at least 1. */
unsigned scaled(unsigned n);
/* The run's seed (WEIR_SEED or the clock), and a generator. */
uint64_t test_seed(void);
uint32_t rnd(uint64_t *state);
int64_t  now_ns(void);

#define SECONDS(n) ((int64_t)(n)*1000000000)
#define MILLIS(n) ((int64_t)(n)*1000000)

/* ---- expectations, on any thread ---------------------------------------- */

_Noreturn void failed(const char *file, int line, const char *what, long long a, long long b);

#define expect(cond) ((cond) ? (void)0 : failed(__FILE__, __LINE__, #cond, 0, 1))
#define expect_op(a, op, b)                                                                        \
    do {                                                                                           \
        long long a_ = (long long)(a), b_ = (long long)(b);                                        \
        if (!(a_ op b_))                                                                           \
            failed(__FILE__, __LINE__, #a " " #op " " #b, a_, b_);                                 \
    } while (0)
#define expect_eq(a, b) expect_op(a, ==, b)

/* True when code is 0. False when it is an honest refusal (memory, thread,
 * descriptor) and a fault was injected; anything else fails the test. */
#define given(code) given_at((code), __FILE__, __LINE__)
bool given_at(int code, const char *file, int line);

/* ---- gates, tallies, threads -------------------------------------------- */

typedef struct {
    pthread_mutex_t lock;
    pthread_cond_t  cond;
    long            n;
} tally;

typedef tally gate;

#define TALLY                                                                                      \
    {                                                                                              \
        PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0                                     \
    }
#define GATE TALLY

long tally_add(tally *t, long n); /* returns the new value */
long tally_get(tally *t);
void tally_wait(tally *t, long at_least);
void gate_open(gate *g);
void gate_wait(gate *g); /* stays open */
void gate_shut(gate *g);

typedef struct {
    pthread_t thread;
    void (*fn)(void *);
    void        *arg;
    gate         started;
    pid_t        tid;
    _Atomic bool returned;
} helper;

/* A thread of the test's own; never meets an injected fault. */
void helper_start(helper *h, void (*fn)(void *), void *arg);
void helper_join(helper *h);
/* Until the thread sleeps or has returned. Makes a race likely; no expectation
 * may need it to be exact. */
void helper_until_asleep(helper *h);

/* A test whose threads are to be busy when it forks, and allocate nothing then, says so. */
extern bool others_stay_busy;
/* A fork, with a watchdog in the child, where it returns 0. */
pid_t child_begin(void);
/* Runs fn in a forked child; what it expects, the parent reaps. */
pid_t child_start(void (*fn)(void *), void *arg);
void  child_reap(pid_t pid);

bool under_tsan(void);
bool under_valgrind(void);
bool under_emulator(void); /* which aborts where a child of fork makes a thread, and execs not */
int  count_threads(void);
int  count_fds(void);
/* poll(2) once, without waiting. */
bool readable(int fd);

/* ---- pools, mains, tasks ------------------------------------------------ */

/* Zeroed options of n threads, with size set. */
weir_pool_options pool_of(unsigned n);
weir_run_options  labelled(const char *label, weir_main *m);
/* Close, wait, release; NULL is allowed. */
void pool_end(weir_pool *pool);
/* Dispatches until nothing is pending, then closes; NULL is allowed. */
void main_end(weir_main *m);
/* Both; false: refused, with what there is left to rig_close. */
typedef struct {
    weir_main *m;
    weir_pool *p;
} rig;
bool rig_open(rig *r, unsigned threads);
bool rig_open_with(rig *r, const weir_pool_options *opts);
void rig_close(rig *r);
/* A pool of one thread, lent, lost, and never replaced: who settles a task of it without
 * a main tells its done. */
void rig_open_deserted(rig *r, weir_pool_options opts);
/* Dispatches until *t reaches n. */
void main_until(weir_main *m, tally *t, long n);

/* A task that says what happened to it. The zero value returns 0 at once. */
typedef struct {
    weir_task     task;
    gate         *entered, *leave; /* opened when run begins; waited for before it ends */
    tally        *settled;         /* counts dones */
    int           code;            /* what run returns */
    int           id;
    struct order *order; /* where run writes id */
    _Atomic int   runs, dones;
    int           outcome;
    bool          orphaned;
    void         *state;
    pthread_t     ran_on, done_on;
} probe;

int  probe_run(weir_task *task, void *state);
void probe_done(weir_task *task);
#define PROBE                                                                                      \
    {                                                                                              \
        .task = {.run = probe_run, .done = probe_done }                                            \
    }

typedef struct order {
    pthread_mutex_t lock;
    int             n, id[1024];
} order;

/* Runs n probes for the main of r, which has one worker, until all stand in the
 * mailbox; dispatches nothing. */
void settle_undelivered(rig *r, probe *t, int n);

weir_delivery fresh(void); /* which nothing was taken into yet */

#define ORDER                                                                                      \
    {                                                                                              \
        PTHREAD_MUTEX_INITIALIZER, 0, { 0 }                                                        \
    }
void order_note(order *o, int id);

/* Parks `parks` times, then returns its code. */
typedef struct {
    probe       p;
    _Atomic int parks;
} parker;

int    parker_run(weir_task *task, void *state);
parker parking(int times);
void   until_parked(weir_task *task);

/* A probe that holds its worker until plug_pull. */
typedef struct {
    probe probe;
    gate  entered, leave;
} plug;

/* Runs it and waits until it holds the worker; false: refused. */
bool plug_in(plug *p, weir_pool *pool, weir_main *m);
void plug_pull(plug *p);

/* A notice that says when, where and with what it was told. */
typedef struct {
    weir_notice notice;
    tally      *told;
    _Atomic int calls;
    int         outcome;
    pthread_t   on;
} news;

void news_tell(weir_notice *notice, int outcome);
#define NEWS                                                                                       \
    {                                                                                              \
        .notice = {.fn = news_tell }                                                               \
    }

/* A snapshot whose sums were checked. */
weir_pool_stats stats_of(weir_pool *pool);

/* ---- faults (fault.c) --------------------------------------------------- */

enum fault {
    FAULT_NONE,
    FAULT_ALLOC,  /* malloc, calloc, realloc, strdup */
    FAULT_THREAD, /* pthread_create */
    FAULT_FD,     /* eventfd, pipe2 */
    FAULT_READ_EINTR,
    FAULT_READ_EAGAIN,
    FAULT_WRITE_EINTR,
    FAULT_WRITE_EAGAIN,
    FAULT_WAIT,   /* a futex or a condition variable ends early */
    FAULT_FILE,   /* open, socket, bind, listen, accept4, send */
    FAULT_ENOSPC, /* write to a file */
    FAULTS
};

extern const char *const fault_names[FAULTS];

/* From now on the n-th request of the kind fails (n from 1), as do the `burst`-1
 * that follow it. */
void fault_arm(enum fault kind, unsigned n, unsigned burst);
/* The first, and fn is called in it. */
void fault_arm_then(enum fault kind, void (*fn)(void));
/* Back to normal. Whether one was injected. */
bool fault_disarm(void);
bool fault_injected(void);
/* Blocks allocated and not freed; threads made, and neither joined nor detached; writes made so
 * far. */
long fault_live_blocks(void);
int  fault_unjoined(void);
long fault_writes(void);
/* pthread_create and malloc that are never made to fail. */
int   real_thread(pthread_t *out, void *(*fn)(void *), void *arg);
void *real_zalloc(size_t size);

#endif
