/* SPDX-License-Identifier: ISC
 *
 * What a run refuses: limits, bad arguments, a job in flight.
 */
#include "rig.h"

#include <stdlib.h>
#include <string.h>

static const weir_handler all[] = {{"echo", echo, 0}, {"holds", holds, 0}};
#define ALL all, sizeof all / sizeof *all

TEST(a_full_farm_refuses_and_names_its_limit)
{
    yard                y;
    errand              a = ERRAND, b = ERRAND;
    weir_remote_options o = options_of("local:");
    o.queue_limit = 1;
    expect(yard_open(&y, &o, ALL));
    weir_job_options how = to(y.m);
    submit(y.farm, &a, y.m, "holds", "");
    expect_eq(weir_remote_run(y.farm, &b.job, "echo", "", 0, &how), WEIR_EFULL);
    expect(has(weir_remote_error(), "queue_limit") && has(weir_remote_error(), "echo"));
    gate_open(&leave);
    expect_eq(outcome_of(y.m, &a), 0);
    expect_eq(ask(y.farm, &b, y.m, "echo", ""), 0);
    yard_close(&y);
}

typedef struct {
    yard  *y;
    errand e;
} blocked;

static void runs_blocked(void *arg)
{
    blocked *b = arg;
    submit(b->y->farm, &b->e, b->y->m, "echo", "");
}

TEST(a_full_farm_that_blocks_takes_the_job_when_there_is_space)
{
    yard                y;
    errand              a = ERRAND;
    blocked             b = {&y, ERRAND};
    helper              h;
    weir_remote_options o = options_of("local:");
    o.queue_limit = 1;
    o.when_full = WEIR_BLOCK;
    expect(yard_open(&y, &o, ALL));
    submit(y.farm, &a, y.m, "holds", "");
    helper_start(&h, runs_blocked, &b);
    helper_until_asleep(&h);
    gate_open(&leave);
    expect_eq(outcome_of(y.m, &a), 0);
    helper_join(&h);
    expect_eq(outcome_of(y.m, &b.e), 0);
    yard_close(&y);
}

static weir_remote *full_farm;
static weir_main   *full_main;
static int          full_code;

static int waits_for_itself(weir_request *r, void *state)
{
    static errand    e = ERRAND;
    weir_job_options how = to(full_main);
    full_code = weir_remote_run(full_farm, &e.job, "self", "", 0, &how);
    return echo(r, state);
}

TEST(a_handler_does_not_wait_for_space)
{
    yard                y;
    errand              e = ERRAND;
    weir_handler        h = {"self", waits_for_itself, 0};
    weir_remote_options o = options_of("local:");
    o.queue_limit = 1;
    o.when_full = WEIR_BLOCK;
    expect(yard_open(&y, &o, &h, 1));
    full_farm = y.farm;
    full_main = y.m;
    expect_eq(ask(y.farm, &e, y.m, "self", ""), 0);
    expect_eq(full_code, WEIR_EDEADLK);
    yard_close(&y);
}

static int too_much(weir_request *r, void *state)
{
    (void)state;
    expect_eq(weir_request_reply(r, "123456789", 9), WEIR_EFULL);
    expect(has(weir_remote_error(), "message_limit"));
    return weir_request_reply(r, "12345678", 8);
}

TEST(message_limit_holds_for_arguments_and_results)
{
    yard                y;
    errand              e = ERRAND;
    weir_handler        h = {"much", too_much, 0};
    weir_remote_options o = options_of("local:");
    o.message_limit = 8;
    expect(yard_open(&y, &o, &h, 1));
    weir_job_options how = to(y.m);
    expect_eq(weir_remote_run(y.farm, &e.job, "much", "123456789", 9, &how), WEIR_EFULL);
    expect(has(weir_remote_error(), "message_limit") && has(weir_remote_error(), "much"));
    expect_eq(ask(y.farm, &e, y.m, "much", "12345678"), 0);
    expect_eq(e.size, 8);
    yard_close(&y);
}

TEST(a_job_in_flight_is_not_taken_twice)
{
    yard                y;
    errand              e = ERRAND;
    weir_remote_options o = options_of("local:");
    expect(yard_open(&y, &o, ALL));
    weir_job_options how = to(y.m);
    submit(y.farm, &e, y.m, "holds", "");
    expect_eq(weir_remote_run(y.farm, &e.job, "echo", "", 0, &how), WEIR_EBUSY);
    gate_open(&leave);
    expect_eq(outcome_of(y.m, &e), 0);
    yard_close(&y);
    expect_eq(e.dones, 1);
}

TEST(bad_arguments_are_refused_by_name)
{
    yard                y;
    errand              e = ERRAND;
    weir_job            none = {0};
    weir_remote_options o = options_of("local:");
    expect(yard_open(&y, &o, ALL));
    weir_job_options good = to(y.m), bad = good;
    expect_eq(weir_remote_run(NULL, &e.job, "echo", "", 0, &good), WEIR_EINVAL);
    expect_eq(weir_remote_run(y.farm, &none, "echo", "", 0, &good), WEIR_EINVAL);
    expect_eq(weir_remote_run(y.farm, &e.job, "no name", "", 0, &good), WEIR_EINVAL);
    expect(has(weir_remote_error(), "no name"));
    expect_eq(weir_remote_run(y.farm, &e.job, "echo", NULL, 1, &good), WEIR_EINVAL);
    expect_eq(weir_remote_run(y.farm, &e.job, "echo", "", 0, NULL), WEIR_EINVAL);
    bad.deliver_to = NULL;
    expect_eq(weir_remote_run(y.farm, &e.job, "echo", "", 0, &bad), WEIR_EINVAL);
    expect(has(weir_remote_error(), "deliver_to"));
    bad = good;
    bad.priority = 7;
    expect_eq(weir_remote_run(y.farm, &e.job, "echo", "", 0, &bad), WEIR_EINVAL);
    bad = good;
    bad.timeout_ns = -1;
    expect_eq(weir_remote_run(y.farm, &e.job, "echo", "", 0, &bad), WEIR_EINVAL);
    expect_eq(weir_main_pending(y.m), 0);
    yard_close(&y);
}

static char order_seen[8];
static int  n_seen;

static int notes(weir_request *r, void *state)
{
    size_t size;
    order_seen[n_seen++] = *(const char *)weir_request_bytes(r, &size);
    return echo(r, state);
}

TEST(priorities_are_those_of_the_pool)
{
    yard                y;
    errand              hold = ERRAND, e[3] = {ERRAND, ERRAND, ERRAND};
    weir_priority       levels[] = {WEIR_LOW, WEIR_NORMAL, WEIR_HIGH};
    weir_handler        h[] = {{"holds", holds, 0}, {"notes", notes, 0}};
    weir_remote_options o = options_of("local:");
    expect(yard_open(&y, &o, h, 2));
    n_seen = 0;
    submit(y.farm, &hold, y.m, "holds", "");
    gate_wait(&entered);
    for (int i = 0; i < 3; i++) {
        weir_job_options how = to(y.m);
        how.priority = levels[i];
        expect_eq(weir_remote_run(y.farm, &e[i].job, "notes", &"lnh"[i], 1, &how), 0);
    }
    gate_open(&leave);
    for (int i = 0; i < 3; i++)
        expect_eq(outcome_of(y.m, &e[i]), 0);
    expect(!memcmp(order_seen, "hnl", 3));
    yard_close(&y);
}

TEST(the_pool_s_own_limit_comes_back_as_full)
{
    yard                y;
    weir_pool          *pool;
    errand              hold = ERRAND, queued = ERRAND, e = ERRAND;
    weir_remote        *farm;
    weir_pool_options   small = pool_of(1);
    weir_remote_options o = options_of("local:");
    small.queue_limit = 1;
    expect(yard_open(&y, &o, ALL));
    expect_eq(weir_pool_open(&pool, &small), 0);
    expect_eq(weir_remote_open(&farm, &o), 0);
    expect_eq(weir_remote_serve(farm, pool, ALL), 0);
    submit(farm, &hold, y.m, "holds", "");
    gate_wait(&entered);
    submit(farm, &queued, y.m, "echo", "");
    expect_eq(ask(farm, &e, y.m, "echo", ""), WEIR_EFULL);
    gate_open(&leave);
    expect_eq(outcome_of(y.m, &queued), 0);
    expect_eq(weir_remote_close(farm, WEIR_REMOTE_DRAIN, y.m, -1), 0);
    pool_end(pool);
    yard_close(&y);
}

SUITE(limits, a_full_farm_refuses_and_names_its_limit,
      a_full_farm_that_blocks_takes_the_job_when_there_is_space, a_handler_does_not_wait_for_space,
      message_limit_holds_for_arguments_and_results, a_job_in_flight_is_not_taken_twice,
      bad_arguments_are_refused_by_name, priorities_are_those_of_the_pool,
      the_pool_s_own_limit_comes_back_as_full)
