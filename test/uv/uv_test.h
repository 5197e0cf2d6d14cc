/* SPDX-License-Identifier: ISC
 *
 * uv_test.h: gates, and the call under test: libuv's own, or weir_uv.h's.
 */
#ifndef UV_TEST_H
#define UV_TEST_H

#include <check.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

/* Also off the test's own thread, where Check must not unwind. */
#define MUST(what)                                                                                 \
    ((what) ? (void)0 : (fprintf(stderr, "%s: %d: " #what "\n", __FILE__, __LINE__), abort()))

/* A counter that threads wait for. */
typedef struct {
    uv_mutex_t lock;
    uv_cond_t  changed;
    int        n; /* guarded by lock */
} gate;

static inline void gate_init(gate *g)
{
    g->n = 0;
    MUST(uv_mutex_init(&g->lock) == 0 && uv_cond_init(&g->changed) == 0);
}
static inline void gate_add(gate *g)
{
    uv_mutex_lock(&g->lock);
    g->n++;
    uv_cond_broadcast(&g->changed);
    uv_mutex_unlock(&g->lock);
}
static inline void gate_await(gate *g, int n)
{
    uv_mutex_lock(&g->lock);
    while (g->n < n)
        uv_cond_wait(&g->changed, &g->lock);
    uv_mutex_unlock(&g->lock);
}

static inline int gate_count(gate *g)
{
    int n;
    uv_mutex_lock(&g->lock);
    n = g->n;
    uv_mutex_unlock(&g->lock);
    return n;
}

static inline int uv_run_suite(TCase *tests)
{
    Suite   *suite = suite_create("uv");
    SRunner *runner = srunner_create(suite);
    int      failed;
    suite_add_tcase(suite, tests);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}

enum { THREADS = 4 }; /* libuv's default */

#ifdef ON_LIBUV
static inline bool doors(void) { return getenv("WEIR_UV_PRELOADED") != NULL; }
static inline void pool_open(void) {}
static inline void pool_reopen(void) {}
static inline void pool_close(void) {}
#define queue_work uv_queue_work
#define cancel uv_cancel
#else
#include "weir_uv.h"
static weir_pool  *pool;
static inline bool doors(void) { return true; }
static inline void pool_open(void)
{
    weir_pool_options opts = {.size = sizeof opts, .threads = THREADS};
    MUST(weir_pool_open(&pool, &opts) == 0);
}
static inline void pool_close(void)
{
    MUST(weir_close(pool, WEIR_CLOSE) == 0);
    weir_pool_release(pool);
}
static inline void pool_reopen(void) /* in a child of fork, where it is closed */
{
    weir_pool_release(pool);
    pool_open();
}
#define queue_work(loop, req, work, after) weir_uv_queue_work(pool, loop, req, work, after)
#define cancel weir_uv_cancel
#endif
#endif
