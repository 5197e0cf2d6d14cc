/* SPDX-License-Identifier: ISC
 *
 * test_pool.c: opening a pool: init, at_exit, options, statistics.
 */
#include "harness.h"

enum { MANY = 5 };

/* What every init and at_exit of a pool did, by the order of the inits. */
typedef struct {
    pthread_mutex_t lock;
    int             inits, exits, fails_at, code; /* fails_at: 0 none, else the n-th init */
    struct {
        pthread_t thread;
        bool      given; /* and not taken back */
    } state[64];
    gate *leave; /* init waits for it */
    tally entered;
} ledger;

#define LEDGER                                                                                     \
    {                                                                                              \
        .lock = PTHREAD_MUTEX_INITIALIZER, .entered = TALLY                                        \
    }

static int init_notes(void *arg, void **state)
{
    ledger *l = arg;
    pthread_mutex_lock(&l->lock);
    int n = l->inits++;
    pthread_mutex_unlock(&l->lock);
    tally_add(&l->entered, 1);
    if (l->leave)
        gate_wait(l->leave);
    if (n + 1 == l->fails_at)
        return l->code;
    pthread_mutex_lock(&l->lock);
    l->state[n].thread = pthread_self();
    l->state[n].given = true;
    pthread_mutex_unlock(&l->lock);
    *state = &l->state[n];
    return 0;
}

static void at_exit_notes(void *arg, void *state)
{
    ledger *l = arg;
    pthread_mutex_lock(&l->lock);
    int n = 0;
    while (n < l->inits && &l->state[n] != state)
        n++;
    expect_op(n, <, l->inits);
    expect(l->state[n].given);
    expect(pthread_equal(l->state[n].thread, pthread_self()));
    l->state[n].given = false;
    l->exits++;
    pthread_mutex_unlock(&l->lock);
}

static weir_pool_options noting(ledger *l, unsigned threads)
{
    weir_pool_options opts = pool_of(threads);
    opts.arg = l, opts.init = init_notes, opts.at_exit = at_exit_notes;
    return opts;
}

/* Exactly once per success, whatever happened. */
static void expect_balanced(const ledger *l)
{
    int failures = l->fails_at && l->inits >= l->fails_at;
    expect_eq(l->exits, l->inits - failures);
    for (int i = 0; i < l->inits; i++)
        expect(!l->state[i].given);
}

static int run_notes_state(weir_task *task, void *state)
{
    probe_run(task, state);
    expect(pthread_equal(*(pthread_t *)state, pthread_self()));
    return 0;
}

SCENARIO(every_thread_has_a_state_made_and_given_back_on_it)
{
    rig               r;
    ledger            l = LEDGER;
    weir_pool_options opts = noting(&l, MANY);
    tally             settled = TALLY;
    probe             t[30];
    if (rig_open_with(&r, &opts)) {
        expect_eq(l.inits, MANY); /* open has waited for them all */
        for (int i = 0; i < 30; i++) {
            t[i] =
                (probe){.task = {.run = run_notes_state, .done = probe_done}, .settled = &settled};
            expect(given(weir_run(r.p, &t[i].task, r.m)));
        }
        main_until(r.m, &settled, 30);
        expect_eq(l.exits, 0);
    }
    rig_close(&r);
    expect_balanced(&l);
}

static void an_init_fails(int which)
{
    ledger            l = LEDGER;
    weir_pool_options opts = noting(&l, MANY);
    weir_pool        *pool = (weir_pool *)(void *)&l;
    l.fails_at = which, l.code = 77;
    expect_eq(weir_pool_open(&pool, &opts), WEIR_EINIT);
    expect(pool == (weir_pool *)(void *)&l); /* untouched */
    expect_eq(weir_pool_init_error(NULL), 77);
    expect_op(l.inits, >=, which);
    expect_balanced(&l);
}

TEST(a_failing_first_init_fails_the_open_after_the_others_ended) { an_init_fails(1); }
TEST(a_failing_middle_init_fails_the_open_after_the_others_ended) { an_init_fails(MANY / 2 + 1); }
TEST(a_failing_last_init_fails_the_open_after_the_others_ended) { an_init_fails(MANY); }

static void *ask_for_init_error(void *arg)
{
    *(int *)arg = weir_pool_init_error(NULL);
    return NULL;
}

TEST(the_code_of_an_init_that_failed_an_open_is_this_threads_until_its_next_open)
{
    weir_pool_options opts = pool_of(1);
    weir_pool        *pool;
    pthread_t         other;
    int               elsewhere = -1;
    an_init_fails(1);
    expect_eq(pthread_create(&other, NULL, ask_for_init_error, &elsewhere), 0);
    pthread_join(other, NULL);
    expect_eq(elsewhere, 0);
    expect_eq(weir_pool_init_error(NULL), 77);
    expect_eq(weir_pool_open(&pool, &opts), 0);
    expect_eq(weir_pool_init_error(NULL), 0);
    pool_end(pool);
}

/* ---- open_async --------------------------------------------------------- */

SCENARIO(an_asynchronous_open_is_told_in_its_main)
{
    weir_main        *m = NULL;
    weir_pool        *p = NULL;
    ledger            l = LEDGER;
    weir_pool_options opts = noting(&l, 3);
    news              n = NEWS;
    probe             t = PROBE;
    if (given(weir_main_open(&m)) && given(weir_pool_open_async(&p, &opts, m, &n.notice))) {
        expect_eq(n.calls, 0);
        while (n.calls == 0)
            weir_main_wait(m, -1);
        expect(pthread_equal(n.on, pthread_self()));
        int rc = weir_run(p, &t.task, m);
        expect_eq(rc, given(n.outcome) ? 0 : WEIR_ECLOSED);
    }
    pool_end(p);
    main_end(m);
    expect_balanced(&l);
    expect(n.calls == (p != NULL));
}

TEST(tasks_wait_while_a_pool_opens)
{
    rig               r;
    ledger            l = LEDGER;
    gate              leave = GATE;
    weir_pool_options opts = noting(&l, 2);
    news              n = NEWS;
    probe             t = PROBE;
    l.leave = &leave;
    expect_eq(weir_main_open(&r.m), 0);
    expect_eq(weir_pool_open_async(&r.p, &opts, r.m, &n.notice), 0);
    expect_eq(weir_run(r.p, &t.task, r.m), 0);
    tally_wait(&l.entered, 2);
    expect_eq(weir_task_get_state(&t.task), WEIR_TASK_QUEUED);
    expect_eq(weir_pool_init_error(r.p), 0);
    gate_open(&leave);
    while (t.dones == 0)
        weir_main_wait(r.m, -1);
    expect(n.calls == 1 && n.outcome == 0); /* before any done */
    expect_eq(t.outcome, 0);
    rig_close(&r);
}

TEST(tasks_of_a_pool_that_fails_to_open_settle_as_closed)
{
    rig               r;
    ledger            l = LEDGER;
    gate              leave = GATE;
    weir_pool_options opts = noting(&l, 3);
    news              n = NEWS;
    tally             settled = TALLY;
    probe             t = PROBE, nobodys = PROBE;
    l.leave = &leave, l.fails_at = 2, l.code = -5;
    nobodys.settled = &settled;
    expect_eq(weir_main_open(&r.m), 0);
    expect_eq(weir_pool_open_async(&r.p, &opts, r.m, &n.notice), 0);
    expect_eq(weir_run(r.p, &t.task, r.m), 0);
    expect_eq(weir_run(r.p, &nobodys.task, NULL), 0);
    gate_open(&leave);
    while (n.calls == 0 || t.dones == 0)
        weir_main_wait(r.m, -1);
    expect_eq(n.outcome, WEIR_EINIT);
    expect_eq(weir_pool_init_error(r.p), -5);
    expect_eq(t.outcome, WEIR_ECLOSED);
    expect_eq(t.runs, 0);
    tally_wait(&settled, 1);
    expect_eq(weir_run(r.p, &t.task, r.m), WEIR_ECLOSED);
    expect_eq(stats_of(r.p).threads, 0);
    rig_close(&r);
    expect_balanced(&l);
}

TEST(a_close_while_opening_fails_the_open)
{
    rig               r;
    ledger            l = LEDGER;
    gate              leave = GATE;
    weir_pool_options opts = noting(&l, 2);
    news              n = NEWS;
    probe             t = PROBE;
    l.leave = &leave;
    expect_eq(weir_main_open(&r.m), 0);
    expect_eq(weir_pool_open_async(&r.p, &opts, r.m, &n.notice), 0);
    expect_eq(weir_run(r.p, &t.task, r.m), 0);
    tally_wait(&l.entered, 1);
    expect_eq(weir_close_async(r.p, WEIR_DRAIN, NULL, NULL), 0);
    expect_eq(weir_run(r.p, &t.task, r.m), WEIR_EBUSY);
    gate_open(&leave);
    expect_eq(weir_close(r.p, WEIR_CLOSE), 0);
    while (n.calls == 0 || t.dones == 0)
        weir_main_wait(r.m, -1);
    expect_eq(n.outcome, WEIR_ECLOSED);
    expect_eq(t.outcome, WEIR_ECLOSED);
    expect_eq(t.runs, 0);
    rig_close(&r);
    expect_balanced(&l);
}

TEST(without_a_main_ready_is_told_on_the_thread_that_opened_it_last)
{
    weir_pool        *p = NULL;
    weir_pool_options opts = pool_of(3);
    tally             told = TALLY;
    news              n = {.notice = {.fn = news_tell}, .told = &told};
    expect_eq(weir_pool_open_async(&p, &opts, NULL, &n.notice), 0);
    tally_wait(&told, 1);
    expect_eq(n.outcome, 0);
    expect_eq(stats_of(p).threads, 3);
    pool_end(p);
    expect_eq(weir_pool_open_async(&p, &opts, NULL, NULL), 0);
    pool_end(p);
    expect_eq(n.calls, 1);
}

/* ---- statistics --------------------------------------------------------- */

static rig          counted;
static _Atomic bool over;

static void takes_snapshots(void *arg)
{
    weir_pool_stats before = stats_of(counted.p);
    (void)arg;
    while (!atomic_load(&over)) {
        weir_pool_stats s = stats_of(counted.p); /* checks the sum */
        expect_op(s.running, <=, 3);
        expect_op(s.submitted, >=, before.submitted);
        expect_op(s.ok, >=, before.ok);
        expect_op(s.cancelled, >=, before.cancelled);
        before = s;
    }
}

TEST(every_snapshot_adds_up)
{
    enum { N = 64 };
    static probe t[N];
    helper       h;
    unsigned     rounds = scaled(60), cancelled = 0;
    atomic_store(&over, false);
    expect(rig_open(&counted, 3));
    helper_start(&h, takes_snapshots, NULL);
    for (unsigned round = 0; round < rounds; round++) {
        tally settled = TALLY;
        for (int i = 0; i < N; i++) {
            t[i] = (probe){.task = {.run = probe_run, .done = probe_done}, .settled = &settled};
            t[i].code = i % 4 == 0 ? 9 : 0;
            expect_eq(weir_run(counted.p, &t[i].task, counted.m), 0);
            if (i % 8 == 0)
                cancelled += weir_cancel(&t[i].task) == 0;
        }
        main_until(counted.m, &settled, N);
    }
    atomic_store(&over, true);
    helper_join(&h);
    weir_pool_stats s = stats_of(counted.p);
    expect_eq(s.submitted, (long long)rounds * N);
    expect_eq(s.cancelled, cancelled);
    expect_eq(s.ok + s.failed, (long long)rounds * N - cancelled);
    expect_op(s.failed, <=, (long long)rounds * N / 4);
    expect_eq(s.queued + s.parked + s.running + s.expired + s.closed + s.refused, 0);
    rig_close(&counted);
}

TEST(stats_and_options_are_asked_with_a_size)
{
    rig               r;
    weir_pool_stats   s = {0};
    weir_pool_options opts = {0};
    expect(rig_open(&r, 2));
    expect_eq(weir_pool_get_stats(r.p, &s), WEIR_EINVAL);
    expect_eq(weir_pool_get_stats(r.p, NULL), WEIR_EINVAL);
    expect_eq(weir_pool_get_options(r.p, &opts), WEIR_EINVAL);
    expect_eq(weir_pool_get_options(r.p, NULL), WEIR_EINVAL);
    s.size = offsetof(weir_pool_stats, running); /* an older caller */
    s.submitted = 4711;
    expect_eq(weir_pool_get_stats(r.p, &s), 0);
    expect_eq(s.threads, 2);
    expect_eq(s.submitted, 4711);
    rig_close(&r);
}

SUITE(pool, every_thread_has_a_state_made_and_given_back_on_it,
      a_failing_first_init_fails_the_open_after_the_others_ended,
      a_failing_middle_init_fails_the_open_after_the_others_ended,
      a_failing_last_init_fails_the_open_after_the_others_ended,
      the_code_of_an_init_that_failed_an_open_is_this_threads_until_its_next_open,
      an_asynchronous_open_is_told_in_its_main, tasks_wait_while_a_pool_opens,
      tasks_of_a_pool_that_fails_to_open_settle_as_closed, a_close_while_opening_fails_the_open,
      without_a_main_ready_is_told_on_the_thread_that_opened_it_last, every_snapshot_adds_up,
      stats_and_options_are_asked_with_a_size)
