/* SPDX-License-Identifier: ISC
 *
 * one_stuck.c MODE: a program for tools/stuck, as one_stuck.ml and one_stuck.lua are. With
 * MODE "stuck" the task `import` of pool "db" hangs until standard input ends; with "healthy"
 * nothing hangs, and the program itself waits for that end. It writes its snapshot, then
 * "ready". The watcher looks at all of it.
 */
#include "weir.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int rests(weir_task *t, void *state) { return (void)t, (void)state, 0; }

static int waits_for_input(weir_task *t, void *state)
{
    char c;
    (void)t, (void)state;
    return (int)read(STDIN_FILENO, &c, 1);
}

static void nothing(weir_task *t) { (void)t; }

static void print(void *arg, const weir_running *r)
{
    (void)arg;
    printf("snapshot: %s on %d\n", r->label, r->thread);
}

static void look(weir_pool *p, bool stuck)
{
    weir_pool_stats s = {.size = sizeof s};
    while (weir_pool_get_stats(p, &s) == 0 && (s.oldest_running_ns > 0) != stuck)
        sched_yield();
    printf("snapshot: %u running\n", s.running);
    weir_pool_each_running(p, print, NULL);
    puts("ready");
    fflush(stdout);
}

static void run(weir_pool *p, weir_task *t, const char *label, weir_main *m)
{
    weir_run_options how = {.size = sizeof how, .label = label, .deliver_to = m};
    t->done = nothing;
    if (weir_run_with(p, t, &how) != 0)
        abort();
}

int main(int argc, char **argv)
{
    bool               stuck = argc > 1 && strcmp(argv[1], "stuck") == 0;
    weir_pool_options  opts = {.size = sizeof opts, .name = "db", .threads = 2};
    weir_watch_options watch = {
        .size = sizeof watch, .task_ns = 2000000000, .loop_ns = 20000000000};
    weir_task  quick = {.run = rests}, import = {.run = waits_for_input};
    weir_main *m;
    weir_pool *p;
    if (weir_main_open(&m) != 0 || weir_pool_open(&p, &opts) != 0 || weir_watch(&watch) != 0)
        abort();
    run(p, &quick, "quick", m);
    while (weir_main_pending(m))
        weir_main_wait(m, -1);
    if (stuck)
        run(p, &import, "import", m);
    weir_trace_begin("look");
    look(p, stuck);
    weir_trace_end();
    if (!stuck)
        waits_for_input(NULL, NULL);
    while (weir_main_pending(m))
        weir_main_wait(m, -1);
    weir_watch(NULL);
    weir_close(p, WEIR_CLOSE);
    weir_pool_release(p);
    return weir_main_close(m, 0) != 0;
}
