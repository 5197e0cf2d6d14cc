/* SPDX-License-Identifier: ISC
 *
 * test_close.c: every way to close a pool, and every pair of them.
 */
#include "lazy.h"

enum { QUEUED = 4 };

/* A pool whose one thread is held, with QUEUED tasks behind. */
typedef struct {
    rig   r;
    plug  p;
    probe t[QUEUED];
} jam;

static void jam_open(jam *j)
{
    expect(rig_open(&j->r, 1) && plug_in(&j->p, j->r.p, j->r.m));
    for (int i = 0; i < QUEUED; i++) {
        j->t[i] = (probe)PROBE;
        expect_eq(weir_run(j->r.p, &j->t[i].task, j->r.m), 0);
    }
}

static int jam_dones(jam *j)
{
    int n = 0;
    for (int i = 0; i < QUEUED; i++)
        n += j->t[i].dones;
    return n;
}

static void jam_close(jam *j, int ran)
{
    rig_close(&j->r);
    expect_eq(j->p.probe.outcome, 0);
    expect_eq(j->p.probe.dones, 1);
    for (int i = 0; i < QUEUED; i++) {
        expect_eq(j->t[i].dones, 1);
        expect_eq(j->t[i].runs, i < ran);
        expect_eq(j->t[i].outcome, i < ran ? 0 : WEIR_ECLOSED);
    }
}

TEST(a_close_settles_queued_tasks_at_once_and_waits_for_the_running_one)
{
    jam   j;
    probe late = PROBE;
    jam_open(&j);
    expect_eq(weir_close_async(j.r.p, WEIR_CLOSE, NULL, NULL), 0);
    expect_eq(weir_run(j.r.p, &late.task, j.r.m), WEIR_ECLOSED);
    expect_eq(weir_main_dispatch(j.r.m, 0), QUEUED); /* while it still runs */
    expect_eq(jam_dones(&j), QUEUED);
    expect_eq(weir_task_get_state(&j.p.probe.task), WEIR_TASK_RUNNING);
    plug_pull(&j.p);
    expect_eq(weir_close(j.r.p, WEIR_CLOSE), 0);
    jam_close(&j, 0);
}

TEST(a_drain_runs_what_is_queued_first)
{
    jam j;
    jam_open(&j);
    expect_eq(weir_close_async(j.r.p, WEIR_DRAIN, NULL, NULL), 0);
    expect_eq(weir_main_dispatch(j.r.m, 0), 0);
    plug_pull(&j.p);
    expect_eq(weir_close(j.r.p, WEIR_DRAIN), 0);
    jam_close(&j, QUEUED);
}

typedef enum { PLAIN, WITHIN, ASYNC, FORMS } form;

static void close_by(jam *j, form how, weir_close_mode mode, news *n)
{
    switch (how) {
    case PLAIN:
    case FORMS: expect_eq(weir_close(j->r.p, mode), 0); break;
    case WITHIN: expect_eq(weir_close_within(j->r.p, mode, SECONDS(1000)), 0); break;
    case ASYNC: expect_eq(weir_close_async(j->r.p, mode, j->r.m, &n->notice), 0); break;
    }
}

typedef struct {
    jam            *j;
    form            how;
    weir_close_mode mode;
    news            n;
} closing;

static void closes(void *arg)
{
    closing *c = arg;
    if (c->how == ASYNC)
        expect_eq(weir_close_async(c->j->r.p, c->mode, NULL, &c->n.notice), 0);
    else
        close_by(c->j, c->how, c->mode, NULL);
}

/* The first close on another thread, then the second here; then it ends. */
static void pair_of_closes(form how1, weir_close_mode mode1, form how2, weir_close_mode mode2)
{
    jam     j;
    helper  h;
    closing first = {&j, how1, mode1, NEWS};
    news    second = NEWS;
    jam_open(&j);
    helper_start(&h, closes, &first);
    while (weir_pool_pause(j.r.p) == 0) /* until the first has begun; a close resumes */
        sched_yield();
    if (how2 == ASYNC || mode2 == WEIR_CLOSE)
        expect_eq(weir_close_async(j.r.p, mode2, NULL, NULL), 0);
    bool ran = mode1 == WEIR_DRAIN && mode2 == WEIR_DRAIN;
    plug_pull(&j.p);
    close_by(&j, how2, mode2, &second);
    helper_join(&h);
    expect_eq(weir_close(j.r.p, WEIR_DRAIN), 0); /* changes nothing, but waits */
    jam_close(&j, ran ? QUEUED : 0);
    expect_eq(first.n.calls, how1 == ASYNC);
    expect_eq(second.calls, how2 == ASYNC);
}

TEST(every_pair_of_closes_ends_as_the_header_says)
{
    for (int how1 = 0; how1 < FORMS; how1++)
        for (int how2 = 0; how2 < FORMS; how2++)
            for (int modes = 0; modes < 4; modes++)
                pair_of_closes((form)how1, modes & 1 ? WEIR_DRAIN : WEIR_CLOSE, (form)how2,
                               modes & 2 ? WEIR_DRAIN : WEIR_CLOSE);
}

SCENARIO(a_closed_pool_refuses_tasks_and_closes_again)
{
    rig   r;
    probe t = PROBE;
    if (rig_open(&r, 2)) {
        expect_eq(weir_close(r.p, WEIR_CLOSE), 0);
        expect_eq(weir_run(r.p, &t.task, r.m), WEIR_ECLOSED);
        expect_eq(weir_task_get_state(&t.task), WEIR_TASK_IDLE);
        expect_eq(weir_close(r.p, WEIR_CLOSE), 0);
        expect_eq(weir_close(r.p, WEIR_DRAIN), 0);
        expect_eq(weir_close_within(r.p, WEIR_CLOSE, 0), 0);
        expect_eq(stats_of(r.p).threads, 0);
    }
    rig_close(&r);
    expect_eq(t.dones + t.runs, 0);
}

TEST(a_bad_mode_no_pool_or_a_notice_without_function_is_refused)
{
    rig  r;
    news n = NEWS;
    expect(rig_open(&r, 1));
    expect_eq(weir_close(r.p, (weir_close_mode)2), WEIR_EINVAL);
    expect_eq(weir_close_within(r.p, (weir_close_mode)-1, 0), WEIR_EINVAL);
    expect_eq(weir_close_async(r.p, (weir_close_mode)9, r.m, &n.notice), WEIR_EINVAL);
    expect_eq(weir_close(NULL, WEIR_CLOSE), WEIR_EINVAL);
    n.notice.fn = NULL;
    expect_eq(weir_close_async(r.p, WEIR_CLOSE, r.m, &n.notice), WEIR_EINVAL);
    expect_eq(weir_pool_pause(r.p), 0); /* it is open still */
    expect_eq(weir_main_pending(r.m), 0);
    weir_pool_release(NULL);
    rig_close(&r);
    expect_eq(n.calls, 0);
}

/* ---- from inside -------------------------------------------------------- */

static rig own;

static int run_closes_its_pool(weir_task *task, void *state)
{
    (void)task, (void)state;
    expect_eq(weir_close(own.p, WEIR_CLOSE), WEIR_EDEADLK);
    return weir_close_within(own.p, WEIR_DRAIN, 0);
}

TEST(a_worker_cannot_wait_for_its_own_end_and_nothing_changes)
{
    probe t = {.task = {.run = run_closes_its_pool}}, next = PROBE;
    next.task.done = NULL;
    expect(rig_open(&own, 2));
    expect_eq(weir_run(own.p, &t.task, NULL), 0);
    expect_eq(weir_wait(&t.task, -1), 0);
    expect_eq(weir_task_outcome(&t.task), WEIR_EDEADLK);
    expect_eq(weir_run(own.p, &next.task, NULL), 0); /* it is open still */
    expect_eq(weir_wait(&next.task, -1), 0);
    rig_close(&own);
}

static void done_on_worker_closes(weir_task *task)
{
    expect_eq(weir_close(own.p, WEIR_CLOSE), WEIR_EDEADLK);
    probe_done(task);
}

TEST(a_done_on_a_worker_cannot_wait_for_it_either)
{
    tally settled = TALLY;
    plug  p;
    probe t = {.task = {.run = probe_run, .done = done_on_worker_closes}, .settled = &settled};
    probe queued = t;
    expect(rig_open(&own, 1));
    expect_eq(weir_run(own.p, &t.task, NULL), 0);
    tally_wait(&settled, 1);
    /* Told by the worker while it leaves: the same answer. */
    expect(plug_in(&p, own.p, NULL));
    expect_eq(weir_run(own.p, &queued.task, NULL), 0);
    expect_eq(weir_close_async(own.p, WEIR_CLOSE, NULL, NULL), 0);
    plug_pull(&p);
    rig_close(&own);
    expect_eq(queued.outcome, WEIR_ECLOSED);
    expect_eq(queued.dones, 1);
}

static int run_starts_a_close(weir_task *task, void *state)
{
    probe *p = (probe *)task;
    (void)state;
    expect_eq(weir_close_async(own.p, WEIR_CLOSE, own.m, p->state), 0);
    return weir_run(own.p, task, NULL) == WEIR_EBUSY ? 0 : 1;
}

TEST(a_worker_may_start_the_close)
{
    news  n = NEWS;
    probe t = {.task = {.run = run_starts_a_close, .done = probe_done}, .state = &n.notice};
    expect(rig_open(&own, 2));
    expect_eq(weir_run(own.p, &t.task, own.m), 0);
    while (n.calls == 0)
        weir_main_wait(own.m, -1);
    expect_eq(t.outcome, 0);
    expect_eq(n.outcome, 0);
    expect_eq(stats_of(own.p).threads, 0);
    rig_close(&own);
}

static void done_closes(weir_task *task)
{
    probe_done(task);
    expect_eq(weir_close(own.p, WEIR_DRAIN), 0);
}

TEST(a_done_in_a_main_may_close_the_pool)
{
    probe t[3];
    expect(rig_open(&own, 1));
    for (int i = 0; i < 3; i++) {
        t[i] = (probe)PROBE;
        t[i].task.done = i == 0 ? done_closes : probe_done;
        expect_eq(weir_run(own.p, &t[i].task, own.m), 0);
    }
    while (weir_main_pending(own.m))
        weir_main_wait(own.m, -1);
    for (int i = 0; i < 3; i++)
        expect_eq(t[i].outcome, 0);
    rig_close(&own);
}

/* ---- within and async --------------------------------------------------- */

TEST(a_drain_that_takes_too_long_becomes_a_close_that_goes_on)
{
    jam j;
    jam_open(&j);
    int64_t before = now_ns();
    expect_eq(weir_close_within(j.r.p, WEIR_DRAIN, MILLIS(5)), WEIR_ETIMEDOUT);
    expect_op(now_ns() - before, >=, MILLIS(5));
    expect_eq(weir_main_dispatch(j.r.m, 0), QUEUED);
    expect_eq(weir_close_within(j.r.p, WEIR_DRAIN, 0), WEIR_ETIMEDOUT);
    plug_pull(&j.p);
    expect_eq(weir_close_within(j.r.p, WEIR_CLOSE, -1), 0);
    jam_close(&j, 0);
}

SCENARIO(each_asynchronous_close_is_told_once_after_the_last_thread_left)
{
    rig  r;
    plug p;
    news in_main[3] = {NEWS, NEWS, NEWS}, on_worker = NEWS, late = NEWS;
    bool open = rig_open(&r, 2) && plug_in(&p, r.p, NULL);
    if (open) {
        for (int i = 0; i < 3; i++)
            expect_eq(weir_close_async(r.p, WEIR_DRAIN, r.m, &in_main[i].notice), 0);
        expect_eq(weir_close_async(r.p, WEIR_DRAIN, NULL, &on_worker.notice), 0);
        expect_eq(weir_main_pending(r.m), 3);
        expect_eq(weir_main_dispatch(r.m, 0), 0);
        expect_eq(on_worker.calls, 0);
        plug_pull(&p);
        while (weir_main_pending(r.m))
            weir_main_wait(r.m, -1);
        expect_eq(stats_of(r.p).threads, 0);
        expect_eq(weir_close_async(r.p, WEIR_CLOSE, r.m, &late.notice), 0);
        while (!readable(weir_main_fd(r.m))) /* a write may be owed by a worker */
            sched_yield();
    }
    rig_close(&r);
    for (int i = 0; i < 3; i++)
        expect_eq(in_main[i].calls, open);
    expect_eq(late.calls, open);
    expect_eq(on_worker.calls, open);
}

/* A lazy pool has nobody else to tell, so who closes it does. */
static rig       bare;
static pthread_t closer;
static int       before_the_end;

static void closes_too(void *arg)
{
    (void)arg;
    expect_eq(weir_close_async(bare.p, WEIR_CLOSE, NULL, NULL), 0);
}

static void meets_another_close(weir_task *t)
{
    helper h;
    expect_eq(weir_task_outcome(t), WEIR_ECLOSED);
    helper_start(&h, closes_too, t);
    helper_join(&h);
    before_the_end++;
}

static void tells_another(weir_task *t)
{
    expect_eq(weir_task_outcome(t), WEIR_ECLOSED);
    before_the_end++;
}

static void is_last(weir_notice *n, int outcome)
{
    (void)n;
    expect_eq(outcome, 0);
    expect(pthread_equal(closer, pthread_self()));
    expect_eq(before_the_end++, 2);
}

TEST(the_end_is_told_by_the_thread_that_made_it_after_every_task)
{
    weir_pool_options opts = lazy(1);
    probe             t[2] = {PROBE, PROBE};
    weir_notice       end = {.fn = is_last};
    expect(rig_open_with(&bare, &opts));
    expect_eq(weir_pool_pause(bare.p), 0);
    t[0].task.done = meets_another_close;
    t[1].task.done = tells_another;
    for (int i = 0; i < 2; i++)
        expect_eq(weir_run(bare.p, &t[i].task, NULL), 0);
    closer = pthread_self();
    expect_eq(weir_close_async(bare.p, WEIR_CLOSE, NULL, &end), 0);
    expect_eq(before_the_end, 3);
    rig_close(&bare);
}

TEST(several_threads_may_close_at_the_same_time)
{
    for (unsigned round = 0; round < scaled(50); round++) {
        jam     j;
        closing c[3];
        helper  h[3];
        jam_open(&j);
        for (int i = 0; i < 3; i++) {
            c[i] = (closing){&j, PLAIN, WEIR_CLOSE, NEWS};
            helper_start(&h[i], closes, &c[i]);
        }
        plug_pull(&j.p);
        for (int i = 0; i < 3; i++)
            helper_join(&h[i]);
        while (weir_main_pending(j.r.m))
            weir_main_wait(j.r.m, -1);
        rig_close(&j.r);
        expect_eq(jam_dones(&j), QUEUED);
    }
}

static jam  jammed;
static news gone;

static void child_hears_of_the_end(void *arg)
{
    (void)arg;
    while (gone.calls == 0)
        expect_op(weir_main_wait(jammed.r.m, -1), >, 0);
    expect_eq(gone.outcome, 0);
    expect_eq(weir_main_pending(jammed.r.m), 0);
}

TEST(a_child_is_told_of_a_close_that_its_parent_had_begun)
{
    gone = (news)NEWS;
    jam_open(&jammed);
    expect_eq(weir_close_async(jammed.r.p, WEIR_DRAIN, jammed.r.m, &gone.notice), 0);
    child_reap(child_start(child_hears_of_the_end, NULL));
    plug_pull(&jammed.p);
    expect_eq(weir_close(jammed.r.p, WEIR_DRAIN), 0);
    jam_close(&jammed, QUEUED);
    expect_eq(gone.calls, 1);
}

TEST(a_draining_pool_accepts_nothing_more)
{
    jam   j;
    probe late = PROBE;
    jam_open(&j);
    expect_eq(weir_close_async(j.r.p, WEIR_DRAIN, NULL, NULL), 0);
    expect_eq(weir_run(j.r.p, &late.task, j.r.m), WEIR_ECLOSED);
    plug_pull(&j.p);
    expect_eq(weir_close(j.r.p, WEIR_DRAIN), 0);
    jam_close(&j, QUEUED);
}

static int run_parks(weir_task *task, void *state)
{
    probe_run(task, state);
    return WEIR_PARK;
}

static gate told;

static void at_exit_waits(void *arg, void *state)
{
    (void)arg, (void)state;
    gate_wait(&told);
}

TEST(what_a_drain_leaves_parked_is_told_before_at_exit)
{
    rig               r;
    plug              p;
    probe             t = {.task = {.run = run_parks, .done = probe_done}};
    weir_pool_options opts = pool_of(1);
    opts.at_exit = at_exit_waits;
    told = (gate)GATE;
    expect(rig_open_with(&r, &opts));
    expect_eq(weir_run(r.p, &t.task, r.m), 0);
    expect(plug_in(&p, r.p, NULL));
    expect_eq(weir_close_async(r.p, WEIR_DRAIN, NULL, NULL), 0);
    plug_pull(&p);
    while (t.dones == 0)
        weir_main_wait(r.m, -1);
    expect_eq(t.outcome, WEIR_ECLOSED);
    gate_open(&told);
    rig_close(&r);
}

TEST(a_drain_of_a_paused_pool_resumes_it)
{
    rig   r;
    probe t = PROBE;
    expect(rig_open(&r, 2));
    expect_eq(weir_pool_pause(r.p), 0);
    expect_eq(weir_run(r.p, &t.task, r.m), 0);
    expect_eq(weir_close(r.p, WEIR_DRAIN), 0);
    rig_close(&r);
    expect_eq(t.outcome, 0);
    expect_eq(t.runs, 1);
}

/* `ready` comes before its thread has said that the pool is open. */
TEST(a_drain_right_after_ready_runs_what_was_accepted)
{
    for (int n = 0; n < 100; n++) {
        rig               r = {0};
        weir_pool_options opts = pool_of(2);
        news              ready = NEWS;
        probe             t[3] = {PROBE, PROBE, PROBE};
        expect_eq(weir_main_open(&r.m), 0);
        expect_eq(weir_pool_open_async(&r.p, &opts, r.m, &ready.notice), 0);
        while (ready.calls == 0)
            weir_main_wait(r.m, -1);
        for (int i = 0; i < 3; i++)
            expect_eq(weir_run(r.p, &t[i].task, r.m), 0);
        expect_eq(weir_close(r.p, WEIR_DRAIN), 0);
        while (weir_main_pending(r.m) > 0)
            weir_main_wait(r.m, -1);
        for (int i = 0; i < 3; i++)
            expect(t[i].runs == 1 && t[i].outcome == 0);
        rig_close(&r);
    }
}

SUITE(close, a_close_settles_queued_tasks_at_once_and_waits_for_the_running_one,
      a_drain_runs_what_is_queued_first, every_pair_of_closes_ends_as_the_header_says,
      a_closed_pool_refuses_tasks_and_closes_again,
      a_bad_mode_no_pool_or_a_notice_without_function_is_refused,
      a_worker_cannot_wait_for_its_own_end_and_nothing_changes,
      a_done_on_a_worker_cannot_wait_for_it_either, a_worker_may_start_the_close,
      a_done_in_a_main_may_close_the_pool, a_drain_that_takes_too_long_becomes_a_close_that_goes_on,
      each_asynchronous_close_is_told_once_after_the_last_thread_left,
      the_end_is_told_by_the_thread_that_made_it_after_every_task,
      several_threads_may_close_at_the_same_time, a_drain_of_a_paused_pool_resumes_it,
      a_draining_pool_accepts_nothing_more, a_drain_right_after_ready_runs_what_was_accepted,
      what_a_drain_leaves_parked_is_told_before_at_exit,
      a_child_is_told_of_a_close_that_its_parent_had_begun)
