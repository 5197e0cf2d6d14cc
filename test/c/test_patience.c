/* SPDX-License-Identifier: ISC
 *
 * test_patience.c: a worker lets its submitter go on while many tasks are in flight, by the
 * policy of its thread; nothing that it starts inherits that.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "harness.h"

#ifdef __linux__
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LOT = 64 };

static int policy_here(void) { return (int)syscall(SYS_sched_getscheduler, 0); }

static void become(int policy)
{
    struct sched_param param = {0};
    expect_eq(syscall(SYS_sched_setscheduler, 0, policy, &param), 0);
}

/* An emulator has no answer to the first. */
static bool may_be_patient(void)
{
    return prctl(PR_GET_SECCOMP) == 0 && policy_here() == SCHED_OTHER;
}

/* A task that notes the policy of its thread, then does something there. */
typedef struct {
    weir_task task;
    int       policy;
    void (*act)(void);
    tally *done;
} look;

static int look_run(weir_task *task, void *state)
{
    (void)state;
    look *l = (look *)task;
    l->policy = policy_here();
    if (l->act)
        l->act();
    return 0;
}

static void look_done(weir_task *task)
{
    look *l = (look *)task;
    tally_add(l->done, 1);
}

/* n of them at once; the policy that the first one met. */
static int send(rig *r, int n, void (*act)(void))
{
    static look looks[LOT];
    tally       done = TALLY;
    expect_eq(weir_pool_pause(r->p), 0);
    for (int i = 0; i < n; i++) {
        looks[i] = (look){.task = {.run = look_run, .done = look_done}, .done = &done};
        looks[i].act = i == 0 ? act : NULL;
        expect_eq(weir_run(r->p, &looks[i].task, r->m), 0);
    }
    expect_eq(weir_pool_resume(r->p), 0);
    main_until(r->m, &done, n);
    return looks[0].policy;
}

/* The worker decides as it falls asleep, and it may find the next lot before. */
static void until_policy(rig *r, int n, int policy)
{
    test_stage("waits for a policy");
    while (send(r, n, NULL) != policy) {
    }
    test_stage(NULL);
}

static void rig_open_patient(rig *r)
{
    expect(rig_open(r, 1));
    until_policy(r, LOT, SCHED_BATCH);
}

TEST(a_worker_is_patient_while_many_tasks_are_in_flight)
{
    rig r;
    if (!may_be_patient())
        return;
    rig_open_patient(&r);
    for (int i = 0; i < 4; i++)
        expect_eq(send(&r, 1, NULL), SCHED_BATCH); /* more may come */
    until_policy(&r, 1, SCHED_OTHER);
    until_policy(&r, LOT, SCHED_BATCH);
    rig_close(&r);
}

TEST(a_worker_is_not_patient_while_tasks_come_alone)
{
    rig r;
    if (!may_be_patient())
        return;
    expect(rig_open(&r, 1));
    for (int i = 0; i < LOT; i++)
        expect_eq(send(&r, 1, NULL), SCHED_OTHER);
    rig_close(&r);
}

/* ---- nothing inherits it ---------------------------------------------------- */

static void expect_usual(void) { expect_eq(policy_here(), SCHED_OTHER); }

/* What glibc's posix_spawn starts has the policy of its caller. */
static void spawns(void)
{
    expect_eq(policy_here(), SCHED_BATCH);
    weir_spawning_begin();
    expect_usual();
    weir_spawning_end();
}

static void restores(void)
{
    expect_eq(policy_here(), SCHED_BATCH);
    weir_restore_policy();
    expect_usual();
}

static void in_child(void *arg)
{
    (void)arg;
    expect_usual();
}

static void forks(void)
{
    expect_eq(policy_here(), SCHED_BATCH);
    child_reap(child_start(in_child, NULL));
}

static int look_at_it(void *arg, void **state)
{
    (void)arg, (void)state;
    expect_usual();
    return 0;
}

static void opens_a_pool(void)
{
    weir_pool        *p;
    weir_pool_options opts = pool_of(1);
    opts.init = look_at_it;
    expect_eq(policy_here(), SCHED_BATCH);
    expect_eq(weir_pool_open(&p, &opts), 0);
    expect_eq(weir_pool_resize(p, 2, 2), 0);
    pool_end(p);
}

static void looks_and_tells(void *sighted, const weir_sighting *s)
{
    (void)s;
    expect_usual();
    gate_open(sighted);
}

/* The watcher tells of the task that starts it. */
static void starts_a_watcher(void)
{
    gate               sighted = GATE;
    weir_watch_options opts = {.size = sizeof opts, .task_ns = 1};
    opts.tell = looks_and_tells, opts.arg = &sighted;
    expect_eq(policy_here(), SCHED_BATCH);
    expect_eq(weir_watch(&opts), 0);
    gate_wait(&sighted);
    expect_eq(weir_watch(NULL), 0);
}

TEST(what_a_patient_worker_starts_is_as_usual)
{
    void (*const acts[])(void) = {spawns, restores, forks, opens_a_pool, starts_a_watcher};
    for (unsigned i = 0; i < sizeof acts / sizeof *acts && may_be_patient(); i++) {
        rig r;
        rig_open_patient(&r);
        send(&r, 1, acts[i]);
        rig_close(&r);
    }
}

static void look_at_exit(void *arg, void *state)
{
    (void)state;
    expect_usual();
    tally_add(arg, 1);
}

TEST(a_patient_worker_leaves_as_usual)
{
    rig               r;
    tally             exits = TALLY;
    weir_pool_options opts = pool_of(1);
    if (!may_be_patient())
        return;
    opts.at_exit = look_at_exit, opts.arg = &exits;
    expect(rig_open_with(&r, &opts));
    until_policy(&r, LOT, SCHED_BATCH);
    rig_close(&r);
    expect_eq(tally_get(&exits), 1);
}

static void lends_itself(void *pool)
{
    weir_worker *w;
    weir_task   *t;
    expect_eq(weir_worker_enter(pool, &w), 0);
    while (weir_worker_next(w, true, &t) == 0 && weir_worker_settle(w, t, t->run(t, NULL)) == 0) {
    }
    weir_worker_leave(w, false, 0);
    expect_usual();
}

TEST(a_lent_thread_is_given_back_as_usual)
{
    rig               r;
    helper            h;
    news              ready = NEWS;
    weir_pool_options opts = pool_of(1);
    if (!may_be_patient())
        return;
    opts.borrowed = true;
    expect_eq(weir_main_open(&r.m), 0);
    expect_eq(weir_pool_open_async(&r.p, &opts, r.m, &ready.notice), 0);
    helper_start(&h, lends_itself, r.p);
    while (ready.calls == 0)
        weir_main_wait(r.m, -1);
    until_policy(&r, LOT, SCHED_BATCH);
    rig_close(&r);
    helper_join(&h);
}

/* ---- who has another policy ----------------------------------------------------- */

static void has_its_own(void *arg, unsigned index)
{
    (void)index;
    become(*(int *)arg);
}

TEST(a_worker_with_a_policy_of_its_own_keeps_it)
{
    int policies[] = {SCHED_IDLE, SCHED_BATCH};
    for (unsigned i = 0; i < sizeof policies / sizeof *policies && may_be_patient(); i++) {
        rig               r;
        weir_pool_options opts = pool_of(1);
        opts.on_start = has_its_own, opts.arg = &policies[i];
        expect(rig_open_with(&r, &opts));
        for (int n = 0; n < LOT; n++)
            expect_eq(send(&r, n % 2 ? 1 : LOT, NULL), policies[i]);
        rig_close(&r);
    }
}

SUITE(patience, a_worker_is_patient_while_many_tasks_are_in_flight,
      a_worker_is_not_patient_while_tasks_come_alone, what_a_patient_worker_starts_is_as_usual,
      a_patient_worker_leaves_as_usual, a_lent_thread_is_given_back_as_usual,
      a_worker_with_a_policy_of_its_own_keeps_it)

#else

TEST(nothing_is_to_be_patient_about_here) {}
SUITE(patience, nothing_is_to_be_patient_about_here)

#endif
