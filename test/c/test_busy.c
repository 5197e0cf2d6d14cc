/* SPDX-License-Identifier: ISC
 *
 * test_busy.c: what is still to come, and the loop that is held for it.
 */
#include "harness.h"

static rig nest;

TEST(pending_counts_what_is_to_come_and_to_be_delivered)
{
    rig   r;
    plug  p;
    probe a = PROBE, b = PROBE;
    expect(rig_open(&r, 1));
    expect_eq(weir_main_pending(r.m), 0);
    expect(plug_in(&p, r.p, r.m));
    expect_eq(weir_run(r.p, &a.task, r.m), 0);
    expect_eq(weir_run(r.p, &b.task, NULL), 0);
    expect_eq(weir_main_pending(r.m), 2);
    expect_eq(weir_cancel(&a.task), 0);
    expect_eq(weir_main_pending(r.m), 2);
    expect_eq(weir_main_dispatch(r.m, 0), 1);
    expect_eq(weir_main_pending(r.m), 1);
    plug_pull(&p);
    expect_eq(weir_main_wait(r.m, -1), 1);
    expect_eq(weir_main_pending(r.m), 0);
    rig_close(&r);
}

static struct {
    pthread_t owner;
    bool      busy;
    int       on, off;
} seen;

static void notes_busy(weir_main *m, bool busy, void *arg)
{
    (void)m;
    expect(arg == &seen);
    expect(pthread_equal(seen.owner, pthread_self()));
    expect(busy != seen.busy); /* strictly in turn */
    seen.busy = busy;
    busy ? seen.on++ : seen.off++;
}

static void watch_busy(weir_main *m)
{
    seen.owner = pthread_self(), seen.busy = false, seen.on = seen.off = 0;
    expect_eq(weir_main_on_busy(m, notes_busy, &seen), 0);
}

TEST(on_busy_tells_of_the_first_to_come_and_of_the_last_delivered)
{
    rig   r;
    probe t[4];
    expect(rig_open(&r, 1));
    watch_busy(r.m);
    expect_eq(seen.on, 0);
    for (int round = 1; round <= 3; round++) {
        settle_undelivered(&r, t, 4);
        expect(seen.on == round && seen.off == round - 1 && seen.busy);
        expect_eq(weir_main_dispatch(r.m, 3), 3);
        expect(seen.busy);
        expect_eq(weir_main_dispatch(r.m, 0), 1);
        expect(seen.on == round && seen.off == round);
    }
    expect_eq(weir_main_on_busy(r.m, NULL, NULL), 0);
    settle_undelivered(&r, t, 1);
    expect_eq(seen.on, 3);
    watch_busy(r.m); /* it is busy now */
    expect_eq(seen.on, 1);
    rig_close(&r);
    expect(seen.on == 1 && seen.off == 1);
}

static void submits_for_the_main(void *arg)
{
    probe *t = arg;
    expect_eq(weir_run(nest.p, &t->task, nest.m), 0);
}

TEST(on_busy_is_told_in_dispatch_when_another_thread_submits)
{
    helper h;
    plug   p;
    probe  t = PROBE;
    expect(rig_open(&nest, 1) && plug_in(&p, nest.p, NULL));
    watch_busy(nest.m);
    helper_start(&h, submits_for_the_main, &t);
    helper_join(&h);
    expect_eq(seen.on, 0);
    expect(readable(weir_main_fd(nest.m)));
    expect_eq(weir_main_dispatch(nest.m, 0), 0); /* nothing but the news */
    expect(seen.busy);
    plug_pull(&p);
    while (t.dones == 0)
        weir_main_wait(nest.m, -1);
    expect(seen.on == 1 && seen.off == 1);
    rig_close(&nest);
}

typedef struct {
    weir_main *m;
    weir_call *call;
    gate       begun, finish;
} foreign;

static void begins(weir_call *call, void *arg)
{
    foreign *f = arg;
    f->call = call;
    gate_open(&f->begun);
}

static void asks(void *arg)
{
    expect_eq(weir_run_in_main(((foreign *)arg)->m, begins, arg, NULL), 0);
}

static void finishes(void *arg)
{
    foreign *f = arg;
    gate_wait(&f->begun);
    gate_wait(&f->finish);
    weir_call_finish(f->call, 0, NULL);
}

static void turn(weir_main *m, bool polls)
{
    if (!polls)
        weir_main_wait(m, -1);
    else if (readable(weir_main_fd(m)))
        weir_main_dispatch(m, 0);
    else
        sched_yield();
}

/* What was to come ends on another thread: a loop that polls and one that waits
 * without end must hear of it. */
TEST(a_call_finished_elsewhere_releases_the_loop)
{
    weir_main *m;
    expect_eq(weir_main_open(&m), 0);
    watch_busy(m);
    for (unsigned round = 0; round < scaled(200); round++) {
        helper  asker, finisher;
        foreign f = {.m = m, .begun = GATE, .finish = GATE};
        helper_start(&finisher, finishes, &f);
        helper_start(&asker, asks, &f);
        while (round < 2 && !seen.busy) /* later it may be over before that is told */
            turn(m, round % 2);
        gate_open(&f.finish);
        while (!asker.returned || seen.busy)
            turn(m, round % 2);
        helper_join(&asker);
        helper_join(&finisher);
        expect_eq(weir_main_pending(m), 0);
        expect_eq(seen.on, seen.off);
    }
    expect_op(seen.on, >, 0);
    main_end(m);
}

static weir_call *kept;

static void keeps(weir_call *call, void *arg)
{
    (void)arg;
    kept = call;
}

static int run_asks(weir_task *task, void *state)
{
    (void)task, (void)state;
    return weir_run_in_main(nest.m, keeps, NULL, NULL);
}

/* A wait without end fails the call that its pool's task made, and tells nobody then. */
TEST(a_call_failed_by_a_wait_releases_the_loop)
{
    probe t = {.task = {.run = run_asks}};
    kept = NULL;
    expect(rig_open(&nest, 1));
    watch_busy(nest.m);
    expect_eq(weir_run(nest.p, &t.task, NULL), 0);
    while (!kept)
        turn(nest.m, true);
    expect(seen.busy);
    expect_eq(weir_wait(&t.task, -1), 0);
    expect_eq(weir_task_outcome(&t.task), WEIR_EDEADLK);
    expect_eq(weir_main_pending(nest.m), 0);
    expect(readable(weir_main_fd(nest.m)));
    expect_eq(weir_main_dispatch(nest.m, 0), 0); /* nothing but the news */
    expect(seen.on == 1 && seen.off == 1);
    weir_call_finish(kept, 0, NULL);
    rig_close(&nest);
}

static void child_hears_that_nothing_comes(void *arg)
{
    weir_main *m = arg;
    seen.owner = pthread_self();
    expect_eq(weir_main_pending(m), 0);
    expect(seen.busy && readable(weir_main_fd(m)));
    expect_eq(weir_main_dispatch(m, 0), 0);
    expect(seen.off == 1 && !seen.busy && !readable(weir_main_fd(m)));
    expect_eq(weir_main_close(m, 0), 0);
}

typedef struct {
    weir_main *m;
    news       n;
} expected;

static void expects(void *arg)
{
    expected *e = arg;
    expect_eq(weir_notice_expect(&e->n.notice, e->m), 0);
}

static void a_child_is_idle(bool nudged)
{
    helper   h;
    expected other = {.n = NEWS}, own = {.n = NEWS};
    expect_eq(weir_main_open(&other.m), 0);
    watch_busy(own.m = other.m);
    if (nudged) {
        helper_start(&h, expects, &other);
        helper_join(&h);
    }
    expects(&own);
    child_reap(child_start(child_hears_that_nothing_comes, own.m));
    if (nudged)
        weir_notice_post(&other.n.notice, 0);
    weir_notice_post(&own.n.notice, 0);
    main_end(own.m);
    expect(seen.on == 1 && seen.off == 1);
}

TEST(a_child_to_which_nothing_comes_releases_its_loop) { a_child_is_idle(false); }
TEST(a_child_that_is_nudged_already_releases_its_loop) { a_child_is_idle(true); }

SUITE(busy, a_call_failed_by_a_wait_releases_the_loop,
      a_child_to_which_nothing_comes_releases_its_loop,
      a_child_that_is_nudged_already_releases_its_loop,
      pending_counts_what_is_to_come_and_to_be_delivered,
      on_busy_tells_of_the_first_to_come_and_of_the_last_delivered,
      on_busy_is_told_in_dispatch_when_another_thread_submits,
      a_call_finished_elsewhere_releases_the_loop)
