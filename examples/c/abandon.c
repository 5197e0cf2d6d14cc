/* SPDX-License-Identifier: ISC
 *
 * abandon.c: reads from two pipes on one thread. The first never answers, and read(2) cannot be
 * asked to stop, so the loop gives that task up after 50 ms: another thread serves the second.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <weir.h>

struct request {
    weir_task task; /* first: a task is its request */
    int       n, from;
    int64_t   until;     /* the loop's: a time of weir_now; 0: run has not been seen yet */
    bool      given_up;  /* the loop's */
    char      answer[8]; /* run's, as long as it is running */
};

enum { N = 2 };
static struct request *under_way[N];
static weir_notice     returned;

static int receive(weir_task *task, void *state) /* on a worker: it may block */
{
    struct request *r = (struct request *)task;
    return read(r->from, r->answer, sizeof r->answer - 1) < 0 ? errno : 0;
}

static void received(weir_task *task) /* on the loop's thread, also when it was given up */
{
    struct request *r = (struct request *)task;
    under_way[r->n] = NULL;
    printf("%d: %s\n", r->n, r->given_up ? "given up" : r->answer);
    if (!r->given_up) /* otherwise run goes on: do not read `answer`, and leave *r to release */
        free(r);
}

static void release(weir_task *task) /* run and done have returned, this thread's was the later */
{
    printf("%d: its call has returned\n", ((struct request *)task)->n);
    free(task);
    weir_notice_post(&returned, 0);
}

static void was_returned(weir_notice *notice, int outcome) {}

static void give_up_late(void) /* on the loop's thread, now and then */
{
    for (struct request **r = under_way; r < under_way + N; r++) {
        if (!*r || weir_task_get_state(&(*r)->task) != WEIR_TASK_RUNNING)
            continue; /* the limit is for the run, and not for the time in the queue */
        if (!(*r)->until)
            (*r)->until = weir_now() + 50000000;
        else if ((*r)->until <= weir_now()) /* refused: it has ended, or no thread can be had */
            (*r)->given_up = weir_task_abandon(&(*r)->task) == 0;
    }
}

int main(void)
{
    weir_pool_options opts = {.size = sizeof opts, .name = "reads", .threads = 1};
    weir_main        *loop;
    weir_pool        *pool;
    int               pipes[N][2];
    if (weir_main_open(&loop) != 0 || weir_pool_open(&pool, &opts) != 0)
        return 1;
    for (int i = 0; i < N; i++) {
        struct request *r = under_way[i] = calloc(1, sizeof *r);
        if (!r || pipe(pipes[i]) != 0)
            return 1;
        r->task = (weir_task){.run = receive, .done = received, .release = release};
        r->n = i, r->from = pipes[i][0];
        if (weir_run(pool, &r->task, loop) != 0)
            return 1;
    }
    returned.fn = was_returned; /* pending to the loop until release posts it */
    if (weir_notice_expect(&returned, loop) != 0 || write(pipes[1][1], "answer", 6) < 0)
        return 1;
    for (; weir_main_pending(loop) > 1; weir_main_wait(loop, 10000000 /* 10 ms */))
        give_up_late();
    if (write(pipes[0][1], "late", 4) < 0) /* a real one may never return: do not wait for it */
        return 1;
    while (weir_main_pending(loop) > 0)
        weir_main_wait(loop, -1);
    weir_close(pool, WEIR_CLOSE);
    weir_pool_release(pool);
    return weir_main_close(loop, 0) != 0;
}
