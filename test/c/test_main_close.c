/* SPDX-License-Identifier: ISC
 *
 * test_main_close.c: how a main ends, with whatever is aimed at it.
 */
#include "harness.h"

TEST(closing_nothing_or_an_idle_main_succeeds)
{
    weir_main *m;
    expect_eq(weir_main_close(NULL, 0), 0);
    expect_eq(weir_main_open(&m), 0);
    expect_eq(weir_main_close(m, 0), 0);
    expect_eq(weir_main_open(NULL), WEIR_EINVAL);
}

SCENARIO(closing_a_main_delivers_what_is_undelivered)
{
    rig   r;
    probe t[5];
    int   n = 0;
    if (rig_open(&r, 1))
        for (; n < 5; n++) {
            t[n] = (probe)PROBE;
            expect(given(weir_run(r.p, &t[n].task, r.m)));
        }
    if (r.p)
        expect_eq(weir_close(r.p, WEIR_DRAIN), 0);
    if (r.m)
        expect_eq(weir_main_close(r.m, 0), 0);
    for (int i = 0; i < n; i++) {
        expect_eq(t[i].dones, 1);
        expect_eq(t[i].outcome, 0);
    }
    r.m = NULL;
    rig_close(&r);
}

static rig blocked;

/* The end of the next run has come before it waits, and the wait takes it. */
static void done_runs_it_again_and_waits(weir_task *task)
{
    gate  entered = GATE, leave = GATE;
    probe other = {.task = {.run = probe_run}, .entered = &entered, .leave = &leave};
    probe_done(task);
    if (((probe *)task)->dones == 6)
        return;
    expect_eq(weir_run(blocked.p, task, blocked.m), 0);
    expect_eq(weir_run(blocked.p, &other.task, NULL), 0);
    gate_wait(&entered);
    expect_eq(weir_wait(&other.task, 0), WEIR_ETIMEDOUT);
    gate_open(&leave);
    expect_eq(weir_wait(&other.task, -1), 0);
}

TEST(closing_a_main_delivers_what_comes_while_a_done_blocks)
{
    probe t[1];
    expect(rig_open(&blocked, 1));
    settle_undelivered(&blocked, t, 1);
    t[0].task.done = done_runs_it_again_and_waits;
    expect_eq(weir_main_close(blocked.m, 0), 0);
    expect_eq(t[0].dones, 6);
    expect(!t[0].orphaned);
    blocked.m = NULL;
    rig_close(&blocked);
}

TEST(closing_a_main_settles_its_queued_tasks_and_no_others)
{
    rig        r;
    weir_main *other;
    plug       p;
    probe      mine[3], theirs = PROBE, nobodys = PROBE;
    tally      settled = TALLY;
    nobodys.settled = &settled;
    expect(rig_open(&r, 1) && plug_in(&p, r.p, NULL));
    expect_eq(weir_main_open(&other), 0);
    for (int i = 0; i < 3; i++) {
        mine[i] = (probe)PROBE;
        expect_eq(weir_run(r.p, &mine[i].task, other), 0);
    }
    expect_eq(weir_run(r.p, &theirs.task, r.m), 0);
    expect_eq(weir_run(r.p, &nobodys.task, NULL), 0);
    expect_eq(weir_main_close(other, 0), 0);
    for (int i = 0; i < 3; i++) {
        expect_eq(mine[i].dones, 1);
        expect_eq(mine[i].outcome, WEIR_ECLOSED);
        expect(!mine[i].orphaned);
        expect(pthread_equal(mine[i].done_on, pthread_self()));
    }
    expect_eq(stats_of(r.p).queued, 2);
    plug_pull(&p);
    tally_wait(&settled, 1);
    while (theirs.dones == 0)
        weir_main_wait(r.m, -1);
    expect_eq(theirs.outcome, 0);
    rig_close(&r);
}

static int run_parks(weir_task *task, void *state)
{
    probe_run(task, state);
    return WEIR_PARK;
}

TEST(closing_a_main_settles_its_parked_tasks)
{
    rig   r;
    probe t = PROBE;
    expect(rig_open(&r, 1));
    t.task.run = run_parks;
    expect_eq(weir_run(r.p, &t.task, r.m), 0);
    while (weir_task_get_state(&t.task) != WEIR_TASK_PARKED)
        sched_yield();
    expect_eq(weir_main_close(r.m, 0), 0);
    expect_eq(t.dones, 1);
    expect_eq(t.outcome, WEIR_ECLOSED);
    pool_end(r.p);
}

TEST(a_main_with_a_running_task_is_busy_and_stays_open)
{
    rig   r;
    plug  p;
    probe t = PROBE;
    expect(rig_open(&r, 1) && plug_in(&p, r.p, r.m));
    expect_eq(weir_run(r.p, &t.task, r.m), 0);
    expect_eq(weir_main_close(r.m, 0), WEIR_EBUSY);
    plug_pull(&p);
    while (weir_main_pending(r.m))
        weir_main_wait(r.m, -1);
    expect_eq(p.probe.dones, 1);
    expect_eq(p.probe.outcome, 0);
    expect(!p.probe.orphaned);
    expect_eq(t.dones, 1);
    expect_eq(weir_run(r.p, &t.task, r.m), 0); /* still open */
    rig_close(&r);
    expect_eq(t.dones, 2);
}

TEST(a_detached_task_is_done_on_its_worker_and_knows_it)
{
    rig   r;
    plug  p;
    tally settled = TALLY;
    expect(rig_open(&r, 1) && plug_in(&p, r.p, r.m));
    p.probe.settled = &settled;
    expect_eq(weir_main_close(r.m, WEIR_DETACH), 0);
    expect_eq(p.probe.dones, 0);
    plug_pull(&p);
    tally_wait(&settled, 1);
    expect(p.probe.orphaned);
    expect_eq(p.probe.outcome, 0);
    expect(pthread_equal(p.probe.done_on, p.probe.ran_on));
    pool_end(r.p);
}

TEST(a_detached_task_that_parks_and_is_cancelled_is_an_orphan_too)
{
    rig   r;
    tally settled = TALLY;
    plug  p = {.probe = PROBE, .entered = GATE, .leave = GATE};
    p.probe.task.run = run_parks, p.probe.settled = &settled;
    p.probe.entered = &p.entered, p.probe.leave = &p.leave;
    expect(rig_open(&r, 1));
    expect_eq(weir_run(r.p, &p.probe.task, r.m), 0);
    gate_wait(&p.entered);
    expect_eq(weir_main_close(r.m, WEIR_DETACH), 0);
    plug_pull(&p);
    while (weir_task_get_state(&p.probe.task) != WEIR_TASK_PARKED)
        sched_yield();
    expect_eq(weir_cancel(&p.probe.task), 0);
    tally_wait(&settled, 1);
    expect(p.probe.orphaned);
    expect_eq(p.probe.outcome, WEIR_ECANCELED);
    pool_end(r.p);
}

TEST(a_task_run_again_after_its_orphanage_is_no_orphan)
{
    rig   r;
    plug  p;
    tally settled = TALLY;
    expect(rig_open(&r, 1) && plug_in(&p, r.p, r.m));
    p.probe.settled = &settled;
    expect_eq(weir_main_close(r.m, WEIR_DETACH), 0);
    plug_pull(&p);
    tally_wait(&settled, 1);
    expect_eq(weir_main_open(&r.m), 0);
    expect_eq(weir_run(r.p, &p.probe.task, r.m), 0);
    while (p.probe.dones < 2)
        weir_main_wait(r.m, -1);
    expect(!p.probe.orphaned);
    rig_close(&r);
}

/* ---- notices ------------------------------------------------------------ */

TEST(a_main_with_a_notice_to_come_is_busy_unless_detached)
{
    rig   r;
    plug  p;
    tally told = TALLY;
    news  n = {.notice = {.fn = news_tell}, .told = &told};
    expect(rig_open(&r, 1) && plug_in(&p, r.p, NULL));
    expect_eq(weir_close_async(r.p, WEIR_CLOSE, r.m, &n.notice), 0);
    expect_eq(weir_main_pending(r.m), 1);
    expect_eq(weir_main_close(r.m, 0), WEIR_EBUSY);
    expect_eq(weir_main_close(r.m, WEIR_DETACH), 0);
    expect_eq(n.calls, 0);
    plug_pull(&p);
    tally_wait(&told, 1);
    expect_eq(n.outcome, 0);
    expect(!pthread_equal(n.on, pthread_self()));
    pool_end(r.p);
    expect_eq(n.calls, 1);
}

static weir_main *opened_inside;

static void done_opens_and_closes_mains(weir_task *task)
{
    weir_main *brief;
    expect_eq(weir_main_open(&brief), 0);
    expect_eq(weir_main_open(&opened_inside), 0);
    expect_eq(weir_main_close(brief, 0), 0);
    probe_done(task);
}

TEST(done_may_open_and_close_other_mains)
{
    rig   r;
    probe t = {.task = {.run = probe_run, .done = done_opens_and_closes_mains}};
    expect(rig_open(&r, 1));
    expect_eq(weir_run(r.p, &t.task, r.m), 0);
    while (t.dones == 0)
        weir_main_wait(r.m, -1);
    t.task.done = probe_done;
    expect_eq(weir_run(r.p, &t.task, opened_inside), 0);
    while (t.dones == 1)
        weir_main_wait(opened_inside, -1);
    main_end(opened_inside);
    rig_close(&r);
}

static rig         again;
static _Atomic int rerun;

static void done_submits_more(weir_task *task)
{
    probe_done(task);
    if (atomic_fetch_add(&rerun, 1) < 3)
        rerun += weir_run(again.p, task, again.m) != 0 ? 100 : 0;
}

TEST(a_done_that_submits_while_its_main_closes_is_served)
{
    probe t = {.task = {.run = probe_run, .done = done_submits_more}};
    rerun = 0;
    expect(rig_open(&again, 1));
    expect_eq(weir_run(again.p, &t.task, again.m), 0);
    while (weir_task_get_state(&t.task) != WEIR_TASK_SETTLED)
        sched_yield();
    int rc = weir_main_close(again.m, 0), tries = 0;
    while (rc == WEIR_EBUSY && tries++ < 1000000) {
        weir_main_wait(again.m, -1);
        rc = weir_main_close(again.m, 0);
    }
    expect_eq(rc, 0);
    pool_end(again.p);
    expect_eq(rerun, 4);
    expect_eq(t.dones, 4);
}

static weir_main *closing;
static int        answer;

static void done_closes_its_main(weir_task *task)
{
    answer = weir_main_close(closing, 0);
    probe_done(task);
}

TEST(a_done_told_by_the_close_of_its_main_may_not_close_it_again)
{
    rig   r;
    plug  p;
    probe t = {.task = {.run = probe_run, .done = done_closes_its_main}};
    expect(rig_open(&r, 1) && plug_in(&p, r.p, NULL));
    expect_eq(weir_run(r.p, &t.task, r.m), 0);
    closing = r.m, answer = 0;
    expect_eq(weir_main_close(r.m, 0), 0);
    expect_eq(answer, WEIR_EBUSY);
    expect_eq(t.dones, 1);
    plug_pull(&p);
    pool_end(r.p);
}

static void on_busy_closes(weir_main *m, bool busy, void *arg)
{
    (void)arg;
    if (!busy)
        answer = weir_main_close(m, 0);
}

TEST(on_busy_may_not_close_the_main_that_tells_it)
{
    rig   r;
    probe t = PROBE;
    expect(rig_open(&r, 1));
    expect_eq(weir_main_on_busy(r.m, on_busy_closes, NULL), 0);
    for (int i = 1; i <= 2; i++) {
        answer = 0;
        expect_eq(weir_run(r.p, &t.task, r.m), 0);
        while (t.dones < i)
            weir_main_wait(r.m, -1);
        expect_eq(answer, WEIR_EBUSY);
    }
    rig_close(&r);
}

static void main_on_a_thread_of_its_own(void *arg)
{
    weir_pool *pool = arg;
    weir_main *m;
    probe      t[20];
    tally      settled = TALLY;
    expect_eq(weir_main_open(&m), 0);
    for (int i = 0; i < 20; i++) {
        t[i] = (probe)PROBE;
        t[i].settled = &settled;
        expect_eq(weir_run(pool, &t[i].task, m), 0);
    }
    main_until(m, &settled, 20);
    for (int i = 0; i < 20; i++)
        expect(pthread_equal(t[i].done_on, pthread_self()));
    main_end(m);
}

static struct {
    weir_main  *m;
    weir_notice notice;
    _Atomic int told;
} outer;

static void told_closes(weir_notice *notice, int outcome)
{
    (void)notice;
    expect_eq(outcome, 0);
    expect_eq(weir_main_close(outer.m, WEIR_DETACH), WEIR_EBUSY);
    outer.told++;
}

/* The task that it takes back leaves space, and the main of who waits for that is gone. */
TEST(a_notice_told_by_the_close_of_a_main_may_not_close_that_again)
{
    rig               r;
    plug              held;
    probe             t = PROBE;
    weir_pool_options opts = pool_of(1);
    opts.queue_limit = 1;
    expect(rig_open_with(&r, &opts));
    expect(plug_in(&held, r.p, NULL));
    expect_eq(weir_main_open(&outer.m), 0);
    expect_eq(weir_run(r.p, &t.task, outer.m), 0);
    outer.notice = (weir_notice){.fn = told_closes}, outer.told = 0;
    expect_eq(weir_pool_on_space(r.p, &outer.notice, r.m), 0);
    expect_eq(weir_main_close(r.m, WEIR_DETACH), 0);
    expect_eq(weir_main_close(outer.m, 0), 0);
    expect(outer.told == 1 && t.dones == 1 && t.outcome == WEIR_ECLOSED);
    plug_pull(&held);
    r.m = NULL;
    rig_close(&r);
}

TEST(mains_of_several_threads_come_and_go_on_one_pool)
{
    rig    r;
    helper h[4];
    expect(rig_open(&r, 2));
    for (unsigned round = 0; round < scaled(20); round++) {
        for (int i = 0; i < 4; i++)
            helper_start(&h[i], main_on_a_thread_of_its_own, r.p);
        for (int i = 0; i < 4; i++)
            helper_join(&h[i]);
    }
    rig_close(&r);
}

/* ---- a race ------------------------------------------------------------- */

typedef struct {
    probe       p;
    _Atomic int closing, spins; /* how long run goes on after its main began to close */
} racer;

static int run_ends_late(weir_task *task, void *state)
{
    racer *r = (racer *)task;
    while (!r->closing)
        sched_yield();
    for (int i = r->spins; i > 0; i--)
        r->closing = 1;
    return probe_run(task, state);
}

/* Its end is moved over the close in steps of some nanoseconds. */
TEST(a_task_that_ends_while_its_main_closes_is_told_once)
{
    rig r;
    expect(rig_open(&r, 1));
    for (unsigned i = 0; i < scaled(5000); i++) {
        tally      settled = TALLY;
        racer      t = {.p = PROBE, .spins = (int)(i % 250)};
        weir_main *m;
        t.p.task.run = run_ends_late, t.p.settled = &settled;
        expect_eq(weir_main_open(&m), 0);
        expect_eq(weir_run(r.p, &t.p.task, m), 0);
        while (weir_task_get_state(&t.p.task) != WEIR_TASK_RUNNING)
            sched_yield();
        t.closing = 1;
        expect_eq(weir_main_close(m, WEIR_DETACH), 0);
        tally_wait(&settled, 1);
        expect_eq(t.p.dones, 1);
    }
    rig_close(&r);
}

SUITE(main_close, closing_nothing_or_an_idle_main_succeeds,
      closing_a_main_delivers_what_is_undelivered,
      closing_a_main_delivers_what_comes_while_a_done_blocks,
      closing_a_main_settles_its_queued_tasks_and_no_others,
      closing_a_main_settles_its_parked_tasks, a_main_with_a_running_task_is_busy_and_stays_open,
      a_detached_task_is_done_on_its_worker_and_knows_it,
      a_task_run_again_after_its_orphanage_is_no_orphan,
      a_main_with_a_notice_to_come_is_busy_unless_detached, done_may_open_and_close_other_mains,
      a_done_that_submits_while_its_main_closes_is_served,
      a_done_told_by_the_close_of_its_main_may_not_close_it_again,
      a_notice_told_by_the_close_of_a_main_may_not_close_that_again,
      on_busy_may_not_close_the_main_that_tells_it,
      a_task_that_ends_while_its_main_closes_is_told_once,
      mains_of_several_threads_come_and_go_on_one_pool,
      a_detached_task_that_parks_and_is_cancelled_is_an_orphan_too)
