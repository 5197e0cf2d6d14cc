/* SPDX-License-Identifier: ISC
 *
 * test_at_fork.c: hooks around a fork, and the clock.
 */
#include "harness.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static rig             r;
static bool            on; /* hooks are for good: the other tests' forks are nothing to ours */
static order           seen;
static pthread_mutex_t ours = PTHREAD_MUTEX_INITIALIZER;

static void note(int id)
{
    if (on)
        order_note(&seen, id);
}

/* The older hook: its lock is held by who calls weir, so it comes before weir's own. */
static void older_before(void)
{
    note(2);
    if (on)
        pthread_mutex_lock(&ours);
}

static void older_after(int id)
{
    note(id);
    if (on)
        pthread_mutex_unlock(&ours);
}

static void older_in_parent(void) { older_after(3); }
static void older_in_child(void) { older_after(13); }

static void newer_before(void)
{
    note(1);
    if (on)
        expect_eq(stats_of(r.p).threads, 1); /* weir's locks are free */
}

static void newer_in_parent(void)
{
    note(4);
    if (on)
        expect_eq(stats_of(r.p).threads, 1);
}

static void newer_in_child(void)
{
    probe t = PROBE;
    note(14);
    if (!on)
        return;
    expect_eq(weir_run(r.p, &t.task, r.m), WEIR_EFORKED); /* weir's own have been through */
    expect_eq(weir_main_pending(r.m), 0);
}

static weir_fork_hook older = {older_before, older_in_parent, older_in_child, {{0}, 0}};
static weir_fork_hook newer = {newer_before, newer_in_parent, newer_in_child, {{0}, 0}};
static weir_fork_hook empty;

static void expect_seen(int n, const int *ids)
{
    expect_eq(seen.n, n);
    for (int i = 0; i < n; i++)
        expect_eq(seen.id[i], ids[i]);
}

static void calls_weir_with_its_lock(void *stop)
{
    while (!atomic_load((_Atomic bool *)stop)) {
        pthread_mutex_lock(&ours);
        stats_of(r.p);
        pthread_mutex_unlock(&ours);
    }
}

/* It holds what the older hook takes, and calls weir: no order of the two may block. */
TEST(hooks_come_before_weirs_own_and_after_them_whoever_was_first)
{
    helper       h;
    _Atomic bool stop = false;
    seen = (order)ORDER;
    expect_eq(weir_on_fork(&older), 0); /* perhaps before weir has opened anything */
    expect(rig_open(&r, 1));
    expect_eq(weir_on_fork(&newer), 0);
    expect_eq(weir_on_fork(&newer), 0); /* is there */
    expect_eq(weir_on_fork(&empty), 0);
    expect_eq(weir_on_fork(NULL), WEIR_EINVAL);
    on = true;
    helper_start(&h, calls_weir_with_its_lock, &stop);
    pid_t child = child_begin();
    on = false;
    if (child == 0) {
        expect_seen(4, (int[]){1, 2, 13, 14});
        weir_pool_release(r.p);
        expect_eq(weir_main_close(r.m, 0), 0);
        _exit(0);
    }
    child_reap(child);
    atomic_store(&stop, true);
    helper_join(&h);
    expect_seen(4, (int[]){1, 2, 3, 4});
    rig_close(&r);
}

TEST(the_clock_is_monotonic_and_in_nanoseconds)
{
    int64_t a = weir_now(), b = now_ns(), c = weir_now();
    expect(a <= b && b <= c);
}

SUITE(at_fork, hooks_come_before_weirs_own_and_after_them_whoever_was_first,
      the_clock_is_monotonic_and_in_nanoseconds)
