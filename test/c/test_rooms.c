/* SPDX-License-Identifier: ISC
 *
 * test_rooms.c: scenarios of the rooms whose own tests assume that the system gives what they
 * ask for. test_sweep.c runs each of them with every request refused in turn.
 */
#include "harness.h"

#include <string.h>
#include <unistd.h>

/* Whether it was accepted; a refusal must be an honest one. */
static bool accepted(rig *r, probe *t) { return given(weir_run(r->p, &t->task, r->m)); }

static void until_done(rig *r, probe *t)
{
    while (t->dones == 0)
        weir_main_wait(r->m, -1);
}

/* 0, or what a pool without a thread says that was refused one. */
static void expect_honest(int outcome)
{
    expect(outcome == 0 || outcome == WEIR_EAGAIN || outcome == WEIR_ENOMEM);
    expect(outcome == 0 || fault_injected());
}

/* ---- what comes to a main ------------------------------------------------------ */

static void posts(void *notice) { weir_notice_post(notice, 7); }

SCENARIO(a_notice_that_another_thread_posts_is_told)
{
    rig    r = {NULL, NULL};
    news   n = NEWS;
    helper h;
    if (given(weir_main_open(&r.m)) && given(weir_notice_expect(&n.notice, r.m))) {
        helper_start(&h, posts, &n.notice);
        while (n.calls == 0)
            weir_main_wait(r.m, -1);
        helper_join(&h);
        expect_eq(n.outcome, 7);
    }
    rig_close(&r);
}

SCENARIO(deliveries_are_taken_one_by_one)
{
    enum { N = 5 };
    rig           r;
    probe         t[N];
    weir_delivery d = fresh();
    int           sent = 0, got = 0;
    if (rig_open(&r, 2))
        for (int i = 0; i < N; i++) {
            t[i] = (probe)PROBE;
            sent += accepted(&r, &t[i]);
        }
    while (got < sent)
        got += weir_main_wait_next(r.m, -1, &d) == 0;
    weir_delivery_end(&d);
    rig_close(&r);
}

SCENARIO(a_quiet_main_gets_what_came_when_it_is_quiet_no_more)
{
    rig   r;
    probe t = PROBE;
    if (rig_open(&r, 1)) {
        expect_eq(weir_main_quiet(r.m, true), 0);
        bool sent = accepted(&r, &t);
        weir_main_nudge(r.m);
        expect_eq(weir_main_quiet(r.m, false), 0);
        if (sent)
            until_done(&r, &t);
    }
    rig_close(&r);
}

static void answers(weir_call *call, void *arg) { weir_call_finish(call, 0, arg); }

static int asks(weir_task *task, void *state)
{
    void *result = NULL;
    (void)state;
    int rc = weir_run_in_main(NULL, answers, task, &result);
    expect(!given(rc) || result == task);
    return 0;
}

SCENARIO(a_wait_serves_the_call_of_the_task_it_waits_for)
{
    rig   r;
    probe t = {.task = {.run = asks}};
    if (rig_open(&r, 1) && given(weir_run(r.p, &t.task, NULL)))
        expect_eq(weir_wait(&t.task, -1), 0);
    rig_close(&r);
}

SCENARIO(a_main_that_closes_detached_leaves_its_task_an_orphan)
{
    rig   r;
    plug  p;
    tally settled = TALLY;
    if (rig_open(&r, 1) && plug_in(&p, r.p, r.m)) {
        p.probe.settled = &settled;
        expect_eq(weir_main_close(r.m, 0), WEIR_EBUSY);
        expect_eq(weir_main_close(r.m, WEIR_DETACH), 0);
        r.m = NULL;
        plug_pull(&p);
        tally_wait(&settled, 1);
        expect(p.probe.orphaned);
    }
    rig_close(&r);
}

/* ---- what a pool is asked for ---------------------------------------------------- */

static void runs_three(weir_full_policy policy)
{
    rig               r;
    plug              p;
    probe             t[3] = {PROBE, PROBE, PROBE};
    bool              sent[3];
    weir_pool_options opts = pool_of(1);
    opts.queue_limit = 1, opts.when_full = policy;
    if (rig_open_with(&r, &opts) && plug_in(&p, r.p, r.m)) {
        for (int i = 0; i < 3; i++)
            sent[i] = accepted(&r, &t[i]);
        plug_pull(&p);
        for (int i = 0; i < 3; i++)
            if (sent[i])
                until_done(&r, &t[i]);
    }
    rig_close(&r);
}

SCENARIO(who_runs_its_own_task_loses_none) { runs_three(WEIR_CALLER_RUNS); }
SCENARIO(who_drops_the_oldest_hears_of_each) { runs_three(WEIR_DROP_OLDEST); }

SCENARIO(a_paused_pool_that_is_purged_settles_each_task)
{
    rig   r;
    probe t[4] = {PROBE, PROBE, PROBE, PROBE};
    int   sent = 0;
    tally settled = TALLY;
    if (rig_open(&r, 2)) {
        expect_eq(weir_pool_pause(r.p), 0);
        for (int i = 0; i < 4; i++) {
            t[i].settled = &settled;
            sent += accepted(&r, &t[i]);
        }
        size_t purged = weir_pool_purge(r.p);
        expect_eq(purged, sent);
        expect_eq(weir_pool_resume(r.p), 0);
        main_until(r.m, &settled, sent);
    }
    rig_close(&r);
}

static void counts_pool(void *arg, weir_pool *pool)
{
    weir_pool_options o = {.size = sizeof o};
    expect_eq(weir_pool_get_options(pool, &o), 0);
    ++*(int *)arg;
}

static void counts_main(void *arg, weir_main *m)
{
    weir_main_stats s = {.size = sizeof s};
    expect_eq(weir_main_get_stats(m, &s), 0);
    ++*(int *)arg;
}

static void counts_running(void *arg, const weir_running *task)
{
    expect(task->state == WEIR_TASK_RUNNING);
    ++*(int *)arg;
}

SCENARIO(who_looks_sees_all_or_hears_that_there_is_no_memory)
{
    rig  r;
    plug p;
    int  pools = 0, mains = 0, running = 0;
    if (rig_open(&r, 1) && plug_in(&p, r.p, r.m)) {
        if (given(weir_each_pool(counts_pool, &pools)))
            expect_eq(pools, 1);
        if (given(weir_each_main(counts_main, &mains)))
            expect_eq(mains, 1);
        if (given(weir_pool_each_running(r.p, counts_running, &running)))
            expect_eq(running, 1);
        plug_pull(&p);
    }
    rig_close(&r);
}

SCENARIO(a_pool_with_every_option_opens_or_says_why)
{
    rig               r;
    probe             t = PROBE;
    uint64_t          cpus = 0, counts[WEIR_TIMES];
    weir_pool_options opts = pool_of(2), got = {.size = sizeof got};
    cpus = ~cpus;
    opts.name = "every", opts.threads_max = 3, opts.idle_ns = 1, opts.max_blocked = 1;
    opts.queue_limit = 9, opts.max_running[WEIR_HIGH] = 1, opts.stack_size = WEIR_MIN_STACK * 4;
    opts.measure = true, opts.cpus = &cpus, opts.n_cpus = 64;
    if (rig_open_with(&r, &opts)) {
        expect_eq(weir_pool_get_options(r.p, &got), 0);
        expect_eq(strcmp(got.name, "every"), 0);
        if (accepted(&r, &t))
            until_done(&r, &t);
        expect_eq(weir_pool_get_times(r.p, WEIR_RUN_TIME, counts), 0);
    }
    rig_close(&r);
}

static int opens_a_pool(weir_task *task, void *state)
{
    weir_pool        *inner = NULL;
    probe             t = {.task = {.run = probe_run}};
    weir_pool_options opts = pool_of(1);
    (void)task, (void)state;
    if (given(weir_pool_open(&inner, &opts)) && given(weir_run(inner, &t.task, NULL)))
        expect_eq(weir_wait(&t.task, -1), 0);
    pool_end(inner);
    return 0;
}

SCENARIO(a_task_may_open_a_pool_and_wait_for_it)
{
    rig   r;
    probe t = {.task = {.run = opens_a_pool, .done = probe_done}};
    if (rig_open(&r, 1) && accepted(&r, &t))
        until_done(&r, &t);
    rig_close(&r);
}

SCENARIO(many_tasks_with_deadlines_and_levels_all_settle)
{
    enum { N = 120 };
    static probe     t[N];
    rig              r;
    int              sent = 0;
    tally            settled = TALLY;
    weir_run_options o = {.size = sizeof o, .start_within_ns = SECONDS(3600)};
    if (rig_open(&r, 2))
        for (int i = 0; i < N; i++) {
            t[i] = (probe)PROBE;
            t[i].settled = &settled;
            o.deliver_to = i % 3 ? r.m : NULL, o.priority = (weir_priority)(i % WEIR_LEVELS);
            sent += given(weir_run_with(r.p, &t[i].task, &o));
        }
    while (tally_get(&settled) < sent && r.m)
        weir_main_wait(r.m, MILLIS(1));
    rig_close(&r);
}

/* ---- lent threads ------------------------------------------------------------------ */

static helper lent;
static bool   is_lent;

static void serves(void *pool)
{
    weir_worker *w;
    weir_task   *t;
    int          rc = weir_worker_enter(pool, &w);
    if (rc == WEIR_ENOMEM && given(rc) == 0)
        weir_worker_refuse(pool, rc);
    if (rc != 0)
        return;
    while (weir_worker_next(w, true, &t) == 0)
        expect_eq(weir_worker_settle(w, t, t->run(t, NULL)), 0);
    weir_worker_leave(w, false, 0);
}

static void lends(weir_pool *pool, void *arg)
{
    (void)arg;
    if (is_lent) {
        weir_worker_refuse(pool, WEIR_EAGAIN);
        return;
    }
    is_lent = true;
    helper_start(&lent, serves, pool);
}

SCENARIO(a_lazy_pool_that_borrows_is_answered_or_settles_its_task)
{
    rig               r = {NULL, NULL};
    probe             t = PROBE;
    weir_pool_options opts = pool_of(1);
    opts.borrowed = opts.lazy = true, opts.lend = lends;
    is_lent = false;
    if (given(weir_main_open(&r.m)) && given(weir_pool_open_async(&r.p, &opts, r.m, NULL)) &&
        accepted(&r, &t)) {
        until_done(&r, &t);
        expect_honest(t.outcome);
    }
    if (r.p)
        expect_eq(weir_close(r.p, WEIR_CLOSE), 0);
    if (is_lent)
        helper_join(&lent);
    rig_close(&r);
}

/* ---- forks ---------------------------------------------------------------------------- */

static void opens_its_own(void)
{
    rig   r;
    probe t = PROBE;
    if (rig_open(&r, 1) && accepted(&r, &t))
        until_done(&r, &t);
    rig_close(&r);
}

/* TSan, and qemu, refuse a thread that has the number of one that stayed behind. */
static void uses_all_anew(void *arg)
{
    rig *old = arg;
    if (!under_tsan() && !under_emulator())
        opens_its_own();
    expect_eq(weir_close(old->p, WEIR_CLOSE), 0);
    while (weir_main_pending(old->m))
        weir_main_wait(old->m, -1);
    expect_eq(weir_main_close(old->m, 0), 0);
}

SCENARIO(a_child_of_fork_settles_what_was_and_opens_its_own)
{
    rig  r;
    plug p;
    if (rig_open(&r, 1) && plug_in(&p, r.p, r.m)) {
        child_reap(child_start(uses_all_anew, &r));
        plug_pull(&p);
    }
    rig_close(&r);
}

static void forks_again(void *arg) { child_reap(child_start(uses_all_anew, arg)); }

SCENARIO(a_childs_child_does_the_same)
{
    rig   r;
    probe t = PROBE;
    if (rig_open(&r, 1)) {
        bool sent = accepted(&r, &t);
        child_reap(child_start(forks_again, &r));
        if (sent)
            until_done(&r, &t);
    }
    rig_close(&r);
}

/* ---- what watches ------------------------------------------------------------------------ */

SCENARIO(records_are_read_or_lost_and_counted)
{
    rig         r;
    probe       t[3] = {PROBE, PROBE, PROBE};
    weir_record record[64];
    if (given(weir_trace_start(16))) {
        if (rig_open(&r, 2))
            for (int i = 0; i < 3; i++)
                if (accepted(&r, &t[i]))
                    until_done(&r, &t[i]);
        rig_close(&r);
        while (weir_trace_read(record, 64) != 0)
            continue;
        (void)weir_trace_lost();
        weir_trace_stop();
    }
}

static gate told;

static void tells(void *arg, const weir_sighting *s)
{
    (void)arg;
    expect(s->kind == WEIR_STUCK_TASK && s->for_ns > 0);
    gate_open(&told);
}

SCENARIO(a_watcher_tells_of_a_task_that_runs_long)
{
    rig                r;
    plug               p;
    weir_watch_options o = {.size = sizeof o, .task_ns = 1, .tell = tells};
    told = (gate)GATE;
    if (rig_open(&r, 1) && plug_in(&p, r.p, r.m)) {
        if (given(weir_watch(&o)) && !fault_injected())
            gate_wait(&told);
        expect_eq(weir_watch(NULL), 0);
        plug_pull(&p);
    }
    rig_close(&r);
}

SUITE(rooms, a_notice_that_another_thread_posts_is_told, deliveries_are_taken_one_by_one,
      a_quiet_main_gets_what_came_when_it_is_quiet_no_more,
      a_wait_serves_the_call_of_the_task_it_waits_for,
      a_main_that_closes_detached_leaves_its_task_an_orphan, who_runs_its_own_task_loses_none,
      who_drops_the_oldest_hears_of_each, a_paused_pool_that_is_purged_settles_each_task,
      who_looks_sees_all_or_hears_that_there_is_no_memory,
      a_pool_with_every_option_opens_or_says_why, a_task_may_open_a_pool_and_wait_for_it,
      many_tasks_with_deadlines_and_levels_all_settle,
      a_lazy_pool_that_borrows_is_answered_or_settles_its_task,
      a_child_of_fork_settles_what_was_and_opens_its_own, a_childs_child_does_the_same,
      records_are_read_or_lost_and_counted, a_watcher_tells_of_a_task_that_runs_long)
