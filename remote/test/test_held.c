/* SPDX-License-Identifier: ISC
 *
 * Requests of a server that a program holds, and begins when it is too late.
 */
#include "farm.h"
#include "server.h"
#include "wire.h"

#include <stdlib.h>
#include <string.h>

enum { HELD = 64 };

static struct {
    weir_request *held[HELD];
    int           n;
} seen;

static int holds_it(weir_request *r, void *arg)
{
    (void)arg;
    seen.held[seen.n++] = r;
    return 0;
}

/* A client, and a farm of this process that serves "holds" on the client's main. */
static weir_remote *serve_holds(client *c)
{
    weir_remote        *farm;
    weir_handler        h = {"holds", holds_it, 0};
    weir_remote_options o = server_options();
    memset(&seen, 0, sizeof seen);
    client_open(c, NULL);
    weir_loop_options l = {
        .size = sizeof l, .deliver_to = c->m, .at_once = 4, .begins_later = true};
    expect_eq(weir_remote_open(&farm, &o), 0);
    expect_eq(weir_remote_serve_loop(farm, &l, &h, 1), 0);
    return farm;
}

static void end(client *c, weir_remote *farm)
{
    while (seen.n)
        weir_request_release(seen.held[--seen.n]);
    expect_eq(weir_remote_close(farm, WEIR_REMOTE_DRAIN, c->m, -1), 0);
    client_close(c);
}

TEST(what_waits_in_its_program_when_the_farm_closes_is_given_back)
{
    client       c;
    worker       w;
    errand       e = ERRAND;
    weir_remote *farm = serve_holds(&c);
    submit(c.farm, &e, c.m, "holds", "x");
    TURN_UNTIL(c, seen.n == 1);
    expect_eq(weir_remote_close(farm, WEIR_REMOTE_DRAIN, c.m, 0), WEIR_ETIMEDOUT);
    expect_eq(weir_request_begin(seen.held[0]), WEIR_ECLOSED);
    expect_eq(weir_request_begin(seen.held[0]), WEIR_EBUSY);
    weir_request_release(seen.held[0]);
    expect_eq(weir_remote_close(farm, WEIR_REMOTE_DRAIN, c.m, -1), 0);
    worker_start(&w, "holds", NULL);
    expect_eq(atoi(strrchr(worker_says(&w, "holds"), ' ')), 2);
    worker_go_on(&w);
    expect_eq(outcome_of(c.m, &e), 0);
    worker_stop(&w);
    client_close(&c);
}

/* Nobody serves it, so its timeout is a clock. */
static void turn_for(client *c, int64_t ns)
{
    errand           e = ERRAND;
    weir_job_options how = to(c->m);
    how.timeout_ns = ns;
    expect_eq(weir_remote_run(c->farm, &e.job, "silent", "", 0, &how), 0);
    expect_eq(outcome_of(c->m, &e), WEIR_ETIMEDOUT);
}

/* A job whose client cannot cancel it, because there is none. */
static void publish_orphan(const char *milliseconds)
{
    static const char       id[] = "01234567-89ab-4def-8123-456789abcdef";
    amqp_connection_state_t server = server_connection();
    amqp_basic_properties_t p = {
        ._flags = AMQP_BASIC_TYPE_FLAG | AMQP_BASIC_CORRELATION_ID_FLAG | AMQP_BASIC_REPLY_TO_FLAG |
                  AMQP_BASIC_EXPIRATION_FLAG,
        .type = amqp_cstring_bytes(WR_JOB_TYPE),
        .correlation_id = amqp_cstring_bytes(id),
        .reply_to = amqp_cstring_bytes("weir.reply.01234567-89ab-4def-8123-456789abcdef"),
        .expiration = amqp_cstring_bytes(milliseconds)};
    expect_eq(amqp_basic_publish(server, 1, amqp_empty_bytes, amqp_cstring_bytes("weir.holds"), 0,
                                 0, &p, amqp_cstring_bytes("x")),
              0);
    amqp_channel_close(server, 1, AMQP_REPLY_SUCCESS);
    amqp_destroy_connection(server);
}

/* Beside a busy machine one may expire in its queue; then there is another. */
TEST(what_waits_in_its_program_for_too_long_has_expired)
{
    client       c;
    weir_remote *farm = serve_holds(&c);
    while (!seen.n) {
        publish_orphan("100");
        turn_for(&c, MILLIS(110));
    }
    turn_for(&c, MILLIS(110));
    expect(!weir_request_cancelled(seen.held[0]));
    expect_eq(weir_request_begin(seen.held[0]), WEIR_EEXPIRED);
    expect_eq(weir_request_begin(seen.held[0]), WEIR_EBUSY);
    expect_eq(weir_request_reply(seen.held[0], "", 0), WEIR_EBUSY);
    end(&c, farm);
}

SUITE(held, what_waits_in_its_program_when_the_farm_closes_is_given_back,
      what_waits_in_its_program_for_too_long_has_expired)
