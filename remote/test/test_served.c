/* SPDX-License-Identifier: ISC
 *
 * Jobs through a server to a worker program, while nothing is lost.
 */
#include "server.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TEST(a_job_comes_back_from_another_process)
{
    client            c;
    worker            w;
    errand            e = ERRAND;
    weir_remote_stats s = {.size = sizeof s};
    client_open(&c, NULL);
    worker_start(&w, "echo", NULL);
    weir_job_options how = to(c.m);
    how.content_type = "text/plain";
    expect_eq(weir_remote_run(c.farm, &e.job, "echo", "abc", 3, &how), 0);
    expect_eq(outcome_of(c.m, &e), 0);
    expect_eq(e.size, 3);
    expect(!memcmp(e.result, "abc", 3));
    expect(!strcmp(e.type, "text/plain"));
    expect_eq(weir_remote_get_stats(c.farm, &s), 0);
    expect_eq(s.published, 1);
    expect(s.connected);
    worker_stop(&w);
    client_close(&c);
}

TEST(the_first_job_does_not_wait_for_a_heartbeat)
{
    client              c;
    worker              w;
    errand              e = ERRAND;
    weir_remote_options o = server_options();
    o.heartbeat_ns = SECONDS(3600); /* so long a test may not take */
    client_open(&c, &o);
    worker_start(&w, "echo", NULL);
    expect_eq(ask(c.farm, &e, c.m, "echo", "x"), 0);
    worker_stop(&w);
    client_close(&c);
}

TEST(a_job_waits_in_its_queue_for_a_worker)
{
    client c;
    worker w;
    errand e = ERRAND;
    client_open(&c, NULL);
    submit(c.farm, &e, c.m, "echo", "x");
    worker_start(&w, "echo", NULL);
    expect_eq(outcome_of(c.m, &e), 0);
    worker_stop(&w);
    client_close(&c);
}

TEST(a_name_without_a_queue_comes_back_as_an_error_that_names_it)
{
    client c;
    errand e = ERRAND;
    client_open(&c, NULL);
    expect_eq(ask(c.farm, &e, c.m, "nobody", "x"), WEIR_REMOTE_ENAME);
    expect(has(e.text, "nobody") && has(e.text, "weir.nobody") && has(e.text, server_url()));
    client_close(&c);
}

TEST(what_a_remote_handler_raises_comes_back)
{
    client c;
    worker w;
    errand e = ERRAND, s = ERRAND;
    client_open(&c, NULL);
    worker_start(&w, "raises,silent", NULL);
    expect_eq(ask(c.farm, &e, c.m, "raises", ""), WEIR_REMOTE_ERAISED);
    expect(!strcmp(e.error, "Oops") && !strcmp(e.text, "it went wrong"));
    expect_eq(ask(c.farm, &s, c.m, "silent", ""), WEIR_REMOTE_ERAISED);
    expect(!strcmp(s.error, "Handler") && has(s.text, "no answer"));
    worker_stop(&w);
    client_close(&c);
}

enum { MANY = 300 };

TEST(many_jobs_come_back_each_with_its_own_bytes)
{
    static errand e[MANY];
    client        c;
    worker        w[2];
    client_open(&c, NULL);
    for (int i = 0; i < 2; i++)
        worker_start(&w[i], "echo", NULL);
    for (int i = 0; i < MANY; i++) {
        char text[16];
        e[i] = (errand)ERRAND;
        snprintf(text, sizeof text, "%d", i);
        weir_job_options how = to(c.m);
        how.priority = i % WEIR_LEVELS;
        expect_eq(weir_remote_run(c.farm, &e[i].job, "echo", text, strlen(text), &how), 0);
    }
    for (int i = 0; i < MANY; i++) {
        expect_eq(outcome_of(c.m, &e[i]), 0);
        expect_eq(atoi(e[i].result), i);
        expect_eq(e[i].dones, 1);
    }
    for (int i = 0; i < 2; i++)
        worker_stop(&w[i]);
    client_close(&c);
}

static size_t big_size;
static int    big_outcome;
static bool   big_same;
static char  *big;

static void big_done(weir_job *job)
{
    big_outcome = job->outcome;
    big_same = job->result_size == big_size && !memcmp(job->result, big, big_size);
    big_size = 0;
}

TEST(sixteen_megabytes_go_there_and_back)
{
    client   c;
    worker   w;
    weir_job job = {.done = big_done};
    size_t   size = (size_t)16 << 20;
    client_open(&c, NULL);
    worker_start(&w, "echo", NULL);
    big = real_zalloc(size);
    for (size_t i = 0; i < size; i++)
        big[i] = (char)(i * 31 >> 3);
    big_size = size;
    weir_job_options how = to(c.m);
    expect_eq(weir_remote_run(c.farm, &job, "echo", big, size, &how), 0);
    while (big_size)
        weir_main_wait(c.m, -1);
    expect_eq(big_outcome, 0);
    expect(big_same);
    free(big);
    worker_stop(&w);
    client_close(&c);
}

TEST(a_retry_goes_to_the_server_and_counts)
{
    client c;
    worker w;
    errand e = ERRAND;
    client_open(&c, NULL);
    worker_start(&w, "retries", NULL);
    expect_eq(ask(c.farm, &e, c.m, "retries", "x"), 0);
    for (unsigned i = 1; i <= 3; i++) {
        const char *line = worker_says(&w, "retries");
        expect_eq(atoi(strrchr(line, ' ')), (int)i);
        expect(has(line, e.job.id));
    }
    worker_stop(&w);
    client_close(&c);
}

static int count_full(const errand *e, int n)
{
    int full = 0;
    for (int i = 0; i < n; i++)
        full += e[i].dones && e[i].outcome == WEIR_EFULL && has(e[i].text, "full");
    return full;
}

/* A quorum queue takes some more than its max-length before it refuses. */
TEST(a_full_queue_refuses)
{
    static errand e[MANY];
    client        c;
    worker        w;
    int           n = 0;
    client_open(&c, NULL);
    while (!count_full(e, n)) {
        expect_op(n, <, MANY);
        e[n] = (errand)ERRAND;
        submit(c.farm, &e[n++], c.m, "small", "x");
        weir_main_wait(c.m, MILLIS(20));
    }
    worker_start(&w, "small", NULL);
    for (int i = 0; i < n; i++)
        worker_go_on(&w);
    for (int i = 0; i < n; i++) {
        outcome_of(c.m, &e[i]);
        expect(e[i].outcome == 0 || e[i].outcome == WEIR_EFULL);
    }
    expect_op(count_full(e, n), <, n);
    worker_stop(&w);
    client_close(&c);
}

TEST(a_job_that_nobody_starts_expires_and_is_not_started_later)
{
    client c;
    worker w;
    errand e = ERRAND, after = ERRAND;
    client_open(&c, NULL);
    weir_job_options how = to(c.m);
    how.start_within_ns = MILLIS(30);
    expect_eq(weir_remote_run(c.farm, &e.job, "late", "x", 1, &how), 0);
    expect_eq(outcome_of(c.m, &e), WEIR_EEXPIRED);
    worker_start(&w, "late", NULL);
    expect_eq(ask(c.farm, &after, c.m, "late", "y"), 0);
    worker_stop(&w);
    client_close(&c);
    expect_eq(e.dones, 1);
}

TEST(a_job_that_was_started_in_time_does_not_expire)
{
    client c;
    worker w;
    errand e = ERRAND;
    client_open(&c, NULL);
    worker_start(&w, "holds", NULL);
    weir_job_options how = to(c.m);
    how.start_within_ns = SECONDS(20); /* ample: the worker starts meanwhile */
    expect_eq(weir_remote_run(c.farm, &e.job, "holds", "x", 1, &how), 0);
    worker_says(&w, "holds");
    worker_go_on(&w);
    expect_eq(outcome_of(c.m, &e), 0);
    worker_stop(&w);
    client_close(&c);
}

TEST(a_timeout_settles_and_the_handler_is_asked_to_stop)
{
    client c;
    worker w;
    errand e = ERRAND;
    client_open(&c, NULL);
    worker_start(&w, "stops", NULL);
    submit(c.farm, &e, c.m, "stops", "x");
    worker_says(&w, "stops ");
    expect_eq(weir_remote_cancel(&e.job), 0);
    expect_eq(outcome_of(c.m, &e), WEIR_ECANCELED);
    worker_says(&w, "stopped");
    errand           t = ERRAND;
    weir_job_options how = to(c.m);
    how.timeout_ns = SECONDS(1);
    expect_eq(weir_remote_run(c.farm, &t.job, "stops", "x", 1, &how), 0);
    worker_says(&w, "stops ");
    expect_eq(outcome_of(c.m, &t), WEIR_ETIMEDOUT);
    worker_says(&w, "stopped");
    worker_stop(&w);
    client_close(&c);
}

TEST(a_job_that_is_cancelled_in_its_queue_settles_at_once)
{
    client c;
    worker w;
    errand e = ERRAND, after = ERRAND;
    client_open(&c, NULL);
    submit(c.farm, &e, c.m, "echo", "x");
    TURN_UNTIL(c, stats(c.farm).confirmed == 1);
    expect_eq(weir_remote_cancel(&e.job), 0);
    expect_eq(outcome_of(c.m, &e), WEIR_ECANCELED);
    worker_start(&w, "echo", NULL); /* it may run all the same: nobody takes its answer */
    expect_eq(ask(c.farm, &after, c.m, "echo", "y"), 0);
    worker_stop(&w);
    client_close(&c);
    expect_eq(e.dones, 1);
}

TEST(a_client_that_drains_waits_for_its_answers)
{
    client c;
    worker w;
    errand e = ERRAND;
    client_open(&c, NULL);
    worker_start(&w, "holds", NULL);
    submit(c.farm, &e, c.m, "holds", "x");
    worker_says(&w, "holds");
    expect_eq(weir_remote_close(c.farm, WEIR_REMOTE_DRAIN, c.m, 0), WEIR_ETIMEDOUT);
    expect_eq(e.dones, 0);
    worker_go_on(&w);
    client_close(&c);
    expect_eq(e.dones, 1);
    expect_eq(e.outcome, 0);
    worker_stop(&w);
}

TEST(a_client_that_closes_by_cancel_has_its_worker_asked_to_stop)
{
    client c;
    worker w;
    errand e = ERRAND;
    client_open(&c, NULL);
    worker_start(&w, "stops", NULL);
    submit(c.farm, &e, c.m, "stops", "x");
    worker_says(&w, "stops ");
    expect_eq(weir_remote_close(c.farm, WEIR_REMOTE_CANCEL, c.m, -1), 0);
    expect_eq(outcome_of(c.m, &e), WEIR_ECLOSED);
    worker_says(&w, "stopped");
    worker_stop(&w);
    main_end(c.m);
}

static void url_as(char out[128], const char *user)
{
    snprintf(out, 128, "amqp://%s@%s", user, server_url() + strlen("amqp://"));
}

/* The permissions of the guide's table. */
TEST(users_with_the_least_permissions_run_and_cancel_jobs)
{
    client              c;
    worker              w;
    errand              e = ERRAND, s = ERRAND;
    char                as_client[128], as_worker[128];
    weir_remote_options o = server_options();
    url_as(as_client, "client:c");
    url_as(as_worker, "worker:w");
    o.url = as_client;
    client_open(&c, &o);
    worker_start(&w, "echo,stops", as_worker);
    expect_eq(ask(c.farm, &e, c.m, "echo", "x"), 0);
    submit(c.farm, &s, c.m, "stops", "x");
    worker_says(&w, "stops ");
    expect_eq(weir_remote_cancel(&s.job), 0);
    worker_says(&w, "stopped");
    expect_eq(stats(c.farm).connects, 1);
    worker_stop(&w);
    client_close(&c);
}

static char warning[512];

static void keeps_warning(void *arg, int code, const char *sentence)
{
    (void)arg;
    if (code == WEIR_EINVAL)
        snprintf(warning, sizeof warning, "%s", sentence);
}

TEST(serve_warns_of_a_run_within_longer_than_the_server_waits)
{
    client              c;
    weir_pool          *pool;
    weir_handler        h = {"echo", echo, SECONDS(9)};
    weir_pool_options   one = pool_of(1);
    weir_remote_options o = server_options();
    o.consumer_timeout_ns = SECONDS(5);
    o.on_event = keeps_warning;
    client_open(&c, &o);
    expect_eq(weir_pool_open(&pool, &one), 0);
    expect_eq(weir_remote_serve(c.farm, pool, &h, 1), 0);
    expect(has(warning, "consumer_timeout") && has(warning, "weir.echo"));
    client_close(&c);
    pool_end(pool);
}

TEST(a_pool_with_a_queue_limit_does_not_serve_a_server)
{
    client            c;
    weir_pool        *pool;
    weir_handler      h = {"echo", echo, 0};
    weir_pool_options small = pool_of(1);
    small.queue_limit = 9;
    client_open(&c, NULL);
    expect_eq(weir_pool_open(&pool, &small), 0);
    expect_eq(weir_remote_serve(c.farm, pool, &h, 1), WEIR_EINVAL);
    expect(has(weir_remote_error(), "queue_limit"));
    client_close(&c);
    pool_end(pool);
}

TEST(a_worker_that_is_told_to_end_finishes_what_it_has)
{
    client c;
    worker w;
    errand e = ERRAND;
    client_open(&c, NULL);
    worker_start(&w, "holds", NULL);
    submit(c.farm, &e, c.m, "holds", "x");
    worker_says(&w, "holds");
    worker_kill(&w, SIGTERM);
    worker_go_on(&w);
    expect_eq(outcome_of(c.m, &e), 0);
    expect_eq(worker_reap(&w), 0);
    client_close(&c);
}

TEST(a_worker_that_is_told_to_end_begins_nothing_more)
{
    client c;
    worker a, b;
    errand runs = ERRAND, waits = ERRAND;
    client_open(&c, NULL);
    submit(c.farm, &runs, c.m, "holds", "x");
    submit(c.farm, &waits, c.m, "holds", "y");
    worker_start(&a, "holds", NULL);
    worker_says(&a, "holds");
    worker_kill(&a, SIGTERM);
    worker_says(&a, "drains");
    worker_go_on(&a);
    expect_eq(outcome_of(c.m, &runs), 0);
    expect_eq(worker_reap(&a), 0);
    worker_start(&b, "holds", NULL);
    expect(has(worker_says(&b, "holds"), waits.job.id));
    worker_go_on(&b);
    expect_eq(outcome_of(c.m, &waits), 0);
    worker_stop(&b);
    client_close(&c);
}

TEST(a_loop_serves_and_is_told_of_a_cancel)
{
    client c;
    worker w;
    errand e = ERRAND, held = ERRAND, stops = ERRAND;
    client_open(&c, NULL);
    worker_start(&w, "loop", NULL);
    expect_eq(ask(c.farm, &e, c.m, "echo", "abc"), 0);
    expect(!memcmp(e.result, "abc", 3));
    submit(c.farm, &stops, c.m, "stops", "x");
    worker_says(&w, "stops");
    expect_eq(weir_remote_cancel(&stops.job), 0);
    worker_says(&w, "stopped");
    submit(c.farm, &held, c.m, "holds", "y");
    worker_says(&w, "holds");
    worker_kill(&w, SIGTERM); /* it drains: what it holds is answered */
    worker_go_on(&w);
    expect_eq(outcome_of(c.m, &held), 0);
    expect_eq(worker_reap(&w), 0);
    client_close(&c);
}

/* Three heartbeats pass, by the timeout of a job that nobody serves. */
TEST(a_loop_that_stands_still_misses_no_heartbeat)
{
    client           c;
    worker           w;
    errand           e = ERRAND, clock = ERRAND, after = ERRAND;
    weir_job_options how;
    client_open(&c, NULL);
    worker_start(&w, "loop", NULL);
    submit(c.farm, &e, c.m, "slow", "x");
    worker_says(&w, "hogs");
    how = to(c.m);
    how.timeout_ns = SECONDS(3);
    expect_eq(weir_remote_run(c.farm, &clock.job, "silent", "", 0, &how), 0);
    expect_eq(outcome_of(c.m, &clock), WEIR_ETIMEDOUT);
    worker_go_on(&w);
    expect_eq(outcome_of(c.m, &e), 0);
    expect_eq(ask(c.farm, &after, c.m, "echo", "x"), 0);
    expect_eq(stats(c.farm).duplicates, 0); /* it did not come to the loop again */
    worker_stop(&w);
    client_close(&c);
}

static void in_child(void *arg)
{
    client          *c = arg;
    errand           e = ERRAND;
    weir_job_options how = to(c->m);
    expect_eq(weir_remote_run(c->farm, &e.job, "echo", "", 0, &how), WEIR_EFORKED);
}

TEST(a_client_that_forks_goes_on_and_its_child_is_refused)
{
    client c;
    worker w;
    errand e = ERRAND, f = ERRAND;
    client_open(&c, NULL);
    worker_start(&w, "echo", NULL);
    expect_eq(ask(c.farm, &e, c.m, "echo", "x"), 0);
    child_reap(child_start(in_child, &c));
    expect_eq(ask(c.farm, &f, c.m, "echo", "x"), 0);
    worker_stop(&w);
    client_close(&c);
}

SUITE(served, a_job_comes_back_from_another_process, the_first_job_does_not_wait_for_a_heartbeat,
      a_job_waits_in_its_queue_for_a_worker,
      a_name_without_a_queue_comes_back_as_an_error_that_names_it,
      what_a_remote_handler_raises_comes_back, many_jobs_come_back_each_with_its_own_bytes,
      sixteen_megabytes_go_there_and_back, a_retry_goes_to_the_server_and_counts,
      a_full_queue_refuses, a_job_that_nobody_starts_expires_and_is_not_started_later,
      a_job_that_was_started_in_time_does_not_expire,
      a_timeout_settles_and_the_handler_is_asked_to_stop,
      a_job_that_is_cancelled_in_its_queue_settles_at_once,
      a_client_that_drains_waits_for_its_answers,
      a_client_that_closes_by_cancel_has_its_worker_asked_to_stop,
      users_with_the_least_permissions_run_and_cancel_jobs,
      serve_warns_of_a_run_within_longer_than_the_server_waits,
      a_pool_with_a_queue_limit_does_not_serve_a_server,
      a_worker_that_is_told_to_end_finishes_what_it_has,
      a_worker_that_is_told_to_end_begins_nothing_more, a_loop_serves_and_is_told_of_a_cancel,
      a_loop_that_stands_still_misses_no_heartbeat,
      a_client_that_forks_goes_on_and_its_child_is_refused)
