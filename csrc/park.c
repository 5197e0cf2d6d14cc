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
#include "platform.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

#ifdef WI_FUTEX
#include <sys/syscall.h>
#endif

static struct timespec timespec_of(int64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};
}

#ifdef WI_FUTEX

enum { ASLEEP = -1, EMPTY = 0, TOKEN = 1 };

/* The kernel's numbers: its headers are not installed everywhere. */
enum { WAKE_PRIVATE = 1 | 128, WAIT_UNTIL_PRIVATE = 9 | 128 };

/* Where time_t has outgrown the call of old, the one with its size. */
static long futex(_Atomic int *word, int what, int value, const struct timespec *until)
{
    const unsigned any = ~0u;
#ifdef SYS_futex_time64
    if (sizeof(time_t) > 4)
        return syscall(SYS_futex_time64, word, what, value, until, NULL, any);
#endif
#ifdef SYS_futex
    return syscall(SYS_futex, word, what, value, until, NULL, any);
#endif
}

void wi_parker_init(wi_parker *p) { atomic_init(&p->word, EMPTY); }
void wi_parker_destroy(wi_parker *p) { (void)p; }

/* Seq_cst throughout: a park follows an unlock, its cost does not show. */
bool wi_park(wi_parker *p, int64_t deadline)
{
    if (atomic_fetch_sub(&p->word, 1) == TOKEN)
        return true;
    struct timespec until = timespec_of(deadline < 0 ? 0 : deadline);
    for (;;) {
        long rc = futex(&p->word, WAIT_UNTIL_PRIVATE, ASLEEP, deadline < 0 ? NULL : &until);
        int  token = TOKEN;
        if (atomic_compare_exchange_strong(&p->word, &token, EMPTY))
            return true;
        if (rc != 0 && errno == ETIMEDOUT)
            return atomic_exchange(&p->word, EMPTY) == TOKEN;
    }
}

bool wi_unpark_begin(wi_parker *p) { return atomic_exchange(&p->word, TOKEN) == ASLEEP; }

void wi_unpark_end(wi_parker *p) { futex(&p->word, WAKE_PRIVATE, 1, NULL); }

#else

void wi_parker_init(wi_parker *p)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
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

bool wi_park(wi_parker *p, int64_t deadline)
{
    struct timespec until = timespec_of(deadline < 0 ? 0 : deadline);
    int             rc = 0;
    pthread_mutex_lock(&p->lock);
    while (!p->token && rc != ETIMEDOUT)
        rc = deadline < 0 ? pthread_cond_wait(&p->cond, &p->lock)
                          : pthread_cond_timedwait(&p->cond, &p->lock, &until);
    bool got = p->token;
    p->token = false;
    pthread_mutex_unlock(&p->lock);
    return got;
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
