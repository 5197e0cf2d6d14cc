/* SPDX-License-Identifier: ISC
 *
 * platform.c: clock, threads, signals.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "platform.h"

#include "weir.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int64_t wi_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t wi_deadline(int64_t timeout_ns)
{
    if (timeout_ns < 0)
        return -1;
    int64_t now = wi_now();
    return timeout_ns > INT64_MAX - now ? -1 : now + timeout_ns;
}

static int set_kind(pthread_attr_t *attr, const wi_thread_kind *kind)
{
    if (!kind)
        return 0;
    if (kind->stack_size && pthread_attr_setstacksize(attr, kind->stack_size) != 0)
        return WEIR_EINVAL;
    if (!kind->n_cpus)
        return 0;
#ifdef __GLIBC__ /* others cannot say it before the thread starts */
    cpu_set_t set;
    CPU_ZERO(&set);
    for (unsigned i = 0; i < kind->n_cpus && i < CPU_SETSIZE; i++)
        if (kind->cpus[i / 64] >> i % 64 & 1)
            CPU_SET(i, &set);
    return pthread_attr_setaffinity_np(attr, sizeof set, &set) == 0 ? 0 : WEIR_EINVAL;
#else
    return WEIR_ENOTSUP;
#endif
}

int wi_thread_start(pthread_t *out, const wi_thread_kind *kind, void *(*fn)(void *), void *arg)
{
    pthread_attr_t attr;
    if (pthread_attr_init(&attr) != 0)
        return WEIR_ENOMEM;
    int rc = set_kind(&attr, kind);
    if (rc == 0) {
        int error = pthread_create(out, &attr, fn, arg);
        rc = error == 0 ? 0 : error == EINVAL ? WEIR_EINVAL : WEIR_EAGAIN;
    }
    pthread_attr_destroy(&attr);
    return rc;
}

/* The kernel keeps 15 bytes: the number matters more than the name's end. */
void wi_thread_name(const char *pool, const char *which)
{
#ifdef __linux__
    char name[16];
    snprintf(name, sizeof name, "%.*s/%s", 14 - (int)strlen(which), pool, which);
    pthread_setname_np(pthread_self(), name);
#else
    (void)pool, (void)which;
#endif
}

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

void wi_signals_restore(const sigset_t *old)
{
    pthread_sigmask(SIG_SETMASK, old, NULL);
}

#ifdef WI_YIELD_POINTS
void wi_yield(void)
{
    static _Thread_local uint32_t seed;
    if (seed == 0)
        seed = (uint32_t)wi_now() | 1;
    seed ^= seed << 13, seed ^= seed >> 17, seed ^= seed << 5;
    if (seed % 16 == 0)
        sched_yield();
}
#endif
