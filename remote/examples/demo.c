/* SPDX-License-Identifier: ISC
 *
 * demo URL: counts the primes below ten million in 2,000 jobs, on three worker programs of
 * which one is killed every quarter of a second, and prints what came of it. It ends with 0 if
 * the count is right. The queues must be there: weir-remote-setup URL demo.primes
 */
#include <weir_remote.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORKERS = 3, IN_FLIGHT = 32, JOBS = 2000, RANGE = 5000, PRIMES = 664579 };
#define KILL_EVERY INT64_C(250000000)

static weir_remote *open_farm(const char *url)
{
    weir_remote        *farm;
    weir_remote_options o = {.size = sizeof o, .url = url, .heartbeat_ns = 2000000000};
    if (weir_remote_open(&farm, &o) == 0)
        return farm;
    fprintf(stderr, "%s\n", weir_remote_error());
    exit(1);
}

/* ---- a worker ------------------------------------------------------------------------ */

static int is_prime(unsigned n)
{
    for (unsigned i = 3; i * i <= n; i += 2)
        if (n % i == 0)
            return 0;
    return n > 2 ? n % 2 : n == 2;
}

/* The same range gives the same answer, so that a job may run twice. */
static int count_primes(weir_request *request, void *state)
{
    size_t      size;
    const void *bytes = weir_request_bytes(request, &size);
    unsigned    from, found = 0;
    (void)state;
    if (size != sizeof from)
        return weir_request_fail(request, "BadRange", "not the first number of a range");
    memcpy(&from, bytes, sizeof from);
    for (unsigned n = from; n < from + RANGE; n++)
        found += (unsigned)is_prime(n);
    return weir_request_reply(request, &found, sizeof found);
}

static int work(const char *url)
{
    weir_pool        *pool;
    weir_handler      handler = {"demo.primes", count_primes, 0};
    weir_pool_options one = {.size = sizeof one, .threads = 1};
    weir_remote      *farm = open_farm(url);
    if (weir_pool_open(&pool, &one) || weir_remote_serve(farm, pool, &handler, 1)) {
        fprintf(stderr, "%s\n", weir_remote_error());
        return 1;
    }
    for (;;)
        pause(); /* until it is killed */
}

/* ---- the client ------------------------------------------------------------------------ */

typedef struct {
    weir_job job;
    unsigned from;
    int64_t  begun;
} range;

static struct {
    weir_remote *farm;
    weir_main   *loop;
    unsigned     next, answered, wrong, primes, killed;
    int64_t      slowest;
} demo;

static void run_next(range *r)
{
    weir_job_options how = {.size = sizeof how, .deliver_to = demo.loop};
    if (demo.next == JOBS)
        return;
    r->from = RANGE * demo.next++;
    r->begun = weir_now();
    if (weir_remote_run(demo.farm, &r->job, "demo.primes", &r->from, sizeof r->from, &how)) {
        fprintf(stderr, "%s\n", weir_remote_error());
        exit(1);
    }
}

static void done(weir_job *job)
{
    range   *r = (range *)(void *)job;
    unsigned found = 0;
    if (job->outcome == 0 && job->result_size == sizeof found)
        memcpy(&found, job->result, sizeof found);
    else
        demo.wrong++;
    demo.primes += found;
    demo.answered++;
    if (weir_now() - r->begun > demo.slowest)
        demo.slowest = weir_now() - r->begun;
    run_next(r);
}

static pid_t start_worker(char *program, char *url)
{
    pid_t pid = fork();
    if (pid == 0) {
        execl(program, program, "worker", url, (char *)NULL);
        _exit(127);
    }
    return pid;
}

static void kill_one(pid_t workers[], char *program, char *url)
{
    pid_t *one = &workers[rand() % WORKERS];
    kill(*one, SIGKILL);
    waitpid(*one, NULL, 0);
    demo.killed++;
    *one = start_worker(program, url);
}

static void print_table(int64_t took)
{
    weir_remote_stats s = {.size = sizeof s};
    weir_remote_get_stats(demo.farm, &s);
    printf("jobs                     %8d\n", JOBS);
    printf("answered once each       %8u\n", demo.answered - demo.wrong);
    printf("primes found             %8u of %d\n", demo.primes, PRIMES);
    printf("workers killed           %8u\n", demo.killed);
    printf("second answers dropped   %8llu\n", (unsigned long long)s.duplicates);
    printf("seconds                  %8.1f\n", (double)took / 1e9);
    printf("slowest answer, ms       %8.0f\n", (double)demo.slowest / 1e6);
}

static int ask(char *program, char *url)
{
    static range ranges[IN_FLIGHT];
    pid_t        workers[WORKERS];
    int64_t      begun = weir_now(), next_kill = begun + KILL_EVERY;
    for (int i = 0; i < WORKERS; i++)
        workers[i] = start_worker(program, url);
    demo.farm = open_farm(url);
    if (weir_main_open(&demo.loop) != 0)
        return 1;
    for (int i = 0; i < IN_FLIGHT; i++) {
        ranges[i].job.done = done;
        run_next(&ranges[i]);
    }
    while (demo.answered < JOBS) {
        weir_main_wait(demo.loop, 20000000);
        if (weir_now() < next_kill)
            continue;
        kill_one(workers, program, url);
        next_kill = weir_now() + KILL_EVERY;
    }
    print_table(weir_now() - begun);
    for (int i = 0; i < WORKERS; i++)
        kill(workers[i], SIGKILL);
    weir_remote_close(demo.farm, WEIR_REMOTE_DRAIN, demo.loop, -1);
    weir_main_close(demo.loop, WEIR_DRAIN);
    return demo.wrong || demo.primes != PRIMES;
}

int main(int argc, char **argv)
{
    if (argc == 3 && !strcmp(argv[1], "worker"))
        return work(argv[2]);
    if (argc == 2)
        return ask(argv[0], argv[1]);
    fprintf(stderr, "usage: demo URL\n");
    return 2;
}
