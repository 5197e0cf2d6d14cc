/* SPDX-License-Identifier: ISC
 *
 * test_stress.c: threads do what the seed says, and every accepted task is done
 * exactly once, by the test's own count.
 */
#include "harness.h"

enum { SLOTS = 48, USERS = 3, STEPS = 6000 };

/* Of a user; only its thread runs it, anyone may call on it. */
typedef struct {
    weir_task    task;
    struct user *user;
    int          parks;
    _Atomic bool busy; /* accepted and not done */
    _Atomic int  dones_due;
    _Atomic int  runs;
} slot;

typedef struct user {
    helper       h;
    weir_pool   *pool;
    weir_main   *m;
    uint64_t     random;
    slot         slot[SLOTS];
    long         accepted;
    _Atomic long done, calls;
} user;

static user             users[USERS];
static _Atomic bool     over;
static _Atomic unsigned steps; /* of all users: how far they are; relaxed, it orders nothing */

static int run_as_told(weir_task *task, void *state)
{
    slot *s = (slot *)task;
    (void)state;
    atomic_fetch_add(&s->runs, 1);
    if (weir_cancel_requested(task))
        return WEIR_ECANCELED;
    return s->parks-- > 0 ? WEIR_PARK : 0;
}

static void done_once(weir_task *task)
{
    slot *s = (slot *)task;
    user *u = s->user;
    int   outcome = weir_task_outcome(task);
    expect(outcome == 0 || outcome == WEIR_ECANCELED || outcome == WEIR_ECLOSED);
    expect(outcome != 0 || s->runs > 0);
    expect_eq(atomic_fetch_sub(&s->dones_due, 1), 1);
    atomic_fetch_add(&u->done, 1);
    atomic_store(&s->busy, false); /* last: it may be run again from here on */
}

static void answers(weir_call *call, void *arg)
{
    atomic_fetch_add(&((user *)arg)->calls, 1);
    weir_call_finish(call, 0, NULL);
}

static int run_asks(weir_task *task, void *state)
{
    slot *s = (slot *)task;
    (void)state;
    atomic_fetch_add(&s->runs, 1);
    int rc = weir_run_in_main(NULL, answers, s->user, NULL);
    expect(rc == 0 || rc == WEIR_ECLOSED || rc == WEIR_EDEADLK);
    return 0;
}

static void submit(user *u, slot *s)
{
    uint32_t         r = rnd(&u->random);
    weir_run_options o = {.size = sizeof o, .priority = (weir_priority)(r % WEIR_LEVELS)};
    if (atomic_load(&s->busy))
        return;
    o.deliver_to = r & 64 ? u->m : NULL;
    s->task =
        (weir_task){.run = r & 128 && o.deliver_to ? run_asks : run_as_told, .done = done_once};
    s->user = u;
    s->parks = r & 256 ? (int)(r >> 9 & 3) : 0;
    s->runs = 0;
    atomic_store(&s->busy, true);
    atomic_store(&s->dones_due, 1);
    int rc = weir_run_with(u->pool, &s->task, &o);
    if (rc == 0) {
        u->accepted++;
        return;
    }
    expect(rc == WEIR_EFULL || rc == WEIR_ECLOSED);
    atomic_store(&s->dones_due, 0);
    atomic_store(&s->busy, false);
}

static void step(user *u)
{
    uint32_t r = rnd(&u->random);
    slot    *s = &u->slot[rnd(&u->random) % SLOTS];
    switch (r % 16) {
    case 0: weir_cancel(&s->task); break;
    case 1:
    case 2:
    case 3: weir_task_unpark(&s->task); break;
    case 4: weir_main_dispatch(u->m, (int)(r >> 8) % 8); break;
    case 5: weir_main_wait(u->m, MILLIS(1) / 10); break;
    case 6:
        if (r >> 8 & 15)
            break;
        weir_pool_pause(u->pool);
        weir_main_dispatch(u->m, 0);
        weir_pool_resume(u->pool);
        break;
    case 7:
        if ((r >> 8 & 31) == 0)
            weir_pool_purge(u->pool);
        break;
    case 8: (void)stats_of(u->pool); break;
    default: submit(u, s);
    }
}

/* Parked ones are woken until all of this user's are done. */
static void settle(user *u)
{
    test_stage("settling");
    while (atomic_load(&u->done) < u->accepted) {
        for (int i = 0; i < SLOTS; i++)
            if (atomic_load(&u->slot[i].busy))
                weir_task_unpark(&u->slot[i].task);
        weir_main_wait(u->m, MILLIS(1) / 10);
    }
}

static void uses_the_pool(void *arg)
{
    user *u = arg;
    expect_eq(weir_main_open(&u->m), 0);
    for (unsigned i = 0; i < scaled(STEPS) && !atomic_load(&over); i++) {
        step(u);
        atomic_fetch_add_explicit(&steps, 1, memory_order_relaxed);
    }
    settle(u);
    main_end(u->m);
}

static void users_start(weir_pool *pool, uint64_t seed)
{
    atomic_store(&over, false);
    atomic_store(&steps, 0);
    for (int i = 0; i < USERS; i++) {
        users[i].pool = pool;
        users[i].random = seed + (uint64_t)i * 7919;
        users[i].accepted = 0;
        users[i].done = users[i].calls = 0;
        for (int k = 0; k < SLOTS; k++)
            users[i].slot[k] = (slot){.task = {.run = run_as_told, .done = done_once}};
        helper_start(&users[i].h, uses_the_pool, &users[i]);
    }
}

static long users_join(void)
{
    long accepted = 0;
    for (int i = 0; i < USERS; i++) {
        helper_join(&users[i].h);
        expect_eq(users[i].done, users[i].accepted);
        for (int k = 0; k < SLOTS; k++)
            expect_eq(users[i].slot[k].dones_due, 0);
        accepted += users[i].accepted;
    }
    return accepted;
}

/* While they are at it, whatever the machine's load. */
static void close_under_users(weir_pool *pool, uint64_t *random)
{
    unsigned until = rnd(random) % (USERS * scaled(STEPS));
    while (atomic_load_explicit(&steps, memory_order_relaxed) < until)
        sched_yield();
    expect_eq(weir_close(pool, rnd(random) & 1 ? WEIR_CLOSE : WEIR_DRAIN), 0);
    atomic_store(&over, true);
}

static void stress(weir_pool_options opts, bool close_under_them)
{
    weir_pool *pool;
    uint64_t   seed = test_seed() ^ opts.queue_limit ^ opts.threads << 8;
    expect_eq(weir_pool_open(&pool, &opts), 0);
    users_start(pool, seed);
    if (close_under_them)
        close_under_users(pool, &seed);
    long accepted = users_join();
    expect_eq(weir_close(pool, WEIR_DRAIN), 0);
    weir_pool_stats s = stats_of(pool);
    expect_eq(s.submitted, accepted);
    expect_eq(s.queued + s.running + s.parked, 0);
    weir_pool_release(pool);
}

static weir_pool_options shape(unsigned threads, unsigned limit, weir_full_policy policy)
{
    weir_pool_options o = pool_of(threads);
    o.queue_limit = limit, o.when_full = policy;
    return o;
}

TEST(random_operations_lose_no_task) { stress(shape(3, 0, WEIR_REFUSE), false); }
TEST(random_operations_on_a_small_queue_lose_no_task) { stress(shape(2, 5, WEIR_REFUSE), false); }

TEST(random_operations_with_caps_lose_no_task)
{
    weir_pool_options o = shape(4, 0, WEIR_REFUSE);
    o.max_running[WEIR_LOW] = 1, o.max_running[WEIR_HIGH] = 2;
    stress(o, false);
}

TEST(a_pool_that_closes_under_its_users_loses_no_task)
{
    for (unsigned i = 0; i < scaled(8); i++)
        stress(shape(1 + i % 4, 0, WEIR_REFUSE), true);
}

/* ---- one producer, one consumer, many tasks ----------------------------- */

static void done_counts(weir_task *task) { atomic_fetch_add(&((slot *)task)->runs, 1000000); }

TEST(a_burst_is_done_exactly_once)
{
    enum { N = 20000 };
    static slot burst[N];
    rig         r;
    int         n = (int)scaled(N);
    expect(rig_open(&r, 4));
    for (int i = 0; i < n; i++) {
        burst[i] = (slot){.task = {.run = run_as_told, .done = done_counts}};
        expect_eq(weir_run(r.p, &burst[i].task, r.m), 0);
    }
    int got = 0;
    while (got < n)
        got += weir_main_wait(r.m, -1);
    expect_eq(got, n);
    for (int i = 0; i < n; i++)
        expect_eq(burst[i].runs, 1000001);
    rig_close(&r);
}

/* ---- many producers, each with a main of its own ------------------------- */

enum { BURST = 3000 };

typedef struct {
    helper     h;
    weir_pool *pool;
    slot       slot[BURST];
} producer;

/* What it gives, it gets back, while the workers fall asleep and wake between. */
static void gives_and_gets(void *arg)
{
    producer  *p = arg;
    weir_main *m;
    int        n = (int)scaled(BURST), given = 0, got = 0;
    expect_eq(weir_main_open(&m), 0);
    for (int some = 1; given < n; some = some * 3 % 101) {
        for (int i = 0; i < some && given < n; i++, given++) {
            p->slot[given] = (slot){.task = {.run = run_as_told, .done = done_counts}};
            expect_eq(weir_run(p->pool, &p->slot[given].task, m), 0);
        }
        while (got < given)
            got += weir_main_wait(m, -1);
    }
    expect_eq(weir_main_close(m, 0), 0);
}

TEST(bursts_of_many_producers_are_done_exactly_once)
{
    enum { PRODUCERS = 4 };
    static producer   p[PRODUCERS];
    weir_pool        *pool;
    weir_pool_options opts = pool_of(2);
    expect(scaled(BURST) <= BURST);
    expect_eq(weir_pool_open(&pool, &opts), 0);
    for (int i = 0; i < PRODUCERS; i++) {
        p[i].pool = pool;
        helper_start(&p[i].h, gives_and_gets, &p[i]);
    }
    for (int i = 0; i < PRODUCERS; i++) {
        helper_join(&p[i].h);
        for (unsigned k = 0; k < scaled(BURST); k++)
            expect_eq(p[i].slot[k].runs, 1000001);
    }
    pool_end(pool);
}

SUITE(stress, random_operations_lose_no_task, random_operations_on_a_small_queue_lose_no_task,
      random_operations_with_caps_lose_no_task, a_pool_that_closes_under_its_users_loses_no_task,
      a_burst_is_done_exactly_once, bursts_of_many_producers_are_done_exactly_once)
