/* SPDX-License-Identifier: ISC
 *
 * libuv.c: uv_queue_work on libuv's one pool, its own loop. It has no
 * run_in_main: a list, a uv_async_t and a semaphore make one.
 */
#include "peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

struct request {
    struct request *next;
    void (*fn)(void *);
    void    *arg;
    uv_sem_t answered;
};

struct loop {
    uv_loop_t       uv;
    uv_async_t      async;
    uv_mutex_t      lock;
    struct request *requests; /* guarded by lock */
};

struct uv_job {
    struct job job;
    uv_work_t  work;
};

const size_t job_size = sizeof(struct uv_job);

static void run(uv_work_t *w)
{
    struct job *j = w->data;
    j->run(j);
}

static void done(uv_work_t *w, int status)
{
    (void)status;
    struct job *j = w->data;
    j->done(j);
}

#ifndef ON_WEIR /* weir_uv.c has a pool of its own */
/* Read at the first submission, which makes the threads. */
void pool_open(unsigned threads)
{
    char number[12];
    snprintf(number, sizeof number, "%u", threads);
    setenv("UV_THREADPOOL_SIZE", number, 1);
}

void pool_close(void) {} /* it lives until the process ends */
#endif

static void answer(uv_async_t *async)
{
    struct loop *l = async->data;
    uv_mutex_lock(&l->lock);
    struct request *r = l->requests;
    l->requests = NULL;
    uv_mutex_unlock(&l->lock);
    while (r) {
        struct request *next = r->next;
        r->fn(r->arg);
        uv_sem_post(&r->answered);
        r = next;
    }
}

struct loop *loop_open(bool pollable)
{
    if (!pollable)
        return NULL;
    struct loop *l = calloc(1, sizeof *l);
    MUST(l && uv_loop_init(&l->uv) == 0 && uv_mutex_init(&l->lock) == 0);
    MUST(uv_async_init(&l->uv, &l->async, answer) == 0);
    l->async.data = l;
    return l;
}

void loop_close(struct loop *l)
{
    uv_close((uv_handle_t *)&l->async, NULL);
    uv_run(&l->uv, UV_RUN_DEFAULT);
    MUST(uv_loop_close(&l->uv) == 0);
    uv_mutex_destroy(&l->lock);
    free(l);
}

void submit(struct loop *l, struct job *j)
{
    uv_work_t *w = &((struct uv_job *)(void *)j)->work;
    w->data = j;
    MUST(uv_queue_work(&l->uv, w, run, done) == 0);
}

void turn(struct loop *l) { uv_run(&l->uv, UV_RUN_ONCE); }

void run_in_main(struct loop *l, void (*fn)(void *), void *arg)
{
    struct request r = {.fn = fn, .arg = arg};
    MUST(uv_sem_init(&r.answered, 0) == 0);
    uv_mutex_lock(&l->lock);
    r.next = l->requests, l->requests = &r;
    uv_mutex_unlock(&l->lock);
    uv_async_send(&l->async);
    uv_sem_wait(&r.answered);
    uv_sem_destroy(&r.answered);
}
