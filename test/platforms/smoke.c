/* SPDX-License-Identifier: ISC
 *
 * smoke.c: a pool, a main and their ends on a system that the suites do not run on
 * (they wrap Linux's calls): thousands of tasks come back once each, by a descriptor.
 */
#include "weir.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

enum { N = 10000 };

static weir_task tasks[N];
static int       ran[N], told;

static int run(weir_task *t, void *state)
{
    (void)state;
    return ran[t - tasks]++ == 0 ? 0 : 1;
}

static void done(weir_task *t) { told += weir_task_outcome(t) == 0; }

static void must(int is, const char *what)
{
    if (is)
        return;
    fprintf(stderr, "smoke: %s\n", what);
    exit(1);
}

static void through(weir_pool_options o)
{
    weir_main *m;
    weir_pool *p;
    o.size = sizeof o;
    told = 0;
    must(weir_main_open(&m) == 0, "a main opens");
    must(weir_pool_open(&p, &o) == 0, "a pool opens");
    for (int i = 0; i < N; i++) {
        ran[i] = 0;
        tasks[i] = (weir_task){.run = run, .done = done};
        must(weir_run(p, &tasks[i], m) == 0, "a task is accepted");
    }
    while (weir_main_pending(m)) {
        struct pollfd fd = {.fd = weir_main_fd(m), .events = POLLIN};
        must(poll(&fd, 1, 10000) == 1, "the descriptor tells");
        weir_main_dispatch(m, 0);
    }
    must(told == N, "each task came back once");
    must(weir_close(p, WEIR_DRAIN) == 0, "the pool closes");
    weir_pool_release(p);
    must(weir_main_close(m, 0) == 0, "the main closes");
}

int main(void)
{
    through((weir_pool_options){.threads = 4});
    through((weir_pool_options){.threads_max = 3, .lazy = true, .idle_ns = 1});
    weir_task *t = &tasks[0];
    weir_pool *p;
    *t = (weir_task){.run = run};
    ran[0] = 0;
    must(weir_pool_open(&p, &(weir_pool_options){.size = sizeof(weir_pool_options)}) == 0,
         "by default");
    must(weir_pool_pause(p) == 0 && weir_run(p, t, NULL) == 0, "a task is accepted");
    must(weir_wait(t, 1000000) == WEIR_ETIMEDOUT, "a wait ends on time");
    must(weir_pool_resume(p) == 0 && weir_wait(t, -1) == 0, "a task settles");
    must(weir_close(p, WEIR_CLOSE) == 0, "the pool closes");
    weir_pool_release(p);
    puts("3 passed, 0 failed");
    return 0;
}
