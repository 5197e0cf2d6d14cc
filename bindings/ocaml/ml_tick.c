/* SPDX-License-Identifier: ISC
 *
 * ml_tick.c: makes OCaml tasks that compute hand the runtime over before its own period of
 * 50 ms is over.
 *
 * A loop, which is a thread with a main, is let in early by every pool. When it comes back from
 * a blocking section while tasks compute, it interrupts the thread that has the runtime. That
 * one gives the runtime to any thread that waits for it. So the ticker, one thread for the
 * process, interrupts again and again until the loop is in. A task of a pool with ?tick_ms is
 * interrupted after each such period, whoever waits; the shortest period holds.
 *
 * The ticker sleeps until it is needed, and goes on until no task computes. It sets `asleep`
 * before it looks for who needs it; who needs it says so before it looks at `asleep`. So one of
 * the two sees the other.
 */
#define CAML_INTERNALS
#define CAML_NAME_SPACE
#include <caml/mlvalues.h>
#include <caml/signals.h>
#include <caml/version.h>
#if OCAML_VERSION >= 50000
#include <caml/domain_state.h>
#include <caml/domain.h>
#endif
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

#include "ml.h"

enum { MS_NS = 1000000, LOOP_NS = 150000 /* between two interrupts for a loop */ };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t  needed = PTHREAD_COND_INITIALIZER;
static atomic_bool     started; /* changes under lock */
static atomic_bool     asleep;
static atomic_long     period_ms = 1000000; /* the shortest of ?tick_ms */
static atomic_long     computing;           /* tasks outside blocking sections */
static atomic_long     ticking;             /* running tasks of pools with ?tick_ms */
static atomic_long     loops;               /* that wait for the runtime */

static _Thread_local int tasks_here, mains_here;

#if OCAML_VERSION < 50000
static void note_runtime(void) {}
static void note_loop(void) {}
static void aim_at_loop(void) {}
static void interrupt(void) { caml_record_signal(SIGVTALRM); }
static void withdraw(void) { caml_pending_signals[SIGVTALRM] = 0; }
#else
/* The domain whose threads run the tasks, kept because Caml_state is NULL in our thread. */
static _Atomic(caml_domain_state *) domain;
static void                         note_runtime(void) { domain = Caml_state; }
/* A loop waits for tasks of its own domain only. */
static _Thread_local caml_domain_state *of_loop;
static void                             note_loop(void) { of_loop = Caml_state; }
static void                             aim_at_loop(void) { domain = of_loop; }
/* As the tick of the systhreads library does it. */
static void interrupt(void)
{
    caml_domain_state *d = domain;
    atomic_store(&d->requested_external_interrupt, 1);
    atomic_store(&d->young_limit, (uintnat)-1);
}
static void withdraw(void)
{
    caml_domain_state *d = domain;
    if (d == Caml_state)
        atomic_store(&d->requested_external_interrupt, 0);
}
#endif

/* ---- the ticker --------------------------------------------------------------- */

static bool loop_waits_for_task(void)
{
    return atomic_load(&loops) > 0 && atomic_load(&computing) > 0;
}

static bool is_needed(void) { return loop_waits_for_task() || atomic_load(&ticking) > 0; }

static void wait_until_needed(void)
{
    pthread_mutex_lock(&lock);
    atomic_store(&asleep, true);
    while (!is_needed())
        pthread_cond_wait(&needed, &lock);
    atomic_store(&asleep, false);
    pthread_mutex_unlock(&lock);
}

static void sleep_for(long ns) { nanosleep(&(struct timespec){.tv_nsec = ns}, NULL); }

/* Whether a task with ?tick_ms has had the runtime for its time. */
static bool is_due(int64_t last)
{
    return atomic_load(&ticking) > 0 &&
           weir_now() - last >= (int64_t)atomic_load(&period_ms) * MS_NS;
}

static void *tick(void *arg)
{
    for (;;) {
        wait_until_needed();
        int64_t last = weir_now();
        do {
            sleep_for(loop_waits_for_task() ? LOOP_NS : MS_NS);
            if (loop_waits_for_task() || is_due(last)) {
                interrupt();
                last = weir_now();
            }
        } while (atomic_load(&computing) > 0 || atomic_load(&ticking) > 0);
    }
    return arg;
}

static int start_locked(void)
{
    sigset_t  all, old;
    pthread_t thread;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(&thread, NULL, tick, NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc == 0)
        pthread_detach(thread);
    return rc;
}

/* Not by a task: the thread would have its pool's name, CPUs and priority. If the system refuses
 * the thread, loops wait as long as the runtime has them wait. */
static void make_ticker(void)
{
    if (atomic_load(&started))
        return;
    pthread_mutex_lock(&lock);
    started = started || start_locked() == 0;
    pthread_mutex_unlock(&lock);
}

static void wake_ticker(void)
{
    if (!atomic_load(&asleep))
        return;
    pthread_mutex_lock(&lock);
    pthread_cond_signal(&needed);
    pthread_mutex_unlock(&lock);
}

/* ---- who computes, who waits ---------------------------------------------------- */

static void (*enter_of_runtime)(void);
static void (*leave_of_runtime)(void);

/* Of a task that begins to compute and a loop that begins to wait, each says so before it looks
 * for the other. So one of them sees the other, and wakes the ticker. */
static void computes(void)
{
    atomic_fetch_add(&computing, 1);
    if (atomic_load(&loops) > 0)
        wake_ticker();
}

static bool others_compute(void) { return atomic_load(&computing) > (tasks_here > 0); }

static void enter_blocking(void)
{
    if (tasks_here)
        atomic_fetch_sub(&computing, 1);
    enter_of_runtime();
}

static void leave_blocking(void)
{
    if (tasks_here)
        computes();
    if (!mains_here) {
        leave_of_runtime();
        return;
    }
    atomic_fetch_add(&loops, 1);
    if (others_compute()) {
        aim_at_loop();
        interrupt();
        make_ticker();
        wake_ticker();
    }
    leave_of_runtime();
    atomic_fetch_sub(&loops, 1);
    if (others_compute())
        withdraw(); /* else this thread would hand over what it has just got */
}

void wml_main_here(int n)
{
    mains_here += n;
    note_loop();
}

void wml_tick_gone(void)
{
    if (tasks_here)
        atomic_fetch_sub(&computing, 1);
}

static void forget_others(void)
{
    started = false;
    asleep = false;
    ticking = 0; /* a child's task is over when its run returns */
    loops = 0;
    computing = tasks_here > 0;
    pthread_mutex_init(&lock, NULL);
    pthread_cond_init(&needed, NULL);
}

static weir_fork_hook at_fork = {.in_child = forget_others};

/* ms (0: only loops are let in, and the thread comes when one waits) -> bool: false when the
 * system refused the thread */
value weir_ml_tick_start(value ms)
{
    weir_on_fork(&at_fork);
    note_runtime();
    pthread_mutex_lock(&lock);
    if (!leave_of_runtime) {
        enter_of_runtime = caml_enter_blocking_section_hook;
        leave_of_runtime = caml_leave_blocking_section_hook;
        atomic_thread_fence(memory_order_seq_cst); /* before another domain calls ours */
        caml_leave_blocking_section_hook = leave_blocking;
        caml_enter_blocking_section_hook = enter_blocking;
    }
    if (Long_val(ms) && Long_val(ms) < period_ms)
        period_ms = Long_val(ms);
    bool ok = !Long_val(ms) || started || start_locked() == 0;
    started = started || (ok && Long_val(ms));
    pthread_mutex_unlock(&lock);
    return Val_bool(ok);
}

value weir_ml_tick_begin(value always)
{
    if (tasks_here++ == 0)
        computes();
    if (Bool_val(always)) {
        atomic_fetch_add(&ticking, 1);
        wake_ticker();
    }
    return Val_unit;
}

value weir_ml_tick_end(value always)
{
    if (--tasks_here == 0)
        atomic_fetch_sub(&computing, 1);
    if (Bool_val(always))
        atomic_fetch_sub(&ticking, 1);
    return Val_unit;
}
