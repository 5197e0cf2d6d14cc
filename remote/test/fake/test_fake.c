/* SPDX-License-Identifier: ISC
 *
 * Clients and workers on the fake: what a server cannot be told to do, and all races at once.
 */
#include "fake.h"

#include "rig.h"

#include <sched.h>
#include <string.h>

static weir_remote_options fake_options(void)
{
    weir_remote_options o = options_of("amqp://fake");
    o.heartbeat_ns = SECONDS(1);
    o.reconnect_min_ns = 1000;
    o.reconnect_max_ns = MILLIS(1);
    return o;
}

static void begin(const fake_faults *faults)
{
    static const char *const names[] = {"echo", "holds", "loops"};
    weir_remote_options      o = fake_options();
    fake_begin(test_seed());
    expect_eq(weir_remote_declare(&o, names, 3), 0);
    if (faults)
        fake_begin_faults(faults);
}

static const weir_handler all[] = {{"echo", echo, 0}, {"holds", holds, 0}};

/* Client and worker are one farm. */
static void fake_yard_open(yard *y, const weir_remote_options *options)
{
    weir_remote_options o = fake_options();
    expect(yard_open(y, options ? options : &o, all, 2));
}

TEST(a_job_goes_through_the_fake_and_back)
{
    yard   y;
    errand e = ERRAND, nobody = ERRAND;
    begin(NULL);
    fake_yard_open(&y, NULL);
    expect_eq(ask(y.farm, &e, y.m, "echo", "abc"), 0);
    expect(!memcmp(e.result, "abc", 3));
    expect_eq(ask(y.farm, &nobody, y.m, "nobody", ""), WEIR_REMOTE_ENAME);
    yard_close(&y);
    expect_eq(fake_waiting("weir.echo"), 0);
    fake_end();
}

static weir_remote_stats counts_of(weir_remote *farm)
{
    weir_remote_stats s = {.size = sizeof s};
    expect_eq(weir_remote_get_stats(farm, &s), 0);
    return s;
}

/* The job is over for its client, but not for its worker, whose reply is not confirmed. */
TEST(a_reply_may_come_before_the_confirm_of_its_job)
{
    yard   y;
    errand e = ERRAND;
    begin(NULL);
    fake_yard_open(&y, NULL);
    fake_hold_confirms(true);
    expect_eq(ask(y.farm, &e, y.m, "echo", "x"), 0);
    expect_eq(counts_of(y.farm).confirmed, 0);
    expect_eq(counts_of(y.farm).served, 0);
    fake_hold_confirms(false);
    yard_close(&y);
    expect_eq(e.dones, 1);
    expect_eq(fake_waiting("weir.echo"), 0);
    fake_end();
}

TEST(a_job_that_the_server_does_not_take_is_refused_as_full)
{
    yard              y;
    errand            e = ERRAND;
    const fake_faults nacks = {.nack = 1};
    begin(&nacks);
    fake_yard_open(&y, NULL);
    expect_eq(ask(y.farm, &e, y.m, "echo", ""), WEIR_EFULL);
    expect(has(e.text, "the queue is full"));
    yard_close(&y);
    fake_end();
}

static void hears_of_block(void *arg, int code, const char *sentence)
{
    if (code == WEIR_EFULL && has(sentence, "client"))
        gate_open(arg);
}

/* Jobs wait meanwhile, and their timeouts pass; after it they go on. */
TEST(a_server_that_takes_nothing_for_a_while_stops_no_timeout)
{
    yard                y;
    gate                blocked = GATE;
    errand              first = ERRAND, timed = ERRAND, waits = ERRAND;
    weir_job_options    how;
    weir_remote_options o = fake_options();
    o.on_event = hears_of_block;
    o.arg = &blocked;
    begin(NULL);
    fake_yard_open(&y, &o);
    expect_eq(ask(y.farm, &first, y.m, "echo", ""), 0);
    fake_block(true);
    gate_wait(&blocked); /* what is sent before that, the fake takes */
    how = to(y.m);
    how.timeout_ns = MILLIS(20);
    expect_eq(weir_remote_run(y.farm, &timed.job, "holds", "", 0, &how), 0);
    submit(y.farm, &waits, y.m, "echo", "");
    gate_open(&leave);
    expect_eq(outcome_of(y.m, &timed), WEIR_ETIMEDOUT);
    fake_block(false);
    expect_eq(outcome_of(y.m, &waits), 0);
    yard_close(&y);
    fake_end();
}

typedef struct {
    weir_remote *farm;
    weir_pool   *pool;
} serving;

/* ---- a worker that ends --------------------------------------------------------------- */

typedef struct {
    weir_remote *client;
    weir_main   *m;
    serving      s;
    errand       runs, waits;
} ending;

static unsigned attempt;

static int counts(weir_request *r, void *state)
{
    attempt = weir_request_attempt(r);
    return holds(r, state);
}

static void serve_one(serving *s)
{
    static const weir_handler counting = {"holds", counts, 0};
    weir_pool_options         p = pool_of(1);
    weir_remote_options       o = fake_options();
    expect_eq(weir_pool_open(&s->pool, &p), 0);
    expect_eq(weir_remote_open(&s->farm, &o), 0);
    expect(!counts_of(s->farm).connected);
    expect_eq(weir_remote_serve(s->farm, s->pool, &counting, 1), 0);
}

/* One job holds the worker's only thread, the other waits in the worker. */
static void begin_ending(ending *e)
{
    weir_remote_options o = fake_options();
    *e = (ending){.runs = ERRAND, .waits = ERRAND};
    begin(NULL);
    entered = leave = (gate)GATE;
    expect_eq(weir_main_open(&e->m), 0);
    expect_eq(weir_remote_open(&e->client, &o), 0);
    submit(e->client, &e->runs, e->m, "holds", "");
    submit(e->client, &e->waits, e->m, "holds", "");
    serve_one(&e->s);
    gate_wait(&entered);
    while (counts_of(e->s.farm).requests < 2 || !counts_of(e->s.farm).connected)
        weir_main_wait(e->m, MILLIS(1));
}

/* What waited is the server's when the worker has ended, and runs at another. */
static void end_ending(ending *e)
{
    expect_eq(weir_remote_close(e->s.farm, WEIR_REMOTE_DRAIN, NULL, -1), 0);
    pool_end(e->s.pool);
    expect_eq(outcome_of(e->m, &e->runs), 0);
    expect_eq(fake_waiting("weir.holds"), 1);
    expect_eq(e->waits.dones, 0);
    serve_one(&e->s);
    expect_eq(outcome_of(e->m, &e->waits), 0);
    expect_eq(attempt, 2); /* it did not come to the first worker again */
    expect_eq(weir_remote_close(e->s.farm, WEIR_REMOTE_DRAIN, NULL, -1), 0);
    pool_end(e->s.pool);
    expect_eq(weir_remote_close(e->client, WEIR_REMOTE_DRAIN, e->m, -1), 0);
    main_end(e->m);
    fake_end();
}

TEST(a_worker_that_drains_gives_back_what_it_has_not_begun)
{
    ending e;
    begin_ending(&e);
    expect_eq(weir_remote_close(e.s.farm, WEIR_REMOTE_DRAIN, NULL, 0), WEIR_ETIMEDOUT);
    gate_open(&leave);
    end_ending(&e);
}

TEST(nor_is_it_lost_when_the_worker_ends_by_cancel)
{
    ending e;
    begin_ending(&e);
    expect_eq(weir_remote_close(e.s.farm, WEIR_REMOTE_CANCEL, NULL, 0), WEIR_ETIMEDOUT);
    gate_open(&leave);
    end_ending(&e);
}

/* Nobody else may be there. */
TEST(a_farm_that_waits_for_its_own_jobs_runs_what_it_has_taken)
{
    yard   y;
    errand runs = ERRAND, waits = ERRAND;
    begin(NULL);
    entered = leave = (gate)GATE;
    fake_yard_open(&y, NULL);
    submit(y.farm, &runs, y.m, "holds", "");
    submit(y.farm, &waits, y.m, "holds", "");
    gate_wait(&entered);
    while (counts_of(y.farm).requests < 2)
        weir_main_wait(y.m, MILLIS(1));
    expect_eq(weir_remote_close(y.farm, WEIR_REMOTE_DRAIN, y.m, 0), WEIR_ETIMEDOUT);
    gate_open(&leave);
    yard_close(&y);
    expect_eq(runs.outcome + waits.outcome, 0);
    expect_eq(runs.dones + waits.dones, 2);
    fake_end();
}

/* ---- all at once ---------------------------------------------------------------------- */

enum { JOBS = 48, SERVERS = 2 };

static struct {
    errand       e[JOBS];
    yard         y;
    serving      s[SERVERS];
    _Atomic bool ends;
} crowd;

static void cancels(void *arg)
{
    uint64_t seed = test_seed();
    (void)arg;
    while (!atomic_load(&crowd.ends)) {
        weir_remote_cancel(&crowd.e[rnd(&seed) % JOBS].job);
        sched_yield();
    }
}

static void serve(serving *s)
{
    weir_pool_options   two = pool_of(2);
    weir_remote_options o = fake_options();
    expect_eq(weir_pool_open(&s->pool, &two), 0);
    expect_eq(weir_remote_open(&s->farm, &o), 0);
    expect_eq(weir_remote_serve(s->farm, s->pool, all, 1), 0);
}

static int answers(weir_request *r, void *arg)
{
    (void)arg;
    echo(r, NULL);
    weir_request_release(r);
    return 0;
}

static int run_some(unsigned n)
{
    static const char *const names[] = {"echo", "loops"};
    uint64_t                 seed = test_seed();
    int                      runs = 0;
    for (unsigned i = 0; i < n; i++) {
        weir_job_options how = to(crowd.y.m);
        how.timeout_ns = rnd(&seed) % 4 ? 0 : 1 + rnd(&seed) % 2000000;
        how.priority = rnd(&seed) % WEIR_LEVELS;
        int code = weir_remote_run(crowd.y.farm, &crowd.e[rnd(&seed) % JOBS].job,
                                   names[rnd(&seed) % 2], "x", 1, &how);
        expect(code == 0 || code == WEIR_EBUSY);
        runs += code == 0;
        weir_main_wait(crowd.y.m, code ? MILLIS(1) : 0);
    }
    return runs;
}

/* Jobs are run and run again while connections are lost at every call, and are cancelled and
 * time out. Each comes back once; nothing is left at the server. */
TEST(each_job_comes_back_once_whatever_is_cut)
{
    const fake_faults   faults = {.cut = 60, .refuse = 4};
    weir_remote_options o = fake_options();
    weir_handler        h = {"loops", answers, 0};
    helper              canceller;
    int                 dones = 0;
    memset(&crowd, 0, sizeof crowd);
    for (int i = 0; i < JOBS; i++)
        crowd.e[i] = (errand)ERRAND;
    begin(&faults);
    expect_eq(weir_main_open(&crowd.y.m), 0);
    expect_eq(weir_remote_open(&crowd.y.farm, &o), 0);
    weir_loop_options l = {.size = sizeof l, .deliver_to = crowd.y.m, .at_once = 4};
    expect_eq(weir_remote_serve_loop(crowd.y.farm, &l, &h, 1), 0);
    for (int i = 0; i < SERVERS; i++)
        serve(&crowd.s[i]);
    int runs = 0;
    for (int i = 0; i < JOBS; i++, runs++)
        submit(crowd.y.farm, &crowd.e[i], crowd.y.m, "echo", "x");
    helper_start(&canceller, cancels, NULL);
    runs += run_some(scaled(4000));
    atomic_store(&crowd.ends, true);
    helper_join(&canceller);
    fake_begin_faults(&(fake_faults){0});
    while (counts_of(crowd.y.farm).in_flight)
        weir_main_wait(crowd.y.m, MILLIS(1));
    expect_op(fake_cuts(), >, 0);
    expect_eq(weir_remote_close(crowd.y.farm, WEIR_REMOTE_DRAIN, crowd.y.m, -1), 0);
    for (int i = 0; i < SERVERS; i++) {
        expect_eq(weir_remote_close(crowd.s[i].farm, WEIR_REMOTE_DRAIN, NULL, -1), 0);
        pool_end(crowd.s[i].pool);
    }
    main_end(crowd.y.m);
    for (int i = 0; i < JOBS; i++) {
        int outcome = crowd.e[i].outcome;
        dones += crowd.e[i].dones;
        expect(outcome == 0 || outcome == WEIR_ECANCELED || outcome == WEIR_ETIMEDOUT);
    }
    expect_eq(dones, runs);
    fake_end();
}

/* A farm that closes by cancel while all goes wrong ends, and so do its jobs. */
TEST(a_close_by_cancel_ends_all_whatever_is_cut)
{
    const fake_faults faults = {.cut = 20, .refuse = 2};
    uint64_t          seed = test_seed();
    for (unsigned i = 0; i < scaled(60); i++) {
        yard   y;
        errand e[8];
        begin(&faults);
        fake_yard_open(&y, NULL);
        for (int j = 0; j < 8; j++) {
            e[j] = (errand)ERRAND;
            submit(y.farm, &e[j], y.m, "echo", "x");
        }
        for (unsigned turns = rnd(&seed) % 4; turns; turns--)
            weir_main_wait(y.m, 1000 * (rnd(&seed) % 1000));
        expect_eq(weir_remote_close(y.farm, WEIR_REMOTE_CANCEL, y.m, -1), 0);
        y.farm = NULL;
        yard_close(&y);
        for (int j = 0; j < 8; j++)
            expect_eq(e[j].dones, 1);
        fake_end();
    }
}

SUITE(fake, a_job_goes_through_the_fake_and_back, a_reply_may_come_before_the_confirm_of_its_job,
      a_job_that_the_server_does_not_take_is_refused_as_full,
      a_server_that_takes_nothing_for_a_while_stops_no_timeout,
      a_worker_that_drains_gives_back_what_it_has_not_begun,
      nor_is_it_lost_when_the_worker_ends_by_cancel,
      a_farm_that_waits_for_its_own_jobs_runs_what_it_has_taken,
      each_job_comes_back_once_whatever_is_cut, a_close_by_cancel_ends_all_whatever_is_cut)
