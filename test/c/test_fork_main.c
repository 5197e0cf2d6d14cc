/* SPDX-License-Identifier: ISC
 *
 * test_fork_main.c: what a forked child finds of its parent's mains: a descriptor of its own
 * on the same number.
 */
#include "harness.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

typedef struct {
    weir_main *m;
    int        fd, up[2]; /* the pipe end closes when the parent is through */
} loop;

static void child_turns_its_loop(void *arg)
{
    loop *l = arg;
    close(l->up[1]);
    expect_eq(weir_main_fd(l->m), l->fd);
    struct pollfd fds[2] = {{.fd = l->fd, .events = POLLIN}, {.fd = l->up[0], .events = POLLIN}};
    while (poll(fds, 2, -1) >= 0 && !fds[1].revents)
        if (fds[0].revents)
            weir_main_dispatch(l->m, 0);
}

static _Atomic int finished;

static void done_counts(weir_task *task)
{
    atomic_fetch_add(&finished, 1);
    ((probe *)task)->dones++;
}

static int run_nothing(weir_task *task, void *state)
{
    (void)task, (void)state;
    return 0;
}

/* In flight all the time, so that a wake-up that the child stole would be missed. */
static void receive(rig *r, int n)
{
    enum { FLIGHT = 16 };
    probe         t[FLIGHT];
    int           sent = 0;
    struct pollfd p = {.fd = weir_main_fd(r->m), .events = POLLIN};
    for (int i = 0; i < FLIGHT; i++)
        t[i] = (probe){.task = {.run = run_nothing, .done = done_counts}, .dones = 1};
    atomic_store(&finished, 0);
    while (finished < n) {
        for (int i = 0; i < FLIGHT && sent < n; i++)
            if (t[i].dones) {
                t[i].dones = 0;
                expect_eq(weir_run(r->p, &t[i].task, r->m), 0);
                sent++;
            }
        expect_eq(poll(&p, 1, -1), 1);
        weir_main_dispatch(r->m, 0);
    }
    expect_eq(finished, n);
}

TEST(a_child_with_a_turning_loop_takes_no_wake_up_of_its_parent)
{
    rig  r;
    loop l;
    expect(rig_open(&r, 2));
    l = (loop){.m = r.m, .fd = weir_main_fd(r.m)};
    expect_eq(pipe(l.up), 0);
    pid_t pid = child_start(child_turns_its_loop, &l);
    close(l.up[0]);
    receive(&r, (int)scaled(100000));
    close(l.up[1]);
    child_reap(pid);
    rig_close(&r);
}

/* Until its end of the pipe says that the parent has been woken. */
static void child_hears_nothing(void *arg)
{
    loop *l = arg;
    char  byte;
    close(l->up[1]);
    expect_eq(read(l->up[0], &byte, 1), 0);
    expect(!readable(weir_main_fd(l->m)));
}

TEST(a_childs_descriptor_says_nothing_of_its_parent)
{
    rig   r;
    loop  l;
    probe t = PROBE;
    expect(rig_open(&r, 1));
    l = (loop){.m = r.m};
    expect_eq(pipe(l.up), 0);
    pid_t pid = child_start(child_hears_nothing, &l);
    close(l.up[0]);
    expect_eq(weir_run(r.p, &t.task, r.m), 0);
    while (!readable(weir_main_fd(r.m)))
        sched_yield();
    close(l.up[1]);
    child_reap(pid);
    rig_close(&r);
}

static void child_closes_its_main_first(void *arg)
{
    rig *r = arg;
    long held = fault_live_blocks();
    expect_eq(weir_main_close(r->m, WEIR_DETACH), 0);
    expect_eq(fault_live_blocks(), held); /* the pool holds the main that opened it */
    weir_pool_release(r->p);
    expect_op(fault_live_blocks(), <, held);
}

TEST(a_child_may_close_the_main_before_the_pool_that_it_opened)
{
    rig               r;
    weir_pool_options opts = pool_of(1);
    expect_eq(weir_main_open(&r.m), 0);
    expect_eq(weir_pool_open_async(&r.p, &opts, r.m, NULL), 0);
    child_reap(child_start(child_closes_its_main_first, &r));
    rig_close(&r);
}

static void child_reads_its_own(void *arg)
{
    weir_main *m = arg;
    expect(!readable(weir_main_fd(m)));
    expect_eq(weir_main_pending(m), 0);
    expect_eq(weir_main_wait(m, -1), 0);
    expect_eq(weir_main_close(m, 0), 0);
}

TEST(a_main_without_a_pool_is_renewed_too)
{
    weir_main *m;
    expect_eq(weir_main_open(&m), 0);
    child_reap(child_start(child_reads_its_own, m));
    main_end(m);
}

/* A lower number is free when the child makes its descriptor. */
static void child_has_the_number_to_itself(void *arg)
{
    weir_main *m = arg;
    expect(fcntl(weir_main_fd(m), F_GETFD) & FD_CLOEXEC);
    expect_eq(fcntl(weir_main_fd(m) - 1, F_GETFD), -1);
    expect_eq(weir_main_close(m, 0), 0);
}

TEST(a_childs_descriptor_is_closed_by_exec_too)
{
    weir_main *m;
    int        low = dup(0);
    expect_eq(weir_main_open(&m), 0);
    close(low);
    child_reap(child_start(child_has_the_number_to_itself, m));
    main_end(m);
}

typedef struct {
    weir_main   *m;
    _Atomic bool ends;
} traffic;

/* Each brings a nudge or two. */
static void expects_and_posts(void *arg)
{
    traffic *all = arg;
    while (!atomic_load(&all->ends)) {
        news n = NEWS;
        expect_eq(weir_notice_expect(&n.notice, all->m), 0);
        weir_notice_post(&n.notice, 0);
        while (n.calls == 0)
            sched_yield();
    }
}

static void expects(void *arg)
{
    static news n = NEWS;
    expect_eq(weir_notice_expect(&n.notice, arg), 0);
}

static void child_hears_a_nudge(void *arg)
{
    traffic *all = arg;
    helper   h;
    while (weir_main_dispatch(all->m, 0))
        continue;
    expect_eq(weir_main_pending(all->m), 0);
    helper_start(&h, expects, all->m);
    helper_join(&h);
    expect(readable(weir_main_fd(all->m)));
}

/* One of them may have been about to nudge the main. */
TEST(a_childs_main_is_nudged_whatever_the_parents_threads_did)
{
    traffic all = {.ends = false};
    helper  h;
    if (under_tsan()) /* it takes a reused thread id for an error */
        return;
    expect_eq(weir_main_open(&all.m), 0);
    others_stay_busy = true;
    helper_start(&h, expects_and_posts, &all);
    for (unsigned i = 0; i < scaled(200); i++) {
        for (unsigned k = 0; k < i % 7; k++)
            weir_main_dispatch(all.m, 0);
        child_reap(child_start(child_hears_a_nudge, &all));
    }
    others_stay_busy = false;
    atomic_store(&all.ends, true);
    while (!h.returned)
        weir_main_wait(all.m, MILLIS(1));
    helper_join(&h);
    main_end(all.m);
}

static void is_quiet_still(void *main)
{
    expect(!readable(weir_main_fd(main)));
    expect_eq(weir_main_quiet(main, false), 0);
    expect(readable(weir_main_fd(main)));
}

TEST(a_quiet_main_is_quiet_in_a_child)
{
    rig   r;
    probe t;
    expect(rig_open(&r, 1));
    expect_eq(weir_main_quiet(r.m, true), 0);
    settle_undelivered(&r, &t, 1);
    child_reap(child_start(is_quiet_still, r.m));
    rig_close(&r);
}

SUITE(fork_main, a_child_with_a_turning_loop_takes_no_wake_up_of_its_parent,
      a_childs_descriptor_says_nothing_of_its_parent,
      a_child_may_close_the_main_before_the_pool_that_it_opened,
      a_main_without_a_pool_is_renewed_too, a_childs_descriptor_is_closed_by_exec_too,
      a_childs_main_is_nudged_whatever_the_parents_threads_did, a_quiet_main_is_quiet_in_a_child)
