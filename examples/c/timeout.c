/* SPDX-License-Identifier: ISC
 *
 * timeout.c: jobs that may take so long each, from a loop over poll(2) that asks a late one to
 * stop.
 */
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <weir.h>

struct job {
    weir_task   task; /* first: a task is its job */
    const char *name;
    long        steps;
    int64_t     within, until; /* until is a time of weir_now; 0: it is not under way */
};

static int compute(weir_task *task, void *state) /* on a worker */
{
    for (long left = ((struct job *)task)->steps; left > 0; left--)
        if (weir_cancel_requested(task))
            return WEIR_ECANCELED;
    return 0;
}

static void computed(weir_task *task) { ((struct job *)task)->until = 0; }

enum { N = 3 };
static struct job jobs[N] = {{.name = "endless", .steps = LONG_MAX, .within = 50000000 /* 50 ms */},
                             {.name = "endless too", .steps = LONG_MAX, .within = 50000000},
                             {.name = "short", .steps = 1000, .within = 3600000000000 /* 1 h */}};

static int stop_late(void) /* returns for how many ms the loop may sleep */
{
    int64_t now = weir_now(), next = INT64_MAX;
    for (struct job *j = jobs; j < jobs + N; j++)
        if (j->until && j->until <= now) {
            weir_cancel(&j->task); /* a queued one is taken back, a running one asked */
            j->until = INT64_MAX;
        } else if (j->until && j->until < next) {
            next = j->until;
        }
    return next == INT64_MAX ? -1 : (int)((next - now) / 1000000 + 1);
}

int main(void)
{
    weir_pool_options opts = {.size = sizeof opts, .name = "cpu", .threads = 2};
    weir_main        *loop;
    weir_pool        *pool;
    if (weir_main_open(&loop) != 0 || weir_pool_open(&pool, &opts) != 0)
        return 1;
    for (struct job *j = jobs; j < jobs + N; j++) {
        j->task = (weir_task){.run = compute, .done = computed};
        if (weir_run(pool, &j->task, loop) == 0)
            j->until = weir_now() + j->within;
    }
    struct pollfd ready = {.fd = weir_main_fd(loop), .events = POLLIN};
    while (weir_main_pending(loop) > 0) {
        poll(&ready, 1, stop_late());
        weir_main_dispatch(loop, 0);
    }
    for (struct job *j = jobs; j < jobs + N; j++)
        printf("%s: %s\n", j->name, weir_strerror(weir_task_outcome(&j->task)));
    weir_close(pool, WEIR_CLOSE);
    weir_pool_release(pool);
    return weir_main_close(loop, 0) != 0;
}
