/* SPDX-License-Identifier: ISC
 *
 * client.c: a program that uses weir as installed.
 */
#include <stdio.h>
#include <string.h>
#include <weir.h>

static int done_count;

static int  succeed(weir_task *task, void *state) { return (void)task, (void)state, 0; }
static void count(weir_task *task) { done_count += weir_task_outcome(task) == 0; }

int main(void)
{
    weir_pool_options opts = {.size = sizeof opts, .threads = 2};
    weir_task         tasks[10];
    weir_main        *context;
    weir_pool        *pool;
    memset(tasks, 0, sizeof tasks);
    if (strcmp(weir_version(), WEIR_VERSION) != 0 || weir_main_open(&context) != 0 ||
        weir_pool_open(&pool, &opts) != 0)
        return 1;
    for (int i = 0; i < 10; i++) {
        tasks[i].run = succeed, tasks[i].done = count;
        if (weir_run(pool, &tasks[i], context) != 0)
            return 1;
    }
    while (weir_main_pending(context) > 0)
        weir_main_wait(context, -1);
    weir_close(pool, WEIR_CLOSE);
    weir_pool_release(pool);
    printf("%d\n", done_count);
    return weir_main_close(context, 0) != 0 || done_count != 10;
}
