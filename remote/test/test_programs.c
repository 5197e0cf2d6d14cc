/* SPDX-License-Identifier: ISC
 *
 * weir-remote-setup, -stat and -dead, as a person runs them.
 */
#include "farm.h"
#include "server.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

/* Its output, cut at 8 KiB, and its exit code; `text` has URL for the server's. */
static int shell(char out[8192], const char *text)
{
    char command[1024];
    setenv("URL", server_url(), 1);
    snprintf(command, sizeof command, "PATH=%s:$PATH; %s 2>&1", PROGRAMS, text);
    test_stage(text);
    FILE  *pipe = popen(command, "re");
    size_t n = fread(out, 1, 8191, pipe);
    out[n] = 0;
    int status = pclose(pipe);
    test_stage(NULL);
    return WEXITSTATUS(status);
}

static void says(int code, const char *part, const char *command)
{
    char out[8192];
    int  got = shell(out, command);
    if (got != code || !has(out, part)) {
        fprintf(stderr, "%s: %d\n%s\n", command, got, out);
        failed(__FILE__, __LINE__, part, got, code);
    }
}

TEST(setup_declares_and_says_so_again)
{
    says(0, "set_policy", "weir-remote-setup $URL echo");
    says(0, "\"max-length\": 7,", "weir-remote-setup -n 7 $URL echo raises");
    says(1, "a name is", "weir-remote-setup $URL 'no name'");
    says(2, "usage", "weir-remote-setup $URL");
    says(2, "usage", "weir-remote-setup -n x $URL echo");
    for (const char *const *p = (const char *const[]){"setup", "stat", "dead", NULL}; *p; p++) {
        char command[60];
        snprintf(command, sizeof command, "weir-remote-%s --help 2>/dev/null", *p);
        says(0, "usage: weir-remote-", command);
    }
    says(1, "no server", "weir-remote-setup local: echo");
    says(1, "weir_remote_declare", "weir-remote-setup amqp://127.0.0.1:1 echo");
}

TEST(setup_tells_of_a_queue_that_is_there_in_another_form)
{
    client c;
    char   command[200], out[8192];
    client_open(&c, NULL); /* its reply queue is classic */
    errand e = ERRAND;
    ask(c.farm, &e, c.m, "nobody", "x");
    snprintf(command, sizeof command, "weir-remote-setup $URL reply.%s",
             c.farm->reply_queue + strlen("weir.reply."));
    expect_eq(shell(out, command), 1);
    expect(has(out, "PRECONDITION_FAILED") && has(out, server_url()));
    client_close(&c);
}

TEST(stat_counts_what_waits_and_who_works)
{
    worker w;
    client c;
    errand e = ERRAND, held = ERRAND;
    client_open(&c, NULL);
    worker_start(&w, "holds", NULL);
    submit(c.farm, &held, c.m, "holds", "x");
    worker_says(&w, "holds");
    submit(c.farm, &e, c.m, "silent", "x");
    TURN_UNTIL(c, stats(c.farm).confirmed == 2);
    says(0, "weir.holds                                       0         1",
         "weir-remote-stat $URL holds silent");
    says(0, "weir.silent                                      1         0",
         "weir-remote-stat $URL holds silent");
    says(1, "missing", "weir-remote-stat $URL never.declared");
    says(2, "usage", "weir-remote-stat $URL 'no name'");
    worker_go_on(&w);
    expect_eq(outcome_of(c.m, &held), 0);
    worker_stop(&w);
    worker_start(&w, "silent", NULL);
    expect_eq(outcome_of(c.m, &e), WEIR_REMOTE_ERAISED);
    worker_stop(&w);
    client_close(&c);
}

static void poison(client *c, errand *e)
{
    worker w;
    *e = (errand)ERRAND;
    submit(c->farm, e, c->m, "poison", "bytes");
    for (int i = 0; i < 3; i++) {
        worker_start(&w, "poison", NULL);
        worker_says(&w, "poison");
        worker_reap(&w);
    }
    worker_start(&w, "echo", NULL);
    expect_eq(outcome_of(c->m, e), WEIR_REMOTE_ELOST);
    worker_stop(&w); /* what it has taken of the dead is kept by then */
}

static void with_http(char out[1024], const char *before, const char *after)
{
    char  address[100] = "";
    FILE *file = fopen(server_file("http"), "re");
    expect(file && fgets(address, sizeof address, file));
    fclose(file);
    address[strcspn(address, "\n")] = 0;
    snprintf(out, 1024, "%s -m %s %s", before, address, after);
}

/* One policy for all queues of jobs, so it holds for those of other tests too, as before. */
TEST(setup_sets_and_checks_the_policy_and_stat_tells_rates)
{
    char command[1024];
    server_do("manage", NULL);
    with_http(command, "weir-remote-setup", "amqp://setup:s@${URL#amqp://} echo raises");
    says(0, "the policy", command);
    says(0, "the policy was there", command);
    with_http(command, "weir-remote-setup", "$URL echo small"); /* small has one of its own */
    says(1, "queue weir.small has another policy: small", command);
    with_http(command, "weir-remote-stat", "amqp://stat:t@${URL#amqp://} echo");
    says(0, "out/s", command);
    with_http(command, "weir-remote-setup", "amqp://setup:s@${URL#amqp://} echo raises");
    says(0, "the policy was there", command); /* who may is in the guide's table */
    with_http(command, "weir-remote-setup", "amqp://client:c@${URL#amqp://} echo");
    says(1, "", command); /* who may not declare may not set */
    says(1, "127.0.0.1:1", "weir-remote-setup -m http://127.0.0.1:1 $URL echo");
    says(1, "file:", "weir-remote-setup -m file:///etc $URL echo");
}

TEST(dead_lists_shows_requeues_and_drops)
{
    client c;
    worker w;
    errand e;
    char   command[200], out[8192];
    says(0, "", "weir-remote-dead drop $URL all");
    client_open(&c, NULL);
    poison(&c, &e);
    expect_eq(shell(out, "weir-remote-dead list $URL"), 0);
    expect(has(out, e.job.id) && has(out, "weir.poison delivery_limit"));
    snprintf(command, sizeof command, "weir-remote-dead show $URL %s", e.job.id);
    says(0, "bytes", command);
    says(1, "0 of 1", "weir-remote-dead drop $URL no-such-id");
    says(1, "no-such-id is none of its 1 dead", "weir-remote-dead show $URL no-such-id");
    snprintf(command, sizeof command, "weir-remote-dead requeue amqp://dead:d@${URL#amqp://} %s",
             e.job.id);
    says(0, "1 of 1", command);
    worker_start(&w, "poison", NULL);
    expect(has(worker_says(&w, "poison"), e.job.id)); /* it runs again, and kills again */
    worker_reap(&w);
    for (int i = 0; i < 2; i++) {
        worker_start(&w, "poison", NULL);
        worker_says(&w, "poison");
        worker_reap(&w);
    }
    worker_start(&w, "echo", NULL);
    TURN_UNTIL(c, shell(out, "weir-remote-dead list $URL") == 0 && has(out, e.job.id));
    worker_stop(&w);
    says(0, "1 of 1", "weir-remote-dead drop $URL all");
    says(0, "0 of 0", "weir-remote-dead drop $URL all");
    says(2, "usage", "weir-remote-dead show $URL");
    says(2, "usage", "weir-remote-dead show $URL a b");
    client_close(&c);
}

SUITE(programs, setup_declares_and_says_so_again,
      setup_tells_of_a_queue_that_is_there_in_another_form, stat_counts_what_waits_and_who_works,
      setup_sets_and_checks_the_policy_and_stat_tells_rates, dead_lists_shows_requeues_and_drops)
