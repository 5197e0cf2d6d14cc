/* SPDX-License-Identifier: ISC
 *
 * lua_crew.c: the threads on which all actors of the process run.
 *
 * They are a pool of the core, whose threads have no state: an actor brings its own.
 *
 *     closed -> opening -> open
 *        ^---------+             no memory, or the system refused a thread
 *
 * Who finds it closed opens it; others that come meanwhile wait for what comes of it,
 * which needs nothing of theirs. Nobody closes it. A child of fork has none of its
 * threads: there it is closed, and what came from before is of an older generation.
 */
#include "lua_actor.h"

#include <unistd.h>

enum { SPARES = 256, MOST_THREADS = 32, MOST_ACTORS = 16384 };

static struct {
    pthread_mutex_t lock;
    /* Guarded by lock. */
    pthread_cond_t changed;
    enum { CLOSED, OPENING, OPEN } state;
    bool       told; /* while opening: it has an outcome */
    int        outcome;
    weir_pool *pool; /* while open */
    /* Atomic. */
    _Atomic unsigned most, generation, blocked, living;
} crew = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

/* ---- fork ------------------------------------------------------------------------- */

static void before_fork(void) { pthread_mutex_lock(&crew.lock); }
static void after_fork(void) { pthread_mutex_unlock(&crew.lock); }

/* The threads stayed behind, and with them whoever holds a lock of an actor's. */
static void in_child(void)
{
    pthread_cond_init(&crew.changed, NULL);
    crew.state = CLOSED;
    atomic_fetch_add(&crew.generation, 1);
    atomic_store(&crew.living, 0);
    atomic_store(&crew.blocked, 0);
    pthread_mutex_unlock(&crew.lock);
}

static void on_load(void) { pthread_atfork(before_fork, after_fork, in_child); }

unsigned wl_crew_generation(void) { return atomic_load(&crew.generation); }

/* ---- opening ---------------------------------------------------------------------- */

static unsigned count_threads(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > MOST_THREADS ? MOST_THREADS : (unsigned)n;
}

/* On one of its threads, or where it was asked for. */
static void ready(weir_notice *notice, int outcome)
{
    (void)notice;
    pthread_mutex_lock(&crew.lock);
    crew.told = true;
    crew.outcome = outcome;
    pthread_cond_broadcast(&crew.changed);
    pthread_mutex_unlock(&crew.lock);
}

static int wait_until_ready(void)
{
    pthread_mutex_lock(&crew.lock);
    while (!crew.told)
        pthread_cond_wait(&crew.changed, &crew.lock);
    int rc = crew.outcome;
    pthread_mutex_unlock(&crew.lock);
    return rc;
}

/* Of one thread at a time, while the crew is opening; so the notice is free. */
static int make_pool(weir_pool **out)
{
    static weir_notice notice;
    weir_pool_options  o = {.size = sizeof o, .name = "worker", .max_blocked = SPARES};
    o.threads = count_threads();
    notice = (weir_notice){.fn = ready};
    int rc = weir_pool_open_async(out, &o, NULL, &notice);
    if (rc == 0 && (rc = wait_until_ready()) != 0)
        weir_pool_release(*out);
    atomic_store(&crew.most, o.threads + SPARES);
    return rc;
}

/* The lock is held, but while the pool is made. */
static int open_locked(void)
{
    weir_pool *p = NULL;
    crew.state = OPENING;
    crew.told = false;
    pthread_mutex_unlock(&crew.lock);
    int rc = make_pool(&p);
    pthread_mutex_lock(&crew.lock);
    crew.pool = rc == 0 ? p : NULL;
    crew.state = rc == 0 ? OPEN : CLOSED;
    pthread_cond_broadcast(&crew.changed);
    return rc;
}

int wl_crew_run(weir_task *t)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, on_load);
    pthread_mutex_lock(&crew.lock);
    while (crew.state == OPENING)
        pthread_cond_wait(&crew.changed, &crew.lock);
    int        rc = crew.state == OPEN ? 0 : open_locked();
    weir_pool *p = crew.pool;
    pthread_mutex_unlock(&crew.lock);
    return rc != 0 ? rc : weir_run(p, t, NULL);
}

/* ---- counting ----------------------------------------------------------------------- */

bool wl_crew_admit(void)
{
    if (atomic_fetch_add(&crew.living, 1) < MOST_ACTORS)
        return true;
    wl_crew_dismiss();
    return false;
}

void     wl_crew_dismiss(void) { atomic_fetch_sub(&crew.living, 1); }
unsigned wl_crew_most_actors(void) { return MOST_ACTORS; }
unsigned wl_crew_most_threads(void) { return atomic_load(&crew.most); }

/* Around a wait without end. False, with nothing done: nobody would be left. */
bool wl_crew_begin_block(void)
{
    if (atomic_fetch_add(&crew.blocked, 1) + 1 >= wl_crew_most_threads()) {
        atomic_fetch_sub(&crew.blocked, 1);
        return false;
    }
    weir_blocking_begin();
    return true;
}

void wl_crew_end_block(void)
{
    weir_blocking_end();
    atomic_fetch_sub(&crew.blocked, 1);
}
