/* SPDX-License-Identifier: ISC
 *
 * driver.c: one measurement of one peer per process:
 *
 *     driver MEASURE THREADS PRODUCERS IN_FLIGHT COUNT
 *
 * The measures stand at the end. Prints lines "figure value"; exit code 3: the
 * peer has no such thing.
 */
#include "peer.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { WARM_UP = 1000, NOT_THERE = 3 };

struct plan {
    unsigned threads, producers;
    size_t   in_flight, count;
};

void must_failed(const char *what)
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

static void nothing(struct job *j) { (void)j; }

/* ---- a producer: a thread with its loop that keeps tasks in flight -------- */

struct producer {
    const struct plan *plan;
    struct loop       *loop;
    char              *jobs;
    size_t             in_flight, submitted, done, total;
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

static void submit_all(struct producer *p, size_t total)
{
    p->submitted = p->in_flight < total ? p->in_flight : total;
    p->done = 0, p->total = total;
    for (size_t i = 0, n = p->submitted; i < n; i++)
        submit(p->loop, job(p, i));
}

static void produce(struct producer *p, size_t total)
{
    submit_all(p, total);
    while (p->done < total)
        turn(p->loop);
}

static void open_producer(struct producer *p, bool pollable, size_t in_flight,
                          void (*run)(struct job *))
{
    if (!(p->loop = loop_open(pollable)))
        exit(NOT_THERE);
    make_jobs(p, in_flight, run);
}

static void close_producer(struct producer *p)
{
    loop_close(p->loop);
    free(p->jobs);
}

static pthread_barrier_t all_there;

static void meet(struct job *j)
{
    (void)j;
    pthread_barrier_wait(&all_there);
}

/* Some peers start their threads late, or fewer: they all must have come. */
static void open_pool(unsigned threads)
{
    struct producer p = {0};
    pthread_barrier_init(&all_there, NULL, threads);
    pool_open(threads);
    open_producer(&p, true, threads, meet);
    produce(&p, threads);
    close_producer(&p);
}

/* What most measures begin with: the pool, one producer, both warm. */
static void open_all(struct producer *p, bool pollable, const struct plan *plan)
{
    open_pool(plan->threads);
    open_producer(p, pollable, plan->in_flight, nothing);
    produce(p, WARM_UP);
}

static void close_all(struct producer *p)
{
    pool_close();
    close_producer(p);
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
    free(t);
}

static int64_t arrived;

static void arrive(struct job *j)
{
    arrived = now();
    ((struct producer *)j->owner)->done++;
}

static void time_tasks(const char *figure, bool pollable, const struct plan *plan)
{
    struct producer p = {0};
    int64_t        *times = calloc(plan->count, sizeof *times);
    open_all(&p, pollable, plan);
    job(&p, 0)->done = arrive;
    for (size_t i = 0; i < plan->count; i++) {
        int64_t before = now();
        produce(&p, 1);
        times[i] = arrived - before;
    }
    close_all(&p);
    print_times(figure, times, plan->count);
}

static void latency(const struct plan *plan) { time_tasks("latency", true, plan); }
static void wait_only(const struct plan *plan) { time_tasks("wait", false, plan); }

static int64_t *call_times;

static void no_work(void *arg) { (void)arg; }

static void call_often(struct job *j)
{
    struct producer *p = j->owner;
    for (size_t i = 0; i < WARM_UP; i++)
        run_in_main(p->loop, no_work, NULL);
    for (size_t i = 0; i < p->plan->count; i++) {
        int64_t before = now();
        run_in_main(p->loop, no_work, NULL);
        call_times[i] = now() - before;
    }
}

static void call(const struct plan *plan)
{
    struct producer p = {.plan = plan};
    call_times = calloc(plan->count, sizeof *call_times);
    open_all(&p, true, plan);
    job(&p, 0)->run = call_often;
    produce(&p, 1);
    close_all(&p);
    print_times("call", call_times, plan->count);
}

/* ---- tasks per second ----------------------------------------------------- */

static void *producer_main(void *arg)
{
    struct producer *p = arg;
    size_t           share = p->plan->in_flight / p->plan->producers;
    open_producer(p, true, share, nothing);
    produce(p, share < WARM_UP ? WARM_UP : share);
    pthread_barrier_wait(p->ready);
    p->began = now();
    produce(p, p->plan->count / p->plan->producers);
    p->ended = now();
    close_producer(p);
    return NULL;
}

/* Each producer takes its own times: on one core a separate timekeeper would be
 * scheduled when all is over. */
static void rate(const struct plan *plan)
{
    struct producer  *p = calloc(plan->producers, sizeof *p);
    pthread_barrier_t ready;
    int64_t           began = INT64_MAX, ended = 0;
    pthread_barrier_init(&ready, NULL, plan->producers);
    open_pool(plan->threads);
    for (unsigned i = 0; i < plan->producers; i++) {
        p[i] = (struct producer){.plan = plan, .ready = &ready};
        MUST(pthread_create(&p[i].thread, NULL, producer_main, &p[i]) == 0);
    }
    for (unsigned i = 0; i < plan->producers; i++) {
        pthread_join(p[i].thread, NULL);
        began = p[i].began < began ? p[i].began : began;
        ended = p[i].ended > ended ? p[i].ended : ended;
    }
    printf("rate_per_s %.0f\n", (double)plan->count * 1e9 / (double)(ended - began));
    pool_close(), free(p);
}

/* ---- memory, system calls ------------------------------------------------- */

/* Not statm, whose counters lag by some pages per CPU. */
static long anonymous_bytes(void)
{
    char  line[128];
    long  kib = -1;
    FILE *f = fopen("/proc/self/smaps_rollup", "r");
    MUST(f);
    while (kib < 0 && fgets(line, sizeof line, f))
        sscanf(line, "Anonymous: %ld", &kib);
    fclose(f);
    MUST(kib >= 0);
    return kib * 1024;
}

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static void pass_gate(struct job *j)
{
    (void)j;
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
}

static void memory(const struct plan *plan)
{
    struct producer p = {0};
    open_pool(plan->threads);
    open_producer(&p, true, plan->in_flight, pass_gate);
    pthread_mutex_lock(&gate);
    long before = anonymous_bytes();
    submit_all(&p, plan->in_flight);
    long after = anonymous_bytes();
    pthread_mutex_unlock(&gate);
    while (p.done < p.total)
        turn(p.loop);
    printf("memory_struct_bytes %zu\nmemory_beyond_bytes %.1f\n", job_size,
           (double)(after - before) / (double)plan->in_flight);
    close_all(&p);
}

/* A system call without effect that strace shows between those of interest. */
static void mark(const char *text) { MUST(write(-1, text, strlen(text)) < 0); }

static void calls(const struct plan *plan)
{
    struct producer p = {0};
    open_all(&p, true, plan);
    mark("bench: begin");
    produce(&p, plan->count);
    mark("bench: end");
    close_all(&p);
}

/* The seconds are the measure, not a way to wait for something; the first one
 * is for peers that spin before they sleep. */
static void idle(const struct plan *plan)
{
    struct producer p = {0};
    open_all(&p, true, plan);
    sleep(1);
    mark("bench: begin");
    sleep((unsigned)plan->count);
    mark("bench: end");
    close_all(&p);
}

static const struct {
    const char *name;
    void (*measure)(const struct plan *);
} measures[] = {
    {"latency", latency}, /* COUNT tasks, one by one, through the descriptor */
    {"wait", wait_only},  /* the same by the pool's own wait */
    {"call", call},       /* COUNT round trips of run_in_main from one task */
    {"rate", rate},       /* COUNT tasks, IN_FLIGHT at a time */
    {"memory", memory},   /* with IN_FLIGHT tasks queued behind a gate */
    {"calls", calls},     /* for strace: COUNT tasks between two marks */
    {"idle", idle},       /* for strace: COUNT seconds between two marks */
};

int main(int argc, char **argv)
{
    unsigned long n[4] = {0};
    for (int i = 0; i < 4 && i + 2 < argc; i++)
        n[i] = strtoul(argv[i + 2], NULL, 10);
    struct plan plan = {(unsigned)n[0], (unsigned)n[1], n[2], n[3]};
    bool        complete = argc == 6 && plan.threads && plan.producers && plan.in_flight;
    for (size_t i = 0; complete && i < sizeof measures / sizeof *measures; i++)
        if (strcmp(argv[1], measures[i].name) == 0)
            return measures[i].measure(&plan), 0;
    return fprintf(stderr, "usage: see the top of bench/c/driver.c\n"), 2;
}
