/* SPDX-License-Identifier: ISC
 *
 * seen.c: a task that hangs, and who names it: the snapshot, the list of what runs, the watcher.
 */
#include <stdio.h>
#include <weir.h>

static weir_main  *loop;
static weir_notice seen;

static int import(weir_task *task, void *state) /* hangs until it is asked to stop */
{
    while (!weir_cancel_requested(task))
        continue;
    return WEIR_ECANCELED;
}

static void done(weir_task *task) { printf("%s\n", weir_strerror(weir_task_outcome(task))); }

static void print_running(void *pool, const weir_running *task)
{
    weir_pool_options opts = {.size = sizeof opts};
    weir_pool_get_options(pool, &opts);
    printf("%s runs on %s/%d\n", task->label ? task->label : "a task", opts.name, task->thread);
}

static void look(weir_pool *pool)
{
    weir_pool_stats now = {.size = sizeof now};
    weir_pool_get_stats(pool, &now);
    printf("%u of %u threads run, %zu queued\n", now.running, now.threads, now.queued);
    if (now.oldest_running_ns > 0)
        weir_pool_each_running(pool, print_running, pool);
}

static void tell(void *arg, const weir_sighting *s) /* on the watcher's thread */
{
    static _Atomic int told;
    if (told++ == 0) { /* s->text: "task 'import' has run for 50 ms on db/0" */
        printf("stuck: %s on %s/%d\n", s->label ? s->label : "a task", s->pool, s->thread);
        weir_notice_post(&seen, 0);
    }
}

static void was_seen(weir_notice *notice, int outcome) {}

int main(void)
{
    weir_pool_options  opts = {.size = sizeof opts, .name = "db", .threads = 1};
    weir_task          task = {.run = import, .done = done};
    weir_watch_options watch = {.size = sizeof watch, .task_ns = 50000000, .tell = tell};
    weir_pool         *pool;
    if (weir_main_open(&loop) != 0 || weir_pool_open(&pool, &opts) != 0)
        return 1;
    seen.fn = was_seen;
    weir_notice_expect(&seen, loop);
    weir_run_options how = {.size = sizeof how, .deliver_to = loop, .label = "import"};
    weir_run_with(pool, &task, &how);
    if (weir_watch(&watch) != 0) /* most programs leave `tell` out: then it writes to stderr */
        return 1;
    while (weir_main_pending(loop) > 1) /* until the watcher has seen it */
        weir_main_wait(loop, -1);
    look(pool);
    weir_watch(NULL);
    weir_cancel(&task);
    while (weir_main_pending(loop) > 0)
        weir_main_wait(loop, -1);
    weir_close(pool, WEIR_CLOSE);
    weir_pool_release(pool);
    return weir_main_close(loop, 0) != 0;
}
