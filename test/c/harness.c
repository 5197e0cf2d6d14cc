/* SPDX-License-Identifier: ISC
 *
 * harness.c: watchdog, leak check, gates, helpers, children, programs.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "harness.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif
#endif

static struct {
    const char         *name;
    const char *_Atomic stage;
    int                 threads, unjoined, fds;
    long                blocks;
} now = {.name = "no test"};

scenario       *scenarios;
static program *programs;

void scenario_enlist(scenario *s)
{
    s->next = scenarios;
    scenarios = s;
}

bool under_valgrind(void)
{
#ifdef RUNNING_ON_VALGRIND
    return RUNNING_ON_VALGRIND != 0;
#else
    return false;
#endif
}

static bool under_asan(void)
{
#if defined(__SANITIZE_ADDRESS__)
    return true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
    return true;
#endif
#endif
    return false;
}

bool under_emulator(void) { return getenv("WEIR_EMULATED") != NULL; }

bool under_tsan(void)
{
#if defined(__SANITIZE_THREAD__)
    return true;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
    return true;
#endif
#endif
    return false;
}

/* ---- numbers ------------------------------------------------------------ */

int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

unsigned scaled(unsigned n)
{
    const char *factor = getenv("WEIR_SCALE");
    double      product = n * (factor ? strtod(factor, NULL) : 1.0);
    return product < 1 ? 1 : (unsigned)product;
}

uint64_t test_seed(void)
{
    static uint64_t seed;
    if (!seed) {
        const char *given = getenv("WEIR_SEED");
        seed = given ? strtoull(given, NULL, 0) : (uint64_t)now_ns();
    }
    return seed;
}

uint32_t rnd(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

/* ---- failing ------------------------------------------------------------ */

void failed(const char *file, int line, const char *what, long long a, long long b)
{
    fprintf(stderr, "\n%s:%d: %s: expected %s, got %lld and %lld (%s; WEIR_SEED=%llu)\n", file,
            line, now.name, what, a, b, now.stage ? now.stage : "-",
            (unsigned long long)test_seed());
    abort();
}

bool given_at(int code, const char *file, int line)
{
    if (code == 0)
        return true;
    if (fault_injected() && (code == WEIR_ENOMEM || code == WEIR_EAGAIN || code == WEIR_EMFILE))
        return false;
    failed(file, line, weir_strerror(code), code, 0);
}

/* Formatting by hand: stdio is not for signal handlers. */
static void say(const char *what)
{
    const char *parts[] = {"\n", what, now.name, " (", now.stage ? now.stage : "-", ")\n"};
    for (unsigned i = 0; i < sizeof parts / sizeof *parts; i++)
        if (write(2, parts[i], strlen(parts[i])) < 0)
            break;
}

static void watchdog(int signal)
{
    (void)signal;
    say("hangs: ");
    abort();
}

/* On return the fault comes again, and ends the process. */
static void crashed(int signal)
{
    (void)signal;
    say("crashes: ");
}

/* A sanitizer that has a handler says more than ours. */
static void name_crashes(void)
{
    static const int fatal[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    struct sigaction had, ours = {.sa_handler = crashed, .sa_flags = SA_RESETHAND};
    for (unsigned i = 0; i < sizeof fatal / sizeof *fatal; i++)
        if (sigaction(fatal[i], NULL, &had) == 0 && had.sa_handler == SIG_DFL)
            sigaction(fatal[i], &ours, NULL);
}

static void watch(void)
{
    const char *seconds = getenv("WEIR_WATCHDOG");
    signal(SIGALRM, watchdog);
    alarm(seconds ? (unsigned)atoi(seconds) : 600);
}

void test_stage(const char *stage) { atomic_store(&now.stage, stage); }

/* ---- nothing is left ---------------------------------------------------- */

static int count_entries(const char *path)
{
    DIR *dir = opendir(path);
    int  n = -2; /* . and .. */
    while (dir && readdir(dir))
        n++;
    if (dir)
        closedir(dir);
    return n;
}

int count_threads(void) { return count_entries("/proc/self/task"); }
int count_fds(void) { return count_entries("/proc/self/fd") - 1; }

/* Waits for each number, returns it, and leaves a true leak to the watchdog, because a
 * joined thread stays listed for a moment. */
static int once_back(const char *stage, int (*count)(void), int before)
{
    int n;
    while ((n = count()) > before) {
        test_stage(stage);
        sched_yield();
    }
    return n;
}

static char thread_state(pid_t tid);

static void nothing(void *arg) { (void)arg; }

/* TSan has threads of its own, made with the first of a process; in a forked
 * child, anew. */
static void settle_threads(void)
{
    helper h;
    if (!under_tsan())
        return;
    helper_start(&h, nothing, NULL);
    helper_join(&h);
    while (thread_state(h.tid) != 'X')
        sched_yield();
}

void (*test_before)(void);

void test_begin(const char *name)
{
    now.name = name;
    test_stage(NULL);
    watch();
    name_crashes();
    if (test_before)
        test_before();
    settle_threads();
    now.threads = count_threads();
    now.unjoined = fault_unjoined();
    now.fds = count_fds();
    now.blocks = fault_live_blocks();
}

static int count_blocks(void) { return (int)fault_live_blocks(); }

void test_end(void)
{
    once_back("threads are left", count_threads, now.threads); /* fewer: one was still listed */
    expect_eq(once_back("threads are not joined", fault_unjoined, now.unjoined), now.unjoined);
    expect_eq(once_back("descriptors are left", count_fds, now.fds), now.fds);
    expect_eq(once_back("memory is left", count_blocks, (int)now.blocks), (int)now.blocks);
    alarm(0);
    test_stage(NULL);
}

Suite *suite_of(const char *room, const TTest *const *tests, size_t n)
{
    Suite *suite = suite_create(room);
    TCase *room_case = tcase_create(room);
    tcase_set_timeout(room_case, 0); /* ours names the stage */
    for (size_t i = 0; i < n; i++)
        tcase_add_test(room_case, tests[i]);
    suite_add_tcase(suite, room_case);
    return suite;
}

/* ---- tallies, helpers, children ----------------------------------------- */

long tally_add(tally *t, long n)
{
    pthread_mutex_lock(&t->lock);
    long value = t->n += n;
    pthread_cond_broadcast(&t->cond);
    pthread_mutex_unlock(&t->lock);
    return value;
}

long tally_get(tally *t) { return tally_add(t, 0); }

void tally_wait(tally *t, long at_least)
{
    pthread_mutex_lock(&t->lock);
    while (t->n < at_least)
        pthread_cond_wait(&t->cond, &t->lock);
    pthread_mutex_unlock(&t->lock);
}

void gate_open(gate *g) { tally_add(g, 1); }
void gate_wait(gate *g) { tally_wait(g, 1); }

void gate_shut(gate *g)
{
    pthread_mutex_lock(&g->lock);
    g->n = 0;
    pthread_mutex_unlock(&g->lock);
}

static void *helper_main(void *arg)
{
    helper *h = arg;
    h->tid = (pid_t)syscall(SYS_gettid);
    gate_open(&h->started);
    h->fn(h->arg);
    atomic_store(&h->returned, true);
    return NULL;
}

void helper_start(helper *h, void (*fn)(void *), void *arg)
{
    *h = (helper){.fn = fn, .arg = arg, .started = GATE};
    expect_eq(real_thread(&h->thread, helper_main, h), 0);
    gate_wait(&h->started);
}

void helper_join(helper *h) { expect_eq(pthread_join(h->thread, NULL), 0); }

static char thread_state(pid_t tid)
{
    char path[64], line[256] = "";
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)tid);
    FILE *f = fopen(path, "re");
    if (!f)
        return 'X';
    size_t n = fread(line, 1, sizeof line - 1, f);
    fclose(f);
    line[n] = 0;
    const char *end = strrchr(line, ')');
    return end ? end[2] : 'X';
}

void helper_until_asleep(helper *h)
{
    while (!atomic_load(&h->returned) && thread_state(h->tid) != 'S')
        sched_yield();
}

/* ASan's allocator is not made for a fork: a child that inherits its locks from a thread which
 * allocates hangs. So those threads come to rest first, unless a test says that it keeps them busy:
 * to look a thousand times before each of its forks takes minutes of a busy machine. */
static bool others_rest(void)
{
    DIR           *tasks = opendir("/proc/self/task");
    struct dirent *e;
    bool           rest = true;
    while (tasks && (e = readdir(tasks))) {
        pid_t tid = (pid_t)atoi(e->d_name);
        rest &= tid == 0 || tid == (pid_t)syscall(SYS_gettid) || thread_state(tid) == 'S';
    }
    if (tasks)
        closedir(tasks);
    return rest;
}

bool others_stay_busy;

static void let_others_rest(void)
{
    for (int i = 0; under_asan() && !others_stay_busy && i < 1000 && !others_rest(); i++)
        sched_yield();
}

static bool in_child;

/* LSan asks. */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void) { return in_child; }

static void no_leak_check(void)
{
    in_child = true;
#ifdef VALGRIND_CLO_CHANGE
    VALGRIND_CLO_CHANGE("--leak-check=no");
#endif
}

pid_t child_begin(void)
{
    fflush(NULL);
    let_others_rest();
    pid_t pid = fork();
    expect_op(pid, >=, 0);
    if (pid == 0) {
        watch();
        no_leak_check(); /* its parent's threads took their stacks along */
    }
    return pid;
}

pid_t child_start(void (*fn)(void *), void *arg)
{
    pid_t pid = child_begin();
    if (pid > 0)
        return pid;
    fn(arg);
    _exit(0);
}

/* An alarm outlives an exec, and its handler does not: it ends a program that hangs. */
pid_t program_start(const char *name)
{
    pid_t pid = child_begin();
    if (pid > 0)
        return pid;
    setenv("WEIR_PROGRAM", name, 1);
    execl(program_invocation_name, program_invocation_name, (char *)NULL);
    _exit(127);
}

void program_enlist(program *p)
{
    p->next = programs;
    programs = p;
}

bool program_was_run(void)
{
    const char *name = getenv("WEIR_PROGRAM");
    program    *p = programs;
    if (!name)
        return false;
    while (p && strcmp(p->name, name) != 0)
        p = p->next;
    expect(p);
    p->run();
    return true;
}

void child_reap(pid_t pid)
{
    int status = -1;
    while (waitpid(pid, &status, 0) < 0)
        continue;
    expect_eq(status, 0);
}

bool readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}
