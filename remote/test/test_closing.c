/* SPDX-License-Identifier: ISC
 *
 * How a farm closes.
 */
#include "rig.h"

#include <string.h>

static const weir_handler all[] = {{"echo", echo, 0}, {"holds", holds, 0}};
#define ALL all, sizeof all / sizeof *all

static void end(yard *y)
{
    pool_end(y->pool);
    main_end(y->m);
}

SCENARIO(a_drain_waits_for_the_answers)
{
    yard                y;
    errand              e = ERRAND;
    weir_remote_options o = options_of("local:");
    if (yard_open(&y, &o, ALL)) {
        weir_job_options how = to(y.m);
        gate_open(&leave);
        if (given(weir_remote_run(y.farm, &e.job, "holds", "x", 1, &how))) {
            expect_eq(weir_remote_close(y.farm, WEIR_REMOTE_DRAIN, NULL, -1), 0);
            y.farm = NULL;
            came(outcome_of(y.m, &e));
        }
    }
    yard_close(&y);
}

TEST(a_cancelling_close_settles_jobs_and_waits_for_handlers)
{
    yard                y;
    errand              running = ERRAND, queued = ERRAND;
    weir_remote_options o = options_of("local:");
    expect(yard_open(&y, &o, ALL));
    submit(y.farm, &running, y.m, "holds", "");
    gate_wait(&entered);
    submit(y.farm, &queued, y.m, "echo", "");
    expect_eq(weir_remote_close(y.farm, WEIR_REMOTE_CANCEL, y.m, 0), WEIR_ETIMEDOUT);
    expect_eq(outcome_of(y.m, &running), WEIR_ECLOSED);
    expect_eq(outcome_of(y.m, &queued), WEIR_ECLOSED);
    gate_open(&leave);
    expect_eq(weir_remote_close(y.farm, WEIR_REMOTE_CANCEL, y.m, -1), 0);
    end(&y);
}

TEST(a_drain_that_timed_out_may_become_a_cancel)
{
    yard                y;
    errand              e = ERRAND, late = ERRAND;
    weir_remote_options o = options_of("local:");
    expect(yard_open(&y, &o, ALL));
    submit(y.farm, &e, y.m, "holds", "");
    gate_wait(&entered);
    expect_eq(weir_remote_close(y.farm, WEIR_REMOTE_DRAIN, NULL, MILLIS(1)), WEIR_ETIMEDOUT);
    weir_job_options how = to(y.m);
    expect_eq(weir_remote_run(y.farm, &late.job, "echo", "", 0, &how), WEIR_ECLOSED);
    expect_eq(weir_remote_close(y.farm, WEIR_REMOTE_CANCEL, NULL, 0), WEIR_ETIMEDOUT);
    expect_eq(outcome_of(y.m, &e), WEIR_ECLOSED);
    gate_open(&leave);
    expect_eq(weir_remote_close(y.farm, WEIR_REMOTE_CANCEL, NULL, -1), 0);
    end(&y);
}

TEST(a_loop_may_close_without_ever_waiting)
{
    yard                y;
    errand              e = ERRAND;
    weir_remote_options o = options_of("local:");
    expect(yard_open(&y, &o, ALL));
    submit(y.farm, &e, y.m, "holds", "");
    gate_wait(&entered);
    expect_eq(weir_remote_close(y.farm, WEIR_REMOTE_DRAIN, y.m, 0), WEIR_ETIMEDOUT);
    gate_open(&leave);
    test_stage("a close without a timeout");
    while (weir_remote_close(y.farm, WEIR_REMOTE_DRAIN, y.m, 0) == WEIR_ETIMEDOUT)
        weir_main_wait(y.m, -1); /* the end of the farm is pending */
    expect_eq(e.dones, 1);
    end(&y);
}

static weir_remote *inside;
static int          code_inside;

static int closes(weir_request *r, void *state)
{
    code_inside = weir_remote_close(inside, WEIR_REMOTE_DRAIN, NULL, -1);
    return echo(r, state);
}

static void closes_too(weir_job *job)
{
    errand_done(job);
    code_inside = weir_remote_close(inside, WEIR_REMOTE_DRAIN, NULL, -1);
}

TEST(a_close_inside_a_handler_or_a_done_is_refused)
{
    yard                y;
    errand              e = ERRAND, d = {.job = {.done = closes_too}};
    weir_handler        h[] = {{"closes", closes, 0}, {"echo", echo, 0}};
    weir_remote_options o = options_of("local:");
    expect(yard_open(&y, &o, h, 2));
    inside = y.farm;
    expect_eq(ask(y.farm, &e, y.m, "closes", ""), 0);
    expect_eq(code_inside, WEIR_EDEADLK);
    code_inside = 0;
    expect_eq(ask(y.farm, &d, y.m, "echo", ""), 0);
    expect_eq(code_inside, WEIR_EDEADLK);
    yard_close(&y);
}

static void closes_elsewhere(void *arg)
{
    yard *y = arg;
    expect_eq(weir_remote_close(y->farm, WEIR_REMOTE_DRAIN, y->m, -1), WEIR_EPERM);
    expect_eq(weir_remote_close(y->farm, 9, NULL, -1), WEIR_EINVAL);
    expect_eq(weir_remote_close(NULL, WEIR_REMOTE_DRAIN, NULL, -1), 0);
}

TEST(bad_closes_change_nothing)
{
    yard                y;
    errand              e = ERRAND;
    helper              h;
    weir_remote_options o = options_of("local:");
    expect(yard_open(&y, &o, ALL));
    helper_start(&h, closes_elsewhere, &y);
    helper_join(&h);
    expect_eq(ask(y.farm, &e, y.m, "echo", ""), 0);
    yard_close(&y);
}

TEST(a_client_outlives_the_farm_that_served_it)
{
    yard                y;
    errand              e = ERRAND;
    weir_remote        *client;
    weir_remote_options o = options_of("local:pair");
    expect(yard_open(&y, &o, ALL));
    expect_eq(weir_remote_open(&client, &o), 0);
    yard_close(&y);
    expect_eq(weir_main_open(&y.m), 0);
    expect_eq(ask(client, &e, y.m, "echo", ""), WEIR_REMOTE_ENAME);
    expect_eq(weir_remote_close(client, WEIR_REMOTE_DRAIN, y.m, -1), 0);
    main_end(y.m);
}

TEST(statistics_count_what_came_and_went)
{
    yard                y;
    errand              a = ERRAND, b = ERRAND;
    weir_remote_stats   s = {.size = sizeof s};
    weir_remote_options o = options_of("local:");
    expect(yard_open(&y, &o, ALL));
    expect_eq(ask(y.farm, &a, y.m, "echo", ""), 0);
    submit(y.farm, &b, y.m, "holds", "");
    gate_wait(&entered);
    expect_eq(weir_remote_get_stats(y.farm, &s), 0);
    expect_eq(s.submitted, 2);
    expect_eq(s.settled, 1);
    expect_eq(s.in_flight, 1);
    expect_op(s.requests, >=, 1);
    expect_eq(s.waiting, 0);
    s.size = 1;
    expect_eq(weir_remote_get_stats(y.farm, &s), WEIR_EINVAL);
    gate_open(&leave);
    yard_close(&y);
}

TEST(metrics_are_those_statistics_as_text)
{
    static char         whole[8192], cut[100];
    yard                y;
    errand              e = ERRAND;
    weir_remote        *other;
    weir_remote_options o = options_of("local:"), odd = options_of("local:a\"b");
    expect(yard_open(&y, &o, ALL));
    expect_eq(weir_remote_open(&other, &odd), 0);
    expect_eq(ask(y.farm, &e, y.m, "echo", ""), 0);
    weir_remote *const farms[] = {y.farm, other};
    int                n = weir_remote_metrics(farms, 2, whole, sizeof whole);
    expect_eq(n, (int)strlen(whole));
    expect_eq(weir_remote_metrics(farms, 2, NULL, 0), n);
    expect_eq(weir_remote_metrics(farms, 2, cut, sizeof cut), n);
    expect_eq(strlen(cut), sizeof cut - 1);
    expect(has(whole, "# TYPE weir_remote_settled_total counter\n"
                      "weir_remote_settled_total{farm=\"local:\",number=\"0\"} 1\n"
                      "weir_remote_settled_total{farm=\"local:a\\\"b\",number=\"1\"} 0\n"));
    expect(has(whole, "# TYPE weir_remote_in_flight gauge\n"));
    expect_eq(weir_remote_metrics(farms, 0, whole, sizeof whole), WEIR_EINVAL);
    expect_eq(weir_remote_metrics(farms, 2, NULL, 9), WEIR_EINVAL);
    expect_eq(weir_remote_close(other, WEIR_REMOTE_DRAIN, NULL, -1), 0);
    yard_close(&y);
}

SUITE(closing, a_drain_waits_for_the_answers,
      a_cancelling_close_settles_jobs_and_waits_for_handlers,
      a_drain_that_timed_out_may_become_a_cancel, a_loop_may_close_without_ever_waiting,
      a_close_inside_a_handler_or_a_done_is_refused, bad_closes_change_nothing,
      a_client_outlives_the_farm_that_served_it, statistics_count_what_came_and_went,
      metrics_are_those_statistics_as_text)
