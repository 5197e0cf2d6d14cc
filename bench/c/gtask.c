/* SPDX-License-Identifier: ISC
 *
 * gtask.c: g_task_run_in_thread, whose pool has ten threads whatever is asked, and more when
 * they are held. Its run_in_main is g_main_context_invoke and a condition.
 */
#include "peer.h"

#include <gio/gio.h>

struct request {
    void (*fn)(void *);
    void  *arg;
    GMutex lock;
    GCond  answered;
    bool   over; /* guarded by lock */
};

const size_t job_size = sizeof(struct job);

#ifndef ON_WEIR /* weir_glib.c has a pool of its own */
void pool_open(unsigned threads) { (void)threads; }
void pool_close(void) {} /* it lives until the process ends */
#endif

static GMainContext *context_of(struct loop *l) { return (GMainContext *)(void *)l; }

struct loop *loop_open(bool pollable)
{
    if (!pollable)
        return NULL;
    GMainContext *context = g_main_context_new();
    g_main_context_push_thread_default(context);
    return (struct loop *)(void *)context;
}

void loop_close(struct loop *l)
{
    g_main_context_pop_thread_default(context_of(l));
    g_main_context_unref(context_of(l));
}

static void run(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    (void)source, (void)cancellable;
    ((struct job *)data)->run(data);
    g_task_return_boolean(task, TRUE);
}

static void done(GObject *source, GAsyncResult *result, gpointer data)
{
    (void)source, (void)result;
    ((struct job *)data)->done(data);
}

void submit(struct loop *l, struct job *j)
{
    (void)l;
    GTask *task = g_task_new(NULL, NULL, done, j);
    g_task_set_task_data(task, j, NULL);
    g_task_run_in_thread(task, run);
    g_object_unref(task);
}

void turn(struct loop *l) { g_main_context_iteration(context_of(l), TRUE); }

static gboolean answer(gpointer data)
{
    struct request *r = data;
    r->fn(r->arg);
    g_mutex_lock(&r->lock);
    r->over = true;
    g_cond_signal(&r->answered);
    g_mutex_unlock(&r->lock);
    return G_SOURCE_REMOVE;
}

void run_in_main(struct loop *l, void (*fn)(void *), void *arg)
{
    struct request r = {.fn = fn, .arg = arg};
    g_main_context_invoke(context_of(l), answer, &r);
    g_mutex_lock(&r.lock);
    while (!r.over)
        g_cond_wait(&r.answered, &r.lock);
    g_mutex_unlock(&r.lock);
}
