/* SPDX-License-Identifier: ISC
 *
 * Requests that a loop is given, and that a program holds.
 */
#include "rig.h"

#include <stdlib.h>
#include <string.h>

enum { HELD = 64 };

static struct {
    weir_request *held[HELD];
    int           n, runs, stops;
    void         *stopped; /* the data of the last one */
} seen;

static int holds_it(weir_request *r, void *arg)
{
    expect(arg == &seen);
    seen.runs++;
    seen.held[seen.n++] = r;
    weir_request_set_data(r, &seen.held[seen.n - 1]);
    return 0;
}

static int answers(weir_request *r, void *arg)
{
    seen.runs++;
    given(echo(r, arg));
    weir_request_release(r);
    return 0;
}

static int returns_7(weir_request *r, void *arg)
{
    (void)r;
    (void)arg;
    return 7;
}

static int retries(weir_request *r, void *arg)
{
    seen.runs++;
    expect_eq(weir_request_attempt(r), seen.runs);
    expect_eq(weir_request_attempt(r) < 3 ? weir_request_retry(r) : echo(r, arg), 0);
    weir_request_release(r);
    return 0;
}

static void stop(weir_request *r, void *arg)
{
    expect(arg == &seen);
    expect(weir_request_cancelled(r));
    seen.stops++;
    seen.stopped = weir_request_data(r);
}

static const weir_handler all[] = {{"holds", holds_it, 0},
                                   {"answers", answers, 0},
                                   {"seven", returns_7, 0},
                                   {"retries", retries, 0},
                                   {"short", holds_it, MILLIS(2)}};
#define ALL all, sizeof all / sizeof *all

static weir_loop_options loop_of(weir_main *m)
{
    return (weir_loop_options){sizeof(weir_loop_options), m, 4, &seen, stop, false};
}

static bool serve_loop(yard *y, bool begins_later)
{
    weir_remote_options o = options_of("local:");
    *y = (yard){0};
    memset(&seen, 0, sizeof seen);
    if (!given(weir_main_open(&y->m)) || !given(weir_remote_open(&y->farm, &o)))
        return false;
    weir_loop_options l = loop_of(y->m);
    l.begins_later = begins_later;
    return given(weir_remote_serve_loop(y->farm, &l, ALL));
}

/* A farm that a loop serves, which is its client's too. */
static bool open_loop(yard *y) { return serve_loop(y, false); }

static void until(yard *y, const int *count, int n)
{
    test_stage("the loop turns");
    while (*count < n)
        expect_op(weir_main_wait(y->m, -1), >, 0);
    test_stage(NULL);
}

SCENARIO(a_request_is_answered_on_its_loop)
{
    yard   y;
    errand e = ERRAND;
    if (open_loop(&y)) {
        weir_job_options how = to(y.m);
        if (given(weir_remote_run(y.farm, &e.job, "answers", "abc", 3, &how)) &&
            came(outcome_of(y.m, &e)))
            expect(!memcmp(e.result, "abc", 3));
    }
    yard_close(&y);
}

static void releases(void *arg)
{
    weir_request *r = arg;
    size_t        size;
    const char   *bytes = weir_request_bytes(r, &size);
    expect(!strcmp(weir_request_name(r), "holds"));
    expect_eq(weir_request_priority(r), WEIR_HIGH);
    expect_eq(weir_request_reply(r, bytes, size), 0);
    expect_eq(weir_request_reply(r, bytes, size), WEIR_EBUSY);
    weir_request_release(r);
}

TEST(a_request_that_is_held_may_be_answered_on_any_thread)
{
    yard             y;
    errand           e = ERRAND;
    helper           h;
    weir_job_options how;
    expect(open_loop(&y));
    how = to(y.m);
    how.priority = WEIR_HIGH;
    expect_eq(weir_remote_run(y.farm, &e.job, "holds", "xyz", 3, &how), 0);
    until(&y, &seen.n, 1);
    helper_start(&h, releases, seen.held[0]);
    expect_eq(outcome_of(y.m, &e), 0);
    helper_join(&h);
    expect(!memcmp(e.result, "xyz", 3));
    yard_close(&y);
}

TEST(a_request_without_an_answer_raises)
{
    yard   y;
    errand e = ERRAND, seven = ERRAND;
    expect(open_loop(&y));
    submit(y.farm, &e, y.m, "holds", "");
    until(&y, &seen.n, 1);
    weir_request_release(seen.held[0]);
    expect_eq(outcome_of(y.m, &e), WEIR_REMOTE_ERAISED);
    expect(!strcmp(e.error, "Handler") && has(e.text, "no answer"));
    expect_eq(ask(y.farm, &seven, y.m, "seven", ""), WEIR_REMOTE_ERAISED);
    expect(has(seven.text, "returned 7"));
    yard_close(&y);
}

TEST(a_request_whose_client_cancels_is_asked_to_stop_once)
{
    yard   y;
    errand e = ERRAND;
    expect(open_loop(&y));
    submit(y.farm, &e, y.m, "holds", "");
    until(&y, &seen.n, 1);
    expect(!weir_request_cancelled(seen.held[0]));
    expect_eq(weir_remote_cancel(&e.job), 0);
    until(&y, &seen.stops, 1);
    expect(seen.stopped == &seen.held[0]);
    expect_eq(outcome_of(y.m, &e), WEIR_ECANCELED);
    weir_request_release(seen.held[0]);
    yard_close(&y);
    expect_eq(seen.stops, 1);
}

TEST(a_request_that_was_cancelled_before_the_loop_turned_is_not_run)
{
    yard   y;
    errand e = ERRAND;
    expect(open_loop(&y));
    submit(y.farm, &e, y.m, "holds", "");
    expect_eq(weir_remote_cancel(&e.job), 0);
    expect_eq(outcome_of(y.m, &e), WEIR_ECANCELED);
    yard_close(&y);
    expect_eq(seen.runs + seen.stops, 0);
}

TEST(a_request_that_the_loop_turns_to_too_late_is_not_run)
{
    yard             y;
    errand           e = ERRAND;
    weir_job_options how;
    expect(open_loop(&y));
    how = to(y.m);
    how.start_within_ns = 1;
    expect_eq(weir_remote_run(y.farm, &e.job, "holds", "", 0, &how), 0);
    expect_eq(outcome_of(y.m, &e), WEIR_EEXPIRED);
    yard_close(&y);
    expect_eq(seen.runs, 0);
}

TEST(a_request_held_for_longer_than_run_within_is_given_up)
{
    yard   y;
    errand e = ERRAND;
    expect(open_loop(&y));
    submit(y.farm, &e, y.m, "short", "");
    expect_eq(outcome_of(y.m, &e), WEIR_ETIMEDOUT);
    expect(has(e.text, "run_within"));
    until(&y, &seen.stops, 1);
    expect_eq(weir_request_reply(seen.held[0], "", 0), WEIR_EBUSY);
    weir_request_release(seen.held[0]);
    yard_close(&y);
}

TEST(an_answer_that_came_within_run_within_stays)
{
    yard   y;
    errand e = ERRAND, next = ERRAND;
    expect(open_loop(&y));
    submit(y.farm, &e, y.m, "short", "ok");
    until(&y, &seen.n, 1);
    bool taken = echo(seen.held[0], NULL) == 0; /* else it was given up first */
    expect_eq(ask(y.farm, &next, y.m, "short", ""), WEIR_ETIMEDOUT);
    weir_request_release(seen.held[0]);
    weir_request_release(seen.held[1]);
    expect_eq(outcome_of(y.m, &e), taken ? 0 : WEIR_ETIMEDOUT);
    yard_close(&y);
}

/* ---- begins_later ------------------------------------------------------------------------ */

/* The alarms of a farm ring in order, so those of before have rung. */
static void until_later(yard *y, int64_t ns)
{
    errand           e = ERRAND;
    weir_job_options how = to(y->m);
    int              n = seen.n;
    how.timeout_ns = ns;
    expect_eq(weir_remote_run(y->farm, &e.job, "holds", "", 0, &how), 0);
    expect_eq(outcome_of(y->m, &e), WEIR_ETIMEDOUT);
    while (n < seen.n)
        weir_request_release(seen.held[--seen.n]);
}

TEST(what_waits_in_its_program_is_not_given_up_before_it_begins)
{
    yard   y;
    errand e = ERRAND;
    expect(serve_loop(&y, true));
    submit(y.farm, &e, y.m, "short", "");
    until(&y, &seen.n, 1);
    until_later(&y, MILLIS(10));
    expect_eq(e.dones, 0);
    expect(!weir_request_cancelled(seen.held[0]));
    expect_eq(weir_request_begin(seen.held[0]), 0);
    expect_eq(weir_request_begin(seen.held[0]), WEIR_EBUSY);
    expect(has(weir_remote_error(), "short"));
    expect_eq(outcome_of(y.m, &e), WEIR_ETIMEDOUT);
    expect(has(e.text, "run_within"));
    weir_request_release(seen.held[0]);
    yard_close(&y);
}

/* The client settles on time, and asks to stop what waits for it. */
TEST(what_waits_in_its_program_has_not_started)
{
    yard             y;
    errand           e = ERRAND;
    weir_job_options how;
    expect(serve_loop(&y, true));
    how = to(y.m);
    how.start_within_ns = MILLIS(5);
    expect_eq(weir_remote_run(y.farm, &e.job, "holds", "", 0, &how), 0);
    expect_eq(outcome_of(y.m, &e), WEIR_EEXPIRED);
    if (seen.n) { /* else the loop turned to it too late */
        expect_eq(weir_request_begin(seen.held[0]), WEIR_ECANCELED);
        expect_eq(weir_request_reply(seen.held[0], "", 0), WEIR_EBUSY);
        weir_request_release(seen.held[0]);
    }
    yard_close(&y);
    expect_eq(e.dones, 1);
}

TEST(what_has_begun_has_started)
{
    yard             y;
    errand           e = ERRAND;
    weir_job_options how;
    expect(serve_loop(&y, true));
    how = to(y.m);
    how.start_within_ns = MILLIS(200);
    expect_eq(weir_remote_run(y.farm, &e.job, "holds", "x", 1, &how), 0);
    until(&y, &seen.n, 1);
    bool started = weir_request_begin(seen.held[0]) == 0; /* else it came too late */
    until_later(&y, MILLIS(210));
    expect_eq(e.dones, started ? 0 : 1);
    echo(seen.held[0], NULL);
    weir_request_release(seen.held[0]);
    expect_eq(outcome_of(y.m, &e), started ? 0 : WEIR_EEXPIRED);
    yard_close(&y);
}

TEST(a_request_may_be_answered_before_it_begins)
{
    yard   y;
    errand e = ERRAND;
    expect(serve_loop(&y, true));
    submit(y.farm, &e, y.m, "short", "x");
    until(&y, &seen.n, 1);
    expect_eq(echo(seen.held[0], NULL), 0);
    expect_eq(weir_request_begin(seen.held[0]), WEIR_EBUSY);
    weir_request_release(seen.held[0]);
    expect_eq(outcome_of(y.m, &e), 0);
    yard_close(&y);
}

/* Each attempt begins anew. */
TEST(a_retry_begins_again)
{
    yard   y;
    errand e = ERRAND;
    expect(serve_loop(&y, true));
    submit(y.farm, &e, y.m, "holds", "x");
    for (int i = 0; i < 3; i++) {
        until(&y, &seen.n, i + 1);
        expect_eq(weir_request_begin(seen.held[i]), 0);
        expect_eq(i < 2 ? weir_request_retry(seen.held[i]) : echo(seen.held[i], NULL), 0);
        weir_request_release(seen.held[i]);
    }
    expect_eq(outcome_of(y.m, &e), 0);
    yard_close(&y);
}

TEST(what_begins_with_its_run_does_not_begin_later)
{
    yard   y;
    errand e = ERRAND;
    expect(open_loop(&y));
    submit(y.farm, &e, y.m, "holds", "");
    until(&y, &seen.n, 1);
    expect_eq(weir_request_begin(seen.held[0]), WEIR_EBUSY);
    weir_request_release(seen.held[0]);
    expect_eq(outcome_of(y.m, &e), WEIR_REMOTE_ERAISED);
    yard_close(&y);
}

/* ---- its ends ---------------------------------------------------------------------------- */

TEST(a_retry_comes_to_the_loop_again)
{
    yard   y;
    errand e = ERRAND;
    expect(open_loop(&y));
    expect_eq(ask(y.farm, &e, y.m, "retries", "x"), 0);
    expect_eq(seen.runs, 3);
    yard_close(&y);
}

TEST(a_farm_that_drains_waits_for_what_a_program_holds)
{
    yard   y;
    errand e = ERRAND;
    expect(open_loop(&y));
    submit(y.farm, &e, y.m, "holds", "x");
    until(&y, &seen.n, 1);
    expect_eq(weir_remote_close(y.farm, WEIR_REMOTE_DRAIN, y.m, MILLIS(1)), WEIR_ETIMEDOUT);
    expect_eq(seen.stops, 0);
    expect_eq(weir_remote_close(y.farm, WEIR_REMOTE_CANCEL, y.m, 0), WEIR_ETIMEDOUT);
    until(&y, &seen.stops, 1);
    weir_request_release(seen.held[0]);
    yard_close(&y);
    expect_eq(e.outcome, WEIR_ECLOSED);
}

static weir_remote *inside;

static int closes(weir_request *r, void *arg)
{
    expect_eq(weir_remote_close(inside, WEIR_REMOTE_DRAIN, NULL, -1), WEIR_EDEADLK);
    return answers(r, arg);
}

TEST(a_close_inside_a_loop_s_handler_is_refused)
{
    yard                y = {0};
    errand              e = ERRAND;
    weir_handler        h = {"closes", closes, 0};
    weir_remote_options o = options_of("local:");
    memset(&seen, 0, sizeof seen);
    expect_eq(weir_main_open(&y.m), 0);
    expect_eq(weir_remote_open(&y.farm, &o), 0);
    weir_loop_options l = loop_of(y.m);
    expect_eq(weir_remote_serve_loop(y.farm, &l, &h, 1), 0);
    inside = y.farm;
    expect_eq(ask(y.farm, &e, y.m, "closes", ""), 0);
    yard_close(&y);
}

TEST(bad_loop_options_are_refused_by_name)
{
    yard              y;
    weir_loop_options l, bad;
    expect(open_loop(&y));
    l = bad = loop_of(y.m);
    expect_eq(weir_remote_serve_loop(y.farm, NULL, ALL), WEIR_EINVAL);
    bad.deliver_to = NULL;
    expect_eq(weir_remote_serve_loop(y.farm, &bad, ALL), WEIR_EINVAL);
    expect(has(weir_remote_error(), "deliver_to"));
    bad = l;
    bad.at_once = 65536;
    expect_eq(weir_remote_serve_loop(y.farm, &bad, ALL), WEIR_EINVAL);
    expect(has(weir_remote_error(), "65536"));
    expect_eq(weir_remote_serve_loop(NULL, &l, ALL), WEIR_EINVAL);
    expect_eq(weir_remote_serve_loop(y.farm, &l, NULL, 1), WEIR_EINVAL);
    expect_eq(weir_remote_serve_loop(y.farm, &l, ALL), WEIR_EBUSY);
    expect(has(weir_remote_error(), "weir_remote_serve_loop"));
    yard_close(&y);
}

SUITE(loop, a_request_is_answered_on_its_loop, a_request_that_is_held_may_be_answered_on_any_thread,
      a_request_without_an_answer_raises, a_request_whose_client_cancels_is_asked_to_stop_once,
      a_request_that_was_cancelled_before_the_loop_turned_is_not_run,
      a_request_that_the_loop_turns_to_too_late_is_not_run,
      a_request_held_for_longer_than_run_within_is_given_up,
      an_answer_that_came_within_run_within_stays, a_retry_comes_to_the_loop_again,
      a_farm_that_drains_waits_for_what_a_program_holds, a_close_inside_a_loop_s_handler_is_refused,
      bad_loop_options_are_refused_by_name,
      what_waits_in_its_program_is_not_given_up_before_it_begins,
      what_waits_in_its_program_has_not_started, what_has_begun_has_started,
      a_request_may_be_answered_before_it_begins, a_retry_begins_again,
      what_begins_with_its_run_does_not_begin_later)
