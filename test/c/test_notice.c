/* SPDX-License-Identifier: ISC
 *
 * test_notice.c: what others than pools tell a main.
 */
#include "harness.h"

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

SUITE(notice, an_expected_notice_is_pending_until_it_is_delivered,
      a_notice_of_the_main_s_own_thread_waits_for_dispatch,
      notices_that_come_while_the_main_takes_others_are_whole,
      a_notice_that_comes_after_its_main_has_closed_comes_there,
      a_notice_needs_a_function_and_a_main)
