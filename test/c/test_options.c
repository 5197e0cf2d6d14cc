/* SPDX-License-Identifier: ISC
 *
 * test_options.c: what a pool is asked for, and what it says it has.
 */
#include "harness.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int init_nothing(void *arg, void **state)
{
    (void)arg, (void)state;
    return 0;
}

static void lend_nothing(weir_pool *pool, void *arg) { (void)pool, (void)arg; }
static void exit_nothing(void *arg, void *state) { (void)arg, (void)state; }
static void start_nothing(void *arg, unsigned index) { (void)arg, (void)index; }

static void expect_refused(weir_pool_options opts, int code)
{
    weir_pool *p = NULL;
    expect_eq(weir_pool_open_async(&p, &opts, NULL, NULL), code);
    if (!opts.borrowed)
        expect_eq(weir_pool_open(&p, &opts), code);
    expect(p == NULL);
}

#define refused(code, ...)                                                                         \
    do {                                                                                           \
        weir_pool_options o = pool_of(1);                                                          \
        __VA_ARGS__;                                                                               \
        expect_refused(o, code);                                                                   \
    } while (0)

TEST(bad_options_are_refused)
{
    weir_pool_options fine = pool_of(1);
    weir_pool        *p = NULL;
    weir_notice       mute = {.fn = NULL};
    uint64_t          bits = 1;
    expect_eq(weir_pool_open(NULL, &fine), WEIR_EINVAL);
    expect_eq(weir_pool_open(&p, NULL), WEIR_EINVAL);
    expect_eq(weir_pool_open_async(NULL, &fine, NULL, NULL), WEIR_EINVAL);
    expect_eq(weir_pool_open_async(&p, NULL, NULL, NULL), WEIR_EINVAL);
    expect_eq(weir_pool_open_async(&p, &fine, NULL, &mute), WEIR_EINVAL);
    refused(WEIR_EINVAL, o.size = 0);
    refused(WEIR_EINVAL, o.threads = WEIR_MAX_THREADS + 1);
    refused(WEIR_EINVAL, o.threads = UINT_MAX);
    refused(WEIR_EINVAL, o.stack_size = 1);
    refused(WEIR_EINVAL, o.stack_size = WEIR_MIN_STACK - 1);
    refused(WEIR_EINVAL, o.when_full = (weir_full_policy)17);
    refused(WEIR_EINVAL, o.when_full = (weir_full_policy)-1);
    refused(WEIR_EINVAL, o.worker_signal = -1);
    refused(WEIR_EINVAL, o.worker_signal = 100000);
    refused(WEIR_EINVAL, o.threads = 4, o.threads_max = 2);
    refused(WEIR_EINVAL, o.threads_max = WEIR_MAX_THREADS + 1);
    refused(WEIR_EINVAL, o.idle_ns = -1);
    refused(WEIR_EINVAL, o.idle_ns = INT64_MIN);
    refused(WEIR_EINVAL, o.max_blocked = WEIR_MAX_THREADS + 1);
    refused(WEIR_EINVAL, o.cpus = &bits);
    refused(WEIR_EINVAL, o.n_cpus = 1);
    refused(WEIR_EINVAL, o.lend = lend_nothing);
    refused(WEIR_EINVAL, o.borrowed = true, o.init = init_nothing);
    refused(WEIR_EINVAL, o.borrowed = true, o.at_exit = exit_nothing);
    refused(WEIR_EINVAL, o.borrowed = true, o.stack_size = 1 << 20);
    refused(WEIR_EINVAL, o.borrowed = true, o.cpus = &bits, o.n_cpus = 1);
    refused(WEIR_EINVAL, o.borrowed = true, o.on_start = start_nothing);
    refused(WEIR_EINVAL, o.borrowed = true, o.on_stop = start_nothing);
    expect(p == NULL);
}

TEST(a_borrowed_pool_is_opened_without_waiting_only)
{
    weir_pool_options opts = pool_of(1);
    weir_pool        *p = NULL;
    opts.borrowed = true, opts.lend = lend_nothing;
    expect_eq(weir_pool_open(&p, &opts), WEIR_EINVAL);
    opts.size = offsetof(weir_pool_options, init); /* an older caller's end here */
    expect_eq(weir_pool_open(&p, &opts), WEIR_EINVAL);
    expect(p == NULL);
}

static weir_pool_options options_of(weir_pool *p)
{
    weir_pool_options o = {.size = sizeof o};
    expect_eq(weir_pool_get_options(p, &o), 0);
    return o;
}

TEST(every_option_is_read_back)
{
    char              name[] = "reader";
    uint64_t          cpus[2] = {UINT64_MAX, 5};
    weir_pool_options opts = pool_of(2), back;
    rig               r;
    opts.name = name, opts.queue_limit = 7, opts.when_full = WEIR_BLOCK;
    opts.max_running[WEIR_HIGH] = 2, opts.stack_size = 1 << 20, opts.worker_signal = SIGUSR2;
    opts.arg = &r, opts.init = init_nothing, opts.at_exit = exit_nothing;
    opts.threads_max = 5, opts.idle_ns = MILLIS(250), opts.max_blocked = 4, opts.measure = true;
    opts.cpus = cpus, opts.n_cpus = 128;
    opts.on_start = start_nothing, opts.on_stop = start_nothing;
    expect(rig_open_with(&r, &opts));
    memset(name, 'x', 6); /* they were copied */
    memset(cpus, 0, sizeof cpus);
    back = options_of(r.p);
    expect(strcmp(back.name, "reader") == 0);
    expect(back.threads == 2 && back.queue_limit == 7 && back.when_full == WEIR_BLOCK);
    expect(back.max_running[WEIR_HIGH] == 2 && back.max_running[WEIR_LOW] == 0);
    expect(back.stack_size == 1 << 20 && back.worker_signal == SIGUSR2 && !back.borrowed);
    expect(back.arg == &r && back.init == init_nothing && back.at_exit == exit_nothing);
    expect(back.threads_max == 5 && back.idle_ns == MILLIS(250) && back.max_blocked == 4);
    expect(back.measure && back.on_start == start_nothing && back.on_stop == start_nothing);
    expect(back.n_cpus == 128 && back.cpus[0] == UINT64_MAX && back.cpus[1] == 5);
    expect(back.size == sizeof back && back.lend == NULL);
    rig_close(&r);
}

TEST(zero_means_the_default)
{
    rig               r;
    weir_pool_options opts = pool_of(0), back;
    long              cpus = sysconf(_SC_NPROCESSORS_ONLN);
    expect(rig_open_with(&r, &opts));
    back = options_of(r.p);
    expect(strcmp(back.name, "weir") == 0);
    expect(back.threads >= 1 && (long)back.threads <= cpus); /* how many exactly: test_cpus.c */
    expect_eq(stats_of(r.p).threads, back.threads);
    rig_close(&r);
}

TEST(an_older_callers_shorter_options_are_understood)
{
    rig               r;
    weir_pool_options opts = pool_of(2);
    opts.size = offsetof(weir_pool_options, worker_signal);
    opts.worker_signal = -1; /* beyond its size: not there */
    expect(rig_open_with(&r, &opts));
    expect_eq(options_of(r.p).threads, 2);
    expect_eq(options_of(r.p).worker_signal, 0);
    rig_close(&r);
}

TEST(a_newer_callers_longer_options_are_understood_while_zero)
{
    rig r;
    struct {
        weir_pool_options known;
        long              unknown[2];
    } opts = {.known = pool_of(2)};
    opts.known.size = sizeof opts;
    expect(rig_open_with(&r, &opts.known));
    rig_close(&r);
    opts.unknown[1] = 1;
    expect_eq(weir_pool_open(&r.p, &opts.known), WEIR_ENOTSUP);
}

static int run_measures_its_stack(weir_task *task, void *state)
{
    pthread_attr_t attr;
    size_t         size = 0;
    (void)task, (void)state;
    pthread_getattr_np(pthread_self(), &attr);
    pthread_attr_getstacksize(&attr, &size);
    pthread_attr_destroy(&attr);
    return (int)(size >> 10);
}

TEST(workers_have_the_stack_that_was_asked_for)
{
    rig               r;
    weir_pool_options opts = pool_of(1);
    probe             t = {.task = {.run = run_measures_its_stack}};
    opts.stack_size = 24 << 20; /* more than anybody's default */
    expect(rig_open_with(&r, &opts));
    expect_eq(weir_run(r.p, &t.task, NULL), 0);
    expect_eq(weir_wait(&t.task, -1), 0);
    expect_op(weir_task_outcome(&t.task), >=, 24 << 10);
    rig_close(&r);
}

TEST(a_stack_of_the_default_size_holds_a_megabyte)
{
    rig   r;
    probe t = {.task = {.run = run_measures_its_stack}};
    expect(rig_open(&r, 1));
    expect_eq(weir_run(r.p, &t.task, NULL), 0);
    expect_eq(weir_wait(&t.task, -1), 0);
    expect_op(weir_task_outcome(&t.task), >=, 1 << 10);
    rig_close(&r);
}

static int run_prints(weir_task *task, void *state)
{
    char text[400];
    (void)task, (void)state;
    snprintf(text, sizeof text, "%.30f %s %Lg", 1e200 / 3, "printed", 1.5L);
    return strstr(text, " printed 1.5") != NULL;
}

TEST(the_least_stack_lets_printf_run)
{
    rig               r;
    weir_pool_options opts = pool_of(1);
    probe             t = {.task = {.run = run_prints}};
    opts.stack_size = WEIR_MIN_STACK;
    if (opts.stack_size < (size_t)PTHREAD_STACK_MIN)
        opts.stack_size = (size_t)PTHREAD_STACK_MIN;
    expect(rig_open_with(&r, &opts));
    expect_eq(weir_run(r.p, &t.task, NULL), 0);
    expect_eq(weir_wait(&t.task, -1), 0);
    expect_eq(weir_task_outcome(&t.task), 1);
    rig_close(&r);
}

TEST(a_pool_may_have_many_threads)
{
    rig      r;
    unsigned n = under_valgrind() ? 32 : 200;
    int      before = count_threads();
    expect(rig_open(&r, n));
    expect_eq(stats_of(r.p).threads, n);
    expect_eq(count_threads() - before, n);
    rig_close(&r);
}

SUITE(options, bad_options_are_refused, a_borrowed_pool_is_opened_without_waiting_only,
      every_option_is_read_back, zero_means_the_default,
      an_older_callers_shorter_options_are_understood,
      a_newer_callers_longer_options_are_understood_while_zero,
      workers_have_the_stack_that_was_asked_for, a_stack_of_the_default_size_holds_a_megabyte,
      the_least_stack_lets_printf_run, a_pool_may_have_many_threads)
