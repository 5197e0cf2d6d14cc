/* SPDX-License-Identifier: ISC
 *
 * test_grow.c: elastic pools: growing, retiring, resizing.
 */
#include "harness.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

static tally states;

static int init_counts(void *arg, void **state)
{
    (void)arg, (void)state;
    tally_add(&states, 1);
    return 0;
}

static void at_exit_counts(void *arg, void *state)
{
    (void)arg, (void)state;
    tally_add(&states, -1);
}

static weir_pool_options elastic(unsigned min, unsigned max)
{
    weir_pool_options o = pool_of(min);
    o.threads_max = max;
    o.idle_ns = MILLIS(1);
    o.init = init_counts, o.at_exit = at_exit_counts;
    states = (tally)TALLY;
    return o;
}

/* n tasks that hold a thread each until let. */
typedef struct {
    probe t[8];
    int   n;
    tally entered, settled;
    gate  leave;
} crowd;

static void crowd_run(crowd *c, rig *r, int n)
{
    *c = (crowd){.n = n, .entered = TALLY, .settled = TALLY, .leave = GATE};
    for (int i = 0; i < n; i++) {
        c->t[i] = (probe)PROBE;
        c->t[i].entered = &c->entered, c->t[i].leave = &c->leave;
        c->t[i].settled = &c->settled;
        expect(given(weir_run(r->p, &c->t[i].task, r->m)));
    }
}

static void crowd_end(crowd *c, rig *r)
{
    gate_open(&c->leave);
    main_until(r->m, &c->settled, c->n);
}

static void until_threads(weir_pool *p, unsigned n)
{
    test_stage("waits for the number of threads");
    while (stats_of(p).threads != n)
        sched_yield();
    test_stage(NULL);
}

TEST(a_pool_grows_while_tasks_find_no_idle_thread_and_no_further)
{
    rig               r;
    crowd             c;
    weir_pool_options opts = elastic(1, 4);
    opts.idle_ns = MILLIS(3600000); /* none that was asked for early retires meanwhile */
    expect(rig_open_with(&r, &opts));
    expect_eq(stats_of(r.p).threads, 1);
    crowd_run(&c, &r, 6);
    tally_wait(&c.entered, 4);
    weir_pool_stats s = stats_of(r.p);
    expect_eq(s.threads, 4);
    expect_eq(s.grown, 3);
    expect_eq(s.queued, 2);
    crowd_end(&c, &r);
    rig_close(&r);
    expect_eq(tally_get(&states), 0);
}

TEST(threads_above_the_minimum_retire_when_idle)
{
    rig               r;
    crowd             c;
    weir_pool_options opts = elastic(2, 6);
    expect(rig_open_with(&r, &opts));
    for (int round = 1; round <= 2; round++) {
        crowd_run(&c, &r, 6);
        tally_wait(&c.entered, 6);
        crowd_end(&c, &r);
        until_threads(r.p, 2);
        expect_eq(stats_of(r.p).retired, 4 * round);
        while (tally_get(&states) > 2)
            sched_yield();
    }
    expect_eq(tally_get(&states), 2);
    rig_close(&r);
    expect_eq(tally_get(&states), 0);
}

TEST(an_elastic_pool_has_an_idle_time)
{
    rig               r;
    weir_pool_options opts = elastic(1, 2), back = {.size = sizeof back};
    opts.idle_ns = 0;
    expect(rig_open_with(&r, &opts));
    expect_eq(weir_pool_get_options(r.p, &back), 0);
    expect_eq(back.idle_ns, SECONDS(10));
    expect_eq(back.threads_max, 2);
    rig_close(&r);
}

/* Whatever the system refuses, the tasks are done by those that are there. */
SCENARIO(a_pool_that_cannot_grow_serves_with_what_it_has)
{
    rig               r;
    weir_pool_options opts = elastic(1, 4);
    tally             settled = TALLY;
    static probe      t[40];
    if (rig_open_with(&r, &opts)) {
        for (int i = 0; i < 40; i++) {
            t[i] = (probe)PROBE;
            t[i].settled = &settled;
            expect(given(weir_run(r.p, &t[i].task, r.m)));
        }
        main_until(r.m, &settled, 40);
        for (int i = 0; i < 40; i++)
            expect_eq(t[i].outcome, 0);
    }
    rig_close(&r);
    expect_eq(tally_get(&states), 0);
}

static int init_fails_but_once(void *arg, void **state)
{
    init_counts(arg, state);
    if (tally_get(&states) == 1)
        return 0;
    tally_add(&states, -1);
    return 5;
}

TEST(a_thread_that_fails_to_start_later_does_not_close_the_pool)
{
    rig               r;
    crowd             c;
    weir_pool_options opts = elastic(1, 2);
    opts.init = init_fails_but_once;
    expect(rig_open_with(&r, &opts));
    crowd_run(&c, &r, 3);
    while (stats_of(r.p).lends_refused == 0)
        sched_yield();
    crowd_end(&c, &r);
    expect_eq(stats_of(r.p).ok, 3);
    expect_eq(weir_pool_init_error(r.p), 5);
    rig_close(&r);
    expect_eq(tally_get(&states), 0);
}

/* How often a thread that is named quiet/N has gone to sleep; another number each time
 * while it does not. */
static long stirs_of(const char *tid)
{
    char  path[300], line[200];
    bool  ours = false;
    long  sum = 0, n;
    FILE *f;
    snprintf(path, sizeof path, "/proc/self/task/%s/status", tid);
    if (tid[0] == '.' || !(f = fopen(path, "re")))
        return 0;
    while (fgets(line, sizeof line, f)) {
        ours |= strncmp(line, "Name:\tquiet/", 12) == 0;
        if (ours && sscanf(line, "voluntary_ctxt_switches: %ld", &n) == 1)
            sum += n;
        if (ours && strncmp(line, "State:\t", 7) == 0 && line[7] != 'S')
            sum += now_ns();
    }
    fclose(f);
    return sum;
}

static long stirs(void)
{
    DIR           *dir = opendir("/proc/self/task");
    struct dirent *e;
    long           sum = 0;
    while ((e = readdir(dir)))
        sum += stirs_of(e->d_name);
    closedir(dir);
    return sum;
}

/* With an idle time of 1 ms for those above the minimum, which are gone. */
TEST(an_idle_pool_sleeps)
{
    rig               r;
    crowd             c;
    weir_pool_options opts = elastic(3, 5);
    opts.name = "quiet";
    expect(rig_open_with(&r, &opts));
    crowd_run(&c, &r, 5);
    tally_wait(&c.entered, 5);
    crowd_end(&c, &r);
    until_threads(r.p, 3);
    while (stats_of(r.p).idle < 3 || tally_get(&states) > 3)
        sched_yield();
    test_stage("waits for 20 ms in which no thread wakes up or runs");
    for (long before = -1; before != stirs();) {
        before = stirs();
        for (int64_t until = now_ns() + MILLIS(20); now_ns() < until;)
            sched_yield();
    }
    rig_close(&r);
}

/* ---- resize ------------------------------------------------------------- */

TEST(a_resize_starts_threads_and_sends_others_home)
{
    rig               r;
    weir_pool_options opts = elastic(1, 1);
    expect(rig_open_with(&r, &opts));
    expect_eq(weir_pool_resize(r.p, 5, 5), 0);
    until_threads(r.p, 5);
    expect_eq(weir_pool_resize(r.p, 2, 2), 0);
    until_threads(r.p, 2);
    expect_eq(weir_pool_resize(r.p, 1, 3), 0);
    until_threads(r.p, 1);
    rig_close(&r);
    expect_eq(tally_get(&states), 0);
}

TEST(a_resize_below_the_running_lets_them_finish)
{
    rig               r;
    crowd             c;
    weir_pool_options opts = elastic(4, 4);
    expect(rig_open_with(&r, &opts));
    crowd_run(&c, &r, 8);
    tally_wait(&c.entered, 4);
    expect_eq(weir_pool_resize(r.p, 1, 1), 0);
    expect_eq(stats_of(r.p).running, 4);
    crowd_end(&c, &r);
    until_threads(r.p, 1);
    expect_eq(stats_of(r.p).ok, 8);
    rig_close(&r);
}

static gate comers;

static int init_waits_but_once(void *arg, void **state)
{
    init_counts(arg, state);
    if (tally_get(&states) > 1)
        gate_wait(&comers);
    return 0;
}

TEST(a_resize_counts_the_threads_on_their_way)
{
    rig               r;
    weir_pool_options opts = elastic(1, 1);
    opts.init = init_waits_but_once;
    comers = (gate)GATE;
    expect(rig_open_with(&r, &opts));
    expect_eq(weir_pool_resize(r.p, 3, 3), 0);
    expect_eq(weir_pool_resize(r.p, 3, 4), 0);
    expect_eq(stats_of(r.p).grown, 2);
    gate_open(&comers);
    until_threads(r.p, 3);
    rig_close(&r);
    expect_eq(tally_get(&states), 0);
}

TEST(a_pool_asks_for_no_second_thread_beside_one_on_its_way)
{
    rig               r;
    plug              p;
    crowd             c;
    weir_pool_options opts = elastic(1, 3);
    opts.init = init_waits_but_once;
    comers = (gate)GATE;
    expect(rig_open_with(&r, &opts) && plug_in(&p, r.p, r.m));
    crowd_run(&c, &r, 2);
    expect_eq(stats_of(r.p).grown, 1);
    gate_open(&comers);
    tally_wait(&c.entered, 2);
    plug_pull(&p);
    crowd_end(&c, &r);
    rig_close(&r);
    expect_eq(tally_get(&states), 0);
}

TEST(a_resize_asks_again_at_once_after_a_refusal)
{
    rig               r;
    crowd             c;
    weir_pool_options opts = elastic(1, 2);
    expect(rig_open_with(&r, &opts));
    fault_arm(FAULT_THREAD, 1, 1);
    crowd_run(&c, &r, 2);
    while (stats_of(r.p).lends_refused == 0)
        sched_yield();
    expect(fault_disarm());
    expect_eq(weir_pool_resize(r.p, 1, 2), 0);
    tally_wait(&c.entered, 2);
    crowd_end(&c, &r);
    rig_close(&r);
}

TEST(threads_too_many_leave_at_once_and_not_after_their_idle_time)
{
    rig               r;
    weir_pool_options opts = elastic(3, 3);
    opts.idle_ns = SECONDS(3600);
    expect(rig_open_with(&r, &opts));
    expect_eq(weir_pool_resize(r.p, 1, 1), 0);
    until_threads(r.p, 1);
    rig_close(&r);
}

/* While the 100 ms last; a slow machine proves nothing. */
TEST(a_pool_that_was_refused_a_thread_does_not_ask_again_at_once)
{
    rig               r;
    crowd             c, more;
    weir_pool_options opts = elastic(1, 2);
    int64_t           before = now_ns();
    expect(rig_open_with(&r, &opts));
    fault_arm(FAULT_THREAD, 1, 1000);
    crowd_run(&c, &r, 2);
    while (stats_of(r.p).lends_refused == 0)
        sched_yield();
    crowd_run(&more, &r, 4);
    uint64_t refused = stats_of(r.p).lends_refused;
    expect(refused == 1 || now_ns() - before >= MILLIS(100));
    expect(fault_disarm());
    gate_open(&more.leave);
    crowd_end(&c, &r);
    main_until(r.m, &more.settled, 4);
    rig_close(&r);
}

/* The bounds hold all the same. */
SCENARIO(a_resize_that_is_refused_serves_with_what_it_has)
{
    rig               r;
    weir_pool_options opts = elastic(2, 2), back = {.size = sizeof back};
    tally             settled = TALLY;
    static probe      t[12];
    if (rig_open_with(&r, &opts)) {
        given(weir_pool_resize(r.p, 4, 5));
        expect_eq(weir_pool_get_options(r.p, &back), 0);
        expect(back.threads == 4 && back.threads_max == 5);
        for (int i = 0; i < 12; i++) {
            t[i] = (probe)PROBE;
            t[i].settled = &settled;
            expect(given(weir_run(r.p, &t[i].task, r.m)));
        }
        expect_eq(weir_pool_resize(r.p, 1, 1), 0);
        main_until(r.m, &settled, 12);
        for (int i = 0; i < 12; i++)
            expect_eq(t[i].outcome, 0);
    }
    rig_close(&r);
    expect_eq(tally_get(&states), 0);
}

TEST(bad_sizes_and_closed_pools_are_refused)
{
    rig r;
    expect(rig_open(&r, 1));
    expect_eq(weir_pool_resize(NULL, 1, 1), WEIR_EINVAL);
    expect_eq(weir_pool_resize(r.p, 0, 0), WEIR_EINVAL);
    expect_eq(weir_pool_resize(r.p, 2, 1), WEIR_EINVAL);
    expect_eq(weir_pool_resize(r.p, 1, WEIR_MAX_THREADS + 1), WEIR_EINVAL);
    expect_eq(weir_close(r.p, WEIR_CLOSE), 0);
    expect_eq(weir_pool_resize(r.p, 1, 1), WEIR_ECLOSED);
    rig_close(&r);
}

static int run_resizes(weir_task *task, void *state)
{
    uint64_t random = (uint64_t)((probe *)task)->id + test_seed();
    unsigned min = 1 + rnd(&random) % 3;
    probe_run(task, state);
    return weir_pool_resize(weir_pool_current(), min, min + rnd(&random) % 3);
}

TEST(resizes_at_random_lose_no_task)
{
    enum { N = 300 };
    static probe      t[N];
    rig               r;
    weir_pool_options opts = elastic(1, 3);
    tally             settled = TALLY;
    int               n = (int)scaled(N);
    expect(rig_open_with(&r, &opts));
    for (int i = 0; i < n; i++) {
        t[i] = (probe){.task = {.run = i % 3 ? probe_run : run_resizes, .done = probe_done},
                       .settled = &settled,
                       .id = i};
        expect_eq(weir_run(r.p, &t[i].task, i % 2 ? r.m : NULL), 0);
    }
    main_until(r.m, &settled, n);
    for (int i = 0; i < n; i++)
        expect(t[i].runs == 1 && t[i].dones == 1 && t[i].outcome == 0);
    rig_close(&r);
    expect_eq(tally_get(&states), 0);
}

SUITE(grow, a_pool_grows_while_tasks_find_no_idle_thread_and_no_further,
      threads_above_the_minimum_retire_when_idle, an_elastic_pool_has_an_idle_time,
      a_pool_that_cannot_grow_serves_with_what_it_has,
      a_thread_that_fails_to_start_later_does_not_close_the_pool, an_idle_pool_sleeps,
      a_resize_starts_threads_and_sends_others_home, a_resize_below_the_running_lets_them_finish,
      a_resize_counts_the_threads_on_their_way,
      a_pool_asks_for_no_second_thread_beside_one_on_its_way,
      a_resize_asks_again_at_once_after_a_refusal, a_resize_that_is_refused_serves_with_what_it_has,
      bad_sizes_and_closed_pools_are_refused, resizes_at_random_lose_no_task,
      threads_too_many_leave_at_once_and_not_after_their_idle_time,
      a_pool_that_was_refused_a_thread_does_not_ask_again_at_once)
