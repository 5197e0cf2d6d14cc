/* SPDX-License-Identifier: ISC
 *
 * test_signals.c: which signals workers take, and how they are called.
 */
#include "harness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const int always_open[] = {SIGSEGV, SIGBUS, SIGFPE,  SIGILL,
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

/* ---- threads of weir's own ------------------------------------------------ */

/* The file of that name that /proc has for a thread, as one text. */
static bool read_of_thread(const char *tid, const char *name, char *out, size_t size)
{
    char file[300];
    snprintf(file, sizeof file, "/proc/self/task/%s/%s", tid, name);
    FILE *f = fopen(file, "re");
    out[f ? fread(out, 1, size - 1, f) : 0] = 0;
    return f && fclose(f) == 0;
}

/* Which signals the thread of that name blocks. False: there is none yet. */
static bool blocked_by(const char *thread, unsigned long long *mask)
{
    char           comm[32], status[4096];
    const char    *line = NULL;
    DIR           *tasks = opendir("/proc/self/task");
    struct dirent *e;
    while (tasks && !line && (e = readdir(tasks)))
        if (read_of_thread(e->d_name, "comm", comm, sizeof comm) && strcmp(comm, thread) == 0 &&
            read_of_thread(e->d_name, "status", status, sizeof status))
            line = strstr(status, "\nSigBlk:");
    closedir(tasks);
    return line && sscanf(line, "\nSigBlk: %llx", mask) == 1;
}

/* A thread that begins, or is in valgrind, may block more for a moment. */
static void expect_deaf(const char *thread)
{
    unsigned long long mask = 0, deaf = 0, all = (1ull << 31) - 1;
    for (int sig = 1; sig < 32; sig++)
        deaf |= is_always_open(sig) ? 0 : 1ull << (sig - 1);
    test_stage("waits for a thread with the mask of weir's own");
    while (!blocked_by(thread, &mask) || (mask & all) != deaf)
        sched_yield();
    test_stage(NULL);
}

TEST(the_watcher_the_trace_and_the_publisher_take_none_and_leave_their_makers_as_they_are)
{
    char               folder[] = "/tmp/weir-signals-XXXXXX", file[64];
    sigset_t           before, after;
    weir_watch_options o = {.size = sizeof o, .task_ns = SECONDS(1000)};
    if (under_emulator()) /* its threads have masks of its own */
        return;
    expect(mkdtemp(folder) != NULL);
    snprintf(file, sizeof file, "%s/trace", folder);
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    expect_eq(weir_watch(&o), 0);
    expect_eq(weir_trace_file(file), 0);
    expect_eq(weir_publish(folder), 0);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    expect(same(&before, &after));
    expect_deaf("weir/watch\n");
    expect_deaf("weir/trace\n");
    expect_deaf("weir/top\n");
    expect_eq(weir_watch(NULL), 0);
    expect_eq(weir_trace_file(NULL), 0);
    weir_unpublish();
    expect(unlink(file) == 0 && rmdir(folder) == 0);
}

/* ---- what a handler may do ------------------------------------------------ */

static int          to_loop[2];
static pthread_t    the_loop;
static _Atomic bool enough;

static void write_to_loop(int sig)
{
    int saved = errno;
    (void)sig;
    if (write(to_loop[1], "", 1) == 1)
        atomic_fetch_add(&hits, 1);
    errno = saved;
}

static void interrupt_loop(void *arg)
{
    (void)arg;
    while (!atomic_load(&enough)) {
        pthread_kill(the_loop, SIGUSR1);
        sched_yield();
    }
}

static long read_in_loop(void)
{
    char    bytes[256];
    ssize_t n = readable(to_loop[0]) ? read(to_loop[0], bytes, sizeof bytes) : 0;
    return n > 0 ? n : 0;
}

static void run_again(rig *r, probe *t)
{
    if (weir_task_get_state(&t->task) == WEIR_TASK_IDLE)
        expect_eq(weir_run(r->p, &t->task, r->m), 0);
}

/* The loop submits and dispatches all the time, so the handler interrupts that. */
static long turn_until(rig *r, probe *own, probe *of_signal, int runs)
{
    long told = 0;
    while (of_signal->dones < runs) {
        struct pollfd fds[] = {{to_loop[0], POLLIN, 0}, {weir_main_fd(r->m), POLLIN, 0}};
        for (int i = 0; i < 8; i++)
            run_again(r, &own[i]);
        poll(fds, 2, -1); /* or interrupted */
        long n = read_in_loop();
        told += n;
        if (n)
            run_again(r, of_signal);
        weir_main_dispatch(r->m, 0);
    }
    return told;
}

TEST(a_handler_may_write_to_a_pipe_that_the_loop_polls)
{
    rig              r;
    helper           h;
    probe            of_signal = PROBE, own[8];
    struct sigaction act = {.sa_handler = write_to_loop, .sa_flags = SA_RESTART}, old;
    for (int i = 0; i < 8; i++)
        own[i] = (probe)PROBE;
    the_loop = pthread_self();
    atomic_store(&hits, 0);
    atomic_store(&enough, false);
    expect_eq(pipe2(to_loop, O_CLOEXEC | O_NONBLOCK), 0); /* full, it must not block */
    expect_eq(sigaction(SIGUSR1, &act, &old), 0);
    expect(rig_open(&r, 2));
    helper_start(&h, interrupt_loop, NULL);
    long told = turn_until(&r, own, &of_signal, (int)scaled(500));
    atomic_store(&enough, true);
    helper_join(&h);
    rig_close(&r);
    expect_eq(sigaction(SIGUSR1, &old, NULL), 0);
    for (long n; (n = read_in_loop()) > 0;)
        told += n;
    expect_eq(told, hits);
    close(to_loop[0]), close(to_loop[1]);
}

typedef struct {
    rig     *r;
    sigset_t waited;
    probe   *task;
    news    *news;
} listener;

static void listen_for_signals(void *arg)
{
    listener *l = arg;
    for (int sig; sigwait(&l->waited, &sig) == 0 && sig == SIGUSR2;) {
        expect_eq(weir_run(l->r->p, &l->task->task, l->r->m), 0);
        weir_notice_post(&l->news->notice, sig);
    }
}

TEST(a_thread_that_waits_for_signals_may_call_anything)
{
    rig      r;
    helper   h;
    probe    t = PROBE;
    news     n = NEWS;
    listener l = {.r = &r, .task = &t, .news = &n};
    sigset_t old;
    sigemptyset(&l.waited);
    sigaddset(&l.waited, SIGUSR1);
    sigaddset(&l.waited, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &l.waited, &old);
    expect(rig_open(&r, 1));
    helper_start(&h, listen_for_signals, &l);
    for (int i = 1; i <= (int)scaled(100); i++) {
        expect_eq(weir_notice_expect(&n.notice, r.m), 0);
        kill(getpid(), SIGUSR2);
        while (n.calls < i || t.dones < i)
            weir_main_wait(r.m, -1);
        expect_eq(n.outcome, SIGUSR2);
    }
    kill(getpid(), SIGUSR1);
    helper_join(&h);
    rig_close(&r);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
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
      a_host_can_block_before_it_makes_a_thread, a_signal_to_the_process_never_lands_on_a_worker,
      the_watcher_the_trace_and_the_publisher_take_none_and_leave_their_makers_as_they_are,
      a_handler_may_write_to_a_pipe_that_the_loop_polls,
      a_thread_that_waits_for_signals_may_call_anything,
      a_worker_is_named_after_its_pool_with_its_number, a_lent_thread_keeps_its_name)
