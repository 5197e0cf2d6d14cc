/* SPDX-License-Identifier: ISC
 *
 * Workers are killed all the time, the server now and then, while a client counts: every job
 * comes back once. WEIR_CHAOS is the number of jobs, WEIR_CHAOS_SERVER how often the server is
 * killed. It measures nothing that could fail, and prints what it saw.
 */
#include "server.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORKERS = 3, WINDOW = 64 };

static int number(const char *name, int otherwise)
{
    const char *text = getenv(name);
    return text ? atoi(text) : otherwise;
}

typedef struct {
    errand   e;
    unsigned number;
} chaos_job;

static struct {
    client    c;
    worker    w[WORKERS];
    chaos_job job[WINDOW];
    unsigned  jobs, next, back, kills, server_kills;
    char     *seen; /* how often each came back */
} run;

static void start_one(chaos_job *j);

static void came_back(weir_job *job)
{
    chaos_job *j = (chaos_job *)(void *)job;
    if (job->outcome)
        fprintf(stderr, "%s\n", job->error_text);
    expect_eq(job->outcome, 0);
    expect_eq((unsigned)strtoul((const char *)job->result, NULL, 10), j->number);
    run.seen[j->number]++;
    run.back++;
    start_one(j);
}

/* The number is sent with a zero, so that the result is a string. */
static void start_one(chaos_job *j)
{
    char             text[16];
    weir_job_options how = to(run.c.m);
    if (run.next == run.jobs)
        return;
    j->number = run.next++;
    j->e.job.done = came_back;
    snprintf(text, sizeof text, "%u", j->number);
    expect_eq(weir_remote_run(run.c.farm, &j->e.job, "slow", text, strlen(text) + 1, &how), 0);
}

static void kill_one(uint64_t *seed)
{
    worker *w = &run.w[rnd(seed) % WORKERS];
    worker_kill(w, SIGKILL);
    worker_reap(w);
    worker_start(w, "slow", NULL);
    run.kills++;
}

static void kill_server(void)
{
    server_do("kill", NULL);
    server_do("start", NULL);
    run.server_kills++;
}

static void count(void)
{
    uint64_t seed = test_seed();
    int64_t  next_kill = now_ns();
    unsigned server_kills = (unsigned)number("WEIR_CHAOS_SERVER", 0);
    while (run.back < run.jobs) {
        test_stage("jobs come back");
        weir_main_wait(run.c.m, MILLIS(20));
        if (now_ns() >= next_kill) {
            kill_one(&seed);
            next_kill = now_ns() + MILLIS(250);
        }
        if (run.server_kills < server_kills &&
            run.back > run.jobs / (server_kills + 1) * (run.server_kills + 1))
            kill_server();
    }
}

TEST(every_job_comes_back_once_while_workers_are_killed)
{
    int64_t             begin;
    weir_remote_options o = server_options();
    o.give_up_ns = o.reply_life_ns = SECONDS(600); /* a server may start slowly beside other work */
    run.jobs = (unsigned)number("WEIR_CHAOS", 1000);
    run.seen = real_zalloc(run.jobs);
    client_open(&run.c, &o);
    for (int i = 0; i < WORKERS; i++)
        worker_start(&run.w[i], "slow", NULL);
    begin = now_ns();
    for (int i = 0; i < WINDOW; i++)
        start_one(&run.job[i]);
    count();
    for (unsigned i = 0; i < run.jobs; i++)
        expect_eq(run.seen[i], 1);
    weir_remote_stats s = stats(run.c.farm);
    printf("%u jobs back once each in %.1f s, %u workers and %u servers killed, %llu duplicate "
           "answers, %llu published again\n",
           run.jobs, (double)(now_ns() - begin) / 1e9, run.kills, run.server_kills,
           (unsigned long long)s.duplicates, (unsigned long long)s.republished);
    for (int i = 0; i < WORKERS; i++)
        worker_stop(&run.w[i]);
    client_close(&run.c);
    free(run.seen);
}

SUITE(chaos, every_job_comes_back_once_while_workers_are_killed)
