/* SPDX-License-Identifier: ISC
 *
 * pool.c: the threads on which all actors of the process run.
 *
 * They are a pool of the core, whose threads have no state: an actor brings its own.
 *
 *     closed -> opening -> open
 *        ^---------+             no memory, or the system refused a thread
 *
 * Who finds it closed opens it; others that come meanwhile wait for what comes of it,
 * which needs nothing of theirs. Nobody closes it.
 *
 * Fork: whoever forks holds the lock of the roster and those of every channel, so a child finds
 * them whole. It has none of the threads: there the pool is closed again, and what came
 * from before is of an older generation. Nobody waits for it or at it any more: the wait
 * of a coroutine of the thread that forked is over, all others stayed behind.
 */
#include "lus/pool.h"
#include "lus/channel.h"
#include "lus/roster.h"

#include <unistd.h>

enum { SPARES = 256, MOST_THREADS = 32 };

static struct {
    /* Guarded by the roster's lock. */
    pthread_cond_t changed;
    enum { CLOSED, OPENING, OPEN } state;
    bool       told; /* while opening: it has an outcome */
    int        outcome;
    weir_pool *pool; /* while open */
    /* Atomic. */
    _Atomic unsigned most, blocked;
} actors = {.changed = PTHREAD_COND_INITIALIZER};

/* ---- fork ------------------------------------------------------------------------- */

static void each_channel(void (*fn)(wl_channel *))
{
    for (wl_actor *a = wl_roster_newest_locked(); a; a = a->older) {
        fn(&a->in);
        fn(&a->out);
    }
}

static void before_fork(void)
{
    wl_roster_take();
    each_channel(wl_channel_lock);
    wl_channel_wait_for_wakes();
}

static void after_fork(void)
{
    each_channel(wl_channel_unlock);
    wl_roster_give();
}

static void lose_actors(void)
{
    each_channel(wl_channel_unlock);
    each_channel(wl_channel_forked);
    pthread_cond_init(&actors.changed, NULL);
    wl_roster_forked_locked();
    actors.state = CLOSED;
    atomic_store(&actors.blocked, 0);
    wl_roster_give();
}

static weir_fork_hook at_fork = {
    .before = before_fork, .in_parent = after_fork, .in_child = lose_actors};

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
    pthread_mutex_lock(&wl_roster_lock);
    actors.told = true;
    actors.outcome = outcome;
    pthread_cond_broadcast(&actors.changed);
    pthread_mutex_unlock(&wl_roster_lock);
}

static int wait_until_ready(void)
{
    pthread_mutex_lock(&wl_roster_lock);
    while (!actors.told)
        pthread_cond_wait(&actors.changed, &wl_roster_lock);
    int rc = actors.outcome;
    pthread_mutex_unlock(&wl_roster_lock);
    return rc;
}

/* Of one thread at a time, while the pool is opening; so the notice is free. */
static int make_pool(weir_pool **out)
{
    static weir_notice notice;
    weir_pool_options  o = {.size = sizeof o, .name = "worker", .max_blocked = SPARES};
    o.threads = count_threads();
    notice = (weir_notice){.fn = ready};
    int rc = wl_core->weir_pool_open_async(out, &o, NULL, &notice);
    if (rc == 0 && (rc = wait_until_ready()) != 0)
        wl_core->weir_pool_release(*out);
    atomic_store(&actors.most, o.threads + SPARES);
    return rc;
}

/* The lock is held, but while the pool is made. */
static int open_locked(void)
{
    weir_pool *p = NULL;
    actors.state = OPENING;
    actors.told = false;
    pthread_mutex_unlock(&wl_roster_lock);
    int rc = make_pool(&p);
    pthread_mutex_lock(&wl_roster_lock);
    actors.pool = rc == 0 ? p : NULL;
    actors.state = rc == 0 ? OPEN : CLOSED;
    pthread_cond_broadcast(&actors.changed);
    return rc;
}

int wl_actor_pool_open(void)
{
    int rc = wl_core->weir_on_fork(&at_fork);
    wl_roster_take();
    while (rc == 0 && actors.state == OPENING)
        pthread_cond_wait(&actors.changed, &wl_roster_lock);
    if (rc == 0 && actors.state == CLOSED)
        rc = open_locked();
    wl_roster_give();
    return rc;
}

int wl_actor_pool_run(weir_task *t) { return wl_core->weir_run(actors.pool, t, NULL); }

/* ---- waits that block --------------------------------------------------------------- */

unsigned wl_actor_pool_most_threads(void) { return atomic_load(&actors.most); }

/* Around a wait without end. False, with nothing done: nobody would be left. */
bool wl_actor_pool_begin_block(void)
{
    if (atomic_fetch_add(&actors.blocked, 1) + 1 >= wl_actor_pool_most_threads()) {
        atomic_fetch_sub(&actors.blocked, 1);
        return false;
    }
    wl_core->weir_blocking_begin();
    return true;
}

void wl_actor_pool_end_block(void)
{
    wl_core->weir_blocking_end();
    atomic_fetch_sub(&actors.blocked, 1);
}
