/* SPDX-License-Identifier: ISC
 *
 * Requests that a loop holds, ended by several at once.
 */
#include "rig.h"

#include <pthread.h>

/* Releases on two threads, cancels, timeouts and run_within race for each request. */
static struct {
    pthread_mutex_t lock;
    weir_request   *top; /* each has the one below as its data */
    bool            ends, begins_later;
} pile = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int piles(weir_request *r, void *arg)
{
    (void)arg;
    pthread_mutex_lock(&pile.lock);
    weir_request_set_data(r, pile.top);
    pile.top = r;
    pthread_mutex_unlock(&pile.lock);
    return 0;
}

static weir_request *of_pile(bool *ends)
{
    pthread_mutex_lock(&pile.lock);
    weir_request *r = pile.top;
    pile.top = r ? weir_request_data(r) : NULL;
    *ends = pile.ends && !r;
    pthread_mutex_unlock(&pile.lock);
    return r;
}

static void releases_all(void *arg)
{
    bool ends = false;
    (void)arg;
    while (!ends) {
        weir_request *r = of_pile(&ends);
        bool          runs = r && (!pile.begins_later || weir_request_begin(r) == 0);
        if (runs && !weir_request_cancelled(r))
            echo(r, NULL);
        if (r)
            weir_request_release(r);
        else
            sched_yield();
    }
}

static void counts_stop(weir_request *r, void *arg)
{
    (void)r;
    ++*(int *)arg;
}

enum { JOBS = 32 };

static void race(bool begins_later)
{
    static errand       e[JOBS];
    yard                y = {0};
    helper              h[2];
    uint64_t            seed = test_seed();
    int                 runs = 0, dones = 0, stops = 0;
    weir_handler        handlers[] = {{"piles", piles, 0}, {"soon", piles, 20000}};
    weir_remote_options o = options_of("local:");
    expect_eq(weir_main_open(&y.m), 0);
    expect_eq(weir_remote_open(&y.farm, &o), 0);
    weir_loop_options l = {sizeof l, y.m, 4, &stops, counts_stop, begins_later};
    expect_eq(weir_remote_serve_loop(y.farm, &l, handlers, 2), 0);
    pile.ends = false;
    pile.begins_later = begins_later;
    for (int i = 0; i < JOBS; i++)
        e[i] = (errand)ERRAND;
    for (int i = 0; i < 2; i++)
        helper_start(&h[i], releases_all, NULL);
    for (unsigned i = 0; i < scaled(6000); i++) {
        weir_job_options how = to(y.m);
        errand          *one = &e[rnd(&seed) % JOBS];
        how.timeout_ns = rnd(&seed) % 3 ? 0 : 1 + rnd(&seed) % 50000;
        how.start_within_ns = rnd(&seed) % 3 ? 0 : 1 + rnd(&seed) % 50000;
        const char *name = rnd(&seed) % 2 ? "piles" : "soon";
        int         code = weir_remote_run(y.farm, &one->job, name, "x", 1, &how);
        expect(code == 0 || code == WEIR_EBUSY);
        runs += code == 0;
        if (rnd(&seed) % 4 == 0)
            weir_remote_cancel(&one->job);
        weir_main_dispatch(y.m, 0);
    }
    expect_eq(weir_remote_close(y.farm, WEIR_REMOTE_DRAIN, y.m, -1), 0);
    y.farm = NULL;
    pthread_mutex_lock(&pile.lock);
    pile.ends = true;
    pthread_mutex_unlock(&pile.lock);
    for (int i = 0; i < 2; i++)
        helper_join(&h[i]);
    yard_close(&y);
    for (int i = 0; i < JOBS; i++)
        dones += e[i].dones;
    expect_eq(dones, runs);
}

TEST(each_held_request_ends_once_whoever_ends_it) { race(false); }
TEST(nor_does_one_that_begins_later_end_twice) { race(true); }

SUITE(loop_race, each_held_request_ends_once_whoever_ends_it,
      nor_does_one_that_begins_later_end_twice)
