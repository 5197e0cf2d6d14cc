/* SPDX-License-Identifier: ISC
 *
 * test_main.c: the mailbox: its descriptor, dispatch.
 */
#include "harness.h"

#include <fcntl.h>
#ifdef __linux__
#include <sys/epoll.h>
#endif
#include <unistd.h>

SCENARIO(the_descriptor_is_readable_while_something_waits)
{
    rig   r;
    probe t[3];
    if (rig_open(&r, 1)) {
        expect(!readable(weir_main_fd(r.m)));
        settle_undelivered(&r, t, 3);
        expect_eq(weir_main_dispatch(r.m, 0), 3);
        expect_eq(weir_main_dispatch(r.m, 0), 0); /* a read that was refused is made up for */
        if (!fault_injected())
            expect(!readable(weir_main_fd(r.m)));
    }
    rig_close(&r);
}

TEST(many_completions_cost_one_write)
{
    rig   r;
    probe t[50];
    expect(rig_open(&r, 1));
    for (int round = 0; round < 3; round++) {
        long before = fault_writes();
        settle_undelivered(&r, t, 50);
        expect_eq(fault_writes() - before, 1);
        expect_eq(weir_main_dispatch(r.m, 0), 50);
    }
    rig_close(&r);
}

SCENARIO(a_budget_leaves_the_rest_in_order_and_the_descriptor_readable)
{
    rig   r;
    probe t[10];
    int   max[] = {3, 1, 5, 1}, at = 0;
    if (rig_open(&r, 1)) {
        settle_undelivered(&r, t, 10);
        for (int i = 0; i < 4; i++) {
            expect(readable(weir_main_fd(r.m)));
            expect_eq(weir_main_dispatch(r.m, max[i]), max[i]);
            for (int end = at + max[i]; at < end; at++)
                expect_eq(t[at].dones, 1);
            expect(at == 10 || t[at].dones == 0);
        }
        expect_eq(weir_main_dispatch(r.m, 1), 0);
        if (!fault_injected())
            expect(!readable(weir_main_fd(r.m)));
    }
    rig_close(&r);
}

TEST(a_quiet_main_writes_nothing_and_tells_when_that_ends)
{
    rig   r;
    probe t[3], later[2], last[1];
    expect(rig_open(&r, 1));
    long before = fault_writes();
    expect_eq(weir_main_quiet(r.m, true), 0);
    settle_undelivered(&r, t, 3);
    expect(!readable(weir_main_fd(r.m)));
    expect_eq(weir_main_dispatch(r.m, 1), 1); /* nor does what a budget leaves */
    expect_eq(fault_writes() - before, 0);
    expect_eq(weir_main_quiet(r.m, false), 0);
    expect(readable(weir_main_fd(r.m)));
    expect_eq(weir_main_dispatch(r.m, 0), 2);
    expect(!readable(weir_main_fd(r.m)));
    expect_eq(fault_writes() - before, 1);
    expect_eq(weir_main_quiet(r.m, true), 0);
    settle_undelivered(&r, later, 2);
    expect_eq(weir_main_wait(r.m, -1), 2); /* it looks by itself */
    expect_eq(weir_main_quiet(r.m, false), 0);
    expect(!readable(weir_main_fd(r.m))); /* nothing waits */
    settle_undelivered(&r, last, 1);
    expect(readable(weir_main_fd(r.m)));
    expect_eq(weir_main_dispatch(r.m, 0), 1);
    expect_eq(weir_main_quiet(NULL, true), WEIR_EINVAL);
    rig_close(&r);
}

typedef struct {
    weir_main *m;
    int        dispatch, wait, close, on_busy, quiet, linger;
} foreign;

static void uses_a_foreign_main(void *arg)
{
    foreign *f = arg;
    f->dispatch = weir_main_dispatch(f->m, 0);
    f->wait = weir_main_wait(f->m, -1);
    f->close = weir_main_close(f->m, WEIR_DETACH);
    f->on_busy = weir_main_on_busy(f->m, NULL, NULL);
    f->quiet = weir_main_quiet(f->m, true);
    f->linger = weir_main_linger(f->m, 0);
    expect_eq(weir_main_pending(f->m), 1);
    expect_op(weir_main_fd(f->m), >=, 0);
}

TEST(only_its_own_thread_may_use_a_main)
{
    rig     r;
    probe   t[1];
    helper  h;
    foreign f = {0};
    expect(rig_open(&r, 1));
    settle_undelivered(&r, t, 1);
    f.m = r.m;
    helper_start(&h, uses_a_foreign_main, &f);
    helper_join(&h);
    expect_eq(f.dispatch, WEIR_EPERM);
    expect_eq(f.wait, WEIR_EPERM);
    expect_eq(f.close, WEIR_EPERM);
    expect_eq(f.on_busy, WEIR_EPERM);
    expect_eq(f.quiet, WEIR_EPERM);
    expect_eq(f.linger, WEIR_EPERM);
    expect_eq(t[0].dones, 0);
    rig_close(&r);
}

/* ---- nesting ------------------------------------------------------------ */

static order delivered;
static rig   nest;

static void done_notes(weir_task *task)
{
    order_note(&delivered, ((probe *)task)->id);
    probe_done(task);
}

static void done_dispatches(weir_task *task)
{
    done_notes(task);
    expect_eq(weir_main_close(nest.m, 0), WEIR_EBUSY);
    expect_eq(weir_main_close(nest.m, WEIR_DETACH), WEIR_EBUSY);
    expect_eq(weir_main_dispatch(nest.m, 2), 2);
    order_note(&delivered, 100 + ((probe *)task)->id);
}

TEST(a_nested_dispatch_goes_on_with_the_same_ordered_list)
{
    probe t[8];
    expect(rig_open(&nest, 1));
    delivered = (order)ORDER;
    settle_undelivered(&nest, t, 8);
    for (int i = 0; i < 8; i++)
        t[i].task.done = i == 0 || i == 1 ? done_dispatches : done_notes;
    int most = weir_main_dispatch(nest.m, 0), expected[] = {0, 1, 2, 3, 101, 100, 4, 5, 6, 7};
    expect_op(most, >, 0);
    expect_eq(delivered.n, 10);
    /* 0 delivers 1, which delivers 2 and 3; the inner budget of 0 has one left. */
    int at = 0;
    for (int i = 0; i < 10; i++)
        if (delivered.id[i] < 100)
            expect_eq(delivered.id[i], at++);
    expect_eq(at, 8);
    expect_eq(delivered.id[4], expected[4]);
    expect_eq(weir_main_pending(nest.m), 0);
    /* An inner budget may have made it readable for what the outer one took. */
    expect_eq(weir_main_dispatch(nest.m, 0), 0);
    expect(!readable(weir_main_fd(nest.m)));
    rig_close(&nest);
}

static void done_waits_for_another(weir_task *task)
{
    static probe inner;
    inner = (probe)PROBE;
    expect_eq(weir_run(nest.p, &inner.task, nest.m), 0);
    while (inner.dones == 0)
        expect_op(weir_main_wait(nest.m, -1), >=, 0);
    probe_done(task);
}

TEST(done_may_wait_for_another_task_in_the_same_main)
{
    tally settled = TALLY;
    probe t[3];
    expect(rig_open(&nest, 2));
    for (int i = 0; i < 3; i++) {
        t[i] = (probe)PROBE;
        t[i].settled = &settled;
        t[i].task.done = i == 1 ? done_waits_for_another : probe_done;
        expect_eq(weir_run(nest.p, &t[i].task, nest.m), 0);
    }
    main_until(nest.m, &settled, 3);
    rig_close(&nest);
}

static int waited;

static void done_waits_for_nothing(weir_task *task)
{
    (void)task;
    waited = weir_main_wait(nest.m, -1);
}

TEST(wait_inside_the_last_done_ends_at_once)
{
    probe p = PROBE;
    waited = -1;
    p.task.done = done_waits_for_nothing;
    expect(rig_open(&nest, 1));
    expect_eq(weir_run(nest.p, &p.task, nest.m), 0);
    expect_eq(weir_main_wait(nest.m, -1), 1);
    expect_eq(waited, 0);
    rig_close(&nest);
}

static void done_runs_it_again_and_waits(weir_task *task)
{
    probe fence = {.task = {.run = probe_run}};
    probe_done(task);
    expect_eq(weir_run(nest.p, task, nest.m), 0);
    expect_eq(weir_run(nest.p, &fence.task, NULL), 0);
    expect_eq(weir_wait(&fence.task, -1), 0);
}

TEST(a_dispatch_ends_although_each_done_runs_its_task_again_and_blocks)
{
    probe t[2];
    expect(rig_open(&nest, 1));
    settle_undelivered(&nest, t, 2);
    t[0].task.done = t[1].task.done = done_runs_it_again_and_waits;
    for (int i = 1; i <= 3; i++) {
        expect_eq(weir_main_dispatch(nest.m, 0), 2);
        expect(t[0].dones == i && t[1].dones == i);
        expect(readable(weir_main_fd(nest.m)));
    }
    t[0].task.done = t[1].task.done = probe_done;
    rig_close(&nest);
}

TEST(what_a_nested_dispatch_leaves_keeps_the_descriptor_readable)
{
    probe t[6];
    expect(rig_open(&nest, 1));
    delivered = (order)ORDER;
    settle_undelivered(&nest, t, 6);
    for (int i = 0; i < 6; i++)
        t[i].task.done = i == 0 ? done_dispatches : done_notes;
    expect_op(weir_main_dispatch(nest.m, 1), >=, 1);
    expect_op(delivered.n, <=, 5);
    expect(readable(weir_main_fd(nest.m)));
    weir_main_dispatch(nest.m, 0);
    expect_eq(delivered.n, 7);
    rig_close(&nest);
}

/* ---- loops -------------------------------------------------------------- */

SCENARIO(a_poll_loop_is_woken_by_each_completion)
{
    rig   r;
    probe t = PROBE;
    if (rig_open(&r, 1))
        for (int i = 0; i < 50; i++) {
            expect(given(weir_run(r.p, &t.task, r.m)));
            test_stage("polling");
            while (t.dones == i)
                if (readable(weir_main_fd(r.m)))
                    weir_main_dispatch(r.m, 0);
                else
                    sched_yield();
        }
    rig_close(&r);
}

#ifdef __linux__
static int edge_of(int fd)
{
    struct epoll_event in = {.events = EPOLLIN | EPOLLET};
    int                epoll = epoll_create1(EPOLL_CLOEXEC);
    expect(epoll >= 0);
    expect_eq(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &in), 0);
    return epoll;
}
static int edges(int epoll, int timeout)
{
    struct epoll_event out;
    return epoll_wait(epoll, &out, 1, timeout);
}
TEST(an_edge_triggered_loop_that_dispatches_all_misses_nothing)
{
    rig   r;
    probe t[3];
    int   epoll;
    expect(rig_open(&r, 1));
    epoll = edge_of(weir_main_fd(r.m));
    for (int round = 0; round < 200; round++) {
        settle_undelivered(&r, t, 3);
        expect_eq(edges(epoll, -1), 1);
        expect_eq(weir_main_dispatch(r.m, 0), 3);
        expect_eq(edges(epoll, 0), 0);
    }
    close(epoll);
    rig_close(&r);
}
TEST(an_edge_triggered_loop_is_told_of_what_a_budget_left)
{
    rig   r;
    probe t[3];
    int   epoll;
    expect(rig_open(&r, 1));
    epoll = edge_of(weir_main_fd(r.m));
    settle_undelivered(&r, t, 3);
    for (int i = 0; i < 3; i++) {
        expect_eq(edges(epoll, 0), 1);
        expect_eq(weir_main_dispatch(r.m, 1), 1);
    }
    weir_main_dispatch(r.m, 0);
    expect_eq(edges(epoll, 0), 0);
    close(epoll);
    rig_close(&r);
}
#endif

TEST(deliveries_of_one_worker_arrive_in_order)
{
    enum { N = 200 };
    static probe t[N];
    rig          r;
    delivered = (order)ORDER;
    expect(rig_open(&r, 1));
    for (int i = 0; i < N; i++) {
        t[i] = (probe)PROBE;
        t[i].id = i, t[i].task.done = done_notes;
        expect_eq(weir_run(r.p, &t[i].task, r.m), 0);
    }
    while (delivered.n < N)
        weir_main_wait(r.m, -1);
    for (int i = 0; i < N; i++)
        expect_eq(delivered.id[i], i);
    rig_close(&r);
}

TEST(each_of_two_mains_gets_its_own)
{
    rig        r;
    weir_main *other;
    probe      a = PROBE, b = PROBE;
    expect(rig_open(&r, 1));
    expect_eq(weir_main_open(&other), 0);
    expect_eq(weir_run(r.p, &a.task, r.m), 0);
    expect_eq(weir_run(r.p, &b.task, other), 0);
    expect_eq(weir_close(r.p, WEIR_DRAIN), 0);
    expect_eq(weir_main_dispatch(other, 0), 1);
    expect(a.dones == 0 && b.dones == 1);
    expect_eq(weir_main_dispatch(r.m, 0), 1);
    expect_eq(a.dones, 1);
    main_end(other);
    rig_close(&r);
}

static void goes_on(void *main)
{
    expect_eq(fcntl(weir_main_fd(main), F_GETFD), FD_CLOEXEC);
    for (int fd = 0; fd < 3; fd++)
        expect_eq(fcntl(fd, F_GETFD), -1);
    expect_eq(weir_main_pending(main), 0);
}

static void opens_without_standard_streams(void *arg)
{
    rig r;
    (void)arg;
    for (int fd = 0; fd < 3; fd++)
        close(fd);
    expect(rig_open(&r, 0));
    goes_on(r.m);
    child_reap(child_start(goes_on, r.m));
    rig_close(&r);
}

TEST(a_main_takes_no_number_of_the_standard_streams)
{
    child_reap(child_start(opens_without_standard_streams, NULL));
}

#ifdef __linux__
#define EDGES                                                                                      \
    an_edge_triggered_loop_that_dispatches_all_misses_nothing,                                     \
        an_edge_triggered_loop_is_told_of_what_a_budget_left,
#else
#define EDGES
#endif
SUITE(main, EDGES a_main_takes_no_number_of_the_standard_streams,
      the_descriptor_is_readable_while_something_waits, many_completions_cost_one_write,
      a_quiet_main_writes_nothing_and_tells_when_that_ends,
      a_budget_leaves_the_rest_in_order_and_the_descriptor_readable,
      only_its_own_thread_may_use_a_main, a_nested_dispatch_goes_on_with_the_same_ordered_list,
      done_may_wait_for_another_task_in_the_same_main, wait_inside_the_last_done_ends_at_once,
      a_dispatch_ends_although_each_done_runs_its_task_again_and_blocks,
      what_a_nested_dispatch_leaves_keeps_the_descriptor_readable,
      a_poll_loop_is_woken_by_each_completion, deliveries_of_one_worker_arrive_in_order,
      each_of_two_mains_gets_its_own)
