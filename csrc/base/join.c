/* SPDX-License-Identifier: ISC
 *
 * join.c: waiting for a thread's very end, no longer than a deadline.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "base/platform.h"

#include <time.h>

#if defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#endif

/* glibc has the clock of ours from 2.31 on; the others' timed join has the wall's. So has
 * the one that TSan sees: to it a thread joined by the other one lives on, and it ends the
 * process when the thread's address is used again. */
#if defined(__linux__) && defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 31) &&        \
    !defined(UNDER_TSAN)
#define CLOCK_OF_JOIN CLOCK_MONOTONIC
#define timed_join(thread, until) pthread_clockjoin_np(thread, NULL, CLOCK_MONOTONIC, until)
#elif defined(__linux__)
#define CLOCK_OF_JOIN CLOCK_REALTIME
#define timed_join(thread, until) pthread_timedjoin_np(thread, NULL, until)
#elif defined(__FreeBSD__)
#include <pthread_np.h>
#define CLOCK_OF_JOIN CLOCK_REALTIME
#define timed_join(thread, until) pthread_timedjoin_np(thread, NULL, until)
#endif

bool wi_thread_join(pthread_t thread, int64_t deadline)
{
    if (deadline < 0)
        return pthread_join(thread, NULL) == 0;
#ifdef CLOCK_OF_JOIN
    struct timespec t;
    clock_gettime(CLOCK_OF_JOIN, &t);
    int64_t left = deadline - weir_now();
    int64_t until = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec + (left > 0 ? left : 0);
    t.tv_sec = (time_t)(until / 1000000000), t.tv_nsec = (long)(until % 1000000000);
    return timed_join(thread, &t) == 0;
#else
    return false;
#endif
}

bool wi_has_timed_join(void)
{
#ifdef CLOCK_OF_JOIN
    return true;
#else
    return false;
#endif
}
