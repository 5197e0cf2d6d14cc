/* SPDX-License-Identifier: ISC
 *
 * limits.c: a deadline for the start of a task, a task that looks whether it should
 * stop, one that has a deadline of its own, and what the pool does meanwhile.
 */
#include <stdio.h>
#include <weir.h>

static int until_told(weir_task *task, void *state)
{
    while (!weir_cancel_requested(task))
        continue;
    return WEIR_ECANCELED;
}

enum { TOO_LONG = 1 };

static int for_10_ms(weir_task *task, void *state)
{
    int64_t until = weir_now() + 10000000; /* from its start: without the time in the queue */
    while (weir_now() < until)
        if (weir_cancel_requested(task))
            return WEIR_ECANCELED;
    return TOO_LONG;
}

static void stopped(weir_task *task)
{
    int outcome = weir_task_outcome(task);
    puts(outcome == TOO_LONG ? "took too long" : weir_strerror(outcome));
}

static void watch(weir_pool *pool)
{
    weir_pool_stats now = {.size = sizeof now};
    weir_pool_get_stats(pool, &now);
    printf("%u of %u threads run, %zu queued\n", now.running, now.threads, now.queued);
}

int main(void)
{
    weir_pool_options opts = {.size = sizeof opts, .name = "cpu", .threads = 1};
    weir_task         first = {.run = until_told, .done = stopped};
    weir_task         second = {.run = until_told, .done = stopped};
    weir_task         third = {.run = for_10_ms, .done = stopped};
    weir_run_options  soon = {.size = sizeof soon, .start_within_ns = 10000000 /* 10 ms */};
    weir_main        *loop;
    weir_pool        *pool;
    if (weir_main_open(&loop) != 0 || weir_pool_open(&pool, &opts) != 0)
        return 1;
    soon.deliver_to = loop;
    weir_run(pool, &first, loop);
    weir_run_with(pool, &second, &soon); /* the one thread is busy */
    while (weir_main_pending(loop) > 1)
        weir_main_wait(loop, -1);
    watch(pool);
    weir_cancel(&first);
    weir_run(pool, &third, loop);
    while (weir_main_pending(loop) > 0)
        weir_main_wait(loop, -1);
    weir_close(pool, WEIR_CLOSE);
    weir_pool_release(pool);
    return weir_main_close(loop, 0) != 0;
}
