/* SPDX-License-Identifier: ISC
 *
 * options.c: any options of a pool. What weir.h calls out of range is refused, all else opens and
 * reads back as it was given.
 */
#include "weir.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define expect(cond)                                                                               \
    ((cond) ? (void)0 : (fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond), abort()))

typedef struct {
    const uint8_t *at, *end;
} source;

static unsigned byte(source *s) { return s->at < s->end ? *s->at++ : 0; }

/* Few threads, or far too many. */
static unsigned number(source *s)
{
    unsigned b = byte(s);
    return b < 240 ? b % 4 : b < 250 ? WEIR_MAX_THREADS + b : UINT_MAX - b;
}

static void lends(weir_pool *pool, void *arg)
{
    (void)arg;
    weir_worker_refuse(pool, WEIR_EAGAIN);
}

static weir_pool_options read_options(source *s, uint64_t *cpus)
{
    weir_pool_options o = {.size = sizeof o};
    unsigned          flags = byte(s);
    o.threads = number(s), o.threads_max = number(s), o.max_blocked = number(s);
    o.queue_limit = byte(s), o.idle_ns = byte(s) < 8 ? -1 : (int64_t)byte(s) * 1000;
    o.when_full = (weir_full_policy)(byte(s) % 6);
    o.max_running[byte(s) % WEIR_LEVELS] = byte(s);
    o.stack_size = flags & 1 ? (size_t)byte(s) * 4096 : 0;
    o.worker_signal = flags & 2 ? (int)byte(s) - 4 : 0;
    o.measure = flags & 4, o.lazy = flags & 8;
    o.borrowed = (flags & 48) == 48;
    o.lend = flags & 64 ? lends : NULL;
    if (flags & 128) {
        *cpus = ~(uint64_t)0;
        o.cpus = byte(s) & 1 ? cpus : NULL, o.n_cpus = byte(s) & 1 ? 64 : 0;
    }
    return o;
}

/* As weir.h says it. */
static bool is_right(const weir_pool_options *o)
{
    bool bounds = o->threads <= WEIR_MAX_THREADS && o->threads_max <= WEIR_MAX_THREADS &&
                  o->max_blocked <= WEIR_MAX_THREADS &&
                  (o->threads_max == 0 || o->threads <= o->threads_max) && o->idle_ns >= 0;
    bool stack = o->stack_size == 0 ||
                 (o->stack_size >= WEIR_MIN_STACK && o->stack_size >= (size_t)PTHREAD_STACK_MIN);
    bool kind = o->borrowed ? !o->stack_size && !o->n_cpus && (!o->lazy || o->lend) : !o->lend;
    return bounds && stack && kind && o->worker_signal >= 0 && o->worker_signal < NSIG &&
           o->when_full >= WEIR_REFUSE && o->when_full <= WEIR_DROP_OLDEST &&
           (o->n_cpus != 0) == (o->cpus != NULL);
}

static void compare(weir_pool *pool, const weir_pool_options *o)
{
    weir_pool_options got = {.size = sizeof got};
    expect(weir_pool_get_options(pool, &got) == 0);
    expect(o->lazy ? got.threads == 0 : !o->threads || got.threads == o->threads);
    expect(!o->threads_max || got.threads_max == o->threads_max);
    expect(got.max_blocked == o->max_blocked && got.queue_limit == o->queue_limit);
    expect(got.when_full == o->when_full && got.measure == o->measure && got.lazy == o->lazy);
    expect(memcmp(got.max_running, o->max_running, sizeof got.max_running) == 0);
    expect(got.stack_size == o->stack_size && got.worker_signal == o->worker_signal);
    expect(strcmp(got.name, "weir") == 0);
}

/* The host of a borrowed pool owes it its first threads. */
static void owe_nothing(weir_pool *pool)
{
    weir_pool_options got = {.size = sizeof got};
    expect(weir_pool_get_options(pool, &got) == 0);
    for (unsigned i = 0; i < got.threads; i++)
        weir_worker_refuse(pool, WEIR_EAGAIN);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    source            s = {data, data + size};
    uint64_t          cpus;
    weir_pool_options o = read_options(&s, &cpus);
    weir_main        *m;
    weir_pool        *pool = NULL;
    expect(weir_main_open(&m) == 0);
    int rc = o.borrowed ? weir_pool_open_async(&pool, &o, m, NULL) : weir_pool_open(&pool, &o);
    expect(rc == (is_right(&o) ? 0 : WEIR_EINVAL));
    expect((pool != NULL) == (rc == 0));
    if (rc == 0) {
        compare(pool, &o);
        if (o.borrowed && !o.lazy)
            owe_nothing(pool);
        expect(weir_close(pool, WEIR_CLOSE) == 0);
        weir_pool_release(pool);
    }
    weir_main_dispatch(m, 0);
    expect(weir_main_close(m, 0) == 0);
    return 0;
}
