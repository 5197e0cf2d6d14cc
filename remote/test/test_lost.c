/* SPDX-License-Identifier: ISC
 *
 * The failure table: workers, servers and clients that are lost.
 */
#include "farm.h"
#include "options.h"
#include "proxy.h"
#include "wire.h"

#include <amqp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static int attempt_of(const char *line) { return atoi(strrchr(line, ' ')); }

/* ---- workers ------------------------------------------------------------------------------- */

TEST(a_job_whose_worker_is_killed_runs_at_another)
{
    client c;
    worker a, b;
    errand e = ERRAND;
    client_open(&c, NULL);
    worker_start(&a, "dies_once", NULL);
    submit(c.farm, &e, c.m, "dies_once", "x");
    worker_says(&a, "dies_once");
    expect(WIFSIGNALED(worker_reap(&a)));
    worker_start(&b, "dies_once", NULL);
    expect_eq(outcome_of(c.m, &e), 0);
    expect_eq(attempt_of(worker_says(&b, "dies_once")), 2);
    worker_stop(&b);
    client_close(&c);
}

/* Workers that serve these names take the job "poison" one after the other, and die of it. */
static void kill_three(const char *names)
{
    worker w;
    for (int i = 1; i <= 3; i++) {
        worker_start(&w, names, NULL);
        expect_eq(attempt_of(worker_says(&w, "poison")), i);
        expect(WIFSIGNALED(worker_reap(&w)));
    }
}

/* The others are prefetched beside it, and go back to their queue with each worker. */
TEST(a_job_that_kills_every_worker_takes_no_other_along)
{
    enum { OTHERS = 50 };
    static errand others[OTHERS];
    client        c;
    worker        w;
    errand        poison = ERRAND;
    client_open(&c, NULL);
    submit(c.farm, &poison, c.m, "poison", "x");
    for (int i = 0; i < OTHERS; i++) {
        others[i] = (errand)ERRAND;
        submit(c.farm, &others[i], c.m, "echo", "x");
    }
    kill_three("echo,poison");
    worker_start(&w, "echo,poison", NULL);
    expect_eq(outcome_of(c.m, &poison), WEIR_REMOTE_ELOST);
    for (int i = 0; i < OTHERS; i++)
        expect_eq(outcome_of(c.m, &others[i]), 0);
    worker_stop(&w);
    client_close(&c);
}

/* The policy of the tests' server lets it be delivered three times. */
TEST(a_job_that_kills_every_worker_is_lost_and_kept)
{
    client c;
    worker w;
    errand e = ERRAND;
    client_open(&c, NULL);
    submit(c.farm, &e, c.m, "poison", "x");
    kill_three("poison");
    worker_start(&w, "echo", NULL); /* any worker program answers for the dead */
    expect_eq(outcome_of(c.m, &e), WEIR_REMOTE_ELOST);
    expect(has(e.text, "poison") && has(e.text, server_url()) &&
           has(e.text, "its worker was lost"));
    worker_stop(&w);
    client_close(&c);
}

/* No worker was lost: the sentence names what else there is. */
TEST(a_job_that_is_given_back_too_often_is_lost)
{
    client c;
    worker w;
    errand e = ERRAND;
    client_open(&c, NULL);
    worker_start(&w, "poison.back", NULL);
    expect_eq(ask(c.farm, &e, c.m, "poison.back", "x"), WEIR_REMOTE_ELOST);
    expect(has(e.text, "as often as its queue allows") && has(e.text, "gave it back"));
    worker_stop(&w);
    client_close(&c);
}

TEST(a_handler_that_hangs_is_given_up_and_the_job_runs_again)
{
    client c;
    worker w;
    errand e = ERRAND;
    client_open(&c, NULL);
    worker_start(&w, "hangs", NULL);
    submit(c.farm, &e, c.m, "hangs", "x");
    expect_eq(attempt_of(worker_says(&w, "hangs")), 1);
    expect_eq(attempt_of(worker_says(&w, "hangs")), 2);
    expect_eq(outcome_of(c.m, &e), 0);
    worker_go_on(&w); /* the thread that was given up; its answer is dropped */
    worker_stop(&w);
    client_close(&c);
    expect_eq(e.dones, 1);
}

TEST(a_worker_that_stands_still_loses_its_job_to_another)
{
    client c;
    worker a, b;
    errand e = ERRAND;
    client_open(&c, NULL);
    worker_start(&a, "holds", NULL);
    submit(c.farm, &e, c.m, "holds", "x");
    expect_eq(attempt_of(worker_says(&a, "holds")), 1);
    worker_kill(&a, SIGSTOP);
    worker_start(&b, "holds", NULL); /* has it after about two heartbeats */
    expect_eq(attempt_of(worker_says(&b, "holds")), 2);
    worker_go_on(&b);
    expect_eq(outcome_of(c.m, &e), 0);
    worker_kill(&a, SIGCONT); /* its late answer finds nobody */
    worker_go_on(&a);
    TURN_UNTIL(c, stats(c.farm).duplicates >= 1);
    worker_stop(&a);
    worker_stop(&b);
    client_close(&c);
    expect_eq(e.dones, 1);
}

TEST(a_worker_killed_after_its_reply_makes_the_job_run_twice_and_one_answer_count)
{
    client c;
    worker a, b;
    proxy  p;
    errand e = ERRAND;
    client_open(&c, NULL);
    proxy_start(&p);
    worker_start(&a, "holds", p.url);
    submit(c.farm, &e, c.m, "holds", "x");
    worker_says(&a, "holds");
    proxy_freeze(&p, "worker"); /* the connection that acknowledges; not that of replies */
    worker_go_on(&a);
    expect_eq(outcome_of(c.m, &e), 0);
    worker_kill(&a, SIGKILL);
    expect(WIFSIGNALED(worker_reap(&a)));
    proxy_hang_up(&p);
    worker_start(&b, "holds", NULL);
    expect_eq(attempt_of(worker_says(&b, "holds")), 2);
    worker_go_on(&b);
    TURN_UNTIL(c, stats(c.farm).duplicates >= 1);
    worker_stop(&b);
    client_close(&c);
    proxy_end(&p);
    expect_eq(e.dones, 1);
}

TEST(a_worker_that_was_cut_off_connects_again)
{
    client c;
    worker w;
    proxy  p;
    errand e = ERRAND;
    client_open(&c, NULL);
    proxy_start(&p);
    worker_start(&w, "holds", p.url);
    submit(c.farm, &e, c.m, "holds", "x");
    expect_eq(attempt_of(worker_says(&w, "holds")), 1);
    proxy_hang_up(&p);
    worker_go_on(&w); /* the answer of the first run; twice if its confirm was cut off */
    worker_go_on(&w); /* that of the second */
    expect_eq(attempt_of(worker_says(&w, "holds")), 2);
    expect_eq(outcome_of(c.m, &e), 0);
    TURN_UNTIL(c, stats(c.farm).duplicates >= 1);
    worker_stop(&w);
    client_close(&c);
    proxy_end(&p);
}

/* No byte passes and nobody hangs up: the server gives the job to another worker when it misses
 * heartbeats, the worker connects again when it misses the server's. */
TEST(a_worker_in_silence_loses_its_job_and_connects_again)
{
    client c;
    worker a, b;
    proxy  p;
    errand e = ERRAND, after = ERRAND;
    client_open(&c, NULL);
    proxy_start(&p);
    worker_start(&a, "holds", p.url);
    submit(c.farm, &e, c.m, "holds", "x");
    expect_eq(attempt_of(worker_says(&a, "holds")), 1);
    proxy_freeze(&p, "*");
    worker_start(&b, "holds", NULL);
    expect_eq(attempt_of(worker_says(&b, "holds")), 2);
    worker_go_on(&b);
    expect_eq(outcome_of(c.m, &e), 0);
    worker_stop(&b);
    proxy_freeze(&p, "");
    submit(c.farm, &after, c.m, "holds", "y"); /* a alone is left */
    worker_go_on(&a);                          /* the late answer finds nobody */
    worker_says(&a, "holds");
    worker_go_on(&a);
    expect_eq(outcome_of(c.m, &after), 0);
    worker_stop(&a);
    client_close(&c);
    proxy_end(&p);
    expect_eq(e.dones, 1);
}

static bool is_confirmed(client *c, errand *e)
{
    pthread_mutex_lock(&c->farm->lock);
    bool confirmed = ((wr_flight *)e->job.weir.of)->state == WR_CONFIRMED;
    pthread_mutex_unlock(&c->farm->lock);
    return confirmed;
}

static void until_confirmed(client *c, errand *e) { TURN_UNTIL(*c, is_confirmed(c, e)); }

/* ---- clients ------------------------------------------------------------------------------- */

/* A client that goes by the proxy, and a worker that does not. life: of the reply queue. */
static void open_by_proxy(client *c, proxy *p, worker *w, const char *names, int64_t life)
{
    weir_remote_options o = server_options();
    proxy_start(p);
    o.url = p->url;
    o.reply_life_ns = life;
    client_open(c, &o);
    worker_start(w, names, NULL);
}

/* Nobody can know whether the server has it, so it is published again, under the same id. */
TEST(a_job_that_was_not_confirmed_is_published_again)
{
    client c;
    worker w;
    proxy  p;
    errand first = ERRAND, e = ERRAND;
    open_by_proxy(&c, &p, &w, "echo", 0);
    expect_eq(ask(c.farm, &first, c.m, "echo", "x"), 0);
    proxy_freeze(&p, "client");
    submit(c.farm, &e, c.m, "echo", "y");
    TURN_UNTIL(c, stats(c.farm).published == 2);
    proxy_hang_up(&p);
    TURN_UNTIL(c, !stats(c.farm).connected);
    proxy_freeze(&p, "");
    expect_eq(outcome_of(c.m, &e), 0);
    expect_eq(stats(c.farm).republished, 1);
    expect_eq(e.dones, 1);
    worker_stop(&w);
    client_close(&c);
    proxy_end(&p);
}

TEST(a_client_that_was_cut_off_gets_its_answers_later)
{
    client c;
    worker w;
    proxy  p;
    errand e = ERRAND;
    open_by_proxy(&c, &p, &w, "holds", 0);
    submit(c.farm, &e, c.m, "holds", "x");
    worker_says(&w, "holds");
    until_confirmed(&c, &e); /* else it would be published again */
    proxy_freeze(&p, "*");
    proxy_hang_up(&p);
    TURN_UNTIL(c, !stats(c.farm).connected);
    worker_go_on(&w);
    worker_stop(&w); /* so the reply waits in the queue */
    proxy_freeze(&p, "");
    expect_eq(outcome_of(c.m, &e), 0);
    expect_eq(stats(c.farm).republished, 0);
    client_close(&c);
    proxy_end(&p);
}

TEST(a_client_in_silence_connects_again)
{
    client c;
    worker w;
    proxy  p;
    errand first = ERRAND, e = ERRAND;
    open_by_proxy(&c, &p, &w, "echo", 0);
    expect_eq(ask(c.farm, &first, c.m, "echo", "x"), 0);
    proxy_freeze(&p, "client");
    submit(c.farm, &e, c.m, "echo", "y");
    TURN_UNTIL(c, !stats(c.farm).connected); /* nobody hangs up */
    proxy_freeze(&p, "");
    expect_eq(outcome_of(c.m, &e), 0);
    expect_eq(e.dones, 1);
    worker_stop(&w);
    client_close(&c);
    proxy_end(&p);
}

static void until_gone(const char *queue)
{
    char                why[300];
    wr_wire            *wire;
    wr_url              url = {0};
    bool                there = true;
    weir_remote_options o = server_options(), read = {0};
    expect_eq(wr_options_read(&read, &url, &o), 0);
    expect_eq(wr_wire_open(&wire, &url, &read, "test", why, sizeof why), 0);
    test_stage("a queue expires");
    while (there) { /* each look renews it, so the next one comes after its life */
        poll(NULL, 0, 200);
        expect_eq(wr_wire_exists(wire, queue, &there), 0);
    }
    wr_wire_close(wire, true);
    wr_options_clear(&read);
    wr_url_clear(&url);
}

TEST(a_client_away_for_longer_than_its_reply_queue_has_lost_its_jobs)
{
    client c;
    worker w;
    proxy  p;
    errand e = ERRAND, after = ERRAND;
    open_by_proxy(&c, &p, &w, "holds", MILLIS(50));
    submit(c.farm, &e, c.m, "holds", "x");
    worker_says(&w, "holds");
    until_confirmed(&c, &e); /* else it would be published again */
    proxy_freeze(&p, "*");
    proxy_hang_up(&p);
    TURN_UNTIL(c, !stats(c.farm).connected);
    until_gone(c.farm->reply_queue);
    proxy_freeze(&p, "");
    expect_eq(outcome_of(c.m, &e), WEIR_REMOTE_ELOST);
    expect(has(e.text, "reply queue"));
    worker_go_on(&w);
    submit(c.farm, &after, c.m, "holds", "y");
    worker_go_on(&w);
    expect_eq(outcome_of(c.m, &after), 0);
    worker_stop(&w);
    client_close(&c);
    proxy_end(&p);
}

static void delete_queue(const char *name)
{
    amqp_connection_state_t c = server_connection();
    expect(amqp_queue_delete(c, 1, amqp_cstring_bytes(name), 0, 0) != NULL);
    amqp_destroy_connection(c);
}

/* As after a server that was killed before it had written down that it has the queue. */
TEST(jobs_are_published_again_if_the_server_loses_the_reply_queue)
{
    client c;
    worker w;
    errand e = ERRAND;
    client_open(&c, NULL);
    worker_start(&w, "holds", NULL);
    submit(c.farm, &e, c.m, "holds", "x");
    worker_says(&w, "holds");
    until_confirmed(&c, &e);
    delete_queue(c.farm->reply_queue);
    TURN_UNTIL(c, stats(c.farm).republished == 1);
    worker_go_on(&w);
    worker_says(&w, "holds"); /* it has the second copy too, before it stops */
    worker_go_on(&w);
    expect_eq(outcome_of(c.m, &e), 0);
    worker_stop(&w);
    client_close(&c);
    expect_eq(e.dones, 1);
}

static void runs_and_dies(void *arg)
{
    client              c;
    errand              e = ERRAND;
    weir_remote_options o = server_options();
    o.reply_life_ns = MILLIS(1);
    client_open(&c, &o);
    weir_job_options how = to(c.m);
    how.only_if_wanted = arg != NULL;
    expect_eq(weir_remote_run(c.farm, &e.job, "holds", "x", 1, &how), 0);
    until_confirmed(&c, &e);
    if (arg)
        memcpy(arg, c.farm->reply_queue, sizeof c.farm->reply_queue);
    _exit(0);
}

/* The clock is the timeout of a job that nobody serves. */
TEST(a_cancelled_job_does_not_run_once_its_timeout_has_passed)
{
    client           c;
    worker           w;
    errand           e = ERRAND, clock = ERRAND, after = ERRAND;
    weir_job_options how;
    client_open(&c, NULL);
    how = to(c.m);
    how.timeout_ns = MILLIS(200);
    expect_eq(weir_remote_run(c.farm, &e.job, "holds", "x", 1, &how), 0);
    TURN_UNTIL(c, stats(c.farm).confirmed == 1);
    expect_eq(weir_remote_cancel(&e.job), 0);
    expect_eq(outcome_of(c.m, &e), WEIR_ECANCELED);
    how.timeout_ns = MILLIS(300);
    expect_eq(weir_remote_run(c.farm, &clock.job, "silent", "", 0, &how), 0);
    expect_eq(outcome_of(c.m, &clock), WEIR_ETIMEDOUT);
    submit(c.farm, &after, c.m, "holds", "y");
    worker_start(&w, "holds", NULL);
    expect(has(worker_says(&w, "holds"), after.job.id));
    worker_go_on(&w);
    expect_eq(outcome_of(c.m, &after), 0);
    worker_stop(&w);
    client_close(&c);
}

TEST(a_job_of_a_client_that_died_runs_all_the_same)
{
    client c;
    worker w;
    errand e = ERRAND;
    child_reap(child_start(runs_and_dies, NULL));
    client_open(&c, NULL);
    worker_start(&w, "holds", NULL);
    worker_says(&w, "holds"); /* nobody waits for it */
    worker_go_on(&w);
    worker_go_on(&w);
    expect_eq(ask(c.farm, &e, c.m, "holds", "y"), 0);
    worker_stop(&w);
    client_close(&c);
}

/* What the child writes into, because its reply queue must be gone before the worker comes. */
TEST(a_job_that_is_only_for_a_client_that_died_does_not_run)
{
    client c;
    worker w;
    errand e = ERRAND;
    char  *queue = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    child_reap(child_start(runs_and_dies, queue));
    until_gone(queue);
    munmap(queue, 4096);
    client_open(&c, NULL);
    worker_start(&w, "holds", NULL);
    worker_go_on(&w);
    expect_eq(ask(c.farm, &e, c.m, "holds", "y"), 0);
    expect(has(worker_says(&w, "holds"), e.job.id)); /* the first and only one */
    worker_stop(&w);
    client_close(&c);
}

SUITE(lost, a_job_whose_worker_is_killed_runs_at_another,
      a_job_that_kills_every_worker_takes_no_other_along,
      a_job_that_kills_every_worker_is_lost_and_kept, a_job_that_is_given_back_too_often_is_lost,
      a_handler_that_hangs_is_given_up_and_the_job_runs_again,
      a_worker_that_stands_still_loses_its_job_to_another,
      a_worker_killed_after_its_reply_makes_the_job_run_twice_and_one_answer_count,
      a_worker_that_was_cut_off_connects_again,
      a_worker_in_silence_loses_its_job_and_connects_again, a_client_in_silence_connects_again,
      a_job_that_was_not_confirmed_is_published_again,
      a_client_that_was_cut_off_gets_its_answers_later,
      a_client_away_for_longer_than_its_reply_queue_has_lost_its_jobs,
      jobs_are_published_again_if_the_server_loses_the_reply_queue,
      a_cancelled_job_does_not_run_once_its_timeout_has_passed,
      a_job_of_a_client_that_died_runs_all_the_same,
      a_job_that_is_only_for_a_client_that_died_does_not_run)
