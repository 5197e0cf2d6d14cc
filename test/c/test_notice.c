/* SPDX-License-Identifier: ISC
 *
 * test_notice.c: what others than pools tell a main.
 */
#include "harness.h"

#include <unistd.h>

static void posts(void *arg)
{
    news *n = arg;
    weir_notice_post(&n->notice, 7);
}

TEST(an_expected_notice_is_pending_until_it_is_delivered)
{
    rig    r;
    news   n = NEWS;
    helper h;
    expect(rig_open(&r, 1));
    expect_eq(weir_notice_expect(&n.notice, r.m), 0);
    expect_eq(weir_main_pending(r.m), 1);
    helper_start(&h, posts, &n);
    expect_eq(weir_main_wait(r.m, -1), 1);
    helper_join(&h);
    expect_eq(n.calls, 1);
    expect_eq(n.outcome, 7);
    expect(pthread_equal(n.on, pthread_self()));
    expect_eq(weir_main_pending(r.m), 0);
    rig_close(&r);
}

TEST(a_notice_of_the_main_s_own_thread_waits_for_dispatch)
{
    rig  r;
    news n = NEWS;
    expect(rig_open(&r, 1));
    for (int round = 1; round <= 3; round++) {
        expect_eq(weir_notice_expect(&n.notice, r.m), 0);
        weir_notice_post(&n.notice, round);
        expect_eq(n.calls, round - 1);
        expect(readable(weir_main_fd(r.m)));
        expect_eq(weir_main_dispatch(r.m, 0), 1);
        expect_eq(n.calls, round);
        expect_eq(n.outcome, round);
    }
    rig_close(&r);
}

enum { SHARE = 2000, POSTERS = 2, ROUNDS = 300 };

static struct poster {
    helper   h;
    tally   *go;
    unsigned rounds;
    news     notices[SHARE];
} posters[POSTERS];

static void posts_its_share(void *arg)
{
    struct poster *p = arg;
    for (unsigned round = 1; round <= p->rounds; round++) {
        tally_wait(p->go, round);
        for (int i = 0; i < SHARE; i++)
            weir_notice_post(&p->notices[i].notice, 7);
    }
}

static void expect_share(const struct poster *p, unsigned calls)
{
    for (int i = 0; i < SHARE; i++)
        expect_eq(p->notices[i].calls, calls);
}

static void start_poster(struct poster *p, tally *go, unsigned rounds)
{
    p->go = go, p->rounds = rounds;
    for (int i = 0; i < SHARE; i++)
        p->notices[i] = (news)NEWS;
    helper_start(&p->h, posts_its_share, p);
}

/* The poster that finds some there takes no lock: none orders its post and the take. */
TEST(notices_that_come_while_the_main_takes_others_are_whole)
{
    rig      r;
    tally    go = TALLY;
    unsigned rounds = scaled(ROUNDS);
    expect(rig_open(&r, 1));
    for (int i = 0; i < POSTERS; i++)
        start_poster(&posters[i], &go, rounds);
    for (unsigned round = 0; round < rounds; round++) {
        for (int i = 0; i < POSTERS * SHARE; i++)
            expect_eq(weir_notice_expect(&posters[i / SHARE].notices[i % SHARE].notice, r.m), 0);
        tally_add(&go, 1);
        while (weir_main_pending(r.m))
            weir_main_dispatch(r.m, 0);
    }
    for (int i = 0; i < POSTERS; i++) {
        helper_join(&posters[i].h);
        expect_share(&posters[i], rounds);
    }
    rig_close(&r);
}

TEST(a_notice_that_comes_after_its_main_has_closed_comes_there)
{
    weir_main *m;
    news       n = NEWS;
    helper     h;
    expect_eq(weir_main_open(&m), 0);
    expect_eq(weir_notice_expect(&n.notice, m), 0);
    expect_eq(weir_main_close(m, 0), WEIR_EBUSY);
    expect_eq(weir_main_close(m, WEIR_DETACH), 0);
    expect_eq(n.calls, 0);
    helper_start(&h, posts, &n);
    helper_join(&h);
    expect_eq(n.calls, 1);
    expect(!pthread_equal(n.on, pthread_self()));
}

TEST(a_notice_needs_a_function_and_a_main)
{
    rig  r;
    news n = NEWS;
    expect(rig_open(&r, 1));
    expect_eq(weir_notice_expect(NULL, r.m), WEIR_EINVAL);
    expect_eq(weir_notice_expect(&n.notice, NULL), WEIR_EINVAL);
    n.notice.fn = NULL;
    expect_eq(weir_notice_expect(&n.notice, r.m), WEIR_EINVAL);
    expect_eq(weir_main_pending(r.m), 0);
    rig_close(&r);
}

TEST(a_notice_that_was_taken_is_busy_until_its_function_begins)
{
    rig  r;
    news n = NEWS;
    expect(rig_open(&r, 1));
    expect_eq(weir_notice_expect(&n.notice, r.m), 0);
    expect_eq(weir_notice_expect(&n.notice, r.m), WEIR_EBUSY);
    expect_eq(weir_pool_on_space(r.p, &n.notice, r.m), WEIR_EBUSY);
    expect_eq(weir_close_async(r.p, WEIR_CLOSE, r.m, &n.notice), WEIR_EBUSY);
    expect_eq(weir_notice_post(&n.notice, 1), 0);
    expect_eq(weir_notice_expect(&n.notice, r.m), WEIR_EBUSY);
    expect_eq(weir_main_dispatch(r.m, 0), 1);
    expect(n.calls == 1 && weir_main_pending(r.m) == 0);
    expect_eq(weir_pool_on_space(r.p, &n.notice, r.m), 0); /* the pool is open */
    expect_eq(weir_main_dispatch(r.m, 0), 1);
    expect_eq(n.calls, 2);
    rig_close(&r);
}

TEST(a_post_that_nobody_expects_does_nothing)
{
    rig  r;
    news n = NEWS;
    expect(rig_open(&r, 1));
    expect_eq(weir_notice_post(NULL, 1), WEIR_EINVAL);
    expect_eq(weir_notice_post(&n.notice, 1), WEIR_EINVAL);
    expect_eq(weir_notice_expect(&n.notice, r.m), 0);
    expect_eq(weir_notice_post(&n.notice, 2), 0);
    expect_eq(weir_notice_post(&n.notice, 3), WEIR_EINVAL);
    expect_eq(weir_main_dispatch(r.m, 0), 1);
    expect(n.calls == 1 && n.outcome == 2);
    expect_eq(weir_notice_post(&n.notice, 4), WEIR_EINVAL);
    expect_eq(n.calls, 1);
    rig_close(&r);
}

static news       taken;
static weir_main *taker;

static void fn_gives_it_again(weir_notice *notice, int outcome)
{
    (void)outcome;
    if (taken.calls++ == 0)
        expect_eq(weir_notice_expect(notice, taker), 0);
}

TEST(inside_its_function_a_notice_may_be_given_again)
{
    rig r;
    taken = (news){.notice = {.fn = fn_gives_it_again}};
    expect(rig_open(&r, 1));
    taker = r.m;
    expect_eq(weir_notice_expect(&taken.notice, r.m), 0);
    for (int i = 1; i <= 2; i++) {
        expect_eq(weir_notice_post(&taken.notice, 0), 0);
        expect_eq(weir_main_dispatch(r.m, 0), 1);
        expect_eq(taken.calls, i);
    }
    rig_close(&r);
}

/* Each told once: the second was refused, and the list of the first is whole. */
TEST(a_close_that_is_asked_for_twice_with_one_notice_is_told_once)
{
    rig  r;
    news n = NEWS, other = NEWS;
    expect(rig_open(&r, 1));
    expect_eq(weir_close_async(r.p, WEIR_DRAIN, r.m, &n.notice), 0);
    expect_eq(weir_close_async(r.p, WEIR_CLOSE, r.m, &n.notice), WEIR_EBUSY);
    expect_eq(weir_close_async(r.p, WEIR_CLOSE, r.m, &other.notice), 0);
    while (weir_main_pending(r.m))
        weir_main_wait(r.m, -1);
    expect(n.calls == 1 && other.calls == 1);
    rig_close(&r);
}

TEST(a_notice_that_was_told_on_a_thread_is_free)
{
    rig  r;
    news n = NEWS;
    expect(rig_open(&r, 1));
    expect_eq(weir_close_async(r.p, WEIR_CLOSE, NULL, &n.notice), 0); /* told on a thread of r.p */
    expect_eq(weir_close(r.p, WEIR_CLOSE), 0);
    expect_eq(n.calls, 1);
    expect_eq(weir_notice_expect(&n.notice, r.m), 0);
    expect_eq(weir_notice_post(&n.notice, 0), 0);
    expect_eq(weir_main_dispatch(r.m, 0), 1);
    rig_close(&r);
}

static bool all_come(weir_main *m)
{
    while (weir_main_pending(m))
        if (weir_main_dispatch(m, 0) <= 0)
            return false;
    return true;
}

/* What its pool will not tell there is free; the rest is busy until it came. */
TEST(a_child_of_fork_is_told_once_what_was_on_its_way)
{
    rig  r;
    plug p;
    news lost = NEWS, due[2] = {NEWS, NEWS}, posted[2] = {NEWS, NEWS}, late = NEWS;
    if (under_emulator())
        return;
    expect(rig_open(&r, 1) && plug_in(&p, r.p, r.m));
    expect_eq(weir_close_async(r.p, WEIR_CLOSE, NULL, &lost.notice), 0);
    expect_eq(weir_notice_expect(&late.notice, r.m), 0);
    for (int i = 0; i < 2; i++) {
        expect_eq(weir_close_async(r.p, WEIR_CLOSE, r.m, &due[i].notice), 0);
        expect_eq(weir_notice_expect(&posted[i].notice, r.m), 0);
        expect_eq(weir_notice_post(&posted[i].notice, 0), 0);
    }
    pid_t child = child_begin();
    if (child == 0) {
        bool once = weir_close_async(r.p, WEIR_CLOSE, NULL, &lost.notice) == 0 && lost.calls == 1 &&
                    weir_close_async(r.p, WEIR_CLOSE, r.m, &due[0].notice) == WEIR_EBUSY &&
                    weir_notice_expect(&posted[0].notice, r.m) == WEIR_EBUSY &&
                    weir_notice_expect(&late.notice, r.m) == WEIR_EBUSY &&
                    weir_notice_post(&late.notice, 0) == 0 && all_come(r.m);
        for (int i = 0; i < 2; i++)
            once = once && due[i].calls == 1 && posted[i].calls == 1;
        _exit(once && late.calls == 1 ? 0 : 1);
    }
    child_reap(child);
    expect_eq(weir_notice_post(&late.notice, 0), 0);
    plug_pull(&p);
    while (weir_main_pending(r.m))
        weir_main_wait(r.m, -1);
    expect(due[0].calls == 1 && due[1].calls == 1 && late.calls == 1 && lost.calls == 1);
    rig_close(&r);
}

TEST(a_post_of_what_a_pool_has_taken_does_nothing)
{
    rig  r;
    plug p;
    news n[2] = {NEWS, NEWS};
    expect(rig_open(&r, 1) && plug_in(&p, r.p, r.m));
    for (int i = 0; i < 2; i++)
        expect_eq(weir_close_async(r.p, WEIR_CLOSE, r.m, &n[i].notice), 0);
    expect_eq(weir_notice_post(&n[0].notice, 7), WEIR_EINVAL);
    plug_pull(&p);
    while (weir_main_pending(r.m))
        weir_main_wait(r.m, -1);
    expect(n[0].calls == 1 && n[0].outcome == 0 && n[1].calls == 1);
    rig_close(&r);
}

TEST(a_pool_whose_ready_was_taken_does_not_open)
{
    weir_main        *m;
    weir_pool        *pool = NULL;
    weir_pool_options opts = pool_of(1);
    news              n = NEWS;
    expect_eq(weir_main_open(&m), 0);
    expect_eq(weir_notice_expect(&n.notice, m), 0);
    expect_eq(weir_pool_open_async(&pool, &opts, m, &n.notice), WEIR_EBUSY);
    expect(!pool);
    expect_eq(weir_notice_post(&n.notice, 0), 0);
    main_end(m);
    expect_eq(n.calls, 1);
}

static struct {
    weir_main   *m;
    news         n;
    _Atomic int  posted;
    _Atomic bool over;
} contest = {.n = NEWS};

static void posts_on(void *arg)
{
    (void)arg;
    while (!contest.over)
        contest.posted += weir_notice_post(&contest.n.notice, 0) == 0;
}

/* The post comes before the notice is given, or after, never between. */
TEST(a_post_finds_a_notice_given_or_not)
{
    helper   h;
    int      given = 0;
    unsigned rounds = scaled(2000);
    expect_eq(weir_main_open(&contest.m), 0);
    others_stay_busy = true;
    helper_start(&h, posts_on, NULL);
    for (unsigned i = 0; i < rounds; i++) {
        expect_eq(weir_notice_expect(&contest.n.notice, contest.m), 0);
        given++;
        while (weir_main_pending(contest.m))
            weir_main_wait(contest.m, -1);
    }
    contest.over = true;
    others_stay_busy = false;
    helper_join(&h);
    expect(contest.posted == given && contest.n.calls == given);
    main_end(contest.m);
}

SUITE(notice, an_expected_notice_is_pending_until_it_is_delivered,
      a_notice_of_the_main_s_own_thread_waits_for_dispatch,
      notices_that_come_while_the_main_takes_others_are_whole,
      a_notice_that_comes_after_its_main_has_closed_comes_there,
      a_notice_needs_a_function_and_a_main,
      a_notice_that_was_taken_is_busy_until_its_function_begins,
      a_post_that_nobody_expects_does_nothing, inside_its_function_a_notice_may_be_given_again,
      a_close_that_is_asked_for_twice_with_one_notice_is_told_once,
      a_notice_that_was_told_on_a_thread_is_free, a_child_of_fork_is_told_once_what_was_on_its_way,
      a_post_of_what_a_pool_has_taken_does_nothing, a_pool_whose_ready_was_taken_does_not_open,
      a_post_finds_a_notice_given_or_not)
