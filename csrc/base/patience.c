/* SPDX-License-Identifier: ISC
 *
 * patience.c: a thread that lets whoever wakes it go on first.
 *
 * What a thread starts inherits its policy. So it becomes as usual again before it makes a
 * thread of ours, forks, starts a command or leaves.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "base/patience.h"

#ifdef __linux__
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

enum { MOST = 64, MANY = 16, FEW = 4, FADES = 8 };

/* A loop may take all that has come and then submit it again, so that little is in flight
 * now and then. */
bool wi_patience_pays(wi_patience *s)
{
    size_t now = s->in_flight < MOST ? s->in_flight : MOST;
    s->peak -= (s->peak + FADES - 1) / FADES;
    s->peak = now > s->peak ? now : s->peak;
    s->pays = s->peak >= (s->pays ? FEW : MANY);
    s->in_flight = 0;
    return s->pays;
}

#if defined(__linux__) && defined(SCHED_BATCH)

/* A filter of system calls may kill a program for one that it does not know, so whoever has
 * one is left alone. The kernel is asked, because glibc remembers an older policy, and musl
 * denies that there is one. */
static bool change(int from, int to)
{
    static const struct sched_param none;
    return prctl(PR_GET_SECCOMP) == 0 && syscall(SYS_sched_getscheduler, 0) == from &&
           syscall(SYS_sched_setscheduler, 0, to, &none) == 0;
}

/* Refused: it is not asked for again while patience pays. */
void wi_patience_set(bool patient)
{
    static _Thread_local enum { USUAL, PATIENT, REFUSED } here;
    if (patient && here == USUAL)
        here = change(SCHED_OTHER, SCHED_BATCH) ? PATIENT : REFUSED;
    else if (!patient && here == PATIENT)
        change(SCHED_BATCH, SCHED_OTHER), here = USUAL;
    else if (!patient)
        here = USUAL;
}

#else

void wi_patience_set(bool patient) { (void)patient; }

#endif
