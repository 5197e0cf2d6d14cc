/* SPDX-License-Identifier: ISC
 *
 * stuck.c: a process whose threads wait for each other, for the tests of inspect/.
 *
 * Pool "db" has two threads. The task `import` calls back into the main, whose function asks
 * for the end of `later`. That is queued behind `import`, `lookup` and `urgent`. `lookup` waits
 * for `later` as well, and one task is parked. All waits have a limit, because weir refuses
 * those that it can see will never end. When all stand still the process calls
 * stuck_here, and then ends.
 */
#include "weir.h"

#include <dirent.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HOURS = 3 };
#define LONG ((int64_t)HOURS * 3600 * 1000000000)

static weir_pool       *pool;
static weir_main       *loop;
static weir_task        later, urgent, parks;
static _Atomic bool     queued; /* all tasks are */
static _Atomic unsigned at;     /* threads that are on their way into their wait */

void __attribute__((noinline)) stuck_here(void) { __asm__ volatile("" ::: "memory"); }

static int rests(weir_task *t, void *state) { return (void)t, (void)state, 0; }

static int parks_once(weir_task *t, void *state) { return (void)t, (void)state, WEIR_PARK; }

static void asks_for_later(weir_call *call, void *arg)
{
    (void)arg;
    at++;
    weir_wait(&later, LONG);
    weir_call_finish(call, 0, NULL);
}

static int import(weir_task *t, void *state)
{
    (void)t, (void)state;
    while (!queued)
        sched_yield();
    return weir_run_in_main(loop, asks_for_later, NULL, NULL);
}

static int lookup(weir_task *t, void *state)
{
    (void)t, (void)state;
    while (!queued)
        sched_yield();
    at++;
    return weir_wait(&later, LONG);
}

/* The state of thread `id` of this process, as the kernel says: 'S' while it sleeps. */
static char state_of(const char *id)
{
    char  path[300], line[300] = "";
    FILE *file;
    snprintf(path, sizeof path, "/proc/self/task/%s/stat", id);
    if (!(file = fopen(path, "r")))
        return '?';
    char *end = fgets(line, sizeof line, file) ? strrchr(line, ')') : NULL;
    fclose(file);
    return end ? end[2] : '?';
}

static unsigned sleepers(void)
{
    unsigned n = 0;
    DIR     *tasks = opendir("/proc/self/task");
    for (struct dirent *e; tasks && (e = readdir(tasks));)
        n += e->d_name[0] != '.' && state_of(e->d_name) == 'S';
    closedir(tasks);
    return n;
}

/* Runs on a thread of a pool of its own: reports when the three others are asleep. */
static int reports(weir_task *t, void *state)
{
    (void)t, (void)state;
    while (at < 2 || sleepers() < 3)
        sched_yield();
    stuck_here();
    _Exit(0);
}

static void run(weir_pool *p, weir_task *task, int (*fn)(weir_task *, void *), weir_priority level)
{
    weir_run_options opts = {.size = sizeof opts, .priority = level};
    opts.label = fn == lookup ? "find user" : NULL;
    task->run = fn;
    if (weir_run_with(p, task, &opts) != 0)
        abort();
}

int main(void)
{
    static weir_task  first, second, last;
    weir_pool_options opts = {.size = sizeof opts, .name = "db", .threads = 2, .queue_limit = 50};
    weir_pool_options one = {.size = sizeof one, .name = "reports", .threads = 1};
    weir_pool        *other;
    weir_pool_stats   now = {.size = sizeof now};
    if (weir_main_open(&loop) || weir_pool_open(&pool, &opts) || weir_pool_open(&other, &one))
        abort();
    run(pool, &parks, parks_once, WEIR_NORMAL);
    while (now.parked == 0 && weir_pool_get_stats(pool, &now) == 0)
        sched_yield();
    run(pool, &first, import, WEIR_NORMAL);
    run(pool, &second, lookup, WEIR_NORMAL);
    while (now.running < 2 && weir_pool_get_stats(pool, &now) == 0)
        sched_yield();
    run(pool, &later, rests, WEIR_NORMAL);
    run(pool, &urgent, rests, WEIR_HIGH);
    weir_cancel(&second);
    queued = true;
    run(other, &last, reports, WEIR_NORMAL);
    return weir_main_wait(loop, LONG) < 0;
}
