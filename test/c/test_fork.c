/* SPDX-License-Identifier: ISC
 *
 * test_fork.c: what a forked child finds of its parent's pools, tasks and calls.
 */
#include "forks.h"

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

/* ---- odd moments -------------------------------------------------------- */

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
    others_stay_busy = true;
    expect(rig_open(&live, 2));
    for (int i = 0; i < 2; i++)
        helper_start(&h[i], churns, NULL);
    for (unsigned i = 0; i < scaled(30); i++)
        child_reap(child_start(child_looks, NULL));
    others_stay_busy = false;
    atomic_store(&churning, false);
    for (int i = 0; i < 2; i++)
        helper_join(&h[i]);
    rig_close(&live);
}

/* A handler that was registered before the core's comes after it, with every lock held. */
static void (*when_held)(void);

static void before_fork(void)
{
    if (when_held)
        when_held();
}

__attribute__((constructor)) static void register_early(void)
{
    pthread_atfork(before_fork, NULL, NULL);
}

static helper       nudger;
static _Atomic bool forking;

static void nudges(void *arg)
{
    while (!forking)
        sched_yield();
    weir_main_nudge(arg);
}

static void nudger_must_wait(void)
{
    when_held = NULL, forking = true;
    helper_until_asleep(&nudger);
    expect(!nudger.returned);
}

static void child_turns_to_it(void *m)
{
    weir_main_dispatch(m, 0);
    expect_eq(weir_main_close(m, 0), 0);
}

TEST(a_fork_holds_the_lock_of_a_main)
{
    weir_main *m;
    expect_eq(weir_main_open(&m), 0);
    forking = false;
    helper_start(&nudger, nudges, m);
    when_held = nudger_must_wait;
    child_reap(child_start(child_turns_to_it, m));
    expect(forking);
    helper_join(&nudger);
    main_end(m);
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
    child_leaves_nothing(s->r.p, s->r.m);
}

static void child_was_told_before(void *arg)
{
    full_scene *s = arg;
    child_leaves_nothing(s->r.p, s->r.m);
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
    while (weir_main_pending(s.r.m))
        weir_main_wait(s.r.m, -1);
    child_reap(child_start(child_was_told_before, &s));
    rig_close(&s.r);
}

/* ---- the parent's other threads were anywhere ----------------------------- */

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

SUITE(fork, a_task_whose_main_stayed_behind_is_an_orphan,
      a_child_that_waits_for_space_hears_that_there_is_none,
      a_child_settles_what_its_parent_had_begun_as_closed, a_child_may_give_everything_back_at_once,
      a_child_may_open_a_pool_of_its_own, a_fork_while_others_submit_leaves_no_lock_behind,
      a_fork_holds_the_lock_of_a_main, calls_of_the_parents_threads_do_not_run_in_the_child,
      a_call_that_has_ended_keeps_no_main_in_the_child)
