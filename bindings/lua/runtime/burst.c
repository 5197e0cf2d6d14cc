/* SPDX-License-Identifier: ISC
 *
 * burst.c: how pool threads let a loop go on that submits one task after the other.
 *
 * A thread that is woken interrupts the one that woke it, if it has had less of the
 * processor lately. So a loop with 64 small tasks in flight is interrupted 64 times, by
 * a thread that finds one task. While a mailbox has many to come, its threads say that
 * they do not mind (SCHED_BATCH): they start on another processor, or when the loop
 * waits. A task that is alone is done soonest the usual way. Who set another policy
 * than the usual in init keeps it.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "runtime/burst.h"
#include "runtime/thread.h"

#include <sched.h>

enum { MANY = 16, FEW = 4 };

#ifdef SCHED_BATCH
static void set_patient(wl_thread *w, bool patient)
{
    const struct sched_param none = {0};
    if (sched_getscheduler(0) == (patient ? SCHED_OTHER : SCHED_BATCH))
        sched_setscheduler(0, patient ? SCHED_BATCH : SCHED_OTHER, &none);
    w->patient = patient;
}
#else
static void set_patient(wl_thread *w, bool patient) { w->patient = patient; }
#endif

void wl_burst_look(wl_thread *w, wl_main *m)
{
    /* Partner: wl_main_count. Relaxed: any recent value will do. */
    unsigned in_flight = atomic_load_explicit(&m->in_flight, memory_order_relaxed);
    if (w->patient ? in_flight < FEW : in_flight >= MANY)
        set_patient(w, !w->patient);
}

/* NULL is allowed: a state that is no pool thread's. */
void wl_burst_end(wl_thread *w)
{
    if (w && w->patient)
        set_patient(w, false);
}
