/* SPDX-License-Identifier: ISC
 *
 * glib_test.h: gates, and the call under test: GLib's own, or weir_glib.h's.
 */
#ifndef GLIB_TEST_H
#define GLIB_TEST_H

#include <check.h>
#include <gio/gio.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

/* Also off the test's own thread, where Check must not unwind. */
#define MUST(what)                                                                                 \
    ((what) ? (void)0 : (fprintf(stderr, "%s: %d: " #what "\n", __FILE__, __LINE__), abort()))

/* A counter that threads wait for. Zero-filled it is ready. */
typedef struct {
    GMutex lock;
    GCond  changed;
    int    n; /* guarded by lock */
} gate;

static inline void gate_add(gate *g)
{
    g_mutex_lock(&g->lock);
    g->n++;
    g_cond_broadcast(&g->changed);
    g_mutex_unlock(&g->lock);
}
static inline void gate_await(gate *g, int n)
{
    g_mutex_lock(&g->lock);
    while (g->n < n)
        g_cond_wait(&g->changed, &g->lock);
    g_mutex_unlock(&g->lock);
}
static inline int gate_count(gate *g)
{
    g_mutex_lock(&g->lock);
    int n = g->n;
    g_mutex_unlock(&g->lock);
    return n;
}

static inline int glib_run_suite(TCase *tests)
{
    Suite   *suite = suite_create("glib");
    SRunner *runner = srunner_create(suite);
    int      failed;
    g_log_set_always_fatal(G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_WARNING);
    suite_add_tcase(suite, tests);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}

enum { THREADS = 4 };

#ifdef ON_GLIB
static inline void pool_open(void) {}
static inline void pool_close(void) {}
#define task_run g_task_run_in_thread
#else
/* Called by weir_glib.h when it is about to return an error. */
static void (*before_error)(void);
static inline void return_error(GTask *task, GError *error)
{
    if (before_error)
        before_error();
    g_task_return_error(task, error);
}
#define g_task_return_error return_error
#include "weir_glib.h"
#undef g_task_return_error
static weir_pool  *pool;
static inline void pool_open_with(weir_pool_options opts)
{
    opts.size = sizeof opts;
    MUST(weir_pool_open(&pool, &opts) == 0);
}
static inline void pool_open(void) { pool_open_with((weir_pool_options){.threads = THREADS}); }
static inline void pool_close(void)
{
    MUST(weir_close(pool, WEIR_CLOSE) == 0);
    weir_pool_release(pool);
}
#define task_run(task, fn) weir_g_task_run(task, pool, fn)
#endif

/* ---- what came back ---- */

typedef struct {
    int           times;
    gssize        value;
    GError       *error;
    GThread      *thread;
    GAsyncResult *result;
} answer;

static inline void answered(GObject *source, GAsyncResult *result, gpointer data)
{
    answer *a = (answer *)data;
    (void)source;
    a->times++;
    a->thread = g_thread_self();
    g_clear_error(&a->error);
    a->value = g_task_propagate_int((GTask *)result, &a->error);
}

/* Until it came `times` times. */
static inline void until_answered(answer *a, int times)
{
    while (a->times < times)
        g_main_context_iteration(g_main_context_get_thread_default(), TRUE);
}

#define expect_error(a, code) ck_assert(g_error_matches((a)->error, G_IO_ERROR, code))
#endif
