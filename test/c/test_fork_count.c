/* SPDX-License-Identifier: ISC
 *
 * test_fork_count.c: what a child counts as pending of what its parent expected.
 */
#include "harness.h"

#include <unistd.h>

typedef struct {
    weir_main *m;
    news       n;
} expected;

static expected now;
static plug     full;
static pid_t    child; /* 0: we are it */
static int      on, off;

static void counts_busy(weir_main *m, bool busy, void *arg)
{
    (void)m, (void)arg;
    busy ? on++ : off++;
}

static void expects(void)
{
    child = -1, on = off = 0;
    now.n = (news)NEWS;
    expect_eq(weir_main_open(&now.m), 0);
    expect_eq(weir_main_on_busy(now.m, counts_busy, NULL), 0);
    expect_eq(weir_notice_expect(&now.n.notice, now.m), 0);
}

static void ends(void)
{
    weir_notice_post(&now.n.notice, 0);
    main_end(now.m);
    expect(now.n.calls == 1 && on == 1 && off == 1);
}

/* No count is left over from what came before: the next one is seen, and keeps the main. */
static void still_counts(weir_main *m)
{
    news n = NEWS;
    expect_eq(weir_main_pending(m), 0);
    expect_eq(weir_notice_expect(&n.notice, m), 0);
    expect_eq(weir_main_pending(m), 1);
    expect_eq(weir_main_close(m, 0), WEIR_EBUSY);
    weir_notice_post(&n.notice, 0);
    expect_eq(weir_main_dispatch(m, 0), 1);
    expect_eq(weir_main_pending(m), 0);
}

/* The main and its thread's record are two blocks, and nothing else is given back. */
static void closes_whole(weir_main *m)
{
    long held = fault_live_blocks();
    expect_eq(weir_main_close(m, 0), 0);
    expect_eq(fault_live_blocks(), held - 2);
}

static void posts(void *arg) { weir_notice_post(&((expected *)arg)->n.notice, 0); }

static void child_posts(void *arg)
{
    (void)arg;
    weir_main_dispatch(now.m, 0);
    expect(weir_main_pending(now.m) == 0 && off == 1);
    posts(&now);
    expect(weir_main_pending(now.m) == 1 && on == 2);
    expect_eq(weir_main_dispatch(now.m, 0), 1);
    expect(now.n.calls == 1 && off == 2);
    still_counts(now.m);
    closes_whole(now.m);
}

TEST(a_child_may_post_what_its_parent_expected)
{
    expects();
    child_reap(child_start(child_posts, NULL));
    ends();
}

static void child_forks(void *arg) { child_reap(child_start(child_posts, arg)); }

TEST(a_childs_child_may_post_what_the_first_expected)
{
    expects();
    child_reap(child_start(child_forks, NULL));
    ends();
}

static void childs_thread_posts(void *arg)
{
    helper h;
    helper_start(&h, posts, arg);
    helper_join(&h);
    expect_eq(weir_main_pending(now.m), 1);
    expect_eq(weir_main_dispatch(now.m, 0), 1);
    expect_eq(now.n.calls, 1);
    still_counts(now.m);
    closes_whole(now.m);
}

TEST(a_childs_thread_may_post_what_its_parent_expected)
{
    expects();
    if (!under_tsan()) /* it takes a reused thread id for an error */
        child_reap(child_start(childs_thread_posts, &now));
    ends();
}

static void child_closes_first(void *arg)
{
    long held = fault_live_blocks();
    expect_eq(weir_main_close(now.m, 0), 0);
    expect_eq(fault_live_blocks(), held); /* the notice may come */
    posts(arg);
    expect_eq(now.n.calls, 1);
    expect_eq(fault_live_blocks(), held - 2);
}

TEST(a_child_may_post_to_a_main_that_it_has_closed)
{
    expects();
    child_reap(child_start(child_closes_first, &now));
    ends();
}

/* ---- a fork inside the call that expects ----------------------------------- */

static void forks_when_busy(weir_main *m, bool busy, void *arg)
{
    counts_busy(m, busy, arg);
    if (!busy || child >= 0)
        return;
    child = child_begin();
    if (child > 0)
        child_reap(child);
}

static void main_forks_when_busy(void)
{
    child = -1, on = off = 0;
    expect_eq(weir_main_open(&now.m), 0);
    expect_eq(weir_main_on_busy(now.m, forks_when_busy, NULL), 0);
}

TEST(a_notice_may_be_expected_across_a_fork)
{
    news n = NEWS;
    main_forks_when_busy();
    expect_eq(weir_notice_expect(&n.notice, now.m), 0);
    expect_op(child, >=, 0);
    expect_eq(weir_main_pending(now.m), child != 0);
    weir_notice_post(&n.notice, 0);
    expect_eq(weir_main_dispatch(now.m, 0), 1);
    expect(n.calls == 1 && on == off);
    still_counts(now.m);
    closes_whole(now.m);
    if (child == 0)
        _exit(0);
}

/* What a post tells may fork once more, and finds the notice in the mailbox. */
TEST(a_post_in_a_child_may_fork)
{
    news n = NEWS;
    expect_eq(weir_main_open(&now.m), 0);
    expect_eq(weir_notice_expect(&n.notice, now.m), 0);
    pid_t first = child_begin();
    if (first > 0)
        child_reap(first);
    child = -1, on = off = 0;
    weir_main_dispatch(now.m, 0);
    expect_eq(weir_main_on_busy(now.m, first ? NULL : forks_when_busy, NULL), 0);
    weir_notice_post(&n.notice, 0);
    expect(first || child >= 0);
    expect_eq(weir_main_pending(now.m), 1);
    expect_eq(weir_main_dispatch(now.m, 0), 1);
    expect_eq(n.calls, 1);
    still_counts(now.m);
    closes_whole(now.m);
    if (first == 0)
        _exit(0);
}

TEST(a_run_may_tell_of_it_and_fork)
{
    weir_pool *p;
    probe      t = PROBE;
    main_forks_when_busy();
    weir_pool_options opts = pool_of(1);
    expect_eq(weir_pool_open(&p, &opts), 0);
    expect(plug_in(&full, p, NULL));
    int rc = weir_run(p, &t.task, now.m);
    expect_eq(rc, child == 0 ? WEIR_EFORKED : 0);
    if (child == 0) {
        expect_eq(on, off);
        still_counts(now.m);
        weir_pool_release(p);
        closes_whole(now.m);
        _exit(0);
    }
    plug_pull(&full);
    pool_end(p);
    main_end(now.m);
}

/* ---- a call that a submitter serves ---------------------------------------- */

static void forks_and_answers(weir_call *call, void *arg)
{
    child = child_begin();
    if (child > 0) {
        child_reap(child);
        plug_pull(arg);
    }
    weir_call_finish(call, 0, NULL);
}

static void asks(void *arg)
{
    (void)arg;
    expect_eq(weir_run_in_main(now.m, forks_and_answers, &full, NULL), 0);
}

static void a_submitter_forks(bool has_done)
{
    helper            h;
    rig               r;
    probe             queued = PROBE, t = {.task = {.run = probe_run}};
    weir_pool_options opts = pool_of(1);
    opts.queue_limit = 1, opts.when_full = WEIR_BLOCK;
    child = -1;
    t.task.done = has_done ? probe_done : NULL;
    expect(rig_open_with(&r, &opts) && plug_in(&full, r.p, NULL));
    expect_eq(weir_run(r.p, &queued.task, NULL), 0);
    now.m = r.m;
    helper_start(&h, asks, NULL);
    expect_eq(weir_run(r.p, &t.task, r.m), child == 0 ? WEIR_EFORKED : 0);
    if (child == 0) {
        weir_main_dispatch(r.m, 0);
        still_counts(r.m);
        weir_pool_release(r.p);
        closes_whole(r.m);
        _exit(0);
    }
    helper_join(&h);
    expect(has_done || weir_wait(&t.task, -1) == 0);
    rig_close(&r);
}

TEST(a_submitter_that_waits_for_space_may_fork) { a_submitter_forks(true); }
TEST(a_submitter_without_done_that_waits_for_space_may_fork) { a_submitter_forks(false); }

SUITE(fork_count, a_child_may_post_what_its_parent_expected,
      a_childs_child_may_post_what_the_first_expected,
      a_childs_thread_may_post_what_its_parent_expected,
      a_child_may_post_to_a_main_that_it_has_closed, a_notice_may_be_expected_across_a_fork,
      a_post_in_a_child_may_fork, a_run_may_tell_of_it_and_fork,
      a_submitter_that_waits_for_space_may_fork,
      a_submitter_without_done_that_waits_for_space_may_fork)
