/* SPDX-License-Identifier: ISC
 *
 * lua_watch.c: a thread that gives up on cancelled jobs which do not stop in time.
 *
 * It has a list of deadlines, each of another job, for a job is cancelled once. The job's
 * own thread takes its deadline off when it leaves the job in time; otherwise the watch
 * does, and abandons the job. Whoever takes it off frees it.
 */
#include "lua_core.h"

#include <stdlib.h>
#include <time.h>

typedef struct deadline {
    struct deadline *next;
    wl_job          *job; /* held, as is */
    wl_pool         *pool;
    struct timespec  at;
} deadline;

static struct {
    pthread_mutex_t lock;
    pthread_cond_t  changed;
    /* Guarded by lock. */
    bool      runs;
    deadline *first; /* the earliest */
} watch = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- fork: the child has no watch, and its deadlines are of no thread there ----- */

static void take_lock(void) { pthread_mutex_lock(&watch.lock); }
static void give_lock(void) { pthread_mutex_unlock(&watch.lock); }
static void begin_anew(void)
{
    watch.runs = false;
    watch.first = NULL;
    give_lock();
}
static void on_load(void) { pthread_atfork(take_lock, give_lock, begin_anew); }

/* ---- the watch ------------------------------------------------------------------- */

static bool is_before(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec < b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec < b->tv_nsec);
}

static void drop(deadline *d)
{
    wl_job_unref(d->job);
    wl_pool_unuse(d->pool);
    free(d);
}

/* A task that has ended meanwhile, or has no replacement, stays as it is. */
static void give_up(deadline *d)
{
    wl_job_ref(d->job); /* the lost thread's, until its release */
    if (weir_task_abandon(&d->job->u.task) != 0)
        wl_job_unref(d->job);
    drop(d);
}

static void *keep_watch(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&watch.lock);
    for (;;) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        deadline *d = watch.first;
        if (!d) {
            pthread_cond_wait(&watch.changed, &watch.lock);
        } else if (is_before(&now, &d->at)) {
            struct timespec at = d->at; /* whoever takes it off meanwhile frees it */
            pthread_cond_timedwait(&watch.changed, &watch.lock, &at);
        } else {
            watch.first = d->next;
            pthread_mutex_unlock(&watch.lock);
            give_up(d);
            pthread_mutex_lock(&watch.lock);
        }
    }
    return NULL;
}

static bool start_locked(void)
{
    if (watch.runs)
        return true;
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&watch.changed, &attr);
    pthread_condattr_destroy(&attr);
    sigset_t  old;
    pthread_t thread;
    weir_block_signals(NULL, &old);
    watch.runs = pthread_create(&thread, NULL, keep_watch, NULL) == 0;
    weir_restore_signals(&old);
    if (watch.runs)
        pthread_detach(thread);
    return watch.runs;
}

static deadline *make(wl_job *j, int64_t timeout_ns)
{
    deadline *d = malloc(sizeof *d);
    if (!d)
        return NULL;
    wl_job_ref(d->job = j);
    wl_pool_use(d->pool = j->pool);
    clock_gettime(CLOCK_MONOTONIC, &d->at);
    int64_t ns = d->at.tv_nsec + timeout_ns % 1000000000;
    d->at.tv_sec += (time_t)(timeout_ns / 1000000000 + ns / 1000000000);
    d->at.tv_nsec = (long)(ns % 1000000000);
    return d;
}

/* The job is abandoned unless it has ended by then. False: without memory or a thread
 * it is only not abandoned. */
bool wl_watch_add(wl_job *j, int64_t timeout_ns)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, on_load);
    deadline *d = make(j, timeout_ns);
    if (!d)
        return false;
    pthread_mutex_lock(&watch.lock);
    bool       runs = start_locked();
    deadline **at = &watch.first;
    while (runs && *at && !is_before(&d->at, &(*at)->at))
        at = &(*at)->next;
    if (runs) {
        d->next = *at;
        *at = d;
        pthread_cond_signal(&watch.changed);
    }
    pthread_mutex_unlock(&watch.lock);
    if (!runs)
        drop(d);
    return runs;
}

/* Nothing when the watch was faster. */
void wl_watch_remove(wl_job *j)
{
    pthread_mutex_lock(&watch.lock);
    deadline **at = &watch.first;
    while (*at && (*at)->job != j)
        at = &(*at)->next;
    deadline *d = *at;
    if (d)
        *at = d->next;
    pthread_mutex_unlock(&watch.lock);
    if (d)
        drop(d);
}
