/* SPDX-License-Identifier: ISC
 *
 * stop.c: ends a pool soon. What is queued is dropped, what runs is asked to stop, and a task that
 * does not look is left behind after a grace time.
 */
#include <stdio.h>
#include <unistd.h>
#include <weir.h>

struct job {
    weir_task   task; /* first: a task is its job */
    const char *name;
};

static int from; /* a pipe that never answers */

static int until_told(weir_task *task, void *state) /* on a worker */
{
    while (!weir_cancel_requested(task))
        continue;
    return WEIR_ECANCELED;
}

static int receive(weir_task *task, void *state)
{
    char answer;
    return read(from, &answer, 1) != 1;
}

static void ended(weir_task *task)
{
    if (weir_task_orphaned(task)) /* on a worker, after stop: the loop is closed */
        return;
    printf("%s: %s\n", ((struct job *)task)->name, weir_strerror(weir_task_outcome(task)));
}

enum { N = 3 };
static struct job jobs[N] = {/* static: one that is left behind uses its job until the exit */
                             {.task.run = until_told, .name = "looks"},
                             {.task.run = receive, .name = "never looks"},
                             {.task.run = until_told, .name = "queued"}};

static bool stop(weir_pool *pool, weir_main *loop, int64_t grace_ns) /* whether nothing is left */
{
    int64_t left, until = weir_now() + grace_ns;
    weir_close_async(pool, WEIR_CLOSE, NULL, NULL); /* queued ones settle as closed */
    for (struct job *j = jobs; j < jobs + N; j++)
        weir_cancel(&j->task); /* running ones are asked */
    while (weir_main_pending(loop) > 0 && (left = until - weir_now()) > 0)
        weir_main_wait(loop, left); /* a program with a loop turns that */
    bool all = weir_main_pending(loop) == 0;
    weir_main_close(loop, WEIR_DETACH);
    return all;
}

int main(void)
{
    weir_pool_options opts = {.size = sizeof opts, .name = "jobs", .threads = 2};
    weir_main        *loop;
    weir_pool        *pool;
    int               ends[2];
    if (pipe(ends) != 0 || weir_main_open(&loop) != 0 || weir_pool_open(&pool, &opts) != 0)
        return 1;
    from = ends[0];
    for (struct job *j = jobs; j < jobs + N; j++) {
        j->task.done = ended;
        if (weir_run(pool, &j->task, loop) != 0)
            return 1;
    }
    for (int i = 0; i < 2; i++)
        while (weir_task_get_state(&jobs[i].task) != WEIR_TASK_RUNNING)
            weir_main_wait(loop, 1000000 /* 1 ms */);
    if (stop(pool, loop, 2000000000 /* 2 s */))
        weir_close(pool, WEIR_CLOSE); /* its threads end */
    else
        puts("a task is left behind"); /* the exit ends it */
    weir_pool_release(pool);
    return 0;
}
