/* SPDX-License-Identifier: ISC
 *
 * busy.c: a process with something to see, for the tests of weir-top.
 *
 * Pool "db" has run a hundred tasks. Of its two threads one runs `import` and one `find user`,
 * which was asked to stop. Three tasks wait, one of them aimed at the main; another task of the
 * main has settled, and nobody dispatches. A pool has a name with an escape sequence. Then the
 * process writes "ready", and goes on so until its standard input ends.
 */
#include "weir.h"

#include <sched.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

static sem_t      over;
static weir_pool *db, *odd;
static weir_main *loop;

static int rests(weir_task *t, void *state) { return (void)t, (void)state, 0; }

static int lasts(weir_task *t, void *state)
{
    (void)t, (void)state;
    while (sem_wait(&over) != 0)
        continue;
    return 0;
}

static void tells(weir_task *t) { (void)t; }

static weir_pool *open_pool(const char *name, unsigned threads)
{
    weir_pool_options opts = {.size = sizeof opts, .name = name, .threads = threads};
    weir_pool        *p;
    opts.measure = true;
    if (weir_pool_open(&p, &opts) != 0)
        abort();
    return p;
}

static void run(weir_pool *p, weir_task *t, const char *label, weir_main *m)
{
    weir_run_options how = {.size = sizeof how, .label = label, .deliver_to = m};
    if (weir_run_with(p, t, &how) != 0)
        abort();
}

static void until(weir_pool *p, unsigned running, uint64_t ok)
{
    weir_pool_stats s = {.size = sizeof s};
    while (weir_pool_get_stats(p, &s) == 0 && (s.running < running || s.ok < ok))
        sched_yield();
}

int main(void)
{
    static weir_task first = {.run = lasts}, second = {.run = lasts}, queued[3], settled;
    if (sem_init(&over, 0, 0) != 0 || weir_main_open(&loop) != 0)
        abort();
    db = open_pool("db", 2), odd = open_pool("e\033[31m %", 1);
    for (int i = 0; i < 100; i++) {
        weir_task t = {.run = rests};
        run(db, &t, "quick", NULL);
        weir_wait(&t, -1);
    }
    settled.run = rests, settled.done = tells;
    run(db, &settled, NULL, loop);
    until(db, 0, 101);
    run(db, &first, "import", NULL);
    run(db, &second, "find user", NULL);
    until(db, 2, 101);
    weir_cancel(&second);
    for (int i = 0; i < 3; i++) {
        queued[i].run = rests, queued[i].done = tells;
        run(db, &queued[i], NULL, loop);
    }
    puts("ready");
    fflush(stdout);
    while (getchar() != EOF)
        continue;
    sem_post(&over), sem_post(&over);
    while (weir_main_pending(loop))
        weir_main_wait(loop, -1);
    weir_close(db, WEIR_CLOSE), weir_close(odd, WEIR_CLOSE);
    weir_pool_release(db), weir_pool_release(odd);
    return weir_main_close(loop, 0) != 0;
}
