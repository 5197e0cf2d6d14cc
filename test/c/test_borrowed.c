/* SPDX-License-Identifier: ISC
 *
 * test_borrowed.c: threads that their host makes and lends.
 */
#include "harness.h"

static weir_pool_options borrowing(unsigned n)
{
    weir_pool_options opts = pool_of(n);
    opts.borrowed = true;
    return opts;
}

/* A host's thread: enters, serves, leaves. */
typedef struct {
    helper      h;
    weir_pool  *pool;
    _Atomic int entered; /* what enter returned */
    unsigned    index;
    _Atomic int served;
    bool        deserts; /* leaves, lost, in the middle of its first task */
    bool        goes;    /* the same, but says that it was its last call */
} lent;

static void serves(void *arg)
{
    lent        *l = arg;
    weir_worker *w;
    weir_task   *t;
    l->entered = weir_worker_enter(l->pool, &w);
    if (l->entered != 0)
        return;
    l->index = weir_worker_index(w);
    expect(weir_worker_current() == w);
    expect(weir_pool_current() == l->pool);
    while (weir_worker_next(w, true, &t) == 0) {
        expect(weir_task_current() == t);
        atomic_fetch_add(&l->served, 1);
        if (l->deserts || l->goes) {
            weir_worker_leave(w, l->deserts, 99);
            expect(weir_worker_current() == NULL);
            return;
        }
        if (weir_worker_settle(w, t, t->run(t, l)) != 0)
            break;
    }
    weir_worker_leave(w, false, 0);
    expect(weir_worker_current() == NULL && weir_pool_current() == NULL);
}

static void lend_one(lent *l, weir_pool *pool)
{
    *l = (lent){.pool = pool, .deserts = l->deserts, .goes = l->goes};
    helper_start(&l->h, serves, l);
}

typedef struct {
    rig  r;
    news ready, closed;
} host;

static bool host_open(host *h, weir_pool_options opts)
{
    *h = (host){.ready = NEWS, .closed = NEWS};
    return given(weir_main_open(&h->r.m)) &&
           given(weir_pool_open_async(&h->r.p, &opts, h->r.m, &h->ready.notice));
}

static void host_until(host *h, news *n)
{
    while (n->calls == 0)
        expect_op(weir_main_wait(h->r.m, -1), >=, 0);
}

SCENARIO(a_lent_thread_serves_like_an_owned_one)
{
    host  h;
    lent  l[2] = {{.served = 0}, {.served = 0}};
    tally settled = TALLY;
    probe t[40];
    bool  open = host_open(&h, borrowing(2));
    if (open) {
        expect_eq(weir_main_dispatch(h.r.m, 0), 0);
        lend_one(&l[0], h.r.p);
        lend_one(&l[1], h.r.p);
        while (stats_of(h.r.p).threads + l[0].h.returned + l[1].h.returned < 2)
            sched_yield();
        for (int i = 0; i < 2; i++) {
            if (!given(l[i].entered)) /* out of memory for its record: as the header asks */
                weir_worker_refuse(h.r.p, l[i].entered);
        }
        host_until(&h, &h.ready);
        if (given(h.ready.outcome)) {
            for (int i = 0; i < 40; i++) {
                t[i] = (probe)PROBE;
                t[i].settled = &settled;
                expect_eq(weir_run(h.r.p, &t[i].task, h.r.m), 0);
            }
            main_until(h.r.m, &settled, 40);
            expect_eq(l[0].served + l[1].served, 40);
        }
    }
    rig_close(&h.r);
    for (int i = 0; open && i < 2; i++)
        helper_join(&l[i].h);
    if (l[0].served && l[1].served)
        expect_eq(l[0].index + l[1].index, 1);
}

TEST(a_pool_wants_as_many_threads_as_it_asked_for)
{
    host         h;
    lent         l = {.served = 0}, extra = {.served = 0};
    weir_worker *w;
    expect(host_open(&h, borrowing(1)));
    lend_one(&l, h.r.p);
    host_until(&h, &h.ready);
    lend_one(&extra, h.r.p);
    helper_join(&extra.h);
    expect_eq(extra.entered, WEIR_EFULL);
    expect_eq(weir_worker_enter(h.r.p, &w), WEIR_EFULL);
    rig_close(&h.r);
    helper_join(&l.h);
    expect_eq(l.entered, 0);
}

TEST(a_worker_that_leaves_with_its_task_fails_it)
{
    host  h;
    lent  l[2] = {{.goes = true}, {.goes = false}};
    probe t = PROBE, next = PROBE;
    expect(host_open(&h, borrowing(2)));
    lend_one(&l[0], h.r.p);
    lend_one(&l[1], h.r.p);
    host_until(&h, &h.ready);
    while (l[0].served == 0) { /* until it is the one that takes it */
        t.dones = 0;
        expect_eq(weir_run(h.r.p, &t.task, h.r.m), 0);
        while (t.dones == 0)
            expect_op(weir_main_wait(h.r.m, -1), >=, 0);
    }
    helper_join(&l[0].h);
    expect_eq(t.outcome, 99);
    expect(weir_pool_init_error(h.r.p) == 0 && stats_of(h.r.p).lends_refused == 0);
    expect_eq(weir_run(h.r.p, &next.task, h.r.m), 0);
    while (next.dones == 0)
        expect_op(weir_main_wait(h.r.m, -1), >=, 0);
    expect_eq(next.outcome, 0);
    rig_close(&h.r);
    helper_join(&l[1].h);
}

TEST(enter_is_refused_where_it_cannot_be)
{
    rig          r, other;
    weir_worker *w, *second;
    weir_task   *t;
    expect(rig_open(&r, 1));
    expect_eq(weir_worker_enter(r.p, &w), WEIR_EINVAL); /* not borrowed */
    expect_eq(weir_worker_enter(NULL, &w), WEIR_EINVAL);
    weir_pool_options opts = borrowing(1);
    expect_eq(weir_pool_open_async(&other.p, &opts, r.m, NULL), 0);
    expect_eq(weir_worker_enter(other.p, NULL), WEIR_EINVAL);
    expect_eq(weir_worker_enter(other.p, &w), 0);
    expect_eq(weir_worker_enter(other.p, &second), WEIR_EPERM);
    expect_eq(weir_worker_next(w, false, &t), WEIR_EAGAIN);
    expect_eq(weir_close_async(other.p, WEIR_CLOSE, NULL, NULL), 0);
    expect_eq(weir_worker_next(w, true, &t), WEIR_ECLOSED);
    weir_worker_leave(w, false, 0);
    expect_eq(weir_worker_enter(other.p, &w), WEIR_ECLOSED);
    pool_end(other.p);
    rig_close(&r);
}

TEST(a_worker_serves_by_hand)
{
    host         h;
    weir_worker *w;
    weir_task   *t;
    probe        a = PROBE, b = PROBE;
    expect(host_open(&h, borrowing(1)));
    expect_eq(weir_worker_enter(h.r.p, &w), 0);
    host_until(&h, &h.ready);
    expect_eq(h.ready.outcome, 0);
    expect_eq(weir_run(h.r.p, &a.task, h.r.m), 0);
    expect_eq(weir_run(h.r.p, &b.task, h.r.m), 0);
    expect_eq(weir_worker_next(w, false, &t), 0);
    expect(t == &a.task && weir_task_get_state(t) == WEIR_TASK_RUNNING);
    expect_eq(weir_worker_settle(w, t, WEIR_PARK), 0);
    expect_eq(weir_task_get_state(&a.task), WEIR_TASK_PARKED);
    expect_eq(weir_worker_next(w, true, &t), 0);
    expect(t == &b.task);
    expect_eq(weir_worker_settle(w, t, 5), 0);
    expect_eq(weir_worker_next(w, false, &t), WEIR_EAGAIN);
    expect_eq(weir_task_unpark(&a.task), 0);
    expect_eq(weir_worker_next(w, true, &t), 0);
    expect_eq(weir_worker_settle(w, t, 0), 0);
    expect_eq(weir_main_dispatch(h.r.m, 0), 2);
    expect(a.outcome == 0 && b.outcome == 5);
    expect_eq(weir_close_async(h.r.p, WEIR_CLOSE, h.r.m, &h.closed.notice), 0);
    expect_eq(weir_worker_next(w, true, &t), WEIR_ECLOSED);
    weir_worker_leave(w, false, 0);
    host_until(&h, &h.closed);
    rig_close(&h.r);
}

/* ---- refused ------------------------------------------------------------ */

TEST(a_refused_thread_fails_the_open_after_the_others_left)
{
    host  h;
    lent  l = {.served = 0};
    probe t = PROBE;
    expect(host_open(&h, borrowing(2)));
    expect_eq(weir_run(h.r.p, &t.task, h.r.m), 0);
    lend_one(&l, h.r.p);
    while (stats_of(h.r.p).threads == 0)
        sched_yield();
    weir_worker_refuse(h.r.p, 31);
    host_until(&h, &h.ready);
    expect_eq(h.ready.outcome, WEIR_EINIT);
    expect_eq(weir_pool_init_error(h.r.p), 31);
    expect_eq(stats_of(h.r.p).threads, 0);
    helper_join(&l.h);
    rig_close(&h.r);
    expect_eq(t.outcome, WEIR_ECLOSED);
    expect_eq(t.runs, 0);
}

TEST(a_close_before_any_thread_came_waits_for_those_expected)
{
    host h;
    lent l = {.served = 0};
    expect(host_open(&h, borrowing(2)));
    expect_eq(weir_close_async(h.r.p, WEIR_CLOSE, h.r.m, &h.closed.notice), 0);
    lend_one(&l, h.r.p);
    weir_worker_refuse(h.r.p, WEIR_EAGAIN);
    helper_join(&l.h);
    expect(l.entered == 0 || l.entered == WEIR_ECLOSED);
    host_until(&h, &h.closed);
    host_until(&h, &h.ready);
    expect_op(h.ready.outcome, <, 0);
    rig_close(&h.r);
}

/* ---- lend --------------------------------------------------------------- */

static struct {
    int       asked;
    int       refuses_with; /* 0: answers with a thread */
    pthread_t on;
    lent      l;
} lender;

static void lends(weir_pool *pool, void *arg)
{
    expect(arg == &lender);
    lender.asked++;
    lender.on = pthread_self();
    if (lender.refuses_with)
        weir_worker_refuse(pool, lender.refuses_with);
    else
        lend_one(&lender.l, pool);
}

static weir_pool_options lent_by(unsigned n, int refuses_with)
{
    weir_pool_options opts = borrowing(n);
    opts.lend = lends, opts.arg = &lender;
    lender.asked = 0, lender.refuses_with = refuses_with;
    lender.l = (lent){.served = 0};
    return opts;
}

/* The next task is queued then, or it comes when the pool has nothing to do and nobody. */
static void another_is_asked_for(bool queued)
{
    host  h;
    lent  l = {.deserts = true};
    probe lost = PROBE, next = PROBE;
    expect(host_open(&h, lent_by(1, 0)));
    lend_one(&l, h.r.p);
    host_until(&h, &h.ready);
    expect_eq(weir_run(h.r.p, &lost.task, h.r.m), 0);
    expect(!queued || weir_run(h.r.p, &next.task, h.r.m) == 0);
    helper_join(&l.h);
    expect(queued || weir_run(h.r.p, &next.task, h.r.m) == 0);
    while (lost.dones == 0 || next.dones == 0)
        weir_main_wait(h.r.m, -1);
    expect_eq(lost.outcome, 99);
    expect_eq(next.outcome, 0);
    expect_eq(lender.asked, 1);
    expect(pthread_equal(lender.on, pthread_self()));
    expect_eq(stats_of(h.r.p).wanted, 0);
    rig_close(&h.r);
    helper_join(&lender.l.h);
}

TEST(a_lost_worker_fails_its_task_and_another_is_asked_for_in_the_main)
{
    another_is_asked_for(true);
}
TEST(another_is_asked_for_though_nothing_is_queued) { another_is_asked_for(false); }

TEST(a_pool_whose_lend_is_refused_serves_with_what_it_has)
{
    host  h;
    lent  l[2] = {{.deserts = true}, {.served = 0}};
    probe t[6];
    expect(host_open(&h, lent_by(2, WEIR_EAGAIN)));
    lend_one(&l[0], h.r.p);
    probe first = PROBE;
    tally settled = TALLY;
    expect_eq(weir_run(h.r.p, &first.task, h.r.m), 0);
    lend_one(&l[1], h.r.p);
    host_until(&h, &h.ready);
    for (int i = 0; i < 6; i++) { /* until the deserter has met one */
        t[i] = (probe)PROBE;
        t[i].settled = &settled;
        expect_eq(weir_run(h.r.p, &t[i].task, h.r.m), 0);
    }
    main_until(h.r.m, &settled, 6);
    while (first.dones == 0)
        weir_main_wait(h.r.m, -1);
    while (!l[0].h.returned || weir_main_pending(h.r.m)) {
        probe again = PROBE;
        expect_eq(weir_run(h.r.p, &again.task, h.r.m), 0);
        while (again.dones == 0)
            weir_main_wait(h.r.m, -1);
    }
    weir_main_dispatch(h.r.m, 0);
    helper_join(&l[0].h);
    weir_pool_stats s = stats_of(h.r.p);
    expect_op(lender.asked, >=, 1); /* each time it was short of one */
    expect_eq(s.lends_refused, lender.asked);
    expect_eq(s.threads, 1);
    expect_eq(s.failed, 1);
    rig_close(&h.r);
    helper_join(&l[1].h);
}

TEST(a_pool_that_loses_its_last_thread_for_good_closes)
{
    for (int asked = 0; asked < 2; asked++) {
        host              h;
        lent              l = {.deserts = true};
        probe             lost = PROBE, queued = PROBE;
        weir_pool_options opts = asked ? lent_by(1, 7) : borrowing(1);
        expect(host_open(&h, opts));
        expect_eq(weir_run(h.r.p, &lost.task, h.r.m), 0);
        expect_eq(weir_run(h.r.p, &queued.task, h.r.m), 0);
        lend_one(&l, h.r.p);
        helper_join(&l.h);
        while (lost.dones == 0 || queued.dones == 0)
            weir_main_wait(h.r.m, -1);
        expect_eq(lost.outcome, 99);
        expect_eq(queued.outcome, WEIR_ECLOSED);
        expect_eq(weir_run(h.r.p, &queued.task, h.r.m), WEIR_ECLOSED);
        rig_close(&h.r);
    }
}

TEST(a_drain_ends_when_the_last_running_worker_is_lost)
{
    host         h;
    lent         l = {.served = 0};
    weir_worker *w;
    weir_task   *t;
    probe        lost = PROBE;
    expect(host_open(&h, borrowing(2)));
    expect_eq(weir_worker_enter(h.r.p, &w), 0);
    expect_eq(weir_run(h.r.p, &lost.task, h.r.m), 0);
    lend_one(&l, h.r.p);
    /* Whoever serves it first; take turns until it is this thread. */
    while (weir_worker_next(w, false, &t) != 0) {
        while (lost.dones == 0)
            weir_main_wait(h.r.m, -1);
        lost.dones = 0;
        expect_eq(weir_pool_pause(h.r.p), 0);
        expect_eq(weir_run(h.r.p, &lost.task, h.r.m), 0);
        expect_eq(weir_pool_resume(h.r.p), 0);
    }
    expect_eq(weir_close_async(h.r.p, WEIR_DRAIN, h.r.m, &h.closed.notice), 0);
    helper_until_asleep(&l.h);
    weir_worker_leave(w, true, 3);
    host_until(&h, &h.closed);
    helper_join(&l.h);
    rig_close(&h.r);
    expect_eq(lost.outcome, 3);
}

TEST(a_blocked_main_lends_the_thread_that_it_waits_for)
{
    host              h;
    lent              l = {.served = 0};
    plug              p;
    probe             t[2] = {PROBE, PROBE};
    weir_pool_options opts = lent_by(1, 0);
    opts.threads_max = 2, opts.queue_limit = 1, opts.when_full = WEIR_BLOCK;
    expect(host_open(&h, opts));
    lend_one(&l, h.r.p);
    host_until(&h, &h.ready);
    expect(plug_in(&p, h.r.p, h.r.m));
    expect_eq(weir_run(h.r.p, &t[0].task, h.r.m), 0); /* asks for a thread */
    test_stage("waiting for space that only a lent thread makes");
    expect_eq(weir_run(h.r.p, &t[1].task, h.r.m), 0);
    expect_eq(lender.asked, 1);
    expect(pthread_equal(lender.on, pthread_self()));
    plug_pull(&p);
    rig_close(&h.r);
    helper_join(&l.h);
    helper_join(&lender.l.h);
}

static void release_notes(weir_task *task) { atomic_fetch_add(&((probe *)task)->runs, 100); }

static void abandons(void *task) { expect_eq(weir_task_abandon(task), 0); }

TEST(an_abandoned_lent_thread_is_told_to_leave)
{
    host         h;
    weir_worker *w;
    weir_task   *t;
    probe        stuck = PROBE;
    stuck.task.release = release_notes;
    expect(host_open(&h, lent_by(1, 0)));
    expect_eq(weir_worker_enter(h.r.p, &w), 0);
    host_until(&h, &h.ready);
    expect_eq(weir_run(h.r.p, &stuck.task, h.r.m), 0);
    expect_eq(weir_worker_next(w, true, &t), 0);
    helper abandoner;
    helper_start(&abandoner, abandons, t);
    helper_join(&abandoner);
    while (stuck.dones == 0)
        weir_main_wait(h.r.m, -1);
    expect_eq(stuck.outcome, WEIR_ECANCELED);
    expect_eq(weir_worker_settle(w, t, 0), WEIR_ECLOSED);
    expect_eq(stuck.runs, 100);
    weir_worker_leave(w, false, 0);
    expect_eq(lender.asked, 1);
    probe next = PROBE;
    expect_eq(weir_run(h.r.p, &next.task, h.r.m), 0);
    while (next.dones == 0)
        weir_main_wait(h.r.m, -1);
    rig_close(&h.r);
    helper_join(&lender.l.h);
    expect_eq(stuck.dones, 1);
}

static void blocks_and_leaves(void *pool)
{
    weir_worker *w;
    expect_eq(weir_worker_enter(pool, &w), 0);
    weir_blocking_begin();
    weir_worker_leave(w, false, 0);
    weir_blocking_end(); /* is without effect here */
}

TEST(a_worker_that_leaves_blocks_no_more)
{
    helper            h;
    weir_pool        *p;
    weir_pool_options opts = pool_of(1);
    opts.borrowed = true, opts.max_blocked = 1;
    expect_eq(weir_pool_open_async(&p, &opts, NULL, NULL), 0);
    helper_start(&h, blocks_and_leaves, p);
    helper_join(&h);
    expect_eq(stats_of(p).blocked, 0);
    pool_end(p);
}

SUITE(borrowed, a_worker_that_leaves_blocks_no_more, a_lent_thread_serves_like_an_owned_one,
      a_pool_wants_as_many_threads_as_it_asked_for, a_worker_that_leaves_with_its_task_fails_it,
      enter_is_refused_where_it_cannot_be, a_worker_serves_by_hand,
      a_refused_thread_fails_the_open_after_the_others_left,
      a_close_before_any_thread_came_waits_for_those_expected,
      a_lost_worker_fails_its_task_and_another_is_asked_for_in_the_main,
      another_is_asked_for_though_nothing_is_queued,
      a_pool_whose_lend_is_refused_serves_with_what_it_has,
      a_pool_that_loses_its_last_thread_for_good_closes,
      a_drain_ends_when_the_last_running_worker_is_lost,
      a_blocked_main_lends_the_thread_that_it_waits_for, an_abandoned_lent_thread_is_told_to_leave)
