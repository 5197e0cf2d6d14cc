/* SPDX-License-Identifier: ISC
 *
 * What a handler sees and may answer, and which handlers are refused.
 */
#include "rig.h"

#include <string.h>

static unsigned attempts_wanted, last_attempt;

static int tries(weir_request *r, void *state)
{
    last_attempt = weir_request_attempt(r);
    return last_attempt < attempts_wanted ? weir_request_retry(r) : echo(r, state);
}

static const weir_handler retrying = {"tries", tries, 0};

TEST(a_retry_counts_the_attempts)
{
    yard                y;
    errand              e = ERRAND;
    weir_remote_options o = options_of("local:");
    attempts_wanted = 3;
    expect(yard_open(&y, &o, &retrying, 1));
    expect_eq(ask(y.farm, &e, y.m, "tries", "x"), 0);
    expect_eq(last_attempt, 3);
    yard_close(&y);
}

TEST(a_job_that_is_given_back_for_ever_is_lost)
{
    yard                y;
    errand              e = ERRAND;
    weir_remote_options o = options_of("local:");
    attempts_wanted = 1000;
    expect(yard_open(&y, &o, &retrying, 1));
    expect_eq(ask(y.farm, &e, y.m, "tries", "x"), WEIR_REMOTE_ELOST);
    expect_eq(last_attempt, 20);
    yard_close(&y);
}

static int looks(weir_request *r, void *state)
{
    size_t size = 99;
    (void)state;
    expect(!strcmp(weir_request_name(r), "looks"));
    expect_eq(strlen(weir_request_id(r)), 36);
    expect_eq(weir_request_attempt(r), 1);
    expect(!strcmp(weir_request_content_type(r), "application/octet-stream"));
    expect(!memcmp(weir_request_bytes(r, &size), "ab", 2));
    expect_eq(size, 2);
    expect(!weir_request_cancelled(r));
    expect_eq(weir_request_fail(r, NULL, "x"), WEIR_EINVAL);
    expect_eq(weir_request_reply(r, NULL, 1), WEIR_EINVAL);
    expect_eq(weir_request_reply(r, "one", 3), 0);
    expect_eq(weir_request_reply(r, "two", 3), WEIR_EBUSY);
    expect_eq(weir_request_fail(r, "three", ""), WEIR_EBUSY);
    expect_eq(weir_request_retry(r), WEIR_EBUSY);
    return 0;
}

TEST(a_handler_sees_its_job_and_answers_once)
{
    yard                y;
    errand              e = ERRAND;
    weir_handler        h = {"looks", looks, 0};
    weir_remote_options o = options_of("local:");
    expect(yard_open(&y, &o, &h, 1));
    expect_eq(ask(y.farm, &e, y.m, "looks", "ab"), 0);
    expect(!memcmp(e.result, "one", 3));
    yard_close(&y);
}

static gate stopped = GATE;

static int stops(weir_request *r, void *state)
{
    (void)state;
    gate_open(&entered);
    while (!weir_request_cancelled(r))
        sched_yield();
    gate_open(&stopped);
    return weir_request_fail(r, "Stopped", "");
}

TEST(a_running_handler_hears_of_the_cancel)
{
    yard                y;
    errand              e = ERRAND;
    weir_handler        h = {"stops", stops, 0};
    weir_remote_options o = options_of("local:");
    expect(yard_open(&y, &o, &h, 1));
    submit(y.farm, &e, y.m, "stops", "");
    gate_wait(&entered);
    expect_eq(weir_remote_cancel(&e.job), 0);
    expect_eq(outcome_of(y.m, &e), WEIR_ECANCELED);
    gate_wait(&stopped);
    yard_close(&y);
}

static int  late_answer;
static gate late = GATE;

static int hangs(weir_request *r, void *state)
{
    gate_open(&entered);
    gate_wait(&leave);
    late_answer = echo(r, state);
    gate_open(&late);
    return 0;
}

TEST(a_handler_that_hangs_is_given_up_and_its_thread_replaced)
{
    yard                y;
    errand              e = ERRAND, next = ERRAND;
    weir_handler        h[] = {{"hangs", hangs, MILLIS(5)}, {"echo", echo, 0}};
    weir_remote_options o = options_of("local:");
    expect(yard_open(&y, &o, h, 2));
    expect_eq(ask(y.farm, &e, y.m, "hangs", "x"), WEIR_ETIMEDOUT);
    expect(has(e.text, "run_within"));
    expect_eq(ask(y.farm, &next, y.m, "echo", "x"), 0);
    gate_open(&leave);
    gate_wait(&late);
    expect_eq(late_answer, WEIR_EBUSY);
    yard_close(&y);
}

TEST(an_answer_within_run_within_stays)
{
    yard                y;
    errand              e = ERRAND;
    weir_handler        h = {"echo", echo, SECONDS(600)};
    weir_remote_options o = options_of("local:");
    expect(yard_open(&y, &o, &h, 1));
    expect_eq(ask(y.farm, &e, y.m, "echo", "x"), 0);
    yard_close(&y);
}

static int answers_and_stays(weir_request *r, void *state)
{
    int code = echo(r, state);
    gate_open(&entered);
    gate_wait(&leave);
    return code;
}

/* The other job's timeout rings after run_within, because alarms ring in the order of their times.
 */
TEST(an_answer_stays_though_its_handler_goes_on_past_run_within)
{
    yard                y;
    errand              e = ERRAND, later = ERRAND;
    weir_handler        h = {"stays", answers_and_stays, MILLIS(500)};
    weir_remote_options o = options_of("local:");
    expect(yard_open(&y, &o, &h, 1));
    weir_job_options how = to(y.m);
    how.timeout_ns = MILLIS(600);
    submit(y.farm, &e, y.m, "stays", "x");
    gate_wait(&entered);
    expect_eq(weir_remote_run(y.farm, &later.job, "stays", "x", 1, &how), 0);
    expect_eq(outcome_of(y.m, &later), WEIR_ETIMEDOUT);
    gate_open(&leave);
    expect_eq(outcome_of(y.m, &e), 0);
    yard_close(&y);
}

TEST(bad_handlers_are_refused_by_name)
{
    yard                y;
    weir_handler        good = {"echo", echo, 0};
    weir_handler        bad[] = {{"a b", echo, 0}, {"x", NULL, 0}, {"x", echo, -1}};
    weir_handler        twice[] = {{"two", echo, 0}, {"two", echo, 0}};
    weir_remote_options o = options_of("local:names");
    weir_remote        *other;
    expect(yard_open(&y, &o, &good, 1));
    expect_eq(weir_remote_open(&other, &o), 0);
    for (int i = 0; i < 3; i++)
        expect_eq(weir_remote_serve(other, y.pool, &bad[i], 1), WEIR_EINVAL);
    expect_eq(weir_remote_serve(other, y.pool, twice, 2), WEIR_EINVAL);
    expect(has(weir_remote_error(), "two"));
    expect_eq(weir_remote_serve(other, NULL, &good, 1), WEIR_EINVAL);
    expect_eq(weir_remote_serve(other, y.pool, &good, 0), WEIR_EINVAL);
    expect_eq(weir_remote_serve(other, y.pool, &good, 1), WEIR_EBUSY);
    expect(has(weir_remote_error(), "echo"));
    expect_eq(weir_remote_serve(y.farm, y.pool, &good, 1), WEIR_EBUSY);
    good.name = "more";
    expect_eq(weir_remote_serve(other, y.pool, &good, 1), 0); /* the refusals have left nothing */
    expect_eq(weir_remote_close(other, WEIR_REMOTE_DRAIN, NULL, -1), 0);
    yard_close(&y);
}

TEST(a_pool_that_would_block_or_run_jobs_here_is_refused)
{
    weir_remote        *farm;
    weir_pool          *pool;
    weir_handler        h = {"echo", echo, 0};
    weir_pool_options   blocks = pool_of(1);
    weir_remote_options o = options_of("local:");
    blocks.queue_limit = 1;
    blocks.when_full = WEIR_BLOCK;
    expect_eq(weir_pool_open(&pool, &blocks), 0);
    expect_eq(weir_remote_open(&farm, &o), 0);
    expect_eq(weir_remote_serve(farm, pool, &h, 1), WEIR_EINVAL);
    expect(has(weir_remote_error(), "WEIR_REFUSE"));
    expect_eq(weir_remote_close(farm, WEIR_REMOTE_DRAIN, NULL, -1), 0);
    pool_end(pool);
}

SUITE(handlers, a_retry_counts_the_attempts, a_job_that_is_given_back_for_ever_is_lost,
      a_handler_sees_its_job_and_answers_once, a_running_handler_hears_of_the_cancel,
      a_handler_that_hangs_is_given_up_and_its_thread_replaced, an_answer_within_run_within_stays,
      an_answer_stays_though_its_handler_goes_on_past_run_within, bad_handlers_are_refused_by_name,
      a_pool_that_would_block_or_run_jobs_here_is_refused)
