/* SPDX-License-Identifier: ISC
 *
 * deadline.c: a thread that knows when jobs are late.
 *
 * A job has one deadline at a time. While its future waits that is the future's limit:
 * when it has passed, the watch posts it to the job's main, on whose thread the future
 * ends. Once the job was cancelled it is the time until it is given up: then the watch
 * abandons it.
 *
 * A deadline goes HEAP -> PASSED, by the watch, or HEAP -> (freed), by who removes it. A
 * limit that has PASSED belongs to its notice. Who removes it then only takes it off its
 * job, and who is told of it finds that it is not the job's any more. After a fork the
 * child has no watch, and what is in its heap is not looked at again.
 *
 * The heap is a pairing heap: what is added late and removed early, as most limits are,
 * costs a few writes.
 */
#include "runtime/deadline.h"
#include "runtime/job.h"
#include "runtime/pool.h"
#include "runtime/util.h"
#include "weir.h"

#include <stdlib.h>

static struct {
    pthread_mutex_t lock;
    pthread_cond_t  changed;
    /* Guarded by lock. */
    bool         runs;
    unsigned     heap;  /* its number: a child of fork begins another */
    wl_deadline *first; /* the earliest: the heap's root */
} watch = {.lock = PTHREAD_MUTEX_INITIALIZER, .heap = 1};

/* ---- the heap, under the lock ------------------------------------------------------ */

static wl_deadline *merge(wl_deadline *a, wl_deadline *b)
{
    if (!a || !b)
        return a ? a : b;
    if (b->at < a->at) {
        wl_deadline *later = a;
        a = b;
        b = later;
    }
    b->back = a;
    if ((b->sibling = a->child))
        a->child->back = b;
    a->child = b;
    return a;
}

/* One heap of these siblings: in pairs from the front, then all of those. */
static wl_deadline *merge_siblings(wl_deadline *d)
{
    wl_deadline *pairs = NULL, *heap = NULL;
    while (d) {
        wl_deadline *other = d->sibling, *after = other ? other->sibling : NULL;
        wl_deadline *pair = merge(d, other);
        pair->sibling = pairs;
        pairs = pair;
        d = after;
    }
    while ((d = pairs)) {
        pairs = d->sibling;
        heap = merge(heap, d);
    }
    return heap;
}

static void detach(wl_deadline *d)
{
    if (d->back->child == d)
        d->back->child = d->sibling;
    else
        d->back->sibling = d->sibling;
    if (d->sibling)
        d->sibling->back = d->back;
}

static void take_out(wl_deadline *d)
{
    wl_deadline *below = merge_siblings(d->child);
    if (d == watch.first) {
        watch.first = below;
    } else {
        detach(d);
        watch.first = merge(watch.first, below);
    }
    if (watch.first)
        watch.first->sibling = watch.first->back = NULL;
    d->heap = 0;
    d->child = d->sibling = d->back = NULL;
}

/* ---- fork: the child has no watch, and its deadlines are of no thread there --------- */

static void lock_deadlines(void) { pthread_mutex_lock(&watch.lock); }
static void unlock_deadlines(void) { pthread_mutex_unlock(&watch.lock); }
static void begin_anew(void)
{
    watch.runs = false;
    watch.heap++;
    watch.first = NULL;
    unlock_deadlines();
}
static weir_fork_hook at_fork = {
    .before = lock_deadlines, .in_parent = unlock_deadlines, .in_child = begin_anew};

/* ---- the watch ------------------------------------------------------------------- */

void wl_deadline_drop(wl_deadline *d)
{
    wl_job_unref(d->job);
    wl_pool_unuse(d->pool);
    free(d);
}

static void *keep_watch(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&watch.lock);
    for (;;) {
        wl_deadline *d = watch.first;
        int64_t      at = d ? d->at : INT64_MAX;
        if (wl_now() < at) {
            wl_cond_wait_until(&watch.changed, &watch.lock, at);
        } else {
            take_out(d);
            pthread_mutex_unlock(&watch.lock);
            d->passed(d);
            pthread_mutex_lock(&watch.lock);
        }
    }
    return NULL;
}

static bool start_locked(void)
{
    if (watch.runs)
        return true;
    wl_cond_init(&watch.changed);
    sigset_t  old;
    pthread_t thread;
    weir_block_signals(NULL, &old);
    watch.runs = pthread_create(&thread, NULL, keep_watch, NULL) == 0;
    weir_restore_signals(&old);
    if (watch.runs)
        pthread_detach(thread);
    return watch.runs;
}

wl_deadline *wl_deadline_make(wl_job *j, int64_t timeout_ns, void (*passed)(wl_deadline *))
{
    wl_deadline *d = calloc(1, sizeof *d);
    if (!d)
        return NULL;
    wl_job_ref(d->job = j);
    wl_pool_use(d->pool = j->pool);
    d->at = wl_after(timeout_ns);
    d->passed = passed;
    return d;
}

bool wl_deadline_add(wl_job *j, wl_deadline *d)
{
    weir_on_fork(&at_fork);
    pthread_mutex_lock(&watch.lock);
    bool runs = start_locked();
    if (runs) {
        j->deadline = d;
        d->heap = watch.heap;
        watch.first = merge(watch.first, d);
        if (watch.first == d)
            pthread_cond_signal(&watch.changed);
    }
    pthread_mutex_unlock(&watch.lock);
    if (!runs)
        wl_deadline_drop(d);
    return runs;
}

/* Whether d was the job's deadline still; it is not from now on. */
bool wl_deadline_take_off(wl_deadline *d)
{
    pthread_mutex_lock(&watch.lock);
    bool still = d->job->deadline == d;
    if (still)
        d->job->deadline = NULL;
    pthread_mutex_unlock(&watch.lock);
    return still;
}

void wl_deadline_remove(wl_job *j)
{
    pthread_mutex_lock(&watch.lock);
    wl_deadline *d = j->deadline;
    bool         ours = d && d->heap == watch.heap; /* else the watch was faster */
    j->deadline = NULL;
    if (ours)
        take_out(d);
    pthread_mutex_unlock(&watch.lock);
    if (ours)
        wl_deadline_drop(d);
}

/* ---- giving up -------------------------------------------------------------------- */

/* A task that has ended meanwhile, or has no replacement, stays as it is. */
static void give_up(wl_deadline *d)
{
    wl_deadline_take_off(d);
    wl_job_ref(d->job); /* the lost thread's, until its release */
    if (weir_task_abandon(&d->job->u.task) != 0)
        wl_job_unref(d->job);
    wl_deadline_drop(d);
}

bool wl_deadline_abandon(wl_job *j, int64_t timeout_ns)
{
    wl_deadline *d = wl_deadline_make(j, timeout_ns, give_up);
    return d && wl_deadline_add(j, d);
}
