/* SPDX-License-Identifier: ISC
 *
 * test_record.c: records of events, and fine histograms.
 */
#include "harness.h"

#include <math.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MOST = 4096 };

static weir_record kept[MOST];
static size_t      n_kept;

/* What is there now, behind what was kept before. */
static void keep(void)
{
    size_t n;
    while ((n = weir_trace_read(kept + n_kept, MOST - n_kept)))
        n_kept += n;
}

static void start(void)
{
    n_kept = 0;
    expect_eq(weir_trace_start(0), 0);
}

/* The n-th record of this event, from 0, of whatever thread; fails if there is none. */
static weir_record *find(unsigned event, int n)
{
    for (size_t i = 0; i < n_kept; i++)
        if (kept[i].event == event && n-- == 0)
            return &kept[i];
    expect(!"there is such a record");
    return NULL;
}

static int count(unsigned event)
{
    int n = 0;
    for (size_t i = 0; i < n_kept; i++)
        n += kept[i].event == event;
    return n;
}

static unsigned long me(void) { return (unsigned long)syscall(SYS_gettid); }

static void run_one(rig *r, probe *t, const char *label)
{
    weir_run_options o = labelled(label, r->m);
    expect_eq(weir_run_with(r->p, &t->task, &o), 0);
    while (t->dones == 0)
        weir_main_wait(r->m, -1);
}

/* ---- one task ------------------------------------------------------------- */

TEST(the_records_of_a_task_tell_its_way)
{
    rig               r;
    probe             t = PROBE;
    weir_pool_options opts = pool_of(1);
    t.code = 7;
    opts.name = "db";
    int64_t before = weir_now();
    start();
    expect(rig_open_with(&r, &opts));
    run_one(&r, &t, "import");
    expect_eq(weir_close(r.p, WEIR_DRAIN), 0);
    keep();
    int64_t      after = weir_now();
    weir_record *queued = find(WEIR_TRACE_QUEUED, 0), *started = find(WEIR_TRACE_STARTED, 0);
    weir_record *settled = find(WEIR_TRACE_SETTLED, 0), *given_to = find(WEIR_TRACE_DELIVERED, 0);
    weir_record *done = find(WEIR_TRACE_DONE, 0);
    expect(queued->task && queued->task == started->task && queued->task == settled->task &&
           queued->task == given_to->task);
    expect(strcmp(queued->label, "import") == 0 && strcmp(started->label, "import") == 0);
    expect(strcmp(settled->label, "import") == 0 && strcmp(given_to->label, "import") == 0);
    expect(strcmp(queued->pool, "db") == 0 && strcmp(settled->pool, "db") == 0);
    expect_eq(queued->by, 0);
    expect(settled->value == 7 && given_to->value == 7);
    expect(queued->thread == me() && given_to->thread == me() && done->thread == me());
    expect(started->thread != me() && started->thread == settled->thread);
    expect(strcmp(started->thread_name, "db/0") == 0);
    expect_op(before - MILLIS(1), <=, queued->at);
    expect_op(queued->at, <=, started->at);
    expect_op(started->at, <=, settled->at);
    expect_op(settled->at, <=, given_to->at);
    expect_op(given_to->at, <=, done->at);
    expect_op(done->at, <=, after + MILLIS(1));
    expect_eq(find(WEIR_TRACE_THREAD, 0)->value, 1);
    expect_eq(find(WEIR_TRACE_THREAD, 1)->value, 0);
    expect_eq(count(WEIR_TRACE_CLOSED), 1);
    expect_eq(weir_trace_lost(), 0);
    weir_trace_stop();
    rig_close(&r);
}

TEST(a_dispatch_records_what_it_delivers_as_a_wait_does)
{
    rig              r;
    probe            t = PROBE;
    weir_run_options o;
    start();
    expect(rig_open(&r, 1));
    o = labelled("import", r.m);
    expect_eq(weir_run_with(r.p, &t.task, &o), 0);
    while (weir_main_dispatch(r.m, 0) == 0)
        sched_yield();
    keep();
    expect(strcmp(find(WEIR_TRACE_DELIVERED, 0)->label, "import") == 0);
    expect_eq(count(WEIR_TRACE_DONE), 1);
    weir_trace_stop();
    rig_close(&r);
}

static rig outer;

static int run_submits(weir_task *task, void *state)
{
    weir_run_options o = labelled("inner", NULL);
    static probe     t;
    (void)task, (void)state;
    t = (probe){.task = {.run = probe_run}};
    expect_eq(weir_run_with(outer.p, &t.task, &o), 0);
    return weir_wait(&t.task, -1);
}

TEST(they_tell_who_submitted_a_task_and_who_waits)
{
    probe t = {.task = {.run = run_submits, .done = probe_done}};
    start();
    expect(rig_open(&outer, 2));
    run_one(&outer, &t, "outer");
    expect_eq(weir_close(outer.p, WEIR_DRAIN), 0);
    keep();
    weir_record *first = find(WEIR_TRACE_QUEUED, 0), *second = find(WEIR_TRACE_QUEUED, 1);
    weir_record *asker = strcmp(first->label, "outer") == 0 ? first : second;
    weir_record *asked = asker == first ? second : first;
    expect(asked->by == asker->task && asker->by == 0);
    weir_record *blocked = find(WEIR_TRACE_BLOCKED, 0), *on = find(WEIR_TRACE_UNBLOCKED, 0);
    expect_eq(blocked->task, asked->task);
    expect(blocked->thread == asked->thread && on->thread == asked->thread);
    expect_op(blocked->at, <=, on->at);
    weir_trace_stop();
    rig_close(&outer);
}

static void finishes(weir_call *call, void *arg) { weir_call_finish(call, 0, arg); }

static int run_calls(weir_task *task, void *state)
{
    (void)task, (void)state;
    weir_blocking_begin();
    weir_blocking_end();
    return weir_run_in_main(outer.m, finishes, NULL, NULL);
}

TEST(they_tell_of_calls_and_of_blocking_sections)
{
    probe t = {.task = {.run = run_calls, .done = probe_done}};
    expect(rig_open(&outer, 1));
    start();
    run_one(&outer, &t, NULL);
    expect_eq(weir_close(outer.p, WEIR_DRAIN), 0);
    keep();
    weir_record *asked = find(WEIR_TRACE_ASKED, 0), *answered = find(WEIR_TRACE_ANSWERED, 0);
    weir_record *called = find(WEIR_TRACE_CALLED, 0), *returned = find(WEIR_TRACE_RETURNED, 0);
    expect(asked->task && asked->task == called->task && asked->task == answered->task);
    expect(called->thread == me() && returned->thread == me() && asked->thread != me());
    expect(asked->at <= called->at && called->at <= returned->at && asked->at <= answered->at);
    expect_eq(count(WEIR_TRACE_BLOCKED), 1);
    expect_eq(count(WEIR_TRACE_UNBLOCKED), 1);
    weir_trace_stop();
    rig_close(&outer);
}

TEST(a_task_that_parks_is_told_to_have_run)
{
    rig    r;
    parker k = parking(1);
    expect(rig_open(&r, 1));
    start();
    expect_eq(weir_run(r.p, &k.p.task, r.m), 0);
    until_parked(&k.p.task);
    expect_eq(weir_task_unpark(&k.p.task), 0);
    while (k.p.dones == 0)
        weir_main_wait(r.m, -1);
    expect_eq(weir_close(r.p, WEIR_DRAIN), 0);
    keep();
    expect_eq(count(WEIR_TRACE_STARTED), 2);
    expect_eq(count(WEIR_TRACE_RAN), 1);
    expect_eq(find(WEIR_TRACE_RAN, 0)->value, WEIR_PARK);
    expect_eq(count(WEIR_TRACE_SETTLED), 1);
    weir_trace_stop();
    rig_close(&r);
}

TEST(a_task_that_its_submitter_runs_starts_and_has_run_on_that_thread)
{
    rig               r;
    plug              p;
    probe             queued = PROBE, t = PROBE;
    weir_pool_options opts = pool_of(1);
    opts.queue_limit = 1, opts.when_full = WEIR_CALLER_RUNS;
    expect(rig_open_with(&r, &opts) && plug_in(&p, r.p, r.m));
    expect_eq(weir_run(r.p, &queued.task, r.m), 0);
    start();
    run_one(&r, &t, "visit");
    keep();
    weir_record *started = find(WEIR_TRACE_STARTED, 0), *ran = find(WEIR_TRACE_RAN, 0);
    expect(started->thread == me() && ran->thread == me() && started->task == ran->task);
    expect(strcmp(started->label, "visit") == 0 && find(WEIR_TRACE_QUEUED, 0)->task == ran->task);
    weir_trace_stop();
    plug_pull(&p);
    rig_close(&r);
}

TEST(a_loop_that_turns_late_says_how_late)
{
    rig   r;
    probe t[1];
    expect(rig_open(&r, 1));
    start();
    settle_undelivered(&r, t, 1);
    int64_t until = now_ns() + MILLIS(20);
    while (now_ns() < until)
        sched_yield();
    weir_main_dispatch(r.m, 0);
    keep();
    expect_op(find(WEIR_TRACE_TURNED, 0)->value, >=, 15000);
    expect_eq(find(WEIR_TRACE_TURNED, 0)->thread, me());
    weir_trace_stop();
    rig_close(&r);
}

/* ---- rings ---------------------------------------------------------------- */

TEST(what_finds_its_ring_full_is_lost_and_counted)
{
    enum { MANY = 100, ROOM = 16 };
    rig   r;
    probe t[MANY];
    expect(rig_open(&r, 1));
    expect_eq(weir_pool_pause(r.p), 0);
    n_kept = 0;
    expect_eq(weir_trace_start(1), 0); /* rounded up */
    for (int i = 0; i < MANY; i++) {
        t[i] = (probe)PROBE;
        expect_eq(weir_run(r.p, &t[i].task, NULL), 0);
    }
    keep();
    expect_eq(count(WEIR_TRACE_QUEUED), ROOM);
    expect_eq(weir_trace_lost(), MANY - ROOM);
    for (int i = 1; i < ROOM; i++)
        expect_eq(find(WEIR_TRACE_QUEUED, i)->task, find(WEIR_TRACE_QUEUED, 0)->task + i);
    weir_pool_purge(r.p);
    expect_eq(weir_close(r.p, WEIR_CLOSE), 0);
    keep(); /* the ring of the thread that told them */
    expect_op(count(WEIR_TRACE_SETTLED), >=, 1);
    weir_trace_stop();
    expect_eq(weir_trace_read(kept, MOST), 0);
    rig_close(&r);
}

TEST(one_trace_at_a_time_and_a_new_one_forgets_the_old)
{
    rig   r;
    probe t = PROBE;
    expect_eq(weir_trace_start(WEIR_MAX_RECORDS + 1), WEIR_EINVAL);
    expect_eq(weir_trace_read(kept, MOST), 0);
    weir_trace_stop();
    expect(rig_open(&r, 1));
    run_one(&r, &t, NULL); /* is in no trace */
    start();
    expect_eq(weir_trace_start(0), WEIR_EBUSY);
    t = (probe)PROBE;
    run_one(&r, &t, NULL);
    weir_trace_stop();
    start();
    keep();
    expect_eq(n_kept, 0);
    t = (probe)PROBE;
    run_one(&r, &t, NULL);
    keep();
    expect_eq(count(WEIR_TRACE_QUEUED), 1);
    expect_eq(weir_trace_read(NULL, 5), 0);
    weir_trace_stop();
    rig_close(&r);
}

static _Atomic bool   reads;
static _Atomic size_t n_read;

/* A torn record would have a wrong event, a label of no task, or a task without one. */
static void reads_on(void *label)
{
    weir_record *some = calloc(64, sizeof *some);
    bool         last = false;
    expect(some);
    for (size_t n; !last || n;) {
        last = !reads;
        n = weir_trace_read(some, 64);
        for (size_t i = 0; i < n; i++) {
            expect_op(some[i].event, <=, WEIR_TRACE_ENDED);
            expect((some[i].label == label) == (some[i].task != 0));
        }
        n_read += n;
    }
    free(some);
}

TEST(a_flood_tears_nothing_and_counts_what_it_loses)
{
    enum { EACH = 5 }; /* queued, started, settled; blocked and unblocked */
    rig              r;
    helper           h;
    const char      *label = weir_label("flood");
    weir_run_options o = labelled(label, NULL);
    unsigned         n = scaled(20000);
    expect_eq(weir_trace_start(32), 0);
    expect(rig_open(&r, 2));
    reads = true;
    n_read = 0;
    helper_start(&h, reads_on, (void *)(uintptr_t)label);
    for (unsigned i = 0; i < n; i++) {
        probe t = {.task = {.run = probe_run}};
        expect_eq(weir_run_with(r.p, &t.task, &o), 0);
        expect_eq(weir_wait(&t.task, -1), 0);
    }
    expect_eq(weir_close(r.p, WEIR_DRAIN), 0); /* two threads came and left, the pool closes */
    reads = false;
    helper_join(&h);
    expect_eq(n_read + weir_trace_lost(), (uint64_t)n * EACH + 5);
    weir_trace_stop();
    rig_close(&r);
}

TEST(a_child_of_fork_records_nothing_until_it_starts_a_trace)
{
    rig   r;
    probe t = PROBE;
    if (under_emulator())
        return;
    start();
    expect(rig_open(&r, 1));
    run_one(&r, &t, NULL);
    pid_t child = child_begin();
    if (child == 0) {
        if (under_tsan()) /* it takes the child's thread for the parent's */
            _exit(0);
        rig s;
        expect(rig_open(&s, 1));
        t = (probe)PROBE;
        run_one(&s, &t, NULL);
        for (unsigned i = 0; i <= WEIR_RECORDS; i++)
            weir_trace_begin("step");
        expect_eq(weir_trace_read(kept, MOST), 0);
        expect_eq(weir_trace_lost(), 0); /* the ring that it has of its parent was not filled */
        start();
        t = (probe)PROBE;
        run_one(&s, &t, "child");
        keep();
        expect_eq(count(WEIR_TRACE_QUEUED), 1);
        weir_trace_stop();
        rig_close(&s);
        _exit(0);
    }
    child_reap(child);
    keep();
    expect_eq(count(WEIR_TRACE_QUEUED), 1);
    weir_trace_stop();
    rig_close(&r);
}

SCENARIO(without_memory_for_a_ring_its_records_are_lost)
{
    rig r;
    int rc = weir_trace_start(0);
    if (rig_open(&r, 1)) {
        probe t = PROBE;
        if (given(weir_run(r.p, &t.task, r.m)))
            while (t.dones == 0)
                weir_main_wait(r.m, -1);
    }
    rig_close(&r);
    expect(rc == 0);
    weir_trace_stop();
}

/* ---- histograms ----------------------------------------------------------- */

TEST(four_buckets_share_a_power_of_two)
{
    uint64_t below = 0;
    for (unsigned i = 0; i < WEIR_TIMES; i++) {
        expect(weir_times_below(i) > below);
        if (below >= 4)
            expect((double)weir_times_below(i) <= (double)below * 1.26);
        below = weir_times_below(i);
    }
    expect(below == UINT64_MAX);
    expect(weir_times_below(0) == 1 && weir_times_below(7) == 8 && weir_times_below(8) == 10);
}

TEST(a_percentile_is_too_long_by_at_most_a_quarter)
{
    uint64_t counts[WEIR_TIMES] = {0};
    expect_eq(weir_times_percentile(counts, 50), 0);
    for (unsigned i = 20; i < 120; i++)
        counts[i] = 1;
    expect_eq(weir_times_percentile(counts, 99), weir_times_below(118));
    expect_eq(weir_times_percentile(counts, 50), weir_times_below(69));
    expect_eq(weir_times_percentile(counts, 0), weir_times_below(20));
    expect_eq(weir_times_percentile(counts, 100), weir_times_below(119));
    expect_eq(weir_times_percentile(counts, (double)NAN), weir_times_below(20)); /* as below 0 */
}

TEST(fine_and_coarse_histograms_count_the_same)
{
    rig               r;
    uint64_t          fine[WEIR_TIMES], coarse[WEIR_BUCKETS], n = 0;
    weir_pool_options opts = pool_of(1);
    opts.measure = true;
    expect(rig_open_with(&r, &opts));
    for (int i = 0; i < 50; i++) {
        probe t = PROBE;
        run_one(&r, &t, NULL);
    }
    expect_eq(weir_close(r.p, WEIR_DRAIN), 0);
    expect_eq(weir_pool_get_times(r.p, WEIR_RUN_TIME, fine), 0);
    expect_eq(weir_pool_get_histogram(r.p, WEIR_RUN_TIME, coarse), 0);
    for (unsigned i = 0; i < WEIR_TIMES; i++)
        n += fine[i];
    expect_eq(n, 50);
    for (unsigned b = 1, i = 0; b < WEIR_BUCKETS - 1; b++) {
        uint64_t sum = 0;
        for (; i < WEIR_TIMES && weir_times_below(i) - 1 < (uint64_t)1 << b; i++)
            sum += i ? fine[i] : 0;
        expect_eq(coarse[b], sum);
    }
    expect_eq(weir_pool_get_times(r.p, (weir_histogram)2, fine), WEIR_EINVAL);
    expect_eq(weir_pool_get_times(r.p, WEIR_RUN_TIME, NULL), WEIR_EINVAL);
    rig_close(&r);
}

SUITE(record, the_records_of_a_task_tell_its_way,
      a_dispatch_records_what_it_delivers_as_a_wait_does,
      they_tell_who_submitted_a_task_and_who_waits, they_tell_of_calls_and_of_blocking_sections,
      a_task_that_parks_is_told_to_have_run,
      a_task_that_its_submitter_runs_starts_and_has_run_on_that_thread,
      a_loop_that_turns_late_says_how_late, what_finds_its_ring_full_is_lost_and_counted,
      one_trace_at_a_time_and_a_new_one_forgets_the_old,
      a_flood_tears_nothing_and_counts_what_it_loses,
      a_child_of_fork_records_nothing_until_it_starts_a_trace,
      without_memory_for_a_ring_its_records_are_lost, four_buckets_share_a_power_of_two,
      a_percentile_is_too_long_by_at_most_a_quarter, fine_and_coarse_histograms_count_the_same)
