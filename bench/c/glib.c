/* SPDX-License-Identifier: ISC
 *
 * glib.c: an exclusive GThreadPool. GLib has no way back that does not
 * allocate, so completions and requests come back as a careful user would write
 * it: a locked list and an eventfd, written when the list was empty, or a
 * condition variable for the wait without a descriptor.
 */
#include "peer.h"

#include <glib.h>
#include <poll.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct item {
    struct item *next;
    void       (*deliver)(struct item *);
};

struct loop {
    struct pollfd poll; /* fd -1: `filled` in its place */
    GMutex        lock;
    GCond         filled, answered;
    struct item  *first, **last; /* guarded by lock */
};

struct glib_job {
    struct job   job;
    struct item  item;
    struct loop *loop;
};

const size_t        job_size = sizeof(struct glib_job);
static GThreadPool *pool;

static void post(struct loop *l, struct item *i)
{
    i->next = NULL;
    g_mutex_lock(&l->lock);
    bool first = !l->first;
    *l->last = i, l->last = &i->next;
    g_mutex_unlock(&l->lock);
    const uint64_t one = 1;
    if (first && l->poll.fd < 0)
        g_cond_signal(&l->filled);
    else if (first)
        MUST(write(l->poll.fd, &one, sizeof one) == sizeof one);
}

static void done(struct item *i)
{
    struct job *j = (struct job *)((char *)i - offsetof(struct glib_job, item));
    j->done(j);
}

static void run(void *data, void *unused)
{
    (void)unused;
    struct glib_job *j = data;
    j->job.run(&j->job);
    j->item.deliver = done;
    post(j->loop, &j->item);
}

void pool_open(unsigned threads)
{
    pool = g_thread_pool_new(run, NULL, (int)threads, TRUE, NULL);
    MUST(pool && g_thread_pool_get_num_threads(pool) == threads);
}

void pool_close(void) { g_thread_pool_free(pool, FALSE, TRUE); }

struct loop *loop_open(bool pollable)
{
    struct loop *l = g_new0(struct loop, 1);
    g_mutex_init(&l->lock), g_cond_init(&l->filled), g_cond_init(&l->answered);
    l->last = &l->first;
    l->poll = (struct pollfd){.fd = pollable ? eventfd(0, EFD_CLOEXEC) : -1, .events = POLLIN};
    MUST(!pollable || l->poll.fd >= 0);
    return l;
}

void loop_close(struct loop *l)
{
    if (l->poll.fd >= 0)
        close(l->poll.fd);
    g_mutex_clear(&l->lock), g_cond_clear(&l->filled), g_cond_clear(&l->answered);
    g_free(l);
}

void submit(struct loop *l, struct job *j)
{
    ((struct glib_job *)(void *)j)->loop = l;
    MUST(g_thread_pool_push(pool, j, NULL));
}

void turn(struct loop *l)
{
    uint64_t n;
    if (l->poll.fd >= 0)
        MUST(poll(&l->poll, 1, -1) == 1 && read(l->poll.fd, &n, sizeof n) == sizeof n);
    g_mutex_lock(&l->lock);
    while (l->poll.fd < 0 && !l->first)
        g_cond_wait(&l->filled, &l->lock);
    struct item *i = l->first;
    l->first = NULL, l->last = &l->first;
    g_mutex_unlock(&l->lock);
    while (i) {
        struct item *next = i->next;
        i->deliver(i);
        i = next;
    }
}

struct request {
    struct item  item;
    void       (*fn)(void *);
    void        *arg;
    struct loop *loop;
    bool         answered; /* guarded by the loop's lock */
};

static void answer(struct item *i)
{
    struct request *r = (struct request *)i;
    r->fn(r->arg);
    g_mutex_lock(&r->loop->lock);
    r->answered = true;
    g_cond_broadcast(&r->loop->answered);
    g_mutex_unlock(&r->loop->lock);
}

void run_in_main(struct loop *l, void (*fn)(void *), void *arg)
{
    struct request r = {.item.deliver = answer, .fn = fn, .arg = arg, .loop = l};
    post(l, &r.item);
    g_mutex_lock(&l->lock);
    while (!r.answered)
        g_cond_wait(&l->answered, &l->lock);
    g_mutex_unlock(&l->lock);
}
