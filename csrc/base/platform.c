/* SPDX-License-Identifier: ISC
 *
 * platform.c: clock, threads, signals.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "base/platform.h"

#include "base/patience.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#if defined(__OpenBSD__) || defined(__FreeBSD__) || defined(__DragonFly__)
#include <pthread_np.h>
#endif

enum { DEFAULT_STACK = 1 << 20 };

#ifdef __linux__
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#endif

const char *wi_asked(const char *variable)
{
#ifdef WI_SECOND
    (void)variable;
    return NULL;
#else
    return getenv(variable);
#endif
}

static inline int64_t now_of(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t weir_now(void) { return now_of(CLOCK_MONOTONIC); }

#if defined(CLOCK_MONOTONIC_COARSE)
#define COARSE CLOCK_MONOTONIC_COARSE
#elif defined(CLOCK_MONOTONIC_FAST)
#define COARSE CLOCK_MONOTONIC_FAST
#else
#define COARSE CLOCK_MONOTONIC
#endif

int64_t wi_now_coarse(void) { return now_of(COARSE); }

int64_t wi_age(int64_t since)
{
    int64_t now = since ? weir_now() : 0;
    return now > since ? now - since : since != 0;
}

int64_t wi_deadline(int64_t timeout_ns)
{
    if (timeout_ns < 0)
        return -1;
    int64_t now = weir_now();
    return timeout_ns > INT64_MAX - now ? -1 : now + timeout_ns;
}

/* The system's, where that holds a real task: musl's 128 KiB and the 512 KiB of macOS
 * and OpenBSD do not. */
static int set_stack(pthread_attr_t *attr, size_t size)
{
    size_t has = 0;
    if (size == 0 && (pthread_attr_getstacksize(attr, &has) != 0 || has >= DEFAULT_STACK))
        return 0;
    return pthread_attr_setstacksize(attr, size ? size : DEFAULT_STACK) == 0 ? 0 : WEIR_EINVAL;
}

#ifdef __linux__
static cpu_set_t set_of(const wi_thread_kind *kind)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    for (unsigned i = 0; i < kind->n_cpus && i < CPU_SETSIZE; i++)
        if (kind->cpus[i / 64] >> i % 64 & 1)
            CPU_SET(i, &set);
    return set;
}
#endif

static int set_kind(pthread_attr_t *attr, const wi_thread_kind *kind)
{
    int rc = set_stack(attr, kind ? kind->stack_size : 0);
    if (rc != 0 || !kind || !kind->n_cpus)
        return rc;
#if defined(__linux__) && defined(__GLIBC__)
    cpu_set_t set = set_of(kind);
    return pthread_attr_setaffinity_np(attr, sizeof set, &set) == 0 ? 0 : WEIR_EINVAL;
#elif defined(__linux__)
    return 0; /* see create() */
#else
    return WEIR_ENOTSUP;
#endif
}

static int create(pthread_t *out, const pthread_attr_t *attr, const wi_thread_kind *kind,
                  void *(*fn)(void *), void *arg)
{
#if defined(__linux__) && !defined(__GLIBC__)
    if (kind && kind->n_cpus) { /* no attribute says it, but a thread begins as its maker is */
        cpu_set_t ours, set = set_of(kind);
        if (sched_getaffinity(0, sizeof ours, &ours) != 0 ||
            sched_setaffinity(0, sizeof set, &set) != 0)
            return EINVAL;
        int error = pthread_create(out, attr, fn, arg);
        sched_setaffinity(0, sizeof ours, &ours);
        return error;
    }
#endif
    (void)kind;
    return pthread_create(out, attr, fn, arg);
}

int wi_thread_start(pthread_t *out, const wi_thread_kind *kind, void *(*fn)(void *), void *arg)
{
    pthread_attr_t attr;
    wi_patience_set(false); /* the new thread would inherit it */
    if (pthread_attr_init(&attr) != 0)
        return WEIR_ENOMEM;
    int rc = set_kind(&attr, kind);
    if (rc == 0) {
        int error = create(out, &attr, kind, fn, arg);
        rc = error == 0 ? 0 : error == EINVAL ? WEIR_EINVAL : WEIR_EAGAIN;
    }
    pthread_attr_destroy(&attr);
    return rc;
}

/* Linux keeps 15 bytes, others more: the number matters more than the name's end. */
void wi_thread_read_name(char *out, size_t size)
{
#if defined(__linux__) && defined(__GLIBC__)
    pthread_getname_np(pthread_self(), out, size);
#elif defined(__linux__)
    char name[16] = "";
    if (prctl(PR_GET_NAME, name) == 0)
        snprintf(out, size, "%s", name);
#else
    (void)out, (void)size;
#endif
}

unsigned long wi_thread_id(void)
{
#ifdef __linux__
    return (unsigned long)syscall(SYS_gettid);
#else
    return 0;
#endif
}

void wi_thread_name(const char *pool, const char *which)
{
    char name[16];
    snprintf(name, sizeof name, "%.*s/%s", 14 - (int)strlen(which), pool, which);
#if defined(__APPLE__)
    pthread_setname_np(name);
#elif defined(__NetBSD__)
    pthread_setname_np(pthread_self(), "%s", name);
#elif defined(__OpenBSD__) || defined(__FreeBSD__) || defined(__DragonFly__)
    pthread_set_name_np(pthread_self(), name);
#elif defined(__linux__)
    pthread_setname_np(pthread_self(), name);
#endif
}

/* ---- what a thread has from its maker ------------------------------------- */

/* A new thread takes these on itself, one by one, so that a refused one is all that is
 * missing. The attributes of pthread_create would have the whole thread refused; they
 * have no nice value, and not everywhere CPUs.
 *
 * Linux alone has CPUs and nice values per thread. Its system calls are asked, because
 * glibc may remember an older policy, and musl denies that there is one. */
static void read_own(wi_nature *n)
{
    struct sched_param param = {0};
    *n = (wi_nature){.policy = -1};
#ifdef __linux__
    cpu_set_t cpus;
    if (sched_getaffinity(0, sizeof cpus, &cpus) == 0)
        memcpy(n->cpus, &cpus, sizeof n->cpus);
    n->policy = (int)syscall(SYS_sched_getscheduler, 0);
    syscall(SYS_sched_getparam, 0, &param);
    n->nice = getpriority(PRIO_PROCESS, 0);
#else
    pthread_getschedparam(pthread_self(), &n->policy, &param);
#endif
    n->priority = param.sched_priority;
}

/* Whose children start afresh may be above them. */
static void start_afresh(wi_nature *n)
{
#ifdef SCHED_RESET_ON_FORK
    if (n->policy < 0 || !(n->policy & SCHED_RESET_ON_FORK))
        return;
    n->policy &= ~SCHED_RESET_ON_FORK;
    bool fair = n->policy == SCHED_OTHER || n->policy == SCHED_BATCH || n->policy == SCHED_IDLE;
    if (!fair)
        n->policy = SCHED_OTHER, n->priority = 0;
    if (!fair || n->nice < 0)
        n->nice = 0;
#else
    (void)n;
#endif
}

void wi_nature_note(wi_nature *n)
{
    wi_patience_set(false);
    read_own(n);
    start_afresh(n);
}

void wi_nature_take(const wi_nature *n, bool cpus)
{
    wi_nature          own;
    struct sched_param param = {.sched_priority = n->priority};
    read_own(&own);
    if (own.policy != n->policy || own.priority != n->priority)
        pthread_setschedparam(pthread_self(), n->policy, &param);
#ifdef __linux__
    cpu_set_t set;
    memcpy(&set, n->cpus, sizeof n->cpus);
    if (cpus && memcmp(own.cpus, n->cpus, sizeof n->cpus) != 0)
        sched_setaffinity(0, sizeof set, &set);
    if (own.nice != n->nice)
        setpriority(PRIO_PROCESS, 0, n->nice);
#else
    (void)cpus;
#endif
}

/* ---- signals --------------------------------------------------------------- */

/* Blocking a synchronous signal would turn a fault into a silent kill; SIGPROF
 * belongs to profilers, which want every thread. */
void wi_signals_block(int keep, sigset_t *old)
{
    static const int open[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT, SIGPROF};
    sigset_t         mask;
    sigfillset(&mask);
    for (unsigned i = 0; i < sizeof open / sizeof *open; i++)
        sigdelset(&mask, open[i]);
    if (keep)
        sigdelset(&mask, keep);
    pthread_sigmask(SIG_SETMASK, &mask, old);
}

void wi_signals_restore(const sigset_t *old) { pthread_sigmask(SIG_SETMASK, old, NULL); }

#ifdef WI_YIELD_POINTS
void wi_yield(void)
{
    static _Thread_local uint32_t seed;
    if (seed == 0)
        seed = (uint32_t)weir_now() | 1;
    seed ^= seed << 13, seed ^= seed >> 17, seed ^= seed << 5;
    if (seed % 16 == 0)
        sched_yield();
}
#endif
