/* SPDX-License-Identifier: ISC
 *
 * test_fork.c: what a forked child finds of its parent's pools and mains.
 */
#include "harness.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

/* A live pool: one task running, some queued, one parked, one undelivered. */
typedef struct {
    rig   r;
    plug  p;
    probe queued[3], parked, undelivered, waited;
} scene;

static int run_parks(weir_task *task, void *state)
{
    probe_run(task, state);
    return WEIR_PARK;
}

static void scene_open(scene *s)
{
    s->undelivered = s->parked = s->waited = (probe)PROBE;
    s->parked.task.run = run_parks;
    s->waited.task.done = NULL;
    expect(rig_open(&s->r, 2));
    expect_eq(weir_run(s->r.p, &s->undelivered.task, s->r.m), 0);
    expect_eq(weir_run(s->r.p, &s->parked.task, s->r.m), 0);
    while (weir_task_get_state(&s->undelivered.task) != WEIR_TASK_SETTLED ||
           weir_task_get_state(&s->parked.task) != WEIR_TASK_PARKED)
        sched_yield();
    expect(plug_in(&s->p, s->r.p, s->r.m));
    expect_eq(weir_pool_pause(s->r.p), 0);
    for (int i = 0; i < 3; i++) {
        s->queued[i] = (probe)PROBE;
        expect_eq(weir_run(s->r.p, &s->queued[i].task, s->r.m), 0);
    }
    expect_eq(weir_run(s->r.p, &s->waited.task, NULL), 0);
    while (!readable(weir_main_fd(s->r.m)))
        sched_yield();
}

static void scene_close(scene *s)
{
    plug_pull(&s->p);
    expect_eq(weir_close(s->r.p, WEIR_DRAIN), 0);
    rig_close(&s->r);
    expect_eq(s->p.probe.outcome, 0);
    expect_eq(s->undelivered.outcome, 0);
    expect_eq(s->parked.outcome, WEIR_ECLOSED);
    for (int i = 0; i < 3; i++)
        expect(s->queued[i].dones == 1 && s->queued[i].outcome == 0);
}

static void child_settles_closed(void *arg)
{
    scene *s = arg;
    probe  extra = PROBE;
    expect(readable(weir_main_fd(s->r.m)));
    expect_eq(weir_main_pending(s->r.m), 6);
    expect_eq(weir_main_dispatch(s->r.m, 0), 6);
    expect_eq(weir_main_pending(s->r.m), 0);
    expect_eq(s->undelivered.outcome, 0);
    expect_eq(s->p.probe.outcome, WEIR_ECLOSED);
    expect_eq(s->parked.outcome, WEIR_ECLOSED);
    for (int i = 0; i < 3; i++) {
        expect_eq(s->queued[i].dones, 1);
        expect_eq(s->queued[i].outcome, WEIR_ECLOSED);
    }
    expect_eq(weir_wait(&s->waited.task, -1), 0);
    expect_eq(weir_task_outcome(&s->waited.task), WEIR_ECLOSED);
    expect_eq(weir_run(s->r.p, &extra.task, s->r.m), WEIR_EFORKED);
    expect_eq(stats_of(s->r.p).threads, 0);
    expect_eq(weir_close(s->r.p, WEIR_CLOSE), 0);
    weir_pool_release(s->r.p);
    expect_eq(weir_main_close(s->r.m, 0), 0);
}

TEST(a_child_settles_what_its_parent_had_begun_as_closed)
{
    scene s;
    scene_open(&s);
    child_reap(child_start(child_settles_closed, &s));
    scene_close(&s);
}

static void child_only_leaves(void *arg)
{
    scene *s = arg;
    weir_pool_release(s->r.p);
    expect_eq(weir_main_close(s->r.m, 0), 0);
    expect_eq(s->queued[0].dones, 1);
}

TEST(a_child_may_give_everything_back_at_once)
{
    scene s;
    scene_open(&s);
    child_reap(child_start(child_only_leaves, &s));
    scene_close(&s);
}

static void child_begins_anew(void *arg)
{
    scene *s = arg;
    rig    r;
    probe  t = PROBE;
    child_settles_closed(s);
    expect(rig_open(&r, 2));
    expect_eq(weir_run(r.p, &t.task, r.m), 0);
    while (t.dones == 0)
        weir_main_wait(r.m, -1);
    rig_close(&r);
}

TEST(a_child_may_open_a_pool_of_its_own)
{
    scene s;
    scene_open(&s);
    if (!under_tsan()) /* it takes a reused thread id for an error */
        child_reap(child_start(child_begins_anew, &s));
    scene_close(&s);
}

/* ---- the child keeps its loop ------------------------------------------- */

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

/* ---- odd moments -------------------------------------------------------- */

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

static rig live;

static _Atomic bool churning;

/* Its done takes no lock: in the child nobody would ever give that back. */
static void churns(void *arg)
{
    probe t = PROBE;
    (void)arg;
    for (int n = 1; atomic_load(&churning); n++) {
        expect_eq(weir_run(live.p, &t.task, NULL), 0);
        while (atomic_load(&t.dones) < n)
            sched_yield();
    }
}

static void child_looks(void *arg)
{
    probe t = PROBE;
    (void)arg;
    expect_eq(weir_run(live.p, &t.task, live.m), WEIR_EFORKED);
    weir_main_dispatch(live.m, 0);
    weir_pool_release(live.p);
    expect_eq(weir_main_close(live.m, 0), 0);
}

TEST(a_fork_while_others_submit_leaves_no_lock_behind)
{
    helper h[2];
    atomic_store(&churning, true);
    expect(rig_open(&live, 2));
    for (int i = 0; i < 2; i++)
        helper_start(&h[i], churns, NULL);
    for (unsigned i = 0; i < scaled(30); i++)
        child_reap(child_start(child_looks, NULL));
    atomic_store(&churning, false);
    for (int i = 0; i < 2; i++)
        helper_join(&h[i]);
    rig_close(&live);
}

static void answers(weir_call *call, void *arg)
{
    ++*(int *)arg;
    weir_call_finish(call, 0, NULL);
}

typedef struct {
    weir_main *m;
    int        begun, rc;
} ask;

static void asks(void *arg)
{
    ask *a = arg;
    a->rc = weir_run_in_main(a->m, answers, &a->begun, NULL);
}

static void child_has_no_caller(void *arg)
{
    ask *a = arg;
    expect_eq(weir_main_dispatch(a->m, 0), 0);
    expect_eq(a->begun, 0);
    expect_eq(weir_main_pending(a->m), 0);
    expect_eq(weir_main_close(a->m, 0), 0);
}

TEST(calls_of_the_parents_threads_do_not_run_in_the_child)
{
    ask    a = {.rc = 1};
    helper h;
    expect_eq(weir_main_open(&a.m), 0);
    helper_start(&h, asks, &a);
    while (weir_main_pending(a.m) == 0 || !readable(weir_main_fd(a.m)))
        sched_yield();
    child_reap(child_start(child_has_no_caller, &a));
    while (!h.returned)
        weir_main_wait(a.m, MILLIS(1));
    helper_join(&h);
    expect(a.rc == 0 && a.begun == 1);
    main_end(a.m);
}

static void child_gives_its_memory_back(void *arg)
{
    ask *a = arg;
    long held = fault_live_blocks();
    expect_eq(weir_main_close(a->m, 0), 0);
    expect_op(fault_live_blocks(), <, held);
}

TEST(a_call_that_has_ended_keeps_no_main_in_the_child)
{
    ask    a = {.rc = 1};
    helper h;
    expect_eq(weir_main_open(&a.m), 0);
    helper_start(&h, asks, &a);
    while (!h.returned)
        weir_main_wait(a.m, MILLIS(1));
    helper_join(&h);
    child_reap(child_start(child_gives_its_memory_back, &a));
    main_end(a.m);
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
    rig   r;
    plug  p;
    probe queued;
    news  space;
} full_scene;

static void child_hears_of_no_space(void *arg)
{
    full_scene *s = arg;
    news        late = NEWS;
    expect_eq(weir_main_dispatch(s->r.m, 0), 3);
    expect_eq(s->space.calls, 1);
    expect_eq(s->space.outcome, WEIR_ECLOSED);
    expect_eq(weir_pool_on_space(s->r.p, &late.notice, s->r.m), 0);
    expect_eq(weir_main_dispatch(s->r.m, 0), 1);
    expect_eq(late.outcome, WEIR_ECLOSED);
    expect_eq(weir_main_pending(s->r.m), 0);
    weir_pool_release(s->r.p);
    expect_eq(weir_main_close(s->r.m, 0), 0);
}

TEST(a_child_that_waits_for_space_hears_that_there_is_none)
{
    full_scene        s = {.queued = PROBE, .space = NEWS};
    weir_pool_options opts = pool_of(1);
    opts.queue_limit = 1;
    expect(rig_open_with(&s.r, &opts));
    expect(plug_in(&s.p, s.r.p, s.r.m));
    expect_eq(weir_run(s.r.p, &s.queued.task, s.r.m), 0);
    expect_eq(weir_pool_on_space(s.r.p, &s.space.notice, s.r.m), 0);
    child_reap(child_start(child_hears_of_no_space, &s));
    plug_pull(&s.p);
    while (!s.space.calls)
        weir_main_wait(s.r.m, -1);
    expect_eq(s.space.outcome, 0);
    rig_close(&s.r);
}

/* ---- the parent's other threads were anywhere ----------------------------- */

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
    helper_start(&h, expects_and_posts, &all);
    for (unsigned i = 0; i < scaled(200); i++) {
        for (unsigned k = 0; k < i % 7; k++)
            weir_main_dispatch(all.m, 0);
        child_reap(child_start(child_hears_a_nudge, &all));
    }
    atomic_store(&all.ends, true);
    while (!h.returned)
        weir_main_wait(all.m, MILLIS(1));
    helper_join(&h);
    main_end(all.m);
}

static void finds_an_orphan(void *arg)
{
    probe *t = arg;
    expect_eq(weir_close(t->state, WEIR_CLOSE), 0);
    expect(t->dones == 1 && t->outcome == WEIR_ECLOSED);
    expect(t->orphaned);
}

static void forks_beside_the_owner(void *arg) { child_reap(child_start(finds_an_orphan, arg)); }

TEST(a_task_whose_main_stayed_behind_is_an_orphan)
{
    rig    r;
    helper h;
    probe  t = PROBE;
    expect(rig_open(&r, 1));
    expect_eq(weir_pool_pause(r.p), 0);
    t.state = r.p;
    expect_eq(weir_run(r.p, &t.task, r.m), 0);
    helper_start(&h, forks_beside_the_owner, &t);
    helper_join(&h);
    expect_eq(weir_pool_resume(r.p), 0);
    while (t.dones == 0)
        weir_main_wait(r.m, -1);
    expect(!t.orphaned);
    rig_close(&r);
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

SUITE(fork, a_task_whose_main_stayed_behind_is_an_orphan, a_quiet_main_is_quiet_in_a_child,
      a_childs_main_is_nudged_whatever_the_parents_threads_did,
      a_child_that_waits_for_space_hears_that_there_is_none,
      a_child_settles_what_its_parent_had_begun_as_closed, a_child_may_give_everything_back_at_once,
      a_child_may_open_a_pool_of_its_own,
      a_child_with_a_turning_loop_takes_no_wake_up_of_its_parent,
      a_main_without_a_pool_is_renewed_too, a_fork_while_others_submit_leaves_no_lock_behind,
      calls_of_the_parents_threads_do_not_run_in_the_child,
      a_call_that_has_ended_keeps_no_main_in_the_child, a_childs_descriptor_is_closed_by_exec_too,
      a_childs_descriptor_says_nothing_of_its_parent,
      a_child_may_close_the_main_before_the_pool_that_it_opened)
