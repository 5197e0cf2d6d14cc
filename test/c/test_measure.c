/* SPDX-License-Identifier: ISC
 *
 * test_measure.c: histograms, trace events, and what a thread is given at birth.
 */
#include "harness.h"

#include <sched.h>
#include <string.h>

static uint64_t in_all(weir_pool *p, weir_histogram which)
{
    uint64_t bucket[WEIR_BUCKETS], n = 0;
    expect_eq(weir_pool_get_histogram(p, which, bucket), 0);
    for (int i = 0; i < WEIR_BUCKETS; i++)
        n += bucket[i];
    return n;
}

static uint64_t above(weir_pool *p, weir_histogram which, int64_t ns)
{
    uint64_t bucket[WEIR_BUCKETS], n = 0;
    int      first = 1;
    expect_eq(weir_pool_get_histogram(p, which, bucket), 0);
    while ((int64_t)1 << (first - 1) < ns)
        first++;
    for (int i = first; i < WEIR_BUCKETS; i++)
        n += bucket[i];
    return n;
}

TEST(a_measured_pool_knows_how_long_its_tasks_waited_and_ran)
{
    rig               r;
    plug              p;
    probe             t[20];
    weir_pool_options opts = pool_of(1);
    opts.measure = true;
    expect(rig_open_with(&r, &opts) && plug_in(&p, r.p, r.m));
    for (int i = 0; i < 20; i++) {
        t[i] = (probe)PROBE;
        expect_eq(weir_run(r.p, &t[i].task, r.m), 0);
    }
    expect_eq(weir_cancel(&t[19].task), 0); /* never starts, is never counted */
    int64_t until = now_ns() + MILLIS(3);
    while (now_ns() < until)
        sched_yield();
    plug_pull(&p);
    expect_eq(weir_close(r.p, WEIR_DRAIN), 0);
    expect_eq(in_all(r.p, WEIR_QUEUE_TIME), 20);
    expect_eq(in_all(r.p, WEIR_RUN_TIME), 20);
    expect_op(above(r.p, WEIR_QUEUE_TIME, MILLIS(2)), >=, 19);
    expect_op(above(r.p, WEIR_RUN_TIME, MILLIS(2)), >=, 1);
    rig_close(&r);
}

static void pass(int64_t ns)
{
    int64_t until = now_ns() + ns;
    while (now_ns() < until)
        sched_yield();
}

/* The bounds of the shortest and of the longest time that it has. */
static void bounds(weir_pool *p, weir_histogram which, uint64_t *least, uint64_t *most)
{
    uint64_t counts[WEIR_TIMES];
    *least = *most = 0;
    expect_eq(weir_pool_get_times(p, which, counts), 0);
    for (unsigned i = WEIR_TIMES; i-- > 1;)
        if (counts[i]) {
            *most = *most ? *most : weir_times_below(i);
            *least = weir_times_below(i - 1);
        }
}

TEST(a_time_is_in_its_bucket_and_no_other_time_is_in_it)
{
    rig               r;
    plug              p;
    probe             t = {.task = {.run = probe_run}};
    uint64_t          least, most;
    weir_pool_options opts = pool_of(1);
    opts.measure = true;
    int64_t before = now_ns();
    expect(rig_open_with(&r, &opts) && plug_in(&p, r.p, r.m));
    expect_eq(weir_run(r.p, &t.task, NULL), 0);
    pass(MILLIS(50));
    int64_t pulled = now_ns();
    plug_pull(&p);
    expect_eq(weir_wait(&t.task, -1), 0);
    expect_eq(weir_close(r.p, WEIR_DRAIN), 0);
    int64_t after = now_ns();
    bounds(r.p, WEIR_RUN_TIME, &least, &most);
    expect_op(most, >, MILLIS(50));
    expect_op(most, <=, (after - before) / 4 * 5 + 8);
    expect_op(least, <=, after - pulled); /* it has not run while it was queued */
    bounds(r.p, WEIR_QUEUE_TIME, &least, &most);
    expect_op(most, >, MILLIS(50));
    rig_close(&r);
}

TEST(a_pool_that_does_not_measure_says_so)
{
    rig               r;
    uint64_t          bucket[WEIR_BUCKETS];
    weir_pool_options opts = pool_of(1);
    expect(rig_open(&r, 1));
    expect_eq(weir_pool_get_histogram(r.p, WEIR_QUEUE_TIME, bucket), WEIR_EINVAL);
    rig_close(&r);
    opts.measure = true;
    expect(rig_open_with(&r, &opts));
    expect_eq(weir_pool_get_histogram(r.p, (weir_histogram)2, bucket), WEIR_EINVAL);
    expect_eq(weir_pool_get_histogram(r.p, WEIR_RUN_TIME, NULL), WEIR_EINVAL);
    expect_eq(weir_pool_get_histogram(NULL, WEIR_RUN_TIME, bucket), WEIR_EINVAL);
    expect_eq(in_all(r.p, WEIR_RUN_TIME), 0);
    rig_close(&r);
}

/* ---- trace -------------------------------------------------------------- */

static struct {
    _Atomic int queued, started, settled, entered, left, grew, closed, cancelled;
    weir_pool  *pool;
} trace;

static void traces(void *arg, weir_trace_event event, const weir_pool *pool, const weir_task *task,
                   int value)
{
    weir_pool_options o = {.size = sizeof o};
    expect(arg == &trace && pool != NULL);
    expect_eq(weir_pool_get_options(pool, &o), 0); /* under no lock */
    switch (event) {
    case WEIR_TRACE_QUEUED: trace.queued++; break;
    case WEIR_TRACE_STARTED: trace.started++; break;
    case WEIR_TRACE_SETTLED:
        trace.settled++;
        trace.cancelled += value == WEIR_ECANCELED;
        break;
    case WEIR_TRACE_THREAD: value ? trace.entered++ : trace.left++; break;
    case WEIR_TRACE_GREW: trace.grew++; break;
    case WEIR_TRACE_CLOSED: trace.closed++; break;
    }
    expect((task != NULL) == (event <= WEIR_TRACE_SETTLED));
}

TEST(every_event_is_traced_once)
{
    rig   r;
    plug  p;
    probe t[10];
    memset(&trace, 0, sizeof trace);
    weir_trace(traces, &trace);
    expect(rig_open(&r, 3) && plug_in(&p, r.p, r.m));
    expect_eq(weir_pool_pause(r.p), 0);
    for (int i = 0; i < 10; i++) {
        t[i] = (probe)PROBE;
        expect_eq(weir_run(r.p, &t[i].task, i % 2 ? r.m : NULL), 0);
    }
    expect_eq(weir_cancel(&t[0].task), 0);
    plug_pull(&p);
    expect_eq(weir_close(r.p, WEIR_DRAIN), 0);
    expect_eq(trace.queued, 11);
    expect_eq(trace.started, 10);
    expect_eq(trace.settled, 11);
    expect_eq(trace.cancelled, 1);
    expect_eq(trace.entered, 3);
    expect_eq(trace.left, 3);
    expect_eq(trace.closed, 1);
    weir_trace(NULL, NULL);
    rig_close(&r);
    expect(rig_open(&r, 1));
    rig_close(&r);
    expect_eq(trace.entered, 3);
}

TEST(what_a_closing_main_settles_is_traced)
{
    rig        r;
    plug       p;
    probe      t = PROBE;
    weir_main *other;
    memset(&trace, 0, sizeof trace);
    expect(rig_open(&r, 1) && plug_in(&p, r.p, r.m));
    expect_eq(weir_main_open(&other), 0);
    expect_eq(weir_run(r.p, &t.task, other), 0);
    weir_trace(traces, &trace);
    expect_eq(weir_main_close(other, 0), 0);
    expect_eq(trace.settled, 1);
    weir_trace(NULL, NULL);
    plug_pull(&p);
    rig_close(&r);
}

TEST(what_a_task_has_the_pool_ask_for_is_traced_and_what_a_resize_asks_for_is_not)
{
    rig               r;
    plug              p, other;
    probe             t = PROBE;
    weir_pool_options opts = pool_of(1);
    memset(&trace, 0, sizeof trace);
    weir_trace(traces, &trace);
    expect(rig_open_with(&r, &opts) && plug_in(&p, r.p, r.m));
    expect_eq(weir_pool_resize(r.p, 2, 2), 0);
    expect(plug_in(&other, r.p, r.m));
    expect_eq(weir_pool_resize(r.p, 2, 3), 0);
    expect_eq(trace.grew, 0);
    expect_eq(weir_run(r.p, &t.task, r.m), 0);
    while (t.dones == 0)
        weir_main_wait(r.m, -1);
    expect_eq(trace.grew, 1);
    weir_trace(NULL, NULL);
    plug_pull(&other);
    plug_pull(&p);
    rig_close(&r);
}

static int first_arg, second_arg;

static void traces_first(void *arg, weir_trace_event event, const weir_pool *pool,
                         const weir_task *task, int value)
{
    (void)event, (void)pool, (void)task, (void)value;
    expect(arg == &first_arg);
}

static void traces_second(void *arg, weir_trace_event event, const weir_pool *pool,
                          const weir_task *task, int value)
{
    (void)event, (void)pool, (void)task, (void)value;
    expect(arg == &second_arg);
}

static _Atomic bool swaps;

static void swaps_hooks(void *arg)
{
    (void)arg;
    while (swaps) {
        weir_trace(traces_first, &first_arg);
        weir_trace(traces_second, &second_arg);
    }
    weir_trace(NULL, NULL);
}

TEST(a_hook_is_called_with_its_own_argument)
{
    rig    r;
    helper h;
    probe  t = PROBE;
    t.task.done = NULL;
    expect(rig_open(&r, 2));
    swaps = true;
    helper_start(&h, swaps_hooks, NULL);
    for (unsigned i = 0; i < scaled(20000); i++) {
        expect_eq(weir_run(r.p, &t.task, NULL), 0);
        expect_eq(weir_wait(&t.task, -1), 0);
    }
    swaps = false;
    helper_join(&h);
    rig_close(&r);
}

static struct {
    int              n, event[8];
    const weir_task *task; /* of no other */
} steps;

static void traces_steps(void *arg, weir_trace_event event, const weir_pool *pool,
                         const weir_task *task, int value)
{
    (void)arg, (void)pool, (void)value;
    if (task == steps.task)
        steps.event[steps.n++] = event;
}

TEST(a_task_that_its_caller_ran_is_traced_as_queued_and_then_settled)
{
    rig               r;
    plug              p;
    probe             queued = PROBE, t = PROBE;
    weir_pool_options opts = pool_of(1);
    opts.queue_limit = 1, opts.when_full = WEIR_CALLER_RUNS;
    expect(rig_open_with(&r, &opts) && plug_in(&p, r.p, r.m));
    expect_eq(weir_run(r.p, &queued.task, r.m), 0);
    memset(&steps, 0, sizeof steps);
    steps.task = &t.task;
    weir_trace(traces_steps, NULL);
    expect_eq(weir_run(r.p, &t.task, r.m), 0);
    weir_trace(NULL, NULL);
    expect_eq(steps.n, 2);
    expect_eq(steps.event[0], WEIR_TRACE_QUEUED);
    expect_eq(steps.event[1], WEIR_TRACE_SETTLED);
    plug_pull(&p);
    rig_close(&r);
}

/* ---- birth and death of a thread ---------------------------------------- */

enum { THREADS = 3 };

static struct {
    int       at[THREADS]; /* 0 unborn, 1 started, 2 with a state, 3 without, 4 stopped */
    pthread_t thread[THREADS];
    int       init_fails;
} life;

static _Thread_local int me;

static void on_start(void *arg, unsigned index)
{
    expect(arg == &life && index < THREADS);
    expect_eq(life.at[index], 0);
    me = (int)index;
    life.at[index] = 1;
    life.thread[index] = pthread_self();
}

static int init(void *arg, void **state)
{
    (void)arg, (void)state;
    expect_eq(life.at[me], 1);
    if (life.init_fails == me + 1)
        return 8;
    life.at[me] = 2;
    return 0;
}

static void at_exit(void *arg, void *state)
{
    (void)arg, (void)state;
    expect_eq(life.at[me], 2);
    life.at[me] = 3;
}

static void on_stop(void *arg, unsigned index)
{
    expect(arg == &life && (int)index == me);
    expect(pthread_equal(life.thread[index], pthread_self()));
    expect_eq(life.at[index], life.init_fails == me + 1 ? 1 : 3);
    life.at[index] = 4;
}

static void lives(int init_fails)
{
    weir_pool        *p = NULL;
    weir_pool_options opts = pool_of(THREADS);
    memset(&life, 0, sizeof life);
    life.init_fails = init_fails;
    opts.arg = &life, opts.on_start = on_start, opts.on_stop = on_stop;
    opts.init = init, opts.at_exit = at_exit;
    expect_eq(weir_pool_open(&p, &opts), init_fails ? WEIR_EINIT : 0);
    pool_end(p);
    for (int i = 0; i < THREADS; i++)
        expect_eq(life.at[i], 4);
}

TEST(on_start_comes_before_init_and_on_stop_after_at_exit)
{
    lives(0);
    for (int i = 1; i <= THREADS; i++)
        lives(i);
}

static cpu_set_t seen;

static int run_looks_where_it_may_run(weir_task *task, void *state)
{
    (void)task, (void)state;
    return sched_getaffinity(0, sizeof seen, &seen);
}

TEST(workers_run_on_the_cpus_that_were_named)
{
    rig               r;
    probe             t = {.task = {.run = run_looks_where_it_may_run}};
    weir_pool_options opts = pool_of(1), back = {.size = sizeof back};
    cpu_set_t         mine;
    uint64_t          cpus[CPU_SETSIZE / 64] = {0};
    int               last = 0;
    expect_eq(sched_getaffinity(0, sizeof mine, &mine), 0);
    for (int i = 0; i < CPU_SETSIZE; i++)
        last = CPU_ISSET(i, &mine) ? i : last;
    cpus[last / 64] = (uint64_t)1 << last % 64;
    opts.cpus = cpus, opts.n_cpus = (unsigned)last + 1;
    expect(rig_open_with(&r, &opts));
    memset(cpus, 0, sizeof cpus); /* it was copied */
    expect_eq(weir_pool_get_options(r.p, &back), 0);
    expect(back.n_cpus == (unsigned)last + 1 && back.cpus[last / 64] >> last % 64 & 1);
    expect_eq(weir_run(r.p, &t.task, NULL), 0);
    expect_eq(weir_wait(&t.task, -1), 0);
    expect_eq(CPU_COUNT(&seen), 1);
    expect(CPU_ISSET(last, &seen));
    rig_close(&r);
}

SUITE(measure, a_measured_pool_knows_how_long_its_tasks_waited_and_ran,
      a_time_is_in_its_bucket_and_no_other_time_is_in_it, a_pool_that_does_not_measure_says_so,
      every_event_is_traced_once, what_a_closing_main_settles_is_traced,
      what_a_task_has_the_pool_ask_for_is_traced_and_what_a_resize_asks_for_is_not,
      a_hook_is_called_with_its_own_argument,
      a_task_that_its_caller_ran_is_traced_as_queued_and_then_settled,
      on_start_comes_before_init_and_on_stop_after_at_exit, workers_run_on_the_cpus_that_were_named)
