/* SPDX-License-Identifier: ISC
 *
 * test_unload.c: from when on the library may be unloaded.
 *
 * The core comes a second time, as a module (WEIR_MODULE) that each round loads, uses
 * and unloads. Then the thread that used it ends, and the process forks: both run what a
 * library may have left behind.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "harness.h"

#include <dlfcn.h>
#include <stdio.h>
#include <unistd.h>

/* clang-format off */
#define API(X)                                                                           \
    X(weir_main_open) X(weir_main_wait) X(weir_main_close) X(weir_pool_open)             \
    X(weir_run) X(weir_run_with) X(weir_wait) X(weir_close) X(weir_close_async)          \
    X(weir_pool_release) X(weir_trace)
/* clang-format on */

typedef struct {
    void *handle;
#define FIELD(name) __typeof__(&name) name;
    API(FIELD)
} api;

static void load(api *a)
{
    a->handle = dlopen(WEIR_MODULE, RTLD_NOW | RTLD_LOCAL);
    if (!a->handle)
        fprintf(stderr, "%s\n", dlerror());
    expect(a->handle);
#define LOOK_UP(name)                                                                              \
    a->name = (__typeof__(&name))(uintptr_t)dlsym(a->handle, #name);                               \
    expect(a->name && a->name != &name);
    API(LOOK_UP)
}

static void unload(api *a)
{
    expect_eq(dlclose(a->handle), 0);
#ifdef __GLIBC__ /* musl keeps what it has loaded */
    expect(!dlopen(WEIR_MODULE, RTLD_NOW | RTLD_NOLOAD));
#endif
}

/* ---- one round --------------------------------------------------------------- */

static pthread_key_t key; /* a thread's last act is this one's destructor */
static _Atomic int   started, ended;
static gate          told;

static void ends(void *arg)
{
    (void)arg;
    atomic_fetch_add(&ended, 1);
}

static void starts(void *arg, unsigned index)
{
    (void)arg, (void)index;
    atomic_fetch_add(&started, 1);
    expect_eq(pthread_setspecific(key, &key), 0);
}

/* Who closes the pool stays inside the library until its notice was told. */
static void linger(void *arg, weir_trace_event event, const weir_pool *p, const weir_task *task,
                   int value)
{
    static _Thread_local bool last;
    (void)arg, (void)p, (void)task;
    last |= event == WEIR_TRACE_CLOSED;
    if (last && event == WEIR_TRACE_THREAD && value == 0)
        gate_wait(&told);
}

static void work(const api *a, weir_pool *p, weir_main *m)
{
    probe            t = PROBE, waited = PROBE;
    weir_run_options opts = {.size = sizeof opts, .deliver_to = m, .start_within_ns = SECONDS(60)};
    waited.task.done = NULL;
    expect_eq(a->weir_run(p, &waited.task, NULL), 0);
    expect_eq(a->weir_run_with(p, &t.task, &opts), 0); /* so there is a timer */
    expect_eq(a->weir_wait(&waited.task, -1), 0);
    while (t.dones == 0)
        a->weir_main_wait(m, -1);
}

static void close_pool(const api *a, weir_pool *p, weir_main *m, bool asynchronously)
{
    news n = NEWS;
    if (asynchronously)
        expect_eq(a->weir_close_async(p, WEIR_CLOSE, m, &n.notice), 0);
    while (asynchronously && n.calls == 0)
        a->weir_main_wait(m, -1);
    gate_open(&told);
    expect_eq(a->weir_close(p, WEIR_CLOSE), 0);
    expect_eq(ended, started);
    a->weir_pool_release(p);
}

static void use(void *asynchronously)
{
    api               a;
    weir_pool        *p;
    weir_main        *m;
    weir_pool_options opts = pool_of(3);
    opts.on_start = starts;
    load(&a);
    if (asynchronously)
        a.weir_trace(linger, NULL);
    expect_eq(a.weir_main_open(&m), 0);
    expect_eq(a.weir_pool_open(&p, &opts), 0);
    work(&a, p, m);
    close_pool(&a, p, m, asynchronously != NULL);
    expect_eq(a.weir_main_close(m, 0), 0);
    unload(&a);
}

static void nothing(void *arg) { (void)arg; }

static void rounds(void *asynchronously)
{
    expect_eq(pthread_key_create(&key, ends), 0);
    for (unsigned i = 0; i < scaled(100); i++) {
        helper h;
        told = (gate)GATE, started = ended = 0;
        helper_start(&h, use, asynchronously);
        helper_join(&h);
        child_reap(child_start(nothing, NULL));
    }
    pthread_key_delete(key);
}

TEST(after_a_close_it_may_be_unloaded) { rounds(NULL); }

TEST(after_a_notice_and_a_close_it_may_be_unloaded) { rounds(&key); }

SUITE(unload, after_a_close_it_may_be_unloaded, after_a_notice_and_a_close_it_may_be_unloaded)
