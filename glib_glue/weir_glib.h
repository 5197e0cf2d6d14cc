/* SPDX-License-Identifier: ISC
 *
 * weir_glib.h: g_task_run_in_thread on a pool of your own, and a weir_main in a GMainContext.
 *
 * Header-only over weir.h and gio.h, by public functions of GLib 2.44 and later alone.
 */
#ifndef WEIR_GLIB_H
#define WEIR_GLIB_H

#include <gio/gio.h>
#include <unistd.h>
#include <weir.h>

G_BEGIN_DECLS

/* g_task_run_in_thread on pool: fn(task, source object, task data, cancellable) runs on a thread
 * of pool and returns its result by g_task_return_...; the task's callback comes once, in the
 * task's context. If fn never runs, the callback gets an error of G_IO_ERROR:
 *   CANCELLED     its cancellable was triggered first, or weir_pool_purge
 *   CLOSED        the pool is closed, or was before fn began, or stayed behind in a fork
 *   WOULD_BLOCK   the queue is full, or dropped it; the system refused a thread
 *   FAILED        the others, see weir_g_error_new
 * A cancel takes a queued task back at once; of one that runs it is asked for, as by
 * weir_cancel. It does neither where g_task_set_check_cancellable is FALSE: there fn always
 * runs. g_task_get_priority chooses the level: below G_PRIORITY_DEFAULT it is WEIR_HIGH, from
 * G_PRIORITY_DEFAULT_IDLE on WEIR_LOW. Any thread; it blocks only with WEIR_BLOCK on a full
 * queue. It holds the task until fn has returned, and if the task has a cancellable, a handle
 * of pool: weir_close ends the pool, a weir_pool_release alone ends it after such tasks. In a
 * child of fork, tasks of before never come back. */
static inline void weir_g_task_run(GTask *task, weir_pool *pool, GTaskThreadFunc fn);

/* A source that dispatches main, for weir_run, notices and weir_run_in_main: attach it to the
 * context that main's thread iterates. It never ends by itself. A loop that runs inside a
 * callback of main's goes on with main's deliveries. Destroy it before weir_main_close. The
 * caller owns the reference. */
static inline GSource *weir_g_source_new(weir_main *main);

/* A code of weir's as an error of G_IO_ERROR; NULL for WEIR_OK. The message is weir_strerror's.
 * The caller owns it. Any thread. */
static inline GError *weir_g_error_new(int code);

/* ---- bodies --------------------------------------------------------------- */

/* Its users are the pool, the cancellable's handler and weir_g_task_run while it looks; the last
 * one frees it. So a handler that runs while the task ends finds the job, and by `pool` the
 * pool. */
struct weir_g_job {
    weir_task       task; /* first: a task is its job */
    GTask          *gtask;
    GTaskThreadFunc fn;
    weir_pool      *pool; /* held for the handler, or NULL */
    gulong          handler;
    gint            users;
    gint            returned; /* by whoever set it: the task's done, or the cancel */
    GPid            process;  /* that queued it */
};

static inline gint weir_g_io_error(int code)
{
    switch (code) {
    case WEIR_ECANCELED: return G_IO_ERROR_CANCELLED;
    case WEIR_ECLOSED:
    case WEIR_EFORKED: return G_IO_ERROR_CLOSED;
    case WEIR_EFULL:
    case WEIR_EAGAIN: return G_IO_ERROR_WOULD_BLOCK;
    case WEIR_EBUSY: return G_IO_ERROR_BUSY;
    case WEIR_EEXPIRED:
    case WEIR_ETIMEDOUT: return G_IO_ERROR_TIMED_OUT;
    case WEIR_EINVAL: return G_IO_ERROR_INVALID_ARGUMENT;
    case WEIR_ENOTSUP: return G_IO_ERROR_NOT_SUPPORTED;
    case WEIR_EPERM: return G_IO_ERROR_PERMISSION_DENIED;
    case WEIR_EMFILE: return G_IO_ERROR_TOO_MANY_OPEN_FILES;
    default: return G_IO_ERROR_FAILED;
    }
}

static inline GError *weir_g_error_new(int code)
{
    if (code == WEIR_OK)
        return NULL;
    return g_error_new_literal(G_IO_ERROR, weir_g_io_error(code), weir_strerror(code));
}

static inline void weir_g_job_unref(struct weir_g_job *job)
{
    if (!g_atomic_int_dec_and_test(&job->users))
        return;
    g_object_unref(job->gtask); /* not before: who cancels may be about to return its error */
    weir_pool_release(job->pool);
    g_free(job);
}

static inline void weir_g_handler_gone(gpointer job, GClosure *closure)
{
    (void)closure;
    weir_g_job_unref((struct weir_g_job *)job);
}

static inline void weir_g_return(struct weir_g_job *job, int code)
{
    if (g_atomic_int_compare_and_exchange(&job->returned, 0, 1))
        g_task_return_error(job->gtask, weir_g_error_new(code));
}

/* Of a task that was taken back it returns the error here, because its done may have to wait for
 * a thread of the pool. */
static inline void weir_g_cancel(struct weir_g_job *job)
{
    if (weir_cancel(&job->task) == 0)
        weir_g_return(job, WEIR_ECANCELED);
}

static inline void weir_g_cancelled(GCancellable *cancellable, gpointer job)
{
    (void)cancellable;
    weir_g_cancel((struct weir_g_job *)job);
}

/* The handler's end does not wait for a handler that runs, because it may be this thread that
 * runs it. */
static inline void weir_g_job_end(struct weir_g_job *job)
{
    if (job->handler)
        g_signal_handler_disconnect(g_task_get_cancellable(job->gtask), job->handler);
    weir_g_job_unref(job);
}

static inline int weir_g_run(weir_task *task, void *state)
{
    struct weir_g_job *job = (struct weir_g_job *)task;
    (void)state;
    job->fn(job->gtask, g_task_get_source_object(job->gtask), g_task_get_task_data(job->gtask),
            g_task_get_cancellable(job->gtask));
    return 0;
}

/* On the thread that settled the task. In a child of fork another thread may have held the
 * context's lock, so nothing is returned there. */
static inline void weir_g_settled(weir_task *task)
{
    struct weir_g_job *job = (struct weir_g_job *)task;
    int                outcome = weir_task_outcome(task);
    if (job->process != getpid())
        return;
    if (outcome != 0)
        weir_g_return(job, outcome);
    weir_g_job_end(job);
}

static inline struct weir_g_job *weir_g_job_new(GTask *task, weir_pool *pool, GTaskThreadFunc fn)
{
    struct weir_g_job *job = g_new0(struct weir_g_job, 1);
    GCancellable      *cancellable = g_task_get_cancellable(task);
    job->task.run = weir_g_run;
    job->task.done = weir_g_settled;
    job->gtask = (GTask *)g_object_ref(task);
    job->fn = fn;
    job->users = 2;
    job->process = getpid();
    if (!cancellable || !g_task_get_check_cancellable(task))
        return job;
    weir_pool_retain(job->pool = pool);
    job->users++;
    job->handler = g_signal_connect_data(cancellable, "cancelled", G_CALLBACK(weir_g_cancelled),
                                         job, weir_g_handler_gone, (GConnectFlags)0);
    return job;
}

static inline weir_priority weir_g_level(GTask *task)
{
    gint priority = g_task_get_priority(task);
    if (priority < G_PRIORITY_DEFAULT)
        return WEIR_HIGH;
    return priority >= G_PRIORITY_DEFAULT_IDLE ? WEIR_LOW : WEIR_NORMAL;
}

/* A cancel before the pool has the task finds nothing to cancel: so it is looked for after. Of
 * a canceller that triggers and then calls the handler, and this that queues and then looks, one
 * sees the other. */
static inline void weir_g_task_run(GTask *task, weir_pool *pool, GTaskThreadFunc fn)
{
    weir_run_options   opts = {sizeof opts, NULL, WEIR_NORMAL, 0, NULL};
    struct weir_g_job *job;
    int                code;
    g_return_if_fail(G_IS_TASK(task));
    g_return_if_fail(pool != NULL);
    g_return_if_fail(fn != NULL);
    if (g_task_get_check_cancellable(task) && g_task_return_error_if_cancelled(task))
        return;
    job = weir_g_job_new(task, pool, fn);
    opts.priority = weir_g_level(task);
    code = weir_run_with(pool, &job->task, &opts);
    if (code != 0) {
        weir_g_return(job, code);
        weir_g_job_end(job);
    } else if (job->handler && g_cancellable_is_cancelled(g_task_get_cancellable(task)))
        weir_g_cancel(job);
    weir_g_job_unref(job);
}

/* A loop that runs inside a dispatch finds the descriptor quiet, while the rest of what that
 * dispatch took is still to be delivered. So the source is ready there until a dispatch inside
 * has delivered the rest. */
struct weir_g_source {
    GSource    source;
    weir_main *main;
    gpointer   fd;
    gboolean   has_rest;
};

static inline gboolean weir_g_prepare(GSource *source, gint *timeout)
{
    *timeout = -1;
    return ((struct weir_g_source *)source)->has_rest;
}

static inline gboolean weir_g_check(GSource *source)
{
    struct weir_g_source *ours = (struct weir_g_source *)source;
    return ours->has_rest || g_source_query_unix_fd(source, ours->fd) != 0;
}

static inline gboolean weir_g_dispatch(GSource *source, GSourceFunc unused, gpointer data)
{
    struct weir_g_source *ours = (struct weir_g_source *)source;
    (void)unused, (void)data;
    ours->has_rest = TRUE;
    weir_main_dispatch(ours->main, 0);
    ours->has_rest = FALSE;
    return G_SOURCE_CONTINUE;
}

static inline GSource *weir_g_source_new(weir_main *main)
{
    static GSourceFuncs   funcs = {weir_g_prepare, weir_g_check, weir_g_dispatch, NULL, NULL, NULL};
    struct weir_g_source *ours;
    GSource              *source;
    g_return_val_if_fail(main != NULL, NULL);
    source = g_source_new(&funcs, sizeof *ours);
    ours = (struct weir_g_source *)source;
    ours->main = main;
    ours->fd = g_source_add_unix_fd(source, weir_main_fd(main), G_IO_IN);
    g_source_set_can_recurse(source, TRUE);
    g_source_set_name(source, "weir");
    return source;
}

G_END_DECLS
#endif
