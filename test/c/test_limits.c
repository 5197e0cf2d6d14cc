/* SPDX-License-Identifier: ISC
 *
 * test_limits.c: the system says no, for real: no thread, no descriptor, no memory.
 */
#include "harness.h"

#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

/* The soft limit: valgrind keeps the hard one for itself. */
static void limit(int resource, rlim_t most)
{
    struct rlimit l;
    expect_eq(getrlimit(resource, &l), 0);
    l.rlim_cur = most;
    expect_eq(setrlimit(resource, &l), 0);
}

/* The superuser has no RLIMIT_NPROC: become somebody who runs nothing else. */
static void become_ordinary(void)
{
    if (geteuid() != 0)
        return;
    uid_t uid = 54321 + (uid_t)getpid() % 1000;
    expect_eq(setgroups(0, NULL), 0);
    expect_eq(setgid(uid), 0);
    expect_eq(setuid(uid), 0);
}

static tally starts, exits;

static int init_counts(void *arg, void **state)
{
    (void)arg, (void)state;
    tally_add(&starts, 1);
    return 0;
}

static void at_exit_counts(void *arg, void *state)
{
    (void)arg, (void)state;
    tally_add(&exits, 1);
}

/* An ordinary user's limit counts all its processes, so which thread is refused
 * is not known: large pools until one is. */
static void child_is_refused_threads(void *arg)
{
    int        refused = 0;
    weir_main *m;
    (void)arg;
    become_ordinary();
    limit(RLIMIT_NPROC, 12);
    expect_eq(weir_main_open(&m), 0);
    for (int i = 0; i < 20; i++) {
        weir_pool        *p = NULL;
        weir_pool_options opts = pool_of(64);
        opts.init = init_counts, opts.at_exit = at_exit_counts;
        int rc = weir_pool_open(&p, &opts);
        expect_eq(rc, WEIR_EAGAIN);
        expect(p == NULL);
        refused++;
        expect_eq(tally_get(&starts), tally_get(&exits));
    }
    expect_eq(refused, 20);
    news              n = NEWS;
    weir_pool        *p;
    weir_pool_options opts = pool_of(64);
    probe             t = PROBE;
    expect_eq(weir_pool_open_async(&p, &opts, m, &n.notice), 0);
    int accepted = weir_run(p, &t.task, m) == 0;
    while (n.calls == 0 || t.dones < accepted)
        weir_main_wait(m, -1);
    expect_eq(n.outcome, WEIR_EAGAIN);
    expect(!accepted || t.outcome == WEIR_ECLOSED);
    pool_end(p);
    main_end(m);
}

/* A pool that has its threads when the limit comes can replace none. */
static void child_cannot_replace(void *arg)
{
    rig  r;
    plug p;
    (void)arg;
    become_ordinary();
    expect(rig_open(&r, 1) && plug_in(&p, r.p, r.m));
    p.probe.task.release = p.probe.task.done;
    limit(RLIMIT_NPROC, 1);
    expect_eq(weir_task_abandon(&p.probe.task), WEIR_EAGAIN);
    expect_eq(weir_task_get_state(&p.probe.task), WEIR_TASK_RUNNING);
    expect_eq(stats_of(r.p).threads, 1);
    plug_pull(&p);
    while (p.probe.dones == 0)
        weir_main_wait(r.m, -1);
    expect_eq(p.probe.outcome, 0);
    rig_close(&r);
}

TEST(an_ordinary_user_is_refused_threads_and_nothing_is_half_made)
{
    starts = exits = (tally)TALLY;
    child_reap(child_start(child_is_refused_threads, NULL));
}

TEST(a_pool_that_gets_no_replacement_keeps_its_thread)
{
    child_reap(child_start(child_cannot_replace, NULL));
}

/* ---- descriptors -------------------------------------------------------- */

static void child_is_out_of_descriptors(void *arg)
{
    enum { MOST = 40 };
    weir_main *m[MOST], *untouched = (weir_main *)arg;
    int        n = 0, rc = 0;
    limit(RLIMIT_NOFILE, 32);
    while (n < MOST && (rc = weir_main_open(&m[n])) == 0)
        n++;
    expect_eq(rc, WEIR_EMFILE);
    weir_main *got = untouched;
    expect_eq(weir_main_open(&got), WEIR_EMFILE);
    expect(got == untouched);
    /* What is there goes on. */
    weir_pool        *p;
    weir_pool_options opts = pool_of(2);
    probe             t = PROBE;
    expect_op(n, >, 0);
    expect_eq(weir_pool_open(&p, &opts), 0);
    expect_eq(weir_run(p, &t.task, m[n - 1]), 0);
    while (t.dones == 0)
        weir_main_wait(m[n - 1], -1);
    pool_end(p);
    expect_eq(weir_main_close(m[--n], 0), 0);
    expect_eq(weir_main_open(&m[n]), 0);
    n++;
    while (n > 0)
        expect_eq(weir_main_close(m[--n], 0), 0);
}

TEST(out_of_descriptors_no_main_opens_and_the_others_go_on)
{
    int mark;
    child_reap(child_start(child_is_out_of_descriptors, &mark));
}

static void grandchild_keeps_its_loop(void *arg)
{
    rig *r = arg;
    weir_main_dispatch(r->m, 0);
    expect_eq(weir_main_pending(r->m), 0);
    expect(!readable(weir_main_fd(r->m)));
    weir_pool_release(r->p);
    expect_eq(weir_main_close(r->m, 0), 0);
}

/* The child of a process at its limit has no number to spare. */
static void child_forks_at_the_limit(void *arg)
{
    rig r;
    (void)arg;
    expect(rig_open(&r, 1));
    limit(RLIMIT_NOFILE, 32);
    while (open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0)
        continue;
    child_reap(child_start(grandchild_keeps_its_loop, &r));
    rig_close(&r);
}

TEST(a_process_at_its_descriptor_limit_can_fork)
{
    child_reap(child_start(child_forks_at_the_limit, NULL));
}

/* ---- the queue takes no memory ------------------------------------------ */

TEST(a_run_allocates_nothing)
{
    enum { N = 2000 };
    static probe t[N];
    rig          r;
    plug         p;
    expect(rig_open(&r, 1) && plug_in(&p, r.p, r.m));
    long before = fault_live_blocks();
    fault_arm(FAULT_ALLOC, 1, 1000000); /* not one, from here on */
    for (int i = 0; i < N; i++) {
        t[i] = (probe)PROBE;
        expect_eq(weir_run(r.p, &t[i].task, r.m), 0);
    }
    plug_pull(&p);
    expect_eq(weir_close(r.p, WEIR_DRAIN), 0);
    expect_eq(weir_main_dispatch(r.m, 0), N + 1);
    expect(!fault_disarm());
    expect_op(fault_live_blocks(), <=, before);
    rig_close(&r);
}

SUITE(limits, an_ordinary_user_is_refused_threads_and_nothing_is_half_made,
      a_pool_that_gets_no_replacement_keeps_its_thread,
      out_of_descriptors_no_main_opens_and_the_others_go_on,
      a_process_at_its_descriptor_limit_can_fork, a_run_allocates_nothing)
