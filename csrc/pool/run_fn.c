/* SPDX-License-Identifier: ISC
 *
 * run_fn.c: a run for a caller that embeds no task.
 */
#include "weir.h"

#include <stdlib.h>

typedef struct {
    weir_task task; /* first: a task is its job */
    int (*fn)(void *arg, void *state);
    void (*done)(void *arg, int outcome);
    void *arg;
} fn_job;

static int run_fn(weir_task *t, void *state)
{
    fn_job *job = (fn_job *)t;
    return job->fn(job->arg, state);
}

/* Freed first, because done may take its time. */
static void fn_done(weir_task *t)
{
    fn_job job = *(fn_job *)t;
    free(t);
    if (job.done)
        job.done(job.arg, job.task.weir.outcome);
}

int weir_run_fn(weir_pool *p, int (*fn)(void *, void *), void *arg, void (*done)(void *, int),
                weir_main *m)
{
    if (!p || !fn)
        return WEIR_EINVAL;
    fn_job *job = calloc(1, sizeof *job);
    if (!job)
        return WEIR_ENOMEM;
    *job = (fn_job){{.run = run_fn, .done = fn_done}, fn, done, arg};
    int rc = weir_run(p, &job->task, m);
    if (rc != 0)
        free(job);
    return rc;
}
