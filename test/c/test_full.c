/* SPDX-License-Identifier: ISC
 *
 * test_full.c: what a queue at its limit does.
 */
#include "harness.h"

static bool full_pool(rig *r, plug *p, probe *queued, int n, weir_full_policy policy)
{
    weir_pool_options opts = pool_of(1);
    opts.queue_limit = (unsigned)n;
    opts.when_full = policy;
    for (int i = 0; i < n; i++)
        queued[i] = (probe)PROBE;
    if (!rig_open_with(r, &opts) || !plug_in(p, r->p, r->m))
        return false;
    for (int i = 0; i < n; i++)
        expect_eq(weir_run(r->p, &queued[i].task, r->m), 0);
    return true;
}

TEST(a_full_queue_refuses_and_leaves_the_task_untouched)
{
    rig   r;
    plug  p;
    probe queued[2], extra = PROBE;
    expect(full_pool(&r, &p, queued, 2, WEIR_REFUSE));
    expect_eq(weir_run(r.p, &extra.task, r.m), WEIR_EFULL);
    expect_eq(weir_task_get_state(&extra.task), WEIR_TASK_IDLE);
    expect_eq(weir_main_pending(r.m), 3);
    weir_pool_stats s = stats_of(r.p);
    expect_eq(s.refused, 1);
    expect_eq(s.submitted, 3);
    expect_eq(s.queued, 2);
    expect_eq(weir_cancel(&queued[0].task), 0); /* its place is free at once */
    expect_eq(weir_run(r.p, &extra.task, r.m), 0);
    expect_eq(weir_run(r.p, &queued[0].task, r.m), WEIR_EBUSY);
    plug_pull(&p);
    expect_eq(weir_close(r.p, WEIR_DRAIN), 0);
    rig_close(&r);
    expect_eq(extra.dones, 1);
    expect_eq(queued[0].dones, 1);
}

typedef struct {
    weir_pool *pool;
    weir_main *m;
    probe     *t;
    int        code;
} submission;

static void submits(void *arg)
{
    submission *s = arg;
    s->code = weir_run(s->pool, &s->t->task, s->m);
}

typedef enum { BY_A_FINISH, BY_A_CANCEL, BY_A_PURGE, BY_A_CLOSE, BY_A_DRAIN } release_by;

static void release(rig *r, plug *p, probe *queued, release_by how)
{
    switch (how) {
    case BY_A_FINISH: plug_pull(p); break;
    case BY_A_CANCEL: expect_eq(weir_cancel(&queued[1].task), 0); break;
    case BY_A_PURGE: expect_eq(weir_pool_purge(r->p), 2); break;
    case BY_A_CLOSE: expect_eq(weir_close_async(r->p, WEIR_CLOSE, NULL, NULL), 0); break;
    case BY_A_DRAIN: expect_eq(weir_close_async(r->p, WEIR_DRAIN, NULL, NULL), 0); break;
    }
}

static void a_blocked_submitter(release_by how, int expected)
{
    rig   r;
    plug  p;
    probe queued[2], extra = PROBE;
    expect(full_pool(&r, &p, queued, 2, WEIR_BLOCK));
    submission s = {r.p, r.m, &extra, 1};
    helper     h;
    helper_start(&h, submits, &s);
    helper_until_asleep(&h);
    expect(!h.returned);
    expect_eq(weir_task_get_state(&extra.task), WEIR_TASK_IDLE);
    release(&r, &p, queued, how);
    helper_join(&h);
    expect_eq(s.code, expected);
    plug_pull(&p);
    rig_close(&r);
    expect_eq(extra.dones, expected == 0);
}

TEST(a_blocked_submitter_goes_on_when_a_task_starts) { a_blocked_submitter(BY_A_FINISH, 0); }
TEST(a_blocked_submitter_goes_on_when_one_is_cancelled) { a_blocked_submitter(BY_A_CANCEL, 0); }
TEST(a_blocked_submitter_goes_on_when_the_queue_is_purged) { a_blocked_submitter(BY_A_PURGE, 0); }
TEST(a_blocked_submitter_is_told_of_a_close) { a_blocked_submitter(BY_A_CLOSE, WEIR_ECLOSED); }
TEST(a_blocked_submitter_is_told_of_a_drain) { a_blocked_submitter(BY_A_DRAIN, WEIR_ECLOSED); }

static int run_fills_and_submits(weir_task *task, void *state)
{
    submission *s = ((probe *)task)->state;
    (void)state;
    gate_open(((probe *)task)->entered);
    gate_wait(((probe *)task)->leave);
    s->code = weir_run(s->pool, &s->t->task, s->m);
    return 0;
}

TEST(a_worker_that_finds_its_own_queue_full_gets_an_error)
{
    rig               r;
    weir_pool_options opts = pool_of(1);
    gate              entered = GATE, leave = GATE;
    probe             worker = PROBE, queued = PROBE, extra = PROBE;
    opts.queue_limit = 1, opts.when_full = WEIR_BLOCK;
    expect(rig_open_with(&r, &opts));
    submission s = {r.p, r.m, &extra, 1};
    worker.task.run = run_fills_and_submits, worker.state = &s;
    worker.entered = &entered, worker.leave = &leave;
    expect_eq(weir_run(r.p, &worker.task, r.m), 0);
    gate_wait(&entered);
    expect_eq(weir_run(r.p, &queued.task, r.m), 0);
    gate_open(&leave);
    expect_eq(weir_close(r.p, WEIR_DRAIN), 0);
    rig_close(&r);
    expect(s.code == WEIR_EDEADLK || s.code == WEIR_ECLOSED);
    expect_eq(queued.runs, 1);
}

SCENARIO(blocked_submitters_lose_nothing)
{
    enum { N = 40 };
    static probe      t[N];
    static submission s[N];
    static helper     h[N];
    rig               r;
    weir_pool_options opts = pool_of(2);
    tally             settled = TALLY;
    int               n = 0;
    opts.queue_limit = 3, opts.when_full = WEIR_BLOCK;
    if (rig_open_with(&r, &opts))
        for (; n < N; n++) {
            t[n] = (probe)PROBE;
            t[n].settled = &settled;
            s[n] = (submission){r.p, r.m, &t[n], 1};
            helper_start(&h[n], submits, &s[n]);
        }
    for (int i = 0; i < n; i++) {
        helper_join(&h[i]);
        expect_eq(s[i].code, 0);
    }
    if (n)
        main_until(r.m, &settled, n);
    rig_close(&r);
}

/* ---- notices of space ----------------------------------------------------- */

static void a_refused_one_hears(release_by how, int outcome)
{
    rig   r;
    plug  p;
    probe queued[2], extra = PROBE;
    news  h[2] = {NEWS, NEWS}; /* all are told */
    expect(full_pool(&r, &p, queued, 2, WEIR_REFUSE));
    expect_eq(weir_run(r.p, &extra.task, r.m), WEIR_EFULL);
    for (int i = 0; i < 2; i++)
        expect_eq(weir_pool_on_space(r.p, &h[i].notice, r.m), 0);
    expect_eq(weir_main_pending(r.m), 5);
    expect_eq(weir_main_dispatch(r.m, 0), 0);
    release(&r, &p, queued, how);
    while (h[0].calls + h[1].calls < 2)
        expect_op(weir_main_wait(r.m, -1), >, 0);
    for (int i = 0; i < 2; i++)
        expect_eq(h[i].outcome, outcome);
    int rc = weir_run(r.p, &extra.task, r.m);
    expect_eq(rc, outcome);
    plug_pull(&p);
    rig_close(&r);
    expect(h[0].calls == 1 && h[1].calls == 1);
    expect_eq(extra.dones, rc == 0);
}

TEST(a_refused_one_hears_when_a_task_starts) { a_refused_one_hears(BY_A_FINISH, 0); }
TEST(a_refused_one_hears_when_one_is_cancelled) { a_refused_one_hears(BY_A_CANCEL, 0); }
TEST(a_refused_one_hears_when_the_queue_is_purged) { a_refused_one_hears(BY_A_PURGE, 0); }
TEST(a_refused_one_hears_of_a_close) { a_refused_one_hears(BY_A_CLOSE, WEIR_ECLOSED); }
TEST(a_refused_one_hears_of_a_drain) { a_refused_one_hears(BY_A_DRAIN, WEIR_ECLOSED); }

TEST(space_that_is_there_is_told_at_once)
{
    rig  r;
    news h = NEWS, late = NEWS, wrong = NEWS;
    expect(rig_open(&r, 1));
    expect_eq(weir_pool_on_space(r.p, &h.notice, r.m), 0);
    expect(h.calls == 0 && weir_main_dispatch(r.m, 0) == 1);
    expect(h.calls == 1 && h.outcome == 0);
    wrong.notice.fn = NULL;
    expect_eq(weir_pool_on_space(r.p, &wrong.notice, r.m), WEIR_EINVAL);
    expect_eq(weir_pool_on_space(r.p, NULL, r.m), WEIR_EINVAL);
    expect_eq(weir_pool_on_space(NULL, &h.notice, r.m), WEIR_EINVAL);
    expect_eq(weir_pool_on_space(r.p, &h.notice, NULL), WEIR_EINVAL);
    expect_eq(weir_close(r.p, WEIR_CLOSE), 0);
    expect_eq(weir_pool_on_space(r.p, &late.notice, r.m), 0);
    expect_eq(weir_main_dispatch(r.m, 0), 1);
    expect(late.calls == 1 && late.outcome == WEIR_ECLOSED);
    rig_close(&r);
}

static void tells_space_in_time(bool first_has_main)
{
    rig               r;
    plug              first, second;
    news              h = NEWS;
    weir_pool_options opts = pool_of(1);
    opts.queue_limit = 1;
    expect(rig_open_with(&r, &opts) && plug_in(&first, r.p, first_has_main ? r.m : NULL));
    second = (plug){.probe = PROBE, .entered = GATE, .leave = GATE};
    second.probe.entered = &second.entered, second.probe.leave = &second.leave;
    expect_eq(weir_run(r.p, &second.probe.task, r.m), 0);
    expect_eq(weir_pool_on_space(r.p, &h.notice, r.m), 0);
    plug_pull(&first);
    gate_wait(&second.entered);
    while (h.calls == 0)
        weir_main_wait(r.m, -1);
    expect_eq(h.outcome, 0);
    plug_pull(&second);
    rig_close(&r);
}

/* The worker goes from the first task to the second at once. */
TEST(space_is_told_while_the_task_that_left_it_runs) { tells_space_in_time(true); }
/* The worker tells the first before it takes the second. */
TEST(space_is_told_while_the_task_after_one_without_a_main_runs) { tells_space_in_time(false); }

/* Another thread makes the space again and again, by each task that it takes. */
SCENARIO(who_asks_for_space_loses_nothing)
{
    enum { N = 200 };
    static probe      t[N];
    rig               r;
    weir_pool_options opts = pool_of(2);
    tally             settled = TALLY;
    int               n = 0, rc = 0;
    opts.queue_limit = 1;
    if (rig_open_with(&r, &opts))
        for (; rc == 0 && n < N; n++) {
            news h = NEWS;
            t[n] = (probe)PROBE;
            t[n].settled = &settled;
            while ((rc = weir_run(r.p, &t[n].task, r.m)) == WEIR_EFULL) {
                h.calls = 0;
                expect_eq(weir_pool_on_space(r.p, &h.notice, r.m), 0);
                while (!h.calls)
                    weir_main_wait(r.m, -1);
                expect_eq(h.outcome, 0);
            }
            expect_eq(rc, 0);
        }
    if (n)
        main_until(r.m, &settled, n);
    rig_close(&r);
}

TEST(a_main_that_closes_hears_there)
{
    rig        r;
    plug       p;
    probe      queued[2];
    weir_main *other;
    news       h = NEWS;
    expect(full_pool(&r, &p, queued, 2, WEIR_REFUSE));
    expect_eq(weir_main_open(&other), 0);
    expect_eq(weir_pool_on_space(r.p, &h.notice, other), 0);
    expect_eq(weir_main_close(other, WEIR_DETACH), 0);
    expect_eq(h.calls, 0);
    expect_eq(weir_cancel(&queued[0].task), 0); /* on the thread that makes the space */
    expect(h.calls == 1 && h.outcome == 0);
    plug_pull(&p);
    rig_close(&r);
}

/* ---- a main that closes makes space, and says so -------------------------- */

/* A full pool whose queued tasks are those of a main; that closes. */
static void fill_for(weir_main *m, rig *r, plug *p, probe *queued, weir_full_policy policy)
{
    weir_pool_options opts = pool_of(1);
    opts.queue_limit = 2, opts.when_full = policy;
    expect(rig_open_with(r, &opts) && plug_in(p, r->p, NULL));
    for (int i = 0; i < 2; i++) {
        queued[i] = (probe)PROBE;
        expect_eq(weir_run(r->p, &queued[i].task, m), 0);
    }
}

TEST(a_refused_one_hears_when_the_main_of_what_is_queued_closes)
{
    rig        r;
    plug       p;
    probe      queued[2];
    weir_main *other;
    news       h = NEWS;
    expect_eq(weir_main_open(&other), 0);
    fill_for(other, &r, &p, queued, WEIR_REFUSE);
    expect_eq(weir_pool_on_space(r.p, &h.notice, r.m), 0);
    expect_eq(weir_main_close(other, 0), 0);
    expect(queued[0].dones == 1 && queued[1].dones == 1);
    expect_eq(weir_main_dispatch(r.m, 0), 1); /* it is there already */
    expect(h.calls == 1 && h.outcome == 0);
    plug_pull(&p);
    rig_close(&r);
}

/* Told on the thread that closes, because its own main has gone; it fills the space that
 * it hears of, and gives the pool back. */
static rig   filled;
static probe filler;

static void fills_and_releases(weir_notice *notice, int outcome)
{
    news_tell(notice, outcome);
    expect_eq(weir_run(filled.p, &filler.task, filled.m), 0);
    weir_pool_release(filled.p);
}

TEST(a_main_that_closes_may_tell_one_that_submits_and_releases)
{
    plug       p;
    probe      queued[2];
    weir_main *other, *gone;
    news       h = {.notice = {.fn = fills_and_releases}};
    filler = (probe)PROBE;
    expect_eq(weir_main_open(&other), 0);
    expect_eq(weir_main_open(&gone), 0);
    fill_for(other, &filled, &p, queued, WEIR_REFUSE);
    expect_eq(weir_pool_on_space(filled.p, &h.notice, gone), 0);
    expect_eq(weir_main_close(gone, WEIR_DETACH), 0);
    expect_eq(weir_main_close(other, 0), 0);
    expect(h.calls == 1 && pthread_equal(h.on, pthread_self()));
    plug_pull(&p);
    while (filler.dones == 0)
        weir_main_wait(filled.m, -1);
    expect_eq(filler.outcome, WEIR_ECLOSED);
    while (p.probe.dones == 0)
        sched_yield();
    main_end(filled.m);
}

SUITE(full, space_is_told_while_the_task_that_left_it_runs,
      space_is_told_while_the_task_after_one_without_a_main_runs,
      a_refused_one_hears_when_the_main_of_what_is_queued_closes,
      a_main_that_closes_may_tell_one_that_submits_and_releases,
      a_full_queue_refuses_and_leaves_the_task_untouched,
      a_blocked_submitter_goes_on_when_a_task_starts,
      a_blocked_submitter_goes_on_when_one_is_cancelled,
      a_blocked_submitter_goes_on_when_the_queue_is_purged, a_blocked_submitter_is_told_of_a_close,
      a_blocked_submitter_is_told_of_a_drain, a_worker_that_finds_its_own_queue_full_gets_an_error,
      blocked_submitters_lose_nothing, a_refused_one_hears_when_a_task_starts,
      a_refused_one_hears_when_one_is_cancelled, a_refused_one_hears_when_the_queue_is_purged,
      a_refused_one_hears_of_a_close, a_refused_one_hears_of_a_drain,
      space_that_is_there_is_told_at_once, who_asks_for_space_loses_nothing,
      a_main_that_closes_hears_there)
