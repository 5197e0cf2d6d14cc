/* SPDX-License-Identifier: ISC
 *
 * preload.c: libweir-uv.so. Preloaded, it carries the uv_queue_work of a program that links
 * libuv dynamically to a pool of its own; libuv's threads keep files and DNS.
 *
 *   WEIR_UV_THREADS   threads of the pool; by default UV_THREADPOOL_SIZE, or 4
 *   WEIR_UV_QUEUE     most queued requests; at the limit uv_queue_work waits. 0: no limit
 *
 * The pool opens at the first uv_queue_work. A child of fork opens its own: `lock` is taken
 * across a fork, so that the child never finds it held by a thread that it does not have.
 */
#define _GNU_SOURCE
#include "weir_uv.h"

#include <dlfcn.h>
#include <pthread.h>

/* A process that was started with the variable set and has no libuv must load us too. */
#pragma weak uv_mutex_lock
#pragma weak uv_mutex_unlock
#pragma weak uv_async_send
#pragma weak uv_close
#pragma weak uv_poll_init
#pragma weak uv_poll_start
#pragma weak uv_poll_stop
#pragma weak uv_unref

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static weir_pool      *the_pool; /* guarded by lock */

static void before(void) { pthread_mutex_lock(&lock); }
static void in_parent(void) { pthread_mutex_unlock(&lock); }
static void in_child(void)
{
    weir_pool_release(the_pool);
    the_pool = NULL;
    pthread_mutex_unlock(&lock);
}
static weir_fork_hook at_fork = {before, in_parent, in_child, {{NULL, NULL, NULL}, 0}};

static unsigned number(const char *name, unsigned otherwise, unsigned most)
{
    const char *text = getenv(name);
    long        n = text ? strtol(text, NULL, 10) : 0;
    if (n < 1)
        return otherwise;
    return n > (long)most ? most : (unsigned)n;
}

/* As libuv's are called since 1.50. */
static void name_thread(void *arg, unsigned index)
{
    (void)arg, (void)index;
#ifdef __linux__
    pthread_setname_np(pthread_self(), "libuv-worker");
#endif
}

static int open_locked(void)
{
    weir_pool_options opts = {
        .size = sizeof opts, .name = "weir-uv", .when_full = WEIR_BLOCK, .on_start = name_thread};
    int code = weir_on_fork(&at_fork);
    if (code != 0)
        return code;
    opts.threads = number("UV_THREADPOOL_SIZE", 4, WEIR_MAX_THREADS);
    opts.threads = number("WEIR_UV_THREADS", opts.threads, WEIR_MAX_THREADS);
    opts.queue_limit = number("WEIR_UV_QUEUE", 0, 1u << 30);
    return weir_pool_open(&the_pool, &opts);
}

static int pool_of_process(weir_pool **out)
{
    int code = 0;
    pthread_mutex_lock(&lock);
    if (!the_pool)
        code = open_locked();
    *out = the_pool;
    pthread_mutex_unlock(&lock);
    return code;
}

static int libuv_cancel(uv_req_t *req)
{
    int (*theirs)(uv_req_t *) = (int (*)(uv_req_t *))dlsym(RTLD_NEXT, "uv_cancel");
    return theirs ? theirs(req) : UV_ENOSYS;
}

__attribute__((visibility("default"))) int uv_queue_work(uv_loop_t *loop, uv_work_t *req,
                                                         uv_work_cb work, uv_after_work_cb after)
{
    weir_pool *pool;
    int        code = work ? pool_of_process(&pool) : WEIR_EINVAL;
    return code == 0 ? weir_uv_queue_work(pool, loop, req, work, after) : weir_uv_error(code);
}

__attribute__((visibility("default"))) int uv_cancel(uv_req_t *req)
{
    uv_work_t *work = (uv_work_t *)req;
    if (req->type == UV_WORK && work->work_req.done == weir_uv_came_back)
        return weir_uv_cancel(req);
    return libuv_cancel(req);
}
