/* SPDX-License-Identifier: ISC
 *
 * progress.c: a task tells the loop how far it is, and waits for nothing.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <weir.h>

enum { STEPS = 100000 };
static weir_main  *loop;
static double      sum; /* the task's until its done */
static _Atomic int steps;

static void show(weir_notice *notice, int outcome) /* on the loop's thread */
{
    int seen = steps;
    if (seen == STEPS)
        printf("%d of %d\n", seen, STEPS);
}

static weir_notice progress = {.fn = show};

static int add_up(weir_task *task, void *state) /* on a worker */
{
    for (int i = 1; i <= STEPS; i++) {
        sum += 1.0 / i;
        steps = i;
        if (weir_notice_expect(&progress, loop) == 0) /* else one is on its way, and will see it */
            weir_notice_post(&progress, 0);
    }
    return 0;
}

static void added(weir_task *task) { printf("the sum is %.3f\n", sum); }

int main(void)
{
    weir_pool_options opts = {.size = sizeof opts, .name = "sums", .threads = 1};
    weir_task         task = {.run = add_up, .done = added};
    weir_pool        *pool;
    if (weir_main_open(&loop) != 0 || weir_pool_open(&pool, &opts) != 0)
        return 1;
    if (weir_run(pool, &task, loop) != 0)
        return 1;
    while (weir_main_pending(loop) > 0)
        weir_main_wait(loop, -1); /* a program with a loop turns that */
    weir_close(pool, WEIR_CLOSE);
    weir_pool_release(pool);
    return weir_main_close(loop, 0);
}
