/* SPDX-License-Identifier: ISC
 *
 * platform.h: everything a port must supply.
 *
 * Two build options choose the portable fallbacks: WI_NO_FUTEX (a parker is a
 * mutex and a condition variable, a lock a mutex) and WI_NO_EVENTFD (a wake is a pipe). A sandbox
 * that refuses eventfd, or the futex call of 64-bit times, gets the older way at run time.
 * WI_SECOND is for a copy of the core in a process that has another: it leaves what the
 * environment asks for to that one.
 */
#pragma once

#include "weir.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#if defined(__linux__) && !defined(WI_NO_FUTEX)
#define WI_FUTEX 1
#endif
#if defined(__linux__) && !defined(WI_NO_EVENTFD)
#define WI_EVENTFD 1
#endif

/* A function that runs as the process ends or the library is unloaded. The last thread of a
 * process calls it after ThreadSanitizer has let go of the thread: it may not report then. */
#if defined(__has_attribute)
#if __has_attribute(disable_sanitizer_instrumentation)
#define WI_AT_UNLOAD __attribute__((destructor, disable_sanitizer_instrumentation))
#elif __has_attribute(no_sanitize_thread) /* gcc */
#define WI_AT_UNLOAD __attribute__((destructor, no_sanitize_thread))
#endif
#endif
#ifndef WI_AT_UNLOAD
#define WI_AT_UNLOAD __attribute__((destructor))
#endif

#pragma GCC visibility push(hidden)

/* What the environment asks of the library by this variable, or NULL. */
const char *wi_asked(const char *variable);

/* ---- locks: short sections only, never user code inside; two only as doc/threads.md says */

#if defined(WI_FUTEX) && !defined(WI_PTHREAD_LOCKS)

typedef struct {
    _Atomic int word; /* 0 free, 1 taken, 2 taken, and somebody may wait */
} wi_mutex;
#define WI_MUTEX                                                                                   \
    {                                                                                              \
        0                                                                                          \
    }

void wi_mutex_wait(wi_mutex *m);   /* returns with it taken */
void wi_mutex_notify(wi_mutex *m); /* one that waits, if there is one */

static inline void wi_mutex_init(wi_mutex *m) { atomic_init(&m->word, 0); }
static inline void wi_mutex_destroy(wi_mutex *m) { (void)m; }
static inline bool wi_mutex_try(wi_mutex *m)
{
    int free = 0;
    return atomic_compare_exchange_strong(&m->word, &free, 1);
}
static inline void wi_mutex_lock(wi_mutex *m)
{
    if (!wi_mutex_try(m))
        wi_mutex_wait(m);
}
/* The memory may go once the word is free: the wake only names an address. */
static inline void wi_mutex_unlock(wi_mutex *m)
{
    if (atomic_exchange(&m->word, 0) == 2)
        wi_mutex_notify(m);
}

#else

typedef pthread_mutex_t wi_mutex;
#define WI_MUTEX PTHREAD_MUTEX_INITIALIZER

static inline void wi_mutex_init(wi_mutex *m) { pthread_mutex_init(m, NULL); }
static inline void wi_mutex_destroy(wi_mutex *m) { pthread_mutex_destroy(m); }
static inline bool wi_mutex_try(wi_mutex *m) { return pthread_mutex_trylock(m) == 0; }
static inline void wi_mutex_lock(wi_mutex *m) { pthread_mutex_lock(m); }
static inline void wi_mutex_unlock(wi_mutex *m) { pthread_mutex_unlock(m); }

#endif

#ifdef WI_YIELD_POINTS
void wi_yield(void); /* lets another thread in, at random: widens races for TSan */
#else
static inline void wi_yield(void) {}
#endif

static inline void wi_lock(wi_mutex *m)
{
    wi_yield();
    wi_mutex_lock(m);
}
static inline bool wi_trylock(wi_mutex *m)
{
    wi_yield();
    return wi_mutex_try(m);
}
static inline void wi_unlock(wi_mutex *m)
{
    wi_mutex_unlock(m);
    wi_yield();
}

/* In a loop that waits for a word to change. */
static inline void wi_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Keeps what different threads write out of one cache line. */
typedef char wi_apart[64];

/* ---- parking: one token, one sleeper */

typedef struct {
#ifdef WI_FUTEX
    _Atomic int word; /* -1 asleep, 0 empty, 1 token */
#else
    pthread_mutex_t lock;
    pthread_cond_t  cond;
    bool            token; /* guarded by lock */
#endif
} wi_parker;

void wi_parker_init(wi_parker *p);
void wi_parker_destroy(wi_parker *p);
/* Consumes the token, sleeping until there is one or `deadline` (weir_now time,
 * negative: none). False when the deadline passed without a token. */
bool wi_park(wi_parker *p, int64_t deadline);
/* Whether a park would find a token: a look, which changes nothing. The sleeper alone. */
bool wi_parker_has_token(wi_parker *p);
/* Leaves a token and wakes the sleeper. After it, *p may already be gone. */
void wi_unpark(wi_parker *p);
/* Its two halves, the second for after the unlock, so that the woken thread does not
 * run into the lock: leaves a token, true when a sleeper must be woken; wakes it.
 * Between the two *p may go. */
bool wi_unpark_begin(wi_parker *p);
void wi_unpark_end(wi_parker *p);

/* ---- clock: weir_now */

/* The deadline of a timeout: negative stays "none", overflow too. */
int64_t wi_deadline(int64_t timeout_ns);
/* weir_now of some ms ago, at a fraction of its cost, for ages that people read. */
int64_t wi_now_coarse(void);
/* How long ago that was, at least 1; of 0, which is no time, 0. */
int64_t wi_age(int64_t since);

/* ---- the pollable descriptor of a main */

typedef struct {
    int rfd, wfd; /* the same number for an eventfd; rfd keeps its own in a forked child */
} wi_wake;

/* A program that has closed its standard input would read from what got that number: fd moves
 * above the three, close-on-exec, or is -1. One below 0 stays. */
int wi_fd_above(int fd);

int  wi_wake_open(wi_wake *w); /* 0 or WEIR_EMFILE */
void wi_wake_close(wi_wake *w);
void wi_wake_raise(wi_wake *w);  /* makes it readable, whatever the system says */
bool wi_wake_drain(wi_wake *w);  /* false: it was not readable yet */
void wi_wake_reopen(wi_wake *w); /* in a forked child: fresh, on the same number */

/* ---- threads */

typedef struct {
    size_t          stack_size; /* 0: the system's */
    const uint64_t *cpus;       /* n_cpus bits; NULL: any */
    unsigned        n_cpus;
} wi_thread_kind;

/* 0, WEIR_EAGAIN, WEIR_ENOMEM, or WEIR_EINVAL for a kind the system cannot make.
 * kind may be NULL. */
int wi_thread_start(pthread_t *out, const wi_thread_kind *kind, void *(*fn)(void *), void *arg);
/* True when the thread has ended, and is joined. A negative deadline: whenever that is. */
bool          wi_thread_join(pthread_t thread, int64_t deadline);
bool          wi_has_timed_join(void); /* false: with a deadline it only returns false */
void          wi_thread_name(const char *pool, const char *which);
void          wi_thread_read_name(char *out, size_t size); /* untouched where the system has none */
unsigned long wi_thread_id(void); /* the calling one's, as the system shows it; 0: not known */

/* What a thread has from the one that made it; zeros where the system does not say. */
typedef struct {
    unsigned char cpus[128]; /* a cpu_set_t */
    int           policy, priority, nice;
} wi_nature;

void wi_nature_note(wi_nature *n); /* of a thread that the calling one would make now */
/* The calling thread takes it on, as far as the system lets it; the CPUs if told so. */
void wi_nature_take(const wi_nature *n, bool cpus);

/* Blocks what workers block, but `keep` (0: none); *old may be NULL. */
void wi_signals_block(int keep, sigset_t *old);
void wi_signals_restore(const sigset_t *old);

#pragma GCC visibility pop
