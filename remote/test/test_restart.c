/* SPDX-License-Identifier: ISC
 *
 * The server is killed and started again, or short of memory, while jobs are under way.
 */
#include "proxy.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { JOBS = 200 };

static void check_all(client *c, errand *e, int n)
{
    for (int i = 0; i < n; i++) {
        expect_eq(outcome_of(c->m, &e[i]), 0);
        expect_eq(atoi(e[i].result), i);
    }
}

static void run_numbered(client *c, errand *e, const char *name, int from, int to_)
{
    for (int i = from; i < to_; i++) {
        char text[16];
        e[i] = (errand)ERRAND;
        snprintf(text, sizeof text, "%d", i);
        submit(c->farm, &e[i], c->m, name, text);
    }
}

/* Some are answered, some confirmed, some on their way, some come while it is down. */
TEST(jobs_survive_a_server_that_is_killed_and_started_again)
{
    static errand e[2 * JOBS];
    client        c;
    worker        w[2];
    client_open(&c, NULL);
    for (int i = 0; i < 2; i++)
        worker_start(&w[i], "slow", NULL);
    run_numbered(&c, e, "slow", 0, JOBS);
    outcome_of(c.m, &e[JOBS / 4]);
    server_do("kill", NULL);
    run_numbered(&c, e, "slow", JOBS, 2 * JOBS);
    server_do("start", NULL);
    check_all(&c, e, 2 * JOBS);
    for (int i = 0; i < 2 * JOBS; i++)
        expect_eq(e[i].dones, 1);
    for (int i = 0; i < 2; i++)
        worker_stop(&w[i]);
    client_close(&c);
}

/* No worker is there, so nothing can settle them but the queue's memory. Beside a busy machine the
 * server may be silent for two heartbeats before it confirms; then they are published again. */
TEST(confirmed_jobs_wait_in_a_server_that_was_killed)
{
    static errand e[JOBS];
    client        c;
    worker        w;
    client_open(&c, NULL);
    run_numbered(&c, e, "echo", 0, JOBS);
    TURN_UNTIL(c, stats(c.farm).confirmed == JOBS);
    uint64_t before = stats(c.farm).republished;
    server_do("kill", NULL);
    server_do("start", NULL);
    worker_start(&w, "echo", NULL);
    check_all(&c, e, JOBS);
    expect_eq(stats(c.farm).republished, before);
    worker_stop(&w);
    client_close(&c);
}

static void keeps_event(void *arg, int code, const char *sentence)
{
    if (code == WEIR_EFULL && has(sentence, "memory or disk is short"))
        gate_open(arg);
}

/* While the server takes nothing that is published: the loop turns, what was taken is
 * answered by its timeout, and the limit of the client bounds what waits. */
static void an_alarm(const char *of)
{
    client              c;
    worker              w;
    gate                told = GATE;
    errand              before = ERRAND, held = ERRAND, timed = ERRAND, refused = ERRAND;
    weir_remote_options o = server_options();
    o.queue_limit = 2;
    o.on_event = keeps_event;
    o.arg = &told;
    client_open(&c, &o);
    worker_start(&w, "echo,holds", NULL);
    expect_eq(ask(c.farm, &before, c.m, "echo", "x"), 0);
    submit(c.farm, &held, c.m, "holds", "x");
    worker_says(&w, "holds");
    server_alarm("on", of);
    worker_go_on(&w); /* its reply cannot be published */
    weir_job_options how = to(c.m);
    how.timeout_ns = MILLIS(100);
    expect_eq(weir_remote_run(c.farm, &timed.job, "echo", "x", 1, &how), 0);
    expect_eq(weir_remote_run(c.farm, &refused.job, "echo", "x", 1, &how), WEIR_EFULL);
    expect_eq(outcome_of(c.m, &timed), WEIR_ETIMEDOUT);
    expect_eq(held.dones, 0);
    gate_wait(&told);
    server_alarm("off", of);
    expect_eq(outcome_of(c.m, &held), 0);
    worker_stop(&w);
    client_close(&c);
}

TEST(a_server_short_of_memory_stops_neither_the_loop_nor_the_timeouts) { an_alarm("memory"); }
TEST(nor_does_a_server_short_of_disk) { an_alarm("disk"); }

/* Acknowledgements have a connection of their own, and it does not publish. */
TEST(a_job_is_given_back_while_the_server_is_short_of_memory)
{
    client      c;
    worker      w;
    errand      e = ERRAND;
    const char *line;
    client_open(&c, NULL);
    worker_start(&w, "gives_back", NULL);
    submit(c.farm, &e, c.m, "gives_back", "x");
    worker_says(&w, "gives_back");
    server_alarm("on", "memory");
    worker_go_on(&w);
    line = worker_says(&w, "gives_back");
    expect_eq(atoi(strrchr(line, ' ')), 2);
    expect_eq(e.dones, 0);
    server_alarm("off", "memory");
    worker_go_on(&w);
    expect_eq(outcome_of(c.m, &e), 0);
    worker_stop(&w);
    client_close(&c);
}

/* ---- no server ------------------------------------------------------------------------- */

static char told_sentence[512];
static gate told_gate = GATE;

static void on_event(void *arg, int code, const char *sentence)
{
    (void)arg;
    if (code && !tally_get(&told_gate)) {
        snprintf(told_sentence, sizeof told_sentence, "%s", sentence);
        gate_open(&told_gate);
    }
}

TEST(without_a_server_a_job_waits_until_its_timeout_or_give_up)
{
    client              c;
    errand              e = ERRAND, t = ERRAND;
    weir_remote_options o = server_options();
    o.url = "amqp://guest:secret@127.0.0.1:1";
    o.give_up_ns = MILLIS(100);
    o.on_event = on_event;
    gate_shut(&told_gate);
    client_open(&c, &o);
    weir_job_options how = to(c.m);
    how.timeout_ns = MILLIS(10);
    expect_eq(weir_remote_run(c.farm, &t.job, "echo", "x", 1, &how), 0);
    submit(c.farm, &e, c.m, "echo", "x");
    expect_eq(outcome_of(c.m, &t), WEIR_ETIMEDOUT);
    expect_eq(outcome_of(c.m, &e), WEIR_REMOTE_ELOST);
    expect(has(e.text, "give_up") && has(e.text, "echo") && !has(e.text, "secret"));
    gate_wait(&told_gate);
    expect(has(told_sentence, "nobody listens"));
    client_close(&c);
}

TEST(a_wrong_password_is_told_and_never_shown)
{
    client              c;
    errand              e = ERRAND, late = ERRAND;
    char                url[100];
    weir_job_options    how = {.size = sizeof how, .timeout_ns = MILLIS(1)};
    weir_remote_options o = server_options();
    snprintf(url, sizeof url, "amqp://guest:secret@%s", server_url() + 7);
    o.url = url;
    o.on_event = on_event;
    gate_shut(&told_gate);
    client_open(&c, &o);
    submit(c.farm, &e, c.m, "echo", "x");
    gate_wait(&told_gate);
    expect(has(told_sentence, "no connection") && !has(told_sentence, "secret"));
    how.deliver_to = c.m;
    expect_eq(weir_remote_run(c.farm, &late.job, "echo", "x", 1, &how), 0);
    expect_eq(outcome_of(c.m, &late), WEIR_ETIMEDOUT);
    expect(has(late.text, "timeout; no connection: ") && !has(late.text, "secret"));
    expect_eq(weir_remote_cancel(&e.job), 0);
    expect_eq(outcome_of(c.m, &e), WEIR_ECANCELED);
    client_close(&c);
}

static struct {
    tally lines, of_replies;
} heard = {GATE, GATE};

static void counts(void *arg, int code, const char *sentence)
{
    (void)arg;
    expect_eq(code, WEIR_REMOTE_ELOST);
    expect(has(sentence, "worker") && has(sentence, "nobody listens"));
    if (has(sentence, "worker (replies)"))
        tally_add(&heard.of_replies, 1);
    tally_add(&heard.lines, 1);
}

TEST(what_both_connections_of_a_worker_say_is_told_by_one)
{
    enum { ATTEMPTS = 20 };
    weir_remote        *farm;
    weir_pool          *pool;
    weir_pool_options   one = pool_of(1);
    weir_handler        h = {"echo", echo, 0};
    weir_remote_options o = server_options();
    o.url = "amqp://127.0.0.1:1";
    o.reconnect_min_ns = o.reconnect_max_ns = MILLIS(1);
    o.on_event = counts;
    expect_eq(weir_pool_open(&pool, &one), 0);
    expect_eq(weir_remote_open(&farm, &o), 0);
    expect_eq(weir_remote_serve(farm, pool, &h, 1), 0);
    tally_wait(&heard.lines, ATTEMPTS);
    expect_eq(weir_remote_close(farm, WEIR_REMOTE_DRAIN, NULL, -1), 0);
    pool_end(pool);
    long replies = tally_get(&heard.of_replies);
    expect(replies == 0 || replies == tally_get(&heard.lines));
}

SUITE(restart, jobs_survive_a_server_that_is_killed_and_started_again,
      confirmed_jobs_wait_in_a_server_that_was_killed,
      a_server_short_of_memory_stops_neither_the_loop_nor_the_timeouts,
      nor_does_a_server_short_of_disk, a_job_is_given_back_while_the_server_is_short_of_memory,
      without_a_server_a_job_waits_until_its_timeout_or_give_up,
      a_wrong_password_is_told_and_never_shown,
      what_both_connections_of_a_worker_say_is_told_by_one)
