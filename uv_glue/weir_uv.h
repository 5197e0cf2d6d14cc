/* SPDX-License-Identifier: ISC
 *
 * weir_uv.h: uv_queue_work on a pool of your own, and a weir_main on a libuv loop.
 *
 * Header-only over weir.h and uv.h. Each function returns 0 or a code of libuv's.
 *
 * A request comes back by the way that libuv's own take: the worker appends it to loop->wq
 * under loop->wq_mutex and wakes loop->wq_async, and the loop calls its `done`. Until then it
 * counts in loop->active_reqs. So uv_run, uv_loop_alive, uv_loop_close, uv_walk and
 * uv_loop_fork do what they do for uv_queue_work. These fields stand in uv.h, and every
 * libuv since 1.20 has them; uv.h calls them private.
 */
#ifndef WEIR_UV_H
#define WEIR_UV_H

#include <stdlib.h>
#include <unistd.h>
#include <uv.h>
#include <weir.h>

#if UV_VERSION_HEX < 0x011400
#error "weir_uv.h needs libuv 1.20 or newer"
#endif

/* One copy per program or shared object, so that a request is known in all its files. */
#define WEIR_UV_FN __attribute__((weak, visibility("hidden")))

#ifdef __cplusplus
extern "C" {
#endif

/* uv_queue_work on pool: work(req) runs on a thread of pool, then after(req, status) on the
 * loop's thread. status is 0, or UV_ECANCELED if work never ran: cancelled, dropped by a full
 * queue, or the pool closed; of a lazy pool without a thread also UV_EAGAIN or UV_ENOMEM.
 * Returns 0; UV_EINVAL (pool or work is NULL); UV_ENOMEM; UV_EAGAIN (the queue is full);
 * UV_EBUSY (it would wait for itself, see WEIR_EDEADLK); UV_ESHUTDOWN (the pool is closed, or
 * stayed behind in a fork). After an error after is not called. The loop's thread. It blocks
 * only with WEIR_BLOCK on a full queue. req is the pool's until after begins; after may be
 * NULL. In a child of fork, requests of before never come back, as with uv_queue_work. */
WEIR_UV_FN int weir_uv_queue_work(weir_pool *pool, uv_loop_t *loop, uv_work_t *req, uv_work_cb work,
                                  uv_after_work_cb after);

/* uv_cancel, for requests of weir_uv_queue_work and of libuv alike. Returns 0: work will not
 * run, and after comes with UV_ECANCELED; UV_EBUSY: it runs or has run; UV_EINVAL: libuv
 * cannot cancel such a request. A work that runs may ask
 * weir_cancel_requested(weir_task_current()) and return early. As uv_cancel, until after
 * begins. */
WEIR_UV_FN int weir_uv_cancel(uv_req_t *req);

/* A main on a loop, for weir_run, notices and weir_run_in_main. */
typedef struct weir_uv_watch {
    weir_main *main;
    uv_poll_t  poll; /* the rest is ours */
    unsigned   internal;
} weir_uv_watch;

/* Opens a main that the loop dispatches. While something is pending there, the loop is alive and
 * uv_loop_close returns UV_EBUSY; otherwise the main holds nothing. uv_walk does not show its
 * handle, so that a program that closes all handles keeps it. Returns 0, UV_ENOMEM, UV_EMFILE
 * or what uv_poll_init returns. The loop's thread. Partner: weir_uv_detach. */
WEIR_UV_FN int weir_uv_attach(uv_loop_t *loop, weir_uv_watch **out);

/* Closes the main and its handle; the watch is freed in the loop's next turn, before which
 * uv_loop_close returns UV_EBUSY. Returns 0, or UV_EBUSY (inside a delivery, or tasks with this
 * main still run; see weir_main_close) and UV_EPERM (a foreign thread), which leave it
 * attached. NULL is allowed. The loop's thread. */
WEIR_UV_FN int weir_uv_detach(weir_uv_watch *watch);

/* A code of weir's as libuv's. Any thread. */
WEIR_UV_FN int weir_uv_error(int code);

/* ---- bodies --------------------------------------------------------------- */

/* What libuv's request has no room for; req->reserved[0] points to it. A request comes back once,
 * and who sets `taken` first brings it: the task's done, or the cancel that took the task back.
 * A cancel brings it because done may have to wait for a thread of the pool, and libuv's does
 * not wait. The job is freed by the loop with the request; after a cancel by the task's done. */
struct weir_uv_job {
    weir_task  task; /* first: a task is its job */
    uv_work_t *req;
    uv_pid_t   pid; /* that queued it */
    int        taken;
};

WEIR_UV_FN int weir_uv_error(int code)
{
    switch (code) {
    case WEIR_OK: return 0;
    case WEIR_ENOMEM: return UV_ENOMEM;
    case WEIR_EMFILE: return UV_EMFILE;
    case WEIR_EPERM: return UV_EPERM;
    case WEIR_EAGAIN:
    case WEIR_EFULL: return UV_EAGAIN;
    case WEIR_EBUSY:
    case WEIR_EDEADLK: return UV_EBUSY;
    case WEIR_ECLOSED:
    case WEIR_EFORKED: return UV_ESHUTDOWN;
    case WEIR_ECANCELED: return UV_ECANCELED;
    default: return UV_EINVAL;
    }
}

/* On the loop's thread, from loop->wq. Its address tells our requests from libuv's. */
WEIR_UV_FN void weir_uv_came_back(struct uv__work *work, int unused);
WEIR_UV_FN void weir_uv_came_back(struct uv__work *work, int unused)
{
    uv_work_t *req = (uv_work_t *)((char *)work - offsetof(uv_work_t, work_req));
    (void)unused;
    free(req->reserved[0]);
    req->work_req.done = NULL;
    req->loop->active_reqs.count--;
    if (req->after_work_cb)
        req->after_work_cb(req, (int)(intptr_t)req->reserved[1]);
}

/* The loop may take the request, and close, as soon as the lock is free: so it is woken under
 * the lock. */
static inline void weir_uv_bring(uv_work_t *req, void *job, int status)
{
    uv_loop_t *loop = req->loop;
    void     **node = (void **)&req->work_req.wq, **head = (void **)&loop->wq; /* next, prev */
    req->reserved[0] = job;
    req->reserved[1] = (void *)(intptr_t)status;
    uv_mutex_lock(&loop->wq_mutex);
    node[0] = head, node[1] = head[1];
    ((void **)head[1])[0] = node, head[1] = node;
    uv_async_send(&loop->wq_async);
    uv_mutex_unlock(&loop->wq_mutex);
}

static inline bool weir_uv_take(struct weir_uv_job *job)
{
    return !__atomic_exchange_n(&job->taken, 1, __ATOMIC_SEQ_CST);
}

static inline int weir_uv_status(int outcome)
{
    switch (outcome) {
    case WEIR_ECLOSED:
    case WEIR_EFULL:
    case WEIR_EEXPIRED: return UV_ECANCELED;
    case WEIR_EINIT: return UV_EAGAIN;
    default: return weir_uv_error(outcome);
    }
}

static inline int weir_uv_run(weir_task *task, void *state)
{
    uv_work_t *req = ((struct weir_uv_job *)task)->req;
    (void)state;
    req->work_cb(req);
    return 0;
}

/* On the thread that settled the task. A child of fork brings nothing of before, because
 * another thread may have held the loop's lock. */
static inline void weir_uv_settled(weir_task *task)
{
    struct weir_uv_job *job = (struct weir_uv_job *)task;
    if (!weir_uv_take(job))
        free(job);
    else if (job->pid == getpid())
        weir_uv_bring(job->req, job, weir_uv_status(weir_task_outcome(task)));
    else {
        job->req->work_req.done = NULL;
        free(job);
    }
}

static inline void weir_uv_fill(uv_work_t *req, uv_loop_t *loop, struct weir_uv_job *job)
{
    req->type = UV_WORK;
    req->loop = loop;
    req->reserved[0] = job;
    req->work_req.work = NULL; /* uv_cancel then says UV_EBUSY */
    req->work_req.done = weir_uv_came_back;
    req->work_req.loop = loop;
    job->task.run = weir_uv_run;
    job->task.done = weir_uv_settled;
    job->req = req;
    job->pid = getpid();
}

WEIR_UV_FN int weir_uv_queue_work(weir_pool *pool, uv_loop_t *loop, uv_work_t *req, uv_work_cb work,
                                  uv_after_work_cb after)
{
    struct weir_uv_job *job;
    int                 code;
    if (!pool || !work)
        return UV_EINVAL;
    if (!(job = (struct weir_uv_job *)calloc(1, sizeof *job)))
        return UV_ENOMEM;
    weir_uv_fill(req, loop, job);
    req->work_cb = work;
    req->after_work_cb = after;
    loop->active_reqs.count++;
    if ((code = weir_run(pool, &job->task, NULL)) == 0)
        return 0;
    loop->active_reqs.count--;
    req->work_req.done = NULL;
    free(job);
    return weir_uv_error(code);
}

WEIR_UV_FN int weir_uv_cancel(uv_req_t *req)
{
    uv_work_t          *work = (uv_work_t *)req;
    struct weir_uv_job *job;
    if (req->type != UV_WORK || work->work_req.done != weir_uv_came_back)
        return uv_cancel(req);
    job = (struct weir_uv_job *)work->reserved[0];
    if (!job || weir_cancel(&job->task) != 0) /* NULL: a cancel has brought it */
        return UV_EBUSY;
    if (weir_uv_take(job))
        weir_uv_bring(work, NULL, UV_ECANCELED);
    return 0;
}

static inline void weir_uv_deliver(uv_poll_t *poll, int status, int events)
{
    (void)status, (void)events;
    weir_main_dispatch(((weir_uv_watch *)poll->data)->main, 0);
}

/* A busy main counts as one request. */
static inline void weir_uv_hold(weir_main *main, bool busy, void *watch)
{
    uv_loop_t *loop = ((weir_uv_watch *)watch)->poll.loop;
    (void)main;
    if (busy)
        loop->active_reqs.count++;
    else
        loop->active_reqs.count--;
}

static inline void weir_uv_free(uv_handle_t *poll) { free(poll->data); }

/* Marks our handle as the loop marks its own wq_async: uv_walk and uv_loop_close pass it by. */
static inline int weir_uv_start(uv_loop_t *loop, weir_uv_watch *watch)
{
    int rc = uv_poll_init(loop, &watch->poll, weir_main_fd(watch->main));
    if (rc != 0)
        return rc;
    watch->poll.data = watch;
    uv_poll_start(&watch->poll, UV_READABLE, weir_uv_deliver);
    uv_unref((uv_handle_t *)&watch->poll);
    watch->internal = loop->wq_async.flags & ~watch->poll.flags;
    watch->poll.flags |= watch->internal;
    weir_main_on_busy(watch->main, weir_uv_hold, watch);
    return 0;
}

WEIR_UV_FN int weir_uv_attach(uv_loop_t *loop, weir_uv_watch **out)
{
    weir_uv_watch *watch = (weir_uv_watch *)calloc(1, sizeof *watch);
    int            rc;
    if (!watch)
        return UV_ENOMEM;
    rc = weir_uv_error(weir_main_open(&watch->main));
    if (rc == 0 && (rc = weir_uv_start(loop, watch)) != 0)
        weir_main_close(watch->main, 0);
    if (rc != 0)
        free(watch);
    else
        *out = watch;
    return rc;
}

WEIR_UV_FN int weir_uv_detach(weir_uv_watch *watch)
{
    int code;
    if (!watch)
        return 0;
    uv_poll_stop(&watch->poll); /* before its descriptor is closed */
    code = weir_main_close(watch->main, 0);
    if (code != 0) {
        uv_poll_start(&watch->poll, UV_READABLE, weir_uv_deliver);
        return weir_uv_error(code);
    }
    watch->poll.flags &= ~watch->internal;
    uv_close((uv_handle_t *)&watch->poll, weir_uv_free);
    return 0;
}

#ifdef __cplusplus
}
#endif
#endif
