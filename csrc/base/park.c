/* SPDX-License-Identifier: ISC
 *
 * park.c: the parker, on a futex or on a condition variable.
 *
 * One thread parks, any thread unparks. A token left before the park is
 * consumed without sleeping, so that no order of the two loses a wake.
 *
 *   park:   0 -> -1 (sleep) ... 1 -> 0      or at once: 1 -> 0
 *   unpark: any -> 1, and a futex wake if it was -1
 *
 * An unpark touches the word for the last time in its exchange; the futex wake
 * that follows only names an address, so the parker may be gone by then.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "base/platform.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

#ifdef WI_FUTEX
#include <sys/syscall.h>
#if defined(SYS_futex_time64) && defined(SYS_futex)
#define WI_TWO_FUTEX 1
#elif !defined(SYS_futex) /* 32 bits that never had another one */
#define SYS_futex SYS_futex_time64
#endif
#endif

/* A time that 32 bits cannot hold is one that this machine will not see. */
static int64_t seconds_of(int64_t ns, int64_t most)
{
    int64_t whole = ns / 1000000000;
    return whole < most ? whole : most;
}

#if !defined(WI_FUTEX) || !defined(WI_TWO_FUTEX)
static struct timespec timespec_of(int64_t ns)
{
    int64_t most = sizeof(time_t) < 8 ? INT32_MAX : INT64_MAX;
    return (struct timespec){.tv_sec = (time_t)seconds_of(ns, most),
                             .tv_nsec = (long)(ns % 1000000000)};
}
#endif

#ifdef WI_FUTEX

enum { ASLEEP = -1, EMPTY = 0, TOKEN = 1 };

/* The kernel's numbers: its headers are not installed everywhere. */
enum { WAKE_PRIVATE = 1 | 128, WAIT_UNTIL_PRIVATE = 9 | 128 };

#ifdef WI_TWO_FUTEX

/* Of 32 bits, whatever time_t has: the call of old cannot see past 2038, and a kernel or
 * a sandbox may refuse either. A process that is refused the new one uses the old one from
 * then on, because a refused wait would not sleep. */
static long futex(_Atomic int *word, int what, int value, int64_t deadline)
{
    static _Atomic bool only_old;
    const unsigned      any = ~0u;
    int64_t             nsec = deadline % 1000000000;
    if (!atomic_load(&only_old)) {
        int64_t until[2] = {deadline / 1000000000, nsec};
        long    rc =
            syscall(SYS_futex_time64, word, what, value, deadline < 0 ? NULL : until, NULL, any);
        if (rc >= 0 || (errno != ENOSYS && errno != EPERM))
            return rc;
        atomic_store(&only_old, true);
    }
    int32_t until[2] = {(int32_t)seconds_of(deadline, INT32_MAX), (int32_t)nsec};
    return syscall(SYS_futex, word, what, value, deadline < 0 ? NULL : until, NULL, any);
}

#else

static long futex(_Atomic int *word, int what, int value, int64_t deadline)
{
    const unsigned  any = ~0u;
    struct timespec until = timespec_of(deadline < 0 ? 0 : deadline);
    return syscall(SYS_futex, word, what, value, deadline < 0 ? NULL : &until, NULL, any);
}

#endif

#ifndef WI_PTHREAD_LOCKS

/* Whoever has waited leaves 2 behind, because it cannot know whether others still do. */
void wi_mutex_wait(wi_mutex *m)
{
    while (atomic_exchange(&m->word, 2) != 0)
        futex(&m->word, WAIT_UNTIL_PRIVATE, 2, -1);
}

void wi_mutex_notify(wi_mutex *m) { futex(&m->word, WAKE_PRIVATE, 1, -1); }

#endif

void wi_parker_init(wi_parker *p) { atomic_init(&p->word, EMPTY); }
void wi_parker_destroy(wi_parker *p) { (void)p; }

/* Seq_cst throughout: a park follows an unlock, its cost does not show. */
bool wi_park(wi_parker *p, int64_t deadline)
{
    if (atomic_fetch_sub(&p->word, 1) == TOKEN)
        return true;
    for (;;) {
        long rc = futex(&p->word, WAIT_UNTIL_PRIVATE, ASLEEP, deadline);
        int  token = TOKEN;
        if (atomic_compare_exchange_strong(&p->word, &token, EMPTY))
            return true;
        if (rc != 0 && errno == ETIMEDOUT)
            return atomic_exchange(&p->word, EMPTY) == TOKEN;
    }
}

bool wi_parker_has_token(wi_parker *p) { return atomic_load(&p->word) == TOKEN; }

bool wi_unpark_begin(wi_parker *p) { return atomic_exchange(&p->word, TOKEN) == ASLEEP; }

void wi_unpark_end(wi_parker *p) { futex(&p->word, WAKE_PRIVATE, 1, -1); }

#else

void wi_parker_init(wi_parker *p)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
#ifndef __APPLE__
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
#endif
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->cond, &attr);
    pthread_condattr_destroy(&attr);
    p->token = false;
}

void wi_parker_destroy(wi_parker *p)
{
    pthread_cond_destroy(&p->cond);
    pthread_mutex_destroy(&p->lock);
}

/* macOS has no condition variable on the monotonic clock, but a wait for so long. */
static int wait_until(wi_parker *p, int64_t deadline)
{
#ifdef __APPLE__
    int64_t         left = deadline - weir_now();
    struct timespec most = timespec_of(left > 0 ? left : 0);
    return pthread_cond_timedwait_relative_np(&p->cond, &p->lock, &most);
#else
    struct timespec until = timespec_of(deadline);
    return pthread_cond_timedwait(&p->cond, &p->lock, &until);
#endif
}

bool wi_park(wi_parker *p, int64_t deadline)
{
    int rc = 0;
    pthread_mutex_lock(&p->lock);
    while (!p->token && rc != ETIMEDOUT)
        rc = deadline < 0 ? pthread_cond_wait(&p->cond, &p->lock) : wait_until(p, deadline);
    bool got = p->token;
    p->token = false;
    pthread_mutex_unlock(&p->lock);
    return got;
}

bool wi_parker_has_token(wi_parker *p)
{
    pthread_mutex_lock(&p->lock);
    bool has = p->token;
    pthread_mutex_unlock(&p->lock);
    return has;
}

/* Signals under the lock: the sleeper cannot return, and free *p, before. */
bool wi_unpark_begin(wi_parker *p)
{
    pthread_mutex_lock(&p->lock);
    p->token = true;
    pthread_cond_signal(&p->cond);
    pthread_mutex_unlock(&p->lock);
    return false;
}

void wi_unpark_end(wi_parker *p) { (void)p; }

#endif

void wi_unpark(wi_parker *p)
{
    if (wi_unpark_begin(p))
        wi_unpark_end(p);
}
