/* SPDX-License-Identifier: ISC
 *
 * driver.c: one measurement of one peer per process:
 *
 *     driver latency|wait|call THREADS COUNT
 *     driver rate THREADS PRODUCERS IN_FLIGHT COUNT
 *     driver memory THREADS COUNT
 *     driver calls THREADS IN_FLIGHT COUNT     for strace: see mark()
 *     driver idle THREADS SECONDS
 *
 * Prints lines "figure value"; exit code 3: the peer has no such thing.
 */
#include "peer.h"

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { WARM_UP = 1000, NOT_THERE = 3 };

_Noreturn void must_failed(const char *what)
{
    fprintf(stderr, "bench: %s failed\n", what);
    abort();
}

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* A system call without effect that strace shows between those of interest. */
static void mark(const char *text)
{
    if (write(-1, text, strlen(text)) == 0)
        abort();
}

static void nothing(struct job *j) { (void)j; }

/* ---- a producer: a thread with its loop that keeps tasks in flight -------- */

struct producer {
    struct loop       *loop;
    char              *jobs;
    size_t             in_flight, submitted, done, total, share;
    int64_t            began, ended;
    pthread_t          thread;
    pthread_barrier_t *ready;
};

static void refill(struct job *j)
{
    struct producer *p = j->owner;
    p->done++;
    if (p->submitted < p->total) {
        p->submitted++;
        submit(p->loop, j);
    }
}

static struct job *job(struct producer *p, size_t i)
{
    return (struct job *)(void *)(p->jobs + i * job_size);
}

/* Every page is touched here, so that no figure contains the page faults. */
static void make_jobs(struct producer *p, size_t n, void (*run)(struct job *))
{
    MUST(p->jobs = malloc(n * job_size));
    memset(p->jobs, 0, n * job_size);
    p->in_flight = n;
    for (size_t i = 0; i < n; i++)
        *job(p, i) = (struct job){run, refill, p};
}

static void produce(struct producer *p, size_t total)
{
    p->submitted = p->in_flight < total ? p->in_flight : total;
    p->done = 0, p->total = total;
    for (size_t i = 0, n = p->submitted; i < n; i++)
        submit(p->loop, job(p, i));
    while (p->done < total)
        turn(p->loop);
}

static void open_producer(struct producer *p, bool pollable, size_t in_flight)
{
    if (!(p->loop = loop_open(pollable)))
        exit(NOT_THERE);
    make_jobs(p, in_flight, nothing);
}

static void close_producer(struct producer *p)
{
    loop_close(p->loop);
    free(p->jobs);
}

/* ---- times of single things ---------------------------------------------- */

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void print_times(const char *figure, int64_t *t, size_t n)
{
    qsort(t, n, sizeof *t, by_size);
    printf("%s_p50_us %.3f\n%s_p99_us %.3f\n", figure, (double)t[n / 2] / 1e3, figure,
           (double)t[n * 99 / 100] / 1e3);
}

static int64_t arrived;

static void arrive(struct job *j)
{
    arrived = now();
    ((struct producer *)j->owner)->done++;
}

static void latency(const char *figure, bool pollable, unsigned threads, size_t n)
{
    struct producer p = {0};
    int64_t        *times = malloc(n * sizeof *times);
    pool_open(threads);
    open_producer(&p, pollable, 1);
    produce(&p, WARM_UP);
    job(&p, 0)->done = arrive;
    for (size_t i = 0; i < n; i++) {
        p.done = 0;
        int64_t before = now();
        submit(p.loop, job(&p, 0));
        while (!p.done)
            turn(p.loop);
        times[i] = arrived - before;
    }
    print_times(figure, times, n);
    close_producer(&p), pool_close(), free(times);
}

static size_t   n_calls;
static int64_t *call_times;

static void no_work(void *arg) { (void)arg; }

static void call_often(struct job *j)
{
    struct producer *p = j->owner;
    for (size_t i = 0; i < WARM_UP; i++)
        run_in_main(p->loop, no_work, NULL);
    for (size_t i = 0; i < n_calls; i++) {
        int64_t before = now();
        run_in_main(p->loop, no_work, NULL);
        call_times[i] = now() - before;
    }
}

static void call(unsigned threads, size_t n)
{
    struct producer p = {0};
    n_calls = n, call_times = malloc(n * sizeof *call_times);
    pool_open(threads);
    open_producer(&p, true, 1);
    job(&p, 0)->run = call_often;
    produce(&p, 1);
    print_times("call", call_times, n);
    close_producer(&p), pool_close();
}

/* ---- tasks per second ----------------------------------------------------- */

static void *producer_main(void *arg)
{
    struct producer *p = arg;
    open_producer(p, true, p->in_flight);
    produce(p, p->in_flight < WARM_UP ? WARM_UP : p->in_flight);
    pthread_barrier_wait(p->ready);
    p->began = now();
    produce(p, p->share);
    p->ended = now();
    close_producer(p);
    return NULL;
}

/* Each producer takes its own times: on one core a separate timekeeper would be
 * scheduled when all is over. */
static void rate(unsigned threads, unsigned producers, size_t in_flight, size_t n)
{
    struct producer  *p = calloc(producers, sizeof *p);
    pthread_barrier_t ready;
    int64_t           began = INT64_MAX, ended = 0;
    pthread_barrier_init(&ready, NULL, producers);
    pool_open(threads);
    for (unsigned i = 0; i < producers; i++) {
        p[i] = (struct producer){.in_flight = in_flight / producers, .ready = &ready};
        p[i].share = n / producers;
        MUST(pthread_create(&p[i].thread, NULL, producer_main, &p[i]) == 0);
    }
    for (unsigned i = 0; i < producers; i++) {
        pthread_join(p[i].thread, NULL);
        began = p[i].began < began ? p[i].began : began;
        ended = p[i].ended > ended ? p[i].ended : ended;
    }
    printf("rate_per_s %.0f\n", (double)n * 1e9 / (double)(ended - began));
    pool_close(), free(p);
}

/* ---- memory, system calls, idleness --------------------------------------- */

static long resident(void)
{
    long  all, res;
    FILE *f = fopen("/proc/self/statm", "r");
    MUST(f && fscanf(f, "%ld %ld", &all, &res) == 2);
    fclose(f);
    return res * sysconf(_SC_PAGESIZE);
}

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static void pass_gate(struct job *j)
{
    (void)j;
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
}

static void memory(unsigned threads, size_t n)
{
    struct producer p = {0};
    pool_open(threads);
    open_producer(&p, true, 1);
    produce(&p, WARM_UP);
    free(p.jobs), make_jobs(&p, n, pass_gate);
    p.done = 0, p.submitted = p.total = n;
    pthread_mutex_lock(&gate);
    long before = resident();
    for (size_t i = 0; i < n; i++)
        submit(p.loop, job(&p, i));
    long after = resident();
    pthread_mutex_unlock(&gate);
    while (p.done < n)
        turn(p.loop);
    printf("memory_struct_bytes %zu\nmemory_beyond_bytes %.2f\n", job_size,
           (double)(after - before) / (double)n);
    close_producer(&p), pool_close();
}

static void calls(unsigned threads, size_t in_flight, size_t n)
{
    struct producer p = {0};
    pool_open(threads);
    open_producer(&p, true, in_flight);
    produce(&p, WARM_UP);
    mark("bench: begin");
    produce(&p, n);
    mark("bench: end");
    close_producer(&p), pool_close();
}

/* Of all threads but this one, which has to do the asking. */
static long switches(void)
{
    long           sum = 0, n;
    struct dirent *e;
    DIR           *d = opendir("/proc/self/task");
    MUST(d);
    while ((e = readdir(d))) {
        char path[64], line[128];
        snprintf(path, sizeof path, "/proc/self/task/%.16s/status", e->d_name);
        FILE *f = atoi(e->d_name) > 0 && atoi(e->d_name) != getpid() ? fopen(path, "r") : NULL;
        while (f && fgets(line, sizeof line, f))
            if (sscanf(line, "voluntary_ctxt_switches: %ld", &n) == 1)
                sum += n;
        if (f)
            fclose(f);
    }
    closedir(d);
    return sum;
}

/* The seconds are the measure, not a way to wait for something. */
static void idle(unsigned threads, unsigned seconds)
{
    struct producer p = {0};
    struct timespec settle = {.tv_nsec = 100000000}, t = {.tv_sec = seconds};
    pool_open(threads);
    open_producer(&p, true, 64);
    produce(&p, WARM_UP);
    nanosleep(&settle, NULL);
    long before = switches();
    mark("bench: begin");
    nanosleep(&t, NULL);
    mark("bench: end");
    printf("idle_switches %ld\n", switches() - before);
    close_producer(&p), pool_close();
}

int main(int argc, char **argv)
{
    const char   *what = argc > 1 ? argv[1] : "";
    unsigned long n[4] = {0};
    for (int i = 0; i < 4 && i + 2 < argc; i++)
        n[i] = strtoul(argv[i + 2], NULL, 10);
    if (argc == 4 && strcmp(what, "latency") == 0)
        latency("latency", true, (unsigned)n[0], n[1]);
    else if (argc == 4 && strcmp(what, "wait") == 0)
        latency("wait", false, (unsigned)n[0], n[1]);
    else if (argc == 4 && strcmp(what, "call") == 0)
        call((unsigned)n[0], n[1]);
    else if (argc == 6 && strcmp(what, "rate") == 0)
        rate((unsigned)n[0], (unsigned)n[1], n[2], n[3]);
    else if (argc == 4 && strcmp(what, "memory") == 0)
        memory((unsigned)n[0], n[1]);
    else if (argc == 5 && strcmp(what, "calls") == 0)
        calls((unsigned)n[0], n[1], n[2]);
    else if (argc == 4 && strcmp(what, "idle") == 0)
        idle((unsigned)n[0], (unsigned)n[1]);
    else
        return fprintf(stderr, "usage: see the top of bench/c/driver.c\n"), 2;
    return 0;
}
