/* SPDX-License-Identifier: ISC
 *
 * weir_uv.h: uv_queue_work on a pool of your own, and a weir_main on a libuv loop.
 *
 * Header-only over weir.h and uv.h. Each function returns 0 or a code of libuv's.
 *
 * A request comes back by the way that libuv's own take: through loop->wq and loop->wq_async.
 * Until then it counts in loop->active_reqs. So uv_run, uv_loop_alive, uv_loop_close, uv_walk
 * and uv_loop_fork do what they do for uv_queue_work. These fields stand in uv.h, and every
 * libuv since 1.20 has them; uv.h calls them private.
 */
#ifndef WEIR_UV_H
#define WEIR_UV_H

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
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
 * NULL. In a child of fork, requests of before never come back, and keep uv_run going for ever,
 * as with uv_queue_work. */
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
 * main still run: those that were queued have settled as closed, see weir_main_close) and UV_EPERM
 * (a foreign thread), which leave it attached. NULL is allowed. The loop's thread.
 *
 * To end the process though a task still runs, call weir_main_close(watch->main, WEIR_DETACH)
 * outside a delivery instead, and exit: from then on neither turn the loop nor detach, because
 * the watch still polls the main's descriptor. */
WEIR_UV_FN int weir_uv_detach(weir_uv_watch *watch);

/* A code of weir's as libuv's. Any thread. */
WEIR_UV_FN int weir_uv_error(int code);

/* ---- bodies --------------------------------------------------------------- */

/* How requests come back. A worker that finds none on its way to the loop leads: it appends its
 * request to loop->wq under loop->wq_mutex and wakes loop->wq_async, as libuv's threads do.
 * Until the loop calls that leader's `done`, all other requests follow: each is pushed onto a
 * stack, without a lock and without a wake-up, and `done` takes them all. The stack is one word,
 * loop->wq_async.data, which libuv does not use:
 *
 *   NULL        nobody leads
 *   the loop    a leader is in loop->wq, and nobody follows
 *   otherwise   the newest follower; each names the one before it, the oldest names the loop
 *
 * Who wins: of two that would lead, the one that swaps the word under the lock; the other
 * follows. Of a follower and `done`, whoever swaps the word first: after `done` it is NULL, and
 * the follower tries again, to lead. A request that was pushed may be gone at once, and the loop
 * as well. Only the leader touches the loop after its swap, under the lock, which `done` comes
 * after and uv_loop_close takes.
 *
 * A child of fork has the word of before, and no thread that would bring the leader. It starts
 * anew at its first request (weir_uv_renew), and drops requests of before. */

/* What libuv's request has no room for; req->reserved[0] points to it, [1] is the status, [2] the
 * process, and [3] is set in a leader. A request comes back once, and who sets `taken` first brings
 * it: the task's done, or the cancel that took the task back. A cancel brings it because done may
 * have to wait for a thread of the pool, and libuv's does not wait. The job is freed by the loop
 * with the request; after a cancel by the task's done. */
struct weir_uv_job {
    weir_task  task; /* first: a task is its job */
    uv_work_t *req;
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

/* The process, known without a system call. From the load on, so that a child knows itself before
 * weir's own handlers run there: a hook of theirs may release a pool, and so settle tasks. */
WEIR_UV_FN void *weir_uv_pid;
WEIR_UV_FN void  weir_uv_read_pid(void);
WEIR_UV_FN void  weir_uv_read_pid(void) { weir_uv_pid = (void *)(intptr_t)getpid(); }
__attribute__((constructor)) WEIR_UV_FN void weir_uv_keep_pid(void);
WEIR_UV_FN void                              weir_uv_keep_pid(void)
{
    if (!weir_uv_pid) /* once, of all files that include this */
        pthread_atfork(NULL, NULL, weir_uv_read_pid);
    weir_uv_read_pid();
}

static inline void **weir_uv_word(uv_loop_t *loop) { return &loop->wq_async.data; }
static inline void **weir_uv_node(uv_work_t *req) { return (void **)&req->work_req.wq; }

/* libuv walks a list of its own meanwhile, and has just taken its first, the leader, out. The
 * followers go to its front, the oldest first, so that libuv calls and counts each. */
static inline void weir_uv_take_followers(uv_work_t *leader)
{
    void **list = (void **)weir_uv_node(leader)[1];
    void  *e = __atomic_exchange_n(weir_uv_word(leader->loop), NULL, __ATOMIC_SEQ_CST);
    while (e != leader->loop) {
        void **node = weir_uv_node((uv_work_t *)e);
        e = node[0];
        node[0] = list[0], node[1] = list;
        ((void **)list[0])[1] = node, list[0] = node;
    }
}

/* `done` of leaders and followers, on the loop's thread. Its address tells our requests from
 * libuv's. */
WEIR_UV_FN void weir_uv_came_back(struct uv__work *work, int unused);
WEIR_UV_FN void weir_uv_came_back(struct uv__work *work, int unused)
{
    uv_work_t *req = (uv_work_t *)((char *)work - offsetof(uv_work_t, work_req));
    (void)unused;
    if (req->reserved[2] != weir_uv_pid)
        return;
    if (req->reserved[3])
        weir_uv_take_followers(req);
    free(req->reserved[0]);
    req->work_req.done = NULL;
    req->loop->active_reqs.count--;
    if (req->after_work_cb)
        req->after_work_cb(req, (int)(intptr_t)req->reserved[1]);
}

/* False: another leads. */
static inline bool weir_uv_lead(uv_work_t *req)
{
    uv_loop_t *loop = req->loop;
    void     **node = weir_uv_node(req), **head = (void **)&loop->wq; /* next, prev */
    void      *nobody = NULL;
    bool       leads;
    uv_mutex_lock(&loop->wq_mutex);
    leads = __atomic_compare_exchange_n(weir_uv_word(loop), &nobody, (void *)loop, false,
                                        __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    if (leads) {
        req->reserved[3] = req;
        node[0] = head, node[1] = head[1];
        ((void **)head[1])[0] = node, head[1] = node;
        uv_async_send(&loop->wq_async);
    }
    uv_mutex_unlock(&loop->wq_mutex);
    return leads;
}

/* False: `newest` is not the newest any more. */
static inline bool weir_uv_follow(uv_work_t *req, void *newest)
{
    weir_uv_node(req)[0] = newest;
    return __atomic_compare_exchange_n(weir_uv_word(req->loop), &newest, (void *)req, false,
                                       __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

static inline void weir_uv_bring(uv_work_t *req, int status)
{
    void *newest;
    req->reserved[1] = (void *)(intptr_t)status;
    do {
        newest = __atomic_load_n(weir_uv_word(req->loop), __ATOMIC_SEQ_CST);
    } while (!(newest ? weir_uv_follow(req, newest) : weir_uv_lead(req)));
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

/* On the thread that settled the task. In a child of fork, tasks of before take no lock of the
 * loop, because another thread may have held it. */
static inline void weir_uv_settled(weir_task *task)
{
    struct weir_uv_job *job = (struct weir_uv_job *)task;
    if (!weir_uv_take(job))
        free(job);
    else if (job->req->reserved[2] == weir_uv_pid)
        weir_uv_bring(job->req, weir_uv_status(weir_task_outcome(task)));
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
    req->reserved[2] = weir_uv_pid;
    req->reserved[3] = NULL;
    req->work_req.work = NULL; /* uv_cancel then says UV_EBUSY */
    req->work_req.done = weir_uv_came_back;
    req->work_req.loop = loop;
    memset(job, 0, sizeof *job);
    job->task.run = weir_uv_run;
    job->task.done = weir_uv_settled;
    job->req = req;
}

/* No other thread of this process has brought a request to the loop yet. libuv before 1.45 leaves
 * `pending` set in a child, which would suppress the first wake-up. */
static inline void weir_uv_renew(uv_loop_t *loop)
{
    void **process = &loop->wq_async.u.reserved[3];
    if (*process == weir_uv_pid)
        return;
    if (*process) {
        *weir_uv_word(loop) = NULL;
        loop->wq_async.pending = 0;
    }
    *process = weir_uv_pid;
}

WEIR_UV_FN int weir_uv_queue_work(weir_pool *pool, uv_loop_t *loop, uv_work_t *req, uv_work_cb work,
                                  uv_after_work_cb after)
{
    struct weir_uv_job *job;
    int                 code;
    if (!pool || !work)
        return UV_EINVAL;
    if (!(job = (struct weir_uv_job *)malloc(sizeof *job)))
        return UV_ENOMEM;
    weir_uv_renew(loop);
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
    if (weir_uv_take(job)) {
        work->reserved[0] = NULL;
        weir_uv_bring(work, UV_ECANCELED);
    }
    return 0;
}

static inline void weir_uv_readable(uv_poll_t *poll, int status, int events)
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
    uv_poll_start(&watch->poll, UV_READABLE, weir_uv_readable);
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
        uv_poll_start(&watch->poll, UV_READABLE, weir_uv_readable);
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
