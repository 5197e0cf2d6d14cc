/* SPDX-License-Identifier: ISC
 *
 * What a job on a farm of this process comes back with.
 */
#include "farm.h"
#include "rig.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const weir_handler all[] = {
    {"echo", echo, 0}, {"raises", raises, 0}, {"silent", silent, 0}, {"holds", holds, 0}};
#define ALL all, sizeof all / sizeof *all

SCENARIO(a_job_comes_back_with_the_handler_s_bytes)
{
    yard                y;
    errand              e = ERRAND;
    weir_remote_options o = options_of("local:");
    if (yard_open(&y, &o, ALL)) {
        weir_job_options how = to(y.m);
        how.content_type = "text/plain";
        if (given(weir_remote_run(y.farm, &e.job, "echo", "abc", 3, &how)) &&
            came(outcome_of(y.m, &e))) {
            expect_eq(e.size, 3);
            expect(!memcmp(e.result, "abc", 3));
            expect(!strcmp(e.type, "text/plain"));
            expect_eq(strlen(e.job.id), 36);
            expect(!*e.error && !*e.text);
        }
    }
    yard_close(&y);
}

TEST(a_name_that_nobody_serves_comes_back_as_an_error_that_names_it)
{
    yard                y;
    errand              e = ERRAND;
    weir_remote_options o = options_of("local:here");
    expect(yard_open(&y, &o, ALL));
    expect_eq(ask(y.farm, &e, y.m, "nobody", ""), WEIR_REMOTE_ENAME);
    expect(has(e.text, "nobody") && has(e.text, "local:here") && has(e.text, "weir.nobody"));
    yard_close(&y);
}

TEST(what_a_handler_raises_comes_back)
{
    yard                y;
    errand              e = ERRAND, s = ERRAND;
    weir_remote_options o = options_of("local:");
    expect(yard_open(&y, &o, ALL));
    expect_eq(ask(y.farm, &e, y.m, "raises", ""), WEIR_REMOTE_ERAISED);
    expect(!strcmp(e.error, "Oops") && !strcmp(e.text, "it went wrong"));
    expect_eq(ask(y.farm, &s, y.m, "silent", ""), WEIR_REMOTE_ERAISED);
    expect(!strcmp(s.error, "Handler") && has(s.text, "no answer"));
    yard_close(&y);
}

TEST(a_timeout_settles_while_the_handler_still_runs)
{
    yard                y;
    errand              e = ERRAND;
    weir_remote_options o = options_of("local:");
    expect(yard_open(&y, &o, ALL));
    weir_job_options how = to(y.m);
    how.timeout_ns = MILLIS(1);
    expect_eq(weir_remote_run(y.farm, &e.job, "holds", "", 0, &how), 0);
    expect_eq(outcome_of(y.m, &e), WEIR_ETIMEDOUT);
    expect(has(e.text, "timeout"));
    gate_open(&leave);
    yard_close(&y);
    expect_eq(e.dones, 1);
}

TEST(a_job_that_is_not_started_by_its_deadline_expires)
{
    yard                y;
    errand              e = ERRAND, hold = ERRAND;
    weir_remote_options o = options_of("local:");
    expect(yard_open(&y, &o, ALL));
    weir_job_options how = to(y.m);
    how.start_within_ns = MILLIS(1);
    submit(y.farm, &hold, y.m, "holds", "");
    gate_wait(&entered);
    expect_eq(weir_remote_run(y.farm, &e.job, "echo", "", 0, &how), 0);
    expect_eq(outcome_of(y.m, &e), WEIR_EEXPIRED);
    expect_eq(hold.dones, 0);
    gate_open(&leave);
    expect_eq(outcome_of(y.m, &hold), 0);
    yard_close(&y);
}

TEST(a_cancelled_job_settles_at_once)
{
    yard                y;
    errand              queued = ERRAND, running = ERRAND;
    weir_remote_options o = options_of("local:");
    expect(yard_open(&y, &o, ALL));
    expect_eq(weir_remote_cancel(&queued.job), WEIR_EINVAL);
    submit(y.farm, &running, y.m, "holds", "");
    gate_wait(&entered);
    submit(y.farm, &queued, y.m, "echo", "");
    expect_eq(weir_remote_cancel(&queued.job), 0);
    expect_eq(weir_remote_cancel(&queued.job), WEIR_EINVAL);
    expect_eq(weir_remote_cancel(&running.job), 0);
    expect_eq(outcome_of(y.m, &queued), WEIR_ECANCELED);
    expect_eq(outcome_of(y.m, &running), WEIR_ECANCELED);
    expect_eq(weir_remote_cancel(&running.job), WEIR_EINVAL);
    gate_open(&leave);
    yard_close(&y);
    expect_eq(running.dones, 1);
}

TEST(farms_of_one_name_meet)
{
    yard                y;
    weir_remote        *client, *stranger;
    errand              e = ERRAND, s = ERRAND;
    weir_remote_options o = options_of("local:meet"), other = options_of("local:");
    expect(yard_open(&y, &o, ALL));
    expect_eq(weir_remote_open(&client, &o), 0);
    expect_eq(weir_remote_open(&stranger, &other), 0);
    expect_eq(ask(client, &e, y.m, "echo", "x"), 0);
    expect_eq(ask(stranger, &s, y.m, "echo", "x"), WEIR_REMOTE_ENAME);
    expect_eq(weir_remote_close(client, WEIR_REMOTE_DRAIN, NULL, -1), 0);
    expect_eq(weir_remote_close(stranger, WEIR_REMOTE_DRAIN, NULL, -1), 0);
    yard_close(&y);
}

static weir_remote *again_on;
static int          again_left;

static void again(weir_job *job)
{
    weir_job_options how = to(*(weir_main **)(job + 1));
    expect_eq(job->outcome, 0);
    if (again_left-- > 0)
        expect_eq(weir_remote_run(again_on, job, "echo", "", 0, &how), 0);
    else
        free(job);
}

TEST(a_done_may_run_its_job_again_and_free_it)
{
    yard                y;
    weir_remote_options o = options_of("local:");
    weir_job           *job = real_zalloc(sizeof *job + sizeof(weir_main *));
    expect(yard_open(&y, &o, ALL));
    again_on = y.farm;
    again_left = 3;
    job->done = again;
    *(weir_main **)(job + 1) = y.m;
    again(job); /* outcome 0 of no run */
    while (weir_main_wait(y.m, -1) > 0)
        continue;
    expect_eq(again_left, -1);
    yard_close(&y);
}

static void in_child(void *arg)
{
    yard            *y = arg;
    errand           e = ERRAND;
    weir_job_options how = to(y->m);
    expect_eq(weir_remote_run(y->farm, &e.job, "echo", "", 0, &how), WEIR_EFORKED);
    expect(has(weir_remote_error(), "echo"));
    weir_remote_stats s = {.size = sizeof s};
    expect_eq(weir_remote_get_stats(y->farm, &s), WEIR_EFORKED);
    expect_eq(weir_remote_serve(y->farm, y->pool, ALL), WEIR_EFORKED);
    expect_eq(weir_remote_close(y->farm, WEIR_REMOTE_DRAIN, NULL, -1), WEIR_EFORKED);
}

TEST(a_forked_child_is_refused_and_the_parent_goes_on)
{
    yard                y;
    errand              e = ERRAND;
    weir_remote_options o = options_of("local:");
    expect(yard_open(&y, &o, ALL));
    child_reap(child_start(in_child, &y));
    expect_eq(ask(y.farm, &e, y.m, "echo", "x"), 0);
    yard_close(&y);
}

typedef struct {
    yard  *y;
    errand e;
} undelivered;

static void takes_its_own(void *arg)
{
    undelivered *u = arg;
    expect_eq(weir_main_dispatch(u->y->m, 0), 1);
    expect_eq(u->e.dones, 1);
    expect_eq(u->e.outcome, 0);
}

static bool is_settled(weir_remote *farm)
{
    weir_remote_stats s = {.size = sizeof s};
    expect_eq(weir_remote_get_stats(farm, &s), 0);
    return s.settled == 1 && s.requests == 0;
}

static void holds_lock(void *arg)
{
    weir_remote *farm = arg;
    pthread_mutex_lock(&farm->lock);
    gate_open(&entered);
    gate_wait(&leave);
    pthread_mutex_unlock(&farm->lock);
}

/* Though a thread that the child does not have holds the farm's lock. */
TEST(a_child_has_the_answers_that_had_come_before_the_fork)
{
    yard                y;
    helper              h;
    undelivered         u = {&y, ERRAND};
    weir_remote_options o = options_of("local:");
    expect(yard_open(&y, &o, ALL));
    submit(y.farm, &u.e, y.m, "echo", "x");
    while (!is_settled(y.farm) || !readable(weir_main_fd(y.m)))
        sched_yield();
    helper_start(&h, holds_lock, y.farm);
    gate_wait(&entered);
    child_reap(child_start(takes_its_own, &u));
    gate_open(&leave);
    helper_join(&h);
    expect_eq(outcome_of(y.m, &u.e), 0);
    yard_close(&y);
}

/* Under a stress: answers, timeouts and cancels race for each job. */
static int often(weir_request *r, void *state)
{
    if (weir_request_cancelled(r))
        return weir_request_fail(r, "Stopped", "");
    return echo(r, state);
}

enum { JOBS = 64 };

typedef struct {
    yard  *y;
    errand e[JOBS];
} crowd;

static void cancels(void *arg)
{
    crowd   *c = arg;
    uint64_t seed = test_seed();
    for (unsigned i = 0; i < scaled(4000); i++)
        weir_remote_cancel(&c->e[rnd(&seed) % JOBS].job);
}

TEST(each_job_comes_back_once_whoever_settles_it)
{
    static crowd        c;
    yard                y;
    helper              h;
    uint64_t            seed = test_seed();
    int                 runs = 0, dones = 0;
    weir_handler        one = {"often", often, 0};
    weir_remote_options o = options_of("local:");
    expect(yard_open(&y, &o, &one, 1));
    c = (crowd){.y = &y};
    for (int i = 0; i < JOBS; i++)
        c.e[i] = (errand)ERRAND;
    weir_job_options first = to(y.m);
    for (int i = 0; i < JOBS; i++, runs++) /* so that each has its farm before the helper looks */
        expect_eq(weir_remote_run(y.farm, &c.e[i].job, "often", "x", 1, &first), 0);
    helper_start(&h, cancels, &c);
    for (unsigned i = 0; i < scaled(20000); i++) {
        weir_job_options how = to(y.m);
        how.timeout_ns = rnd(&seed) % 3 ? 0 : 1 + rnd(&seed) % 50000;
        int code = weir_remote_run(y.farm, &c.e[rnd(&seed) % JOBS].job, "often", "x", 1, &how);
        expect(code == 0 || code == WEIR_EBUSY);
        runs += code == 0;
        weir_main_dispatch(y.m, 0);
    }
    helper_join(&h);
    yard_close(&y);
    for (int i = 0; i < JOBS; i++)
        dones += c.e[i].dones;
    expect_eq(dones, runs);
}

SUITE(local, a_job_comes_back_with_the_handler_s_bytes,
      a_name_that_nobody_serves_comes_back_as_an_error_that_names_it,
      what_a_handler_raises_comes_back, a_timeout_settles_while_the_handler_still_runs,
      a_job_that_is_not_started_by_its_deadline_expires, a_cancelled_job_settles_at_once,
      farms_of_one_name_meet, a_done_may_run_its_job_again_and_free_it,
      a_forked_child_is_refused_and_the_parent_goes_on,
      a_child_has_the_answers_that_had_come_before_the_fork,
      each_job_comes_back_once_whoever_settles_it)
