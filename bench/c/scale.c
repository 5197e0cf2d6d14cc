/* SPDX-License-Identifier: ISC
 *
 * scale.c: what a task costs beside many threads:
 *
 *     scale rate WORKERS PRODUCERS COUNT     empty tasks, 64 in flight for each producer
 *     scale ramp WORKERS 1 ROUNDS            WORKERS tasks that wait for each other
 *
 * It is linked with a core that counts (count.h) and yields at random where threads race, as
 * many cores would interleave them. Prints lines "figure value".
 */
#define COUNT_INSIDE
#include "count.h"

#include "weir.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

struct counts weir_counts;

/* ---- what count.h promises ------------------------------------------------ */

enum { PLACES = 1024 };

/* Who had a lock last, by its address; two locks in one place count too many. */
static _Atomic uintptr_t last_of[PLACES];

static int note_taken(pthread_mutex_t *m)
{
    uintptr_t self = (uintptr_t)pthread_self();
    atomic_fetch_add(&weir_counts.locks, 1);
    if (atomic_exchange(&last_of[(uintptr_t)m / sizeof *m % PLACES], self) != self)
        atomic_fetch_add(&weir_counts.hand_overs, 1);
    return 0;
}

int count_trylock(pthread_mutex_t *m)
{
    int rc = pthread_mutex_trylock(m);
    return rc ? rc : note_taken(m);
}

int count_lock(pthread_mutex_t *m)
{
    if (count_trylock(m) == 0)
        return 0;
    atomic_fetch_add(&weir_counts.waits, 1);
    int rc = pthread_mutex_lock(m);
    return rc ? rc : note_taken(m);
}

void count_failure(void) { atomic_fetch_add(&weir_counts.failed, 1); }

/* ---- the measurements ------------------------------------------------------ */

enum { IN_FLIGHT = 64 };

struct job {
    weir_task        task;
    struct producer *producer;
};

struct producer {
    weir_pool *pool;
    weir_main *main;
    size_t     left, done, total;
    struct job jobs[IN_FLIGHT];
    pthread_t  thread;
};

static void must(int rc)
{
    if (rc < 0)
        fprintf(stderr, "scale: %s\n", weir_strerror(rc)), abort();
}

static int nothing(weir_task *t, void *state)
{
    (void)t, (void)state;
    return 0;
}

static void again(weir_task *t)
{
    struct producer *p = ((struct job *)t)->producer;
    p->done++;
    if (p->left && p->left--)
        must(weir_run(p->pool, t, p->main));
}

static void *produce(void *arg)
{
    struct producer *p = arg;
    must(weir_main_open(&p->main));
    must(weir_main_linger(p->main, 0));
    p->left = p->total;
    for (int i = 0; i < IN_FLIGHT && p->left; i++, p->left--) {
        p->jobs[i] = (struct job){{.run = nothing, .done = again}, p};
        must(weir_run(p->pool, &p->jobs[i].task, p->main));
    }
    while (p->done < p->total)
        must(weir_main_wait(p->main, -1));
    must(weir_main_close(p->main, 0));
    return NULL;
}

static void print_counts(weir_pool *pool, double n)
{
    weir_pool_stats s = {.size = sizeof s};
    struct rusage   u;
    must(weir_pool_get_stats(pool, &s));
    getrusage(RUSAGE_SELF, &u);
    printf("locks %.3f\nhand_overs %.3f\nlock_waits %.4f\nfailed_swaps %.4f\n",
           (double)weir_counts.locks / n, (double)weir_counts.hand_overs / n,
           (double)weir_counts.waits / n, (double)weir_counts.failed / n);
    printf("wakes %.4f\nswitches %.4f\n", (double)s.wakes / n,
           (double)(u.ru_nvcsw + u.ru_nivcsw) / n);
}

static void rate(weir_pool *pool, unsigned producers, size_t count)
{
    struct producer *p = calloc(producers, sizeof *p);
    for (unsigned i = 0; i < producers; i++) {
        p[i].pool = pool, p[i].total = count / producers;
        if (pthread_create(&p[i].thread, NULL, produce, &p[i]) != 0)
            abort();
    }
    for (unsigned i = 0; i < producers; i++)
        pthread_join(p[i].thread, NULL);
    print_counts(pool, (double)(count / producers * producers));
    free(p);
}

/* ---- how soon blocked tasks have a thread each ------------------------------ */

static pthread_barrier_t all;

static int wait_for_all(weir_task *t, void *state)
{
    (void)t, (void)state;
    pthread_barrier_wait(&all);
    return 0;
}

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* The sleep lets the workers fall asleep; nothing depends on it but the figure. */
static void ramp(weir_pool *pool, unsigned workers, size_t rounds)
{
    weir_task *t = calloc(workers, sizeof *t);
    int64_t   *times = calloc(rounds, sizeof *times);
    pthread_barrier_init(&all, NULL, workers + 1);
    for (size_t round = 0; round < rounds; round++) {
        nanosleep(&(struct timespec){0, 2000000}, NULL);
        int64_t before = now();
        for (unsigned i = 0; i < workers; i++) {
            t[i] = (weir_task){.run = wait_for_all};
            must(weir_run(pool, &t[i], NULL));
        }
        pthread_barrier_wait(&all);
        times[round] = now() - before;
        for (unsigned i = 0; i < workers; i++)
            must(weir_wait(&t[i], -1));
    }
    qsort(times, rounds, sizeof *times, by_size);
    printf("ramp_p50_us %.0f\n", (double)times[rounds / 2] / 1e3);
    free(t), free(times);
}

int main(int argc, char **argv)
{
    unsigned long n[3] = {0};
    for (int i = 0; i < 3 && i + 2 < argc; i++)
        n[i] = strtoul(argv[i + 2], NULL, 10);
    if (argc != 5 || !n[0] || !n[1] || !n[2])
        return fprintf(stderr, "usage: see the top of bench/c/scale.c\n"), 2;
    weir_pool        *pool;
    weir_pool_options opts = {.size = sizeof opts, .threads = (unsigned)n[0]};
    must(weir_pool_open(&pool, &opts));
    if (strcmp(argv[1], "ramp") == 0)
        ramp(pool, (unsigned)n[0], n[2]);
    else
        rate(pool, (unsigned)n[1], n[2]);
    must(weir_close(pool, WEIR_CLOSE));
    weir_pool_release(pool);
    return 0;
}
