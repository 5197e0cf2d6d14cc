/* SPDX-License-Identifier: ISC
 *
 * test_signals.c: which signals workers take, and how they are called.
 */
#include "harness.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const int always_open[] = {SIGSEGV, SIGBUS,  SIGFPE,  SIGILL,
                                  SIGTRAP, SIGSYS, SIGABRT, SIGPROF};

static bool is_always_open(int sig)
{
    for (unsigned i = 0; i < sizeof always_open / sizeof *always_open; i++)
        if (always_open[i] == sig)
            return true;
    return sig == SIGKILL || sig == SIGSTOP;
}

/* The two below SIGRTMIN are libc's own. */
static void expect_workers_mask(const sigset_t *mask, int kept)
{
    for (int sig = 1; sig <= SIGRTMAX; sig++)
        if (sig < 32 || sig >= SIGRTMIN)
            expect_eq(sigismember(mask, sig) * 1000 + sig,
                      (is_always_open(sig) || sig == kept ? 0 : 1000) + sig);
}

/* The kernel fills a part of a sigset_t only: no memcmp. */
static bool same(const sigset_t *a, const sigset_t *b)
{
    for (int sig = 1; sig <= SIGRTMAX; sig++)
        if (sigismember(a, sig) != sigismember(b, sig))
            return false;
    return true;
}

static sigset_t in_init, in_run, in_exit;

static int init_looks(void *arg, void **state)
{
    (void)arg, (void)state;
    return pthread_sigmask(SIG_SETMASK, NULL, &in_init);
}

static int run_looks(weir_task *task, void *state)
{
    (void)task, (void)state;
    return pthread_sigmask(SIG_SETMASK, NULL, &in_run);
}

static void at_exit_looks(void *arg, void *state)
{
    (void)arg, (void)state;
    pthread_sigmask(SIG_SETMASK, NULL, &in_exit);
}

static void with_kept(int kept)
{
    rig               r;
    probe             t = {.task = {.run = run_looks}};
    weir_pool_options opts = pool_of(1);
    sigset_t          before, after;
    opts.worker_signal = kept, opts.init = init_looks, opts.at_exit = at_exit_looks;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    expect(rig_open_with(&r, &opts));
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    expect(same(&before, &after)); /* the opener's is its own */
    expect_eq(weir_run(r.p, &t.task, NULL), 0);
    expect_eq(weir_wait(&t.task, -1), 0);
    rig_close(&r);
    expect_workers_mask(&in_init, kept);
    expect_workers_mask(&in_run, kept);
    expect_workers_mask(&in_exit, kept);
}

TEST(workers_block_all_but_the_synchronous_signals) { with_kept(0); }

TEST(workers_leave_the_one_signal_open_that_is_named)
{
    with_kept(SIGUSR1);
    with_kept(SIGVTALRM);
    with_kept(SIGRTMIN + 3);
}

TEST(a_lent_thread_gets_its_own_mask_back)
{
    weir_pool_options opts = pool_of(1);
    weir_pool        *p;
    weir_worker      *w;
    sigset_t          before, inside, after;
    opts.borrowed = true, opts.worker_signal = SIGUSR2;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    expect_eq(weir_pool_open_async(&p, &opts, NULL, NULL), 0);
    expect_eq(weir_worker_enter(p, &w), 0);
    pthread_sigmask(SIG_SETMASK, NULL, &inside);
    expect_workers_mask(&inside, SIGUSR2);
    weir_worker_leave(w, false, 0);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    expect(same(&before, &after));
    pool_end(p);
}

TEST(a_host_can_block_before_it_makes_a_thread)
{
    weir_pool_options opts = pool_of(1);
    weir_pool        *p;
    sigset_t          before, old, inside, after;
    opts.borrowed = true, opts.worker_signal = SIGUSR2;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    expect_eq(weir_pool_open_async(&p, &opts, NULL, NULL), 0);
    weir_block_signals(p, &old);
    pthread_sigmask(SIG_SETMASK, NULL, &inside);
    expect_workers_mask(&inside, SIGUSR2);
    expect(same(&before, &old));
    weir_restore_signals(&old);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    expect(same(&before, &after));
    weir_worker_refuse(p, 1);
    pool_end(p);
}

static _Atomic int hits;

static void hit(int sig)
{
    (void)sig;
    atomic_fetch_add(&hits, weir_worker_current() || weir_pool_current() ? 1000 : 1);
}

TEST(a_signal_to_the_process_never_lands_on_a_worker)
{
    rig              r;
    struct sigaction act = {.sa_handler = hit}, old;
    atomic_store(&hits, 0);
    expect_eq(sigaction(SIGUSR1, &act, &old), 0);
    expect(rig_open(&r, 4));
    for (int i = 0; i < 100; i++)
        kill(getpid(), SIGUSR1);
    while (hits == 0)
        sched_yield();
    expect_op(hits, <=, 100);
    rig_close(&r);
    expect_eq(sigaction(SIGUSR1, &old, NULL), 0);
}

/* ---- names -------------------------------------------------------------- */

static char names[4][16];

static int run_looks_at_its_name(weir_task *task, void *state)
{
    (void)state;
    return pthread_getname_np(pthread_self(), names[((probe *)task)->id], sizeof *names);
}

static void name_of_worker(const char *pool, const char *expected)
{
    rig               r;
    probe             t = {.task = {.run = run_looks_at_its_name}};
    weir_pool_options opts = pool_of(1);
    opts.name = pool;
    expect(rig_open_with(&r, &opts));
    expect_eq(weir_run(r.p, &t.task, NULL), 0);
    expect_eq(weir_wait(&t.task, -1), 0);
    rig_close(&r);
    if (strcmp(names[0], expected) != 0)
        fprintf(stderr, "%s != %s\n", names[0], expected);
    expect(strcmp(names[0], expected) == 0);
}

TEST(a_worker_is_named_after_its_pool_with_its_number)
{
    name_of_worker("db", "db/0");
    name_of_worker(NULL, "weir/0");
    name_of_worker("a-name-that-is-too-long", "a-name-that-i/0");
}

TEST(a_lent_thread_keeps_its_name)
{
    weir_pool_options opts = pool_of(1);
    weir_pool        *p;
    weir_worker      *w;
    char              before[16], after[16];
    opts.borrowed = true, opts.name = "other";
    pthread_getname_np(pthread_self(), before, sizeof before);
    expect_eq(weir_pool_open_async(&p, &opts, NULL, NULL), 0);
    expect_eq(weir_worker_enter(p, &w), 0);
    pthread_getname_np(pthread_self(), after, sizeof after);
    weir_worker_leave(w, false, 0);
    pool_end(p);
    expect(strcmp(before, after) == 0);
}

SUITE(signals, workers_block_all_but_the_synchronous_signals,
      workers_leave_the_one_signal_open_that_is_named, a_lent_thread_gets_its_own_mask_back,
      a_host_can_block_before_it_makes_a_thread,
      a_signal_to_the_process_never_lands_on_a_worker,
      a_worker_is_named_after_its_pool_with_its_number, a_lent_thread_keeps_its_name)
