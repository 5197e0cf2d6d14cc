/* SPDX-License-Identifier: ISC
 *
 * test_nature.c: threads that come later are as those that came first.
 *
 * A pool is opened by one thread, and its later threads are brought by another, which
 * is unlike it: pinned, SCHED_BATCH, nicer, and with another signal mask. Each test runs
 * as whoever runs it, and in a child as an ordinary user.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "harness.h"

#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SPIES = 3, STACK = 300 << 10, DEFAULT_STACK = 8 << 20, NICER = 7, NOBODY = 65534 };

/* ---- what a thread is like ------------------------------------------------ */

typedef struct {
    cpu_set_t cpus;
    int       policy, nice;
    sigset_t  mask;
    size_t    stack;
} nature;

static size_t stack_here(void)
{
    pthread_attr_t attr;
    size_t         size = 0;
    expect_eq(pthread_getattr_np(pthread_self(), &attr), 0);
    pthread_attr_getstacksize(&attr, &size);
    pthread_attr_destroy(&attr);
    return size;
}

static nature here(void)
{
    nature n;
    expect_eq(sched_getaffinity(0, sizeof n.cpus, &n.cpus), 0);
    n.policy = (int)syscall(SYS_sched_getscheduler, 0); /* musl has a stub */
    n.nice = getpriority(PRIO_PROCESS, 0);
    pthread_sigmask(SIG_SETMASK, NULL, &n.mask);
    n.stack = stack_here();
    return n;
}

static void pin_to_last(void)
{
    cpu_set_t all, one;
    expect_eq(sched_getaffinity(0, sizeof all, &all), 0);
    CPU_ZERO(&one);
    for (int i = CPU_SETSIZE - 1; i >= 0 && CPU_COUNT(&one) == 0; i--)
        if (CPU_ISSET(i, &all))
            CPU_SET(i, &one);
    expect_eq(sched_setaffinity(0, sizeof one, &one), 0);
}

/* Nobody is refused this. */
static void become_odd(void)
{
    struct sched_param param = {0};
    sigset_t           mask;
    pin_to_last();
    expect_eq(pthread_setschedparam(pthread_self(), SCHED_BATCH, &param), 0);
    expect_eq(setpriority(PRIO_PROCESS, 0, here().nice + NICER), 0);
    sigemptyset(&mask);
    sigaddset(&mask, SIGPROF);
    pthread_sigmask(SIG_BLOCK, &mask, NULL);
}

static void try_lower(void *may)
{
    int nice = getpriority(PRIO_PROCESS, 0);
    expect_eq(setpriority(PRIO_PROCESS, 0, nice + 1), 0);
    *(bool *)may = setpriority(PRIO_PROCESS, 0, nice) == 0;
}

static bool may_lower_nice(void)
{
    bool   may = false;
    helper h;
    helper_start(&h, try_lower, &may);
    helper_join(&h);
    return may;
}

/* ---- a pool, who opened it, who brings threads ----------------------------- */

typedef struct {
    weir_task     task;
    struct scene *scene;
    nature        seen;
    bool          brought; /* not the open made its thread */
} spy;

typedef struct scene {
    weir_pool        *p;
    weir_pool_options opts;
    void (*bring)(struct scene *);
    void (*become)(void); /* unlike the opener, or NULL */
    nature opener, bringer;
    spy    spies[SPIES];
    tally  entered;
    gate   leave;
} scene;

static int spy_run(weir_task *task, void *state)
{
    (void)state;
    spy *s = (spy *)task;
    s->seen = here();
    s->brought = weir_worker_index(weir_worker_current()) > 0;
    tally_add(&s->scene->entered, 1);
    gate_wait(&s->scene->leave);
    return 0;
}

/* Each takes a thread and keeps it. */
static void send_spies(scene *s, int n)
{
    for (int i = 0; i < n; i++) {
        expect_eq(weir_run(s->p, &s->spies[i].task, NULL), 0);
        tally_wait(&s->entered, i + 1);
    }
}

typedef struct {
    void (*become)(void);
    void (*fn)(scene *);
    scene *s;
} act;

static void perform(void *arg)
{
    act *a = arg;
    if (a->become)
        a->become();
    a->fn(a->s);
}

static void on_thread(void (*become)(void), void (*fn)(scene *), scene *s)
{
    helper h;
    act    a = {become, fn, s};
    helper_start(&h, perform, &a);
    helper_join(&h);
}

static void opens(scene *s)
{
    s->opener = here();
    expect_eq(weir_pool_open(&s->p, &s->opts), 0);
}

static void brings(scene *s)
{
    s->bringer = here();
    s->bring(s);
}

/* But one that was brought by a nicer thread, which the system may hold it to. */
static void expect_like_opener(const scene *s, const nature *n, bool brought)
{
    bool kept = brought && s->bringer.nice > s->opener.nice && !may_lower_nice();
    expect(CPU_EQUAL(&n->cpus, &s->opener.cpus));
    expect_eq(n->policy, s->opener.policy);
    expect_eq(n->nice, kept ? s->bringer.nice : s->opener.nice);
    expect_eq(sigismember(&n->mask, SIGPROF), 0);
    expect_eq(sigismember(&n->mask, SIGTERM), 1);
    expect(n->stack >= STACK && n->stack < DEFAULT_STACK); /* a sanitizer adds to it */
}

static void scene_begin(scene *s, unsigned threads_max, void (*bring)(scene *))
{
    *s = (scene){.bring = bring, .opts = pool_of(1), .entered = TALLY, .leave = GATE};
    s->opts.threads_max = threads_max;
    s->opts.max_blocked = 1;
    s->opts.stack_size = STACK;
    for (int i = 0; i < SPIES; i++)
        s->spies[i] = (spy){.task = {.run = spy_run}, .scene = s};
}

static void scene_end(scene *s)
{
    gate_open(&s->leave);
    expect_eq(weir_close(s->p, WEIR_DRAIN), 0);
    weir_pool_release(s->p);
}

/* An odd one brings threads to a plain one's pool, and a plain one to an odd one's. */
static void play(unsigned threads_max, void (*bring)(scene *))
{
    for (int odd_opener = 0; odd_opener < 2; odd_opener++) {
        scene s;
        scene_begin(&s, threads_max, bring);
        s.become = odd_opener ? NULL : become_odd;
        on_thread(odd_opener ? become_odd : NULL, opens, &s);
        on_thread(s.become, brings, &s);
        for (int i = 0; i < tally_get(&s.entered); i++)
            expect_like_opener(&s, &s.spies[i].seen, s.spies[i].brought);
        scene_end(&s);
    }
}

typedef struct {
    void (*fn)(void);
} ordinary;

static void as_nobody(void *arg)
{
    struct rlimit none = {0, 0};
    expect_eq(setrlimit(RLIMIT_NICE, &none), 0);
    if (geteuid() == 0) {
        expect_eq(setgroups(0, NULL), 0);
        expect_eq(setgid(NOBODY), 0);
        expect_eq(setuid(NOBODY), 0);
        prctl(PR_SET_DUMPABLE, 1); /* else it cannot read its own /proc */
    }
    expect(!may_lower_nice());
    ((ordinary *)arg)->fn();
}

static void as_anybody(void (*fn)(void))
{
    child_reap(child_start(as_nobody, &(ordinary){fn}));
    fn();
}

/* ---- every way in which threads come ----------------------------------------- */

static void submits(scene *s) { send_spies(s, SPIES); }
static void grows(void) { play(SPIES, submits); }

TEST(a_thread_that_a_submitter_brings_is_as_the_first) { as_anybody(grows); }

static void resizes(scene *s)
{
    expect_eq(weir_pool_resize(s->p, SPIES, SPIES), 0);
    send_spies(s, SPIES);
}

static void is_resized(void) { play(1, resizes); }

TEST(a_thread_that_a_resize_brings_is_as_the_first) { as_anybody(is_resized); }

static void released(weir_task *task) { (void)task; }

static void abandons(scene *s)
{
    gate  entered = GATE, leave = GATE;
    probe stuck = PROBE;
    stuck.entered = &entered, stuck.leave = &leave;
    stuck.task.done = NULL, stuck.task.release = released;
    expect_eq(weir_run(s->p, &stuck.task, NULL), 0);
    gate_wait(&entered);
    expect_eq(weir_task_abandon(&stuck.task), 0);
    send_spies(s, 1);
    gate_open(&leave);
    while (stats_of(s->p).lost)
        sched_yield();
}

static void is_abandoned(void) { play(1, abandons); }

TEST(the_thread_that_replaces_a_lost_one_is_as_the_first) { as_anybody(is_abandoned); }

/* On the pool's one worker, whose task has made it odd. */
static int block(weir_task *task, void *state)
{
    (void)state;
    scene *s = ((spy *)task)->scene;
    if (s->become)
        s->become();
    s->bringer = here();
    weir_blocking_begin();
    send_spies(s, 1);
    weir_blocking_end();
    return 0;
}

static void blocks(scene *s)
{
    spy blocker = {.task = {.run = block}, .scene = s};
    expect_eq(weir_run(s->p, &blocker.task, NULL), 0);
    tally_wait(&s->entered, 1);
    expect_eq(weir_wait(&blocker.task, -1), 0);
}

static void has_a_spare(void) { play(1, blocks); }

TEST(a_spare_for_a_blocked_one_is_as_the_first) { as_anybody(has_a_spare); }

/* The timer is who settles a task that expires. */
static nature timers;

static void look_at_timer(void *arg, weir_trace_event event, const weir_pool *p,
                          const weir_task *task, int value)
{
    (void)arg, (void)p, (void)task;
    if (event == WEIR_TRACE_SETTLED && value == WEIR_EEXPIRED)
        timers = here();
}

static void expires(scene *s)
{
    weir_main       *m;
    probe            t = PROBE;
    weir_run_options opts = {.size = sizeof opts, .start_within_ns = 1};
    expect_eq(weir_main_open(&m), 0);
    send_spies(s, 1); /* its one worker is busy */
    opts.deliver_to = m;
    expect_eq(weir_run_with(s->p, &t.task, &opts), 0);
    while (t.dones == 0)
        weir_main_wait(m, -1);
    expect_eq(t.outcome, WEIR_EEXPIRED);
    main_end(m);
}

static void has_a_timer(void)
{
    for (int odd_opener = 0; odd_opener < 2; odd_opener++) {
        scene s;
        scene_begin(&s, 1, expires);
        weir_trace(look_at_timer, NULL);
        on_thread(odd_opener ? become_odd : NULL, opens, &s);
        on_thread(odd_opener ? NULL : become_odd, brings, &s);
        scene_end(&s); /* joins it: `timers` is written */
        weir_trace(NULL, NULL);
        sigdelset(&timers.mask, SIGPROF); /* a worker may be profiled, it need not */
        expect_like_opener(&s, &timers, true);
    }
}

TEST(the_timer_is_as_the_first_thread) { as_anybody(has_a_timer); }

/* ---- CPUs, policies ------------------------------------------------------------ */

static void on_cpus_of_its_own(void)
{
    scene    s;
    uint64_t cpus[CPU_SETSIZE / 64] = {0};
    nature   all = here();
    int      first = 0;
    while (!CPU_ISSET(first, &all.cpus))
        first++;
    cpus[first / 64] = (uint64_t)1 << first % 64;
    scene_begin(&s, SPIES, submits);
    s.opts.cpus = cpus, s.opts.n_cpus = CPU_SETSIZE;
    on_thread(NULL, opens, &s);
    CPU_ZERO(&s.opener.cpus);
    CPU_SET(first, &s.opener.cpus);
    on_thread(become_odd, brings, &s);
    for (int i = 0; i < SPIES; i++)
        expect_like_opener(&s, &s.spies[i].seen, s.spies[i].brought);
    scene_end(&s);
}

TEST(a_later_thread_of_a_pool_with_cpus_runs_on_those) { as_anybody(on_cpus_of_its_own); }

static void become_idle(void)
{
    struct sched_param param = {0};
    expect_eq(pthread_setschedparam(pthread_self(), SCHED_IDLE, &param), 0);
}

/* Who may not lower a nice value may not leave SCHED_IDLE, either. */
static void an_idle_one_brings(void)
{
    scene s;
    bool  may = may_lower_nice();
    scene_begin(&s, SPIES, submits);
    on_thread(NULL, opens, &s);
    on_thread(become_idle, brings, &s);
    for (int i = 0; i < SPIES; i++)
        expect_eq(s.spies[i].seen.policy,
                  may || !s.spies[i].brought ? s.opener.policy : SCHED_IDLE);
    scene_end(&s);
}

TEST(a_thread_stays_idle_where_the_system_refuses_more) { as_anybody(an_idle_one_brings); }

static bool refused;

static void become_fifo(int flags)
{
    struct sched_param param = {.sched_priority = 1};
    refused = syscall(SYS_sched_setscheduler, 0, SCHED_FIFO | flags, &param) != 0;
}

/* Real time, where that is allowed; and one whose children shall not have it. */
static void become_real(void) { become_fifo(0); }
static void become_one_that_resets(void) { become_fifo(SCHED_RESET_ON_FORK); }

/* A real-time thread that resets its children gives them nice 0, whatever its own is. */
static void opened_by(void (*become)(void), int policy)
{
    scene s;
    scene_begin(&s, SPIES, submits);
    on_thread(become, opens, &s);
    on_thread(become_odd, brings, &s);
    s.opener.policy = policy;
    if (become == become_one_that_resets)
        s.opener.nice = 0;
    for (int i = 0; i < SPIES && !refused; i++)
        expect_like_opener(&s, &s.spies[i].seen, s.spies[i].brought);
    scene_end(&s);
}

TEST(a_later_thread_is_real_time_as_the_first) { opened_by(become_real, SCHED_FIFO); }

TEST(a_later_thread_is_what_a_resetting_opener_gives_its_first)
{
    opened_by(become_one_that_resets, SCHED_OTHER);
}

SUITE(nature, a_thread_that_a_submitter_brings_is_as_the_first,
      a_thread_that_a_resize_brings_is_as_the_first,
      the_thread_that_replaces_a_lost_one_is_as_the_first,
      a_spare_for_a_blocked_one_is_as_the_first, the_timer_is_as_the_first_thread,
      a_later_thread_of_a_pool_with_cpus_runs_on_those,
      a_thread_stays_idle_where_the_system_refuses_more, a_later_thread_is_real_time_as_the_first,
      a_later_thread_is_what_a_resetting_opener_gives_its_first)
