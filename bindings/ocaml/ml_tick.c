/* SPDX-License-Identifier: ISC
 *
 * ml_tick.c: makes CPU-bound OCaml tasks hand the runtime over more often than every
 * 50 ms, which is the runtime's own period.
 *
 * A process has one such thread, made with the first pool that asks for it. It sleeps
 * while no task of such a pool runs. Its period is the shortest that a pool asked for.
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
#include <stdbool.h>
#include <time.h>

#include "ml.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t  busy = PTHREAD_COND_INITIALIZER;
/* Guarded by lock. */
static long period_ns;
static bool started;
static bool asleep;
/* Atomic: tasks that run now. */
static long running;

#if OCAML_VERSION < 50000
static void note_runtime(void) {}
static void interrupt(void) { caml_record_signal(SIGVTALRM); }
#else
/* The domain whose threads run the tasks, kept because Caml_state is NULL in our thread. */
static _Atomic(caml_domain_state *) domain;
static void                         note_runtime(void) { domain = Caml_state; }
/* As the tick of the systhreads library does it. */
static void interrupt(void)
{
    caml_domain_state *d = domain;
    atomic_store(&d->requested_external_interrupt, 1);
    atomic_store(&d->young_limit, (uintnat)-1);
}
#endif

static long wait_until_busy(void)
{
    pthread_mutex_lock(&lock);
    asleep = true;
    while (__atomic_load_n(&running, __ATOMIC_SEQ_CST) == 0)
        pthread_cond_wait(&busy, &lock);
    asleep = false;
    long ns = period_ns;
    pthread_mutex_unlock(&lock);
    return ns;
}

static void *tick(void *arg)
{
    for (;;) {
        long            ns = wait_until_busy();
        struct timespec t = {ns / 1000000000, ns % 1000000000};
        nanosleep(&t, NULL);
        if (__atomic_load_n(&running, __ATOMIC_SEQ_CST) > 0)
            interrupt();
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

static void forget_tick(void)
{
    started = asleep = false;
    running = 0;
    pthread_mutex_init(&lock, NULL);
    pthread_cond_init(&busy, NULL);
}

static weir_fork_hook at_fork = {.in_child = forget_tick};

/* ms -> bool: false when the system refused the thread */
value weir_ml_tick_start(value ms)
{
    long ns = Long_val(ms) * 1000000;
    weir_on_fork(&at_fork);
    note_runtime();
    pthread_mutex_lock(&lock);
    if (period_ns == 0 || ns < period_ns)
        period_ns = ns;
    started = started || start_locked() == 0;
    bool ok = started;
    pthread_mutex_unlock(&lock);
    return Val_bool(ok);
}

/* Our thread sets `asleep` under the lock before it looks at `running`, so either it sees
 * this task or we see it asleep. */
value weir_ml_tick_begin(value unit)
{
    if (__atomic_fetch_add(&running, 1, __ATOMIC_SEQ_CST) == 0) {
        pthread_mutex_lock(&lock);
        if (asleep)
            pthread_cond_signal(&busy);
        pthread_mutex_unlock(&lock);
    }
    return unit;
}

value weir_ml_tick_end(value unit)
{
    __atomic_fetch_sub(&running, 1, __ATOMIC_SEQ_CST);
    return unit;
}
