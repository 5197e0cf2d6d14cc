/* SPDX-License-Identifier: ISC
 *
 * test_metrics.c: weir_metrics.
 */
#include "harness.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char text[1 << 16];

static void metrics(void)
{
    int n = weir_metrics(text, sizeof text);
    expect(n > 0 && n < (int)sizeof text);
    expect_eq(strlen(text), n);
}

static bool has_line(const char *line)
{
    size_t n = strlen(line);
    for (const char *at = text; (at = strstr(at, line)); at++)
        if ((at == text || at[-1] == '\n') && at[n] == '\n')
            return true;
    return false;
}

/* The number after the only line that begins so. */
static unsigned long long value_of(const char *start)
{
    const char *at = strstr(text, start);
    expect(at && (at == text || at[-1] == '\n'));
    return strtoull(at + strlen(start), NULL, 10);
}

static weir_pool_options named(const char *name)
{
    weir_pool_options opts = pool_of(1);
    opts.name = name;
    return opts;
}

static void runs(weir_pool *p, int n)
{
    for (int i = 0; i < n; i++) {
        probe t = PROBE;
        t.task.done = NULL;
        expect_eq(weir_run(p, &t.task, NULL), 0);
        expect_eq(weir_wait(&t.task, -1), 0);
    }
}

SCENARIO(the_text_names_each_pool_with_its_numbers)
{
    rig               r;
    weir_pool_options opts = named("db");
    if (rig_open_with(&r, &opts)) {
        int n = weir_metrics(text, sizeof text);
        expect(n > 0 || !given(n));
        if (n > 0) {
            expect(has_line("# TYPE weir_pool_threads gauge"));
            expect(has_line("weir_pool_threads{pool=\"db\"} 1"));
            expect(has_line("weir_info{version=\"" WEIR_VERSION "\"} 1"));
        }
    }
    rig_close(&r);
}

TEST(without_a_pool_the_text_has_no_number_of_one)
{
    metrics();
    expect(has_line("weir_info{version=\"" WEIR_VERSION "\"} 1"));
    expect(!strstr(text, "{pool="));
}

TEST(each_name_has_one_header_and_its_values_in_one_place)
{
    rig               first, second;
    weir_pool_options one = named("one"), two = named("two");
    one.measure = two.measure = true;
    expect(rig_open_with(&first, &one) && rig_open_with(&second, &two));
    metrics();
    int headers = 0;
    for (const char *at = text; (at = strstr(at, "# TYPE ")); headers++) {
        char name[100], header[120];
        expect_eq(sscanf(at, "# TYPE %99s", name), 1);
        snprintf(header, sizeof header, "\n# TYPE %s ", name);
        at = strchr(at, '\n') + 1;
        for (; *at && *at != '#'; at = strchr(at, '\n') + 1)
            expect_eq(strncmp(at, name, strlen(name)), 0);
        expect(!strstr(at, header));
    }
    expect_eq(headers, 24);
    rig_close(&second);
    rig_close(&first);
}

TEST(the_outcomes_and_what_is_left_add_up_to_the_submitted)
{
    rig               r;
    plug              p;
    probe             t[3];
    weir_pool_options opts = named("sum");
    expect(rig_open_with(&r, &opts));
    runs(r.p, 4);
    expect(plug_in(&p, r.p, r.m));
    for (int i = 0; i < 3; i++) {
        t[i] = (probe)PROBE;
        expect_eq(weir_run(r.p, &t[i].task, r.m), 0);
    }
    expect_eq(weir_cancel(&t[0].task), 0);
    metrics();
    expect(has_line("weir_pool_tasks_submitted_total{pool=\"sum\"} 8"));
    expect(has_line("weir_pool_tasks_queued{pool=\"sum\"} 2"));
    expect(has_line("weir_pool_tasks_running{pool=\"sum\"} 1"));
    expect(has_line("weir_pool_threads_idle{pool=\"sum\"} 0"));
    expect(has_line("weir_pool_tasks_settled_total{pool=\"sum\",outcome=\"ok\"} 4"));
    expect(has_line("weir_pool_tasks_settled_total{pool=\"sum\",outcome=\"cancelled\"} 1"));
    expect(has_line("weir_pool_tasks_settled_total{pool=\"sum\",outcome=\"failed\"} 0"));
    plug_pull(&p);
    rig_close(&r);
}

TEST(the_ages_of_tasks_are_in_seconds)
{
    rig               r;
    plug              p;
    probe             t = PROBE;
    weir_pool_options opts = named("old");
    expect(rig_open_with(&r, &opts));
    metrics();
    expect(has_line("weir_pool_oldest_running_seconds{pool=\"old\"} 0.000000000"));
    expect(plug_in(&p, r.p, r.m));
    expect_eq(weir_run(r.p, &t.task, r.m), 0);
    while (stats_of(r.p).oldest_queued_ns == 0)
        sched_yield();
    metrics();
    expect(!has_line("weir_pool_oldest_running_seconds{pool=\"old\"} 0.000000000"));
    expect(!has_line("weir_pool_oldest_queued_seconds{pool=\"old\"} 0.000000000"));
    plug_pull(&p);
    rig_close(&r);
}

TEST(a_loop_that_does_not_turn_shows_for_how_long)
{
    rig   r;
    probe t = PROBE;
    expect(rig_open(&r, 1));
    metrics();
    expect(has_line("weir_loop_pending{loop=\"0\"} 0"));
    expect(has_line("weir_loop_lag_seconds{loop=\"0\"} 0.000000000"));
    expect(has_line("weir_loop_unturned_seconds{loop=\"0\"} 0.000000000"));
    expect_eq(weir_run(r.p, &t.task, r.m), 0);
    weir_main_stats s = {.size = sizeof s};
    while (weir_main_get_stats(r.m, &s) == 0 && s.unturned_ns == 0)
        sched_yield();
    metrics();
    expect(has_line("weir_loop_pending{loop=\"0\"} 1"));
    expect(!has_line("weir_loop_lag_seconds{loop=\"0\"} 0.000000000"));
    expect(!has_line("weir_loop_unturned_seconds{loop=\"0\"} 0.000000000"));
    while (t.dones == 0)
        weir_main_wait(r.m, -1);
    metrics();
    expect(has_line("weir_loop_pending{loop=\"0\"} 0"));
    expect(has_line("weir_loop_unturned_seconds{loop=\"0\"} 0.000000000"));
    rig_close(&r);
}

/* A worker's main waits for what its task waits for, so it is no loop. */
static int run_opens_a_main(weir_task *t, void *state)
{
    weir_main *m;
    (void)t, (void)state;
    expect_eq(weir_main_open(&m), 0);
    metrics();
    return weir_main_close(m, 0);
}

TEST(loops_have_numbers_and_the_smallest_is_used_again)
{
    enum { SOME = 3 };
    weir_main *m[SOME];
    rig        r;
    weir_task  t = {.run = run_opens_a_main};
    for (int i = 0; i < SOME; i++)
        expect_eq(weir_main_open(&m[i]), 0);
    main_end(m[1]);
    expect(rig_open(&r, 1));
    expect_eq(weir_run(r.p, &t, NULL), 0);
    expect_eq(weir_wait(&t, -1), 0);
    for (int i = 0; i < SOME; i++) {
        char line[100];
        snprintf(line, sizeof line, "weir_loop_pending{loop=\"%d\"} 0\n", i);
        const char *at = strstr(text, line);
        expect(at && !strstr(at + 1, line));
    }
    expect(!strstr(text, "loop=\"3\""));
    rig_close(&r);
    main_end(m[0]);
    main_end(m[2]);
}

TEST(pools_of_one_name_have_numbers_and_the_smallest_is_used_again)
{
    rig               r[3];
    weir_pool_options opts = named("same");
    for (int i = 0; i < 3; i++)
        expect(rig_open_with(&r[i], &opts));
    metrics();
    expect(has_line("weir_pool_threads{pool=\"same\"} 1"));
    expect(has_line("weir_pool_threads{pool=\"same\",namesake=\"1\"} 1"));
    expect(has_line("weir_pool_threads{pool=\"same\",namesake=\"2\"} 1"));
    rig_close(&r[1]);
    expect(rig_open_with(&r[1], &opts));
    metrics();
    expect(has_line("weir_pool_threads{pool=\"same\",namesake=\"1\"} 1"));
    expect(!strstr(text, "namesake=\"3\""));
    for (int i = 0; i < 3; i++)
        rig_close(&r[i]);
}

TEST(more_than_64_pools_of_one_name_have_a_number_each)
{
    enum { MANY = 70 };
    weir_pool        *p[MANY];
    weir_pool_options opts = named("many");
    opts.lazy = true;
    static char all[1 << 20];
    for (int i = 0; i < MANY; i++)
        expect_eq(weir_pool_open(&p[i], &opts), 0);
    expect_op(weir_metrics(all, sizeof all), <, sizeof all);
    for (int i = 1; i < MANY; i++) {
        char line[100];
        snprintf(line, sizeof line, "weir_pool_threads{pool=\"many\",namesake=\"%d\"} ", i);
        char *at = strstr(all, line);
        expect(at && !strstr(at + 1, line));
    }
    for (int i = 0; i < MANY; i++)
        pool_end(p[i]);
}

TEST(a_name_is_escaped_and_what_is_no_utf8_becomes_a_question_mark)
{
    rig               r;
    weir_pool_options opts =
        named("a\"b\\c\nd \xc3\xa9 \xe2\x82\xac \xf0\x9f\x9a\xa3 \xe9 \xc3\xc3");
    expect(rig_open_with(&r, &opts));
    metrics();
    expect(has_line("weir_pool_threads{pool=\"a\\\"b\\\\c\\nd \xc3\xa9 \xe2\x82\xac "
                    "\xf0\x9f\x9a\xa3 ? ??\"} 1"));
    rig_close(&r);
}

TEST(histograms_are_cumulative_and_end_in_their_count)
{
    rig               r;
    weir_pool_options opts = named("times");
    opts.measure = true;
    expect(rig_open_with(&r, &opts));
    runs(r.p, 20);
    expect_eq(weir_close(r.p, WEIR_CLOSE), 0);
    metrics();
    unsigned long long before = 0;
    int                buckets = 0;
    static const char  start[] = "weir_pool_run_time_seconds_bucket{pool=\"times\",le=\"";
    for (const char *at = text; (at = strstr(at, start)); at++, buckets++) {
        unsigned long long n = strtoull(strchr(at, '}') + 1, NULL, 10);
        expect_op(n, >=, before);
        before = n;
    }
    expect_eq(buckets, 15);
    expect_eq(before, 20);
    expect(strstr(text, "run_time_seconds_bucket{pool=\"times\",le=\"0.000001024\"} "));
    expect(strstr(text, "run_time_seconds_bucket{pool=\"times\",le=\"68.719476736\"} 20\n"));
    expect(has_line("weir_pool_run_time_seconds_bucket{pool=\"times\",le=\"+Inf\"} 20"));
    expect(has_line("weir_pool_run_time_seconds_count{pool=\"times\"} 20"));
    expect(has_line("weir_pool_queue_time_seconds_count{pool=\"times\"} 20"));
    rig_close(&r);
}

static _Atomic int64_t wait_begun;

static int run_lasts_a_while(weir_task *t, void *state)
{
    (void)t, (void)state;
    int64_t until = weir_now() + MILLIS(3);
    while (weir_now() < until)
        continue;
    return 0;
}

TEST(the_sum_of_a_histogram_is_no_shorter_than_its_tasks)
{
    rig               r;
    weir_task         t = {.run = run_lasts_a_while};
    weir_pool_options opts = named("sums");
    opts.measure = true;
    expect(rig_open_with(&r, &opts));
    wait_begun = weir_now();
    expect_eq(weir_run(r.p, &t, NULL), 0);
    expect_eq(weir_wait(&t, -1), 0);
    int64_t most = weir_now() - wait_begun;
    metrics();
    double sum = strtod(strstr(text, "weir_pool_run_time_seconds_sum{pool=\"sums\"} ") +
                            strlen("weir_pool_run_time_seconds_sum{pool=\"sums\"} "),
                        NULL);
    expect(sum >= 0.003 && sum * 1e9 <= (double)most);
    rig_close(&r);
}

TEST(a_pool_that_does_not_measure_has_no_histogram)
{
    rig               r;
    weir_pool_options opts = named("plain");
    expect(rig_open_with(&r, &opts));
    metrics();
    expect(has_line("# TYPE weir_pool_run_time_seconds histogram"));
    expect(!strstr(text, "_bucket{"));
    rig_close(&r);
}

TEST(a_buffer_that_is_too_small_gets_the_start_and_the_length_is_told)
{
    rig  r;
    char small[33];
    expect(rig_open(&r, 1));
    metrics();
    int whole = (int)strlen(text);
    expect_eq(weir_metrics(NULL, 0), whole);
    for (size_t size = 1; size < sizeof small; size++) {
        memset(small, 'x', sizeof small);
        expect_eq(weir_metrics(small, size), whole);
        expect_eq(strlen(small), size - 1);
        expect_eq(strncmp(small, text, size - 1), 0);
        expect_eq(small[size], 'x');
    }
    rig_close(&r);
}

TEST(a_buffer_that_ends_anywhere_is_not_written_past)
{
    static char part[sizeof text];
    rig         r;
    expect(rig_open(&r, 1));
    metrics();
    size_t whole = strlen(text);
    for (size_t size = whole / 2; size < whole / 2 + 100; size++) {
        memset(part, 'x', sizeof part);
        expect_eq(weir_metrics(part, size), (int)whole);
        expect_eq(strlen(part), size - 1);
        for (size_t i = size; i < sizeof part; i++)
            expect_eq(part[i], 'x');
    }
    rig_close(&r);
}

TEST(no_buffer_of_some_size_is_refused) { expect_eq(weir_metrics(NULL, 1), WEIR_EINVAL); }

TEST(a_closed_pool_keeps_its_numbers_until_its_release)
{
    rig               r;
    weir_pool_options opts = named("over");
    expect(rig_open_with(&r, &opts));
    runs(r.p, 2);
    expect_eq(weir_close(r.p, WEIR_CLOSE), 0);
    metrics();
    expect_eq(value_of("weir_pool_threads{pool=\"over\"} "), 0);
    expect_eq(value_of("weir_pool_tasks_submitted_total{pool=\"over\"} "), 2);
    rig_close(&r);
    metrics();
    expect(!strstr(text, "\"over\""));
}

static _Atomic bool comes_and_goes;

static void opens_and_releases(void *arg)
{
    weir_pool_options opts = named("brief");
    (void)arg;
    while (comes_and_goes) {
        weir_pool *p = NULL;
        expect_eq(weir_pool_open(&p, &opts), 0);
        pool_end(p);
    }
}

TEST(pools_may_come_and_go_while_the_text_is_written)
{
    helper h;
    comes_and_goes = true;
    helper_start(&h, opens_and_releases, NULL);
    for (unsigned i = 0; i < scaled(3000); i++)
        metrics();
    comes_and_goes = false;
    helper_join(&h);
}

SUITE(metrics, the_text_names_each_pool_with_its_numbers,
      without_a_pool_the_text_has_no_number_of_one,
      each_name_has_one_header_and_its_values_in_one_place,
      the_outcomes_and_what_is_left_add_up_to_the_submitted, the_ages_of_tasks_are_in_seconds,
      a_loop_that_does_not_turn_shows_for_how_long,
      loops_have_numbers_and_the_smallest_is_used_again,
      pools_of_one_name_have_numbers_and_the_smallest_is_used_again,
      more_than_64_pools_of_one_name_have_a_number_each,
      a_name_is_escaped_and_what_is_no_utf8_becomes_a_question_mark,
      histograms_are_cumulative_and_end_in_their_count,
      the_sum_of_a_histogram_is_no_shorter_than_its_tasks,
      a_pool_that_does_not_measure_has_no_histogram,
      a_buffer_that_is_too_small_gets_the_start_and_the_length_is_told,
      a_buffer_that_ends_anywhere_is_not_written_past, no_buffer_of_some_size_is_refused,
      a_closed_pool_keeps_its_numbers_until_its_release,
      pools_may_come_and_go_while_the_text_is_written)
