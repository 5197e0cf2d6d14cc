/* SPDX-License-Identifier: ISC
 *
 * weir.c: the peer that is ours.
 */
#include "weir_pool.h"

#include <poll.h>
#include <stdlib.h>

struct loop {
    weir_main    *main;
    struct pollfd poll;
    bool          pollable;
};

struct weir_job {
    struct job job;
    weir_task  task;
};

const size_t job_size = sizeof(struct weir_job);

static struct weir_job *job_of(weir_task *t)
{
    return (struct weir_job *)(void *)((char *)t - offsetof(struct weir_job, task));
}

static int run(weir_task *t, void *state)
{
    (void)state;
    struct job *j = &job_of(t)->job;
    j->run(j);
    return 0;
}

static void done(weir_task *t)
{
    struct job *j = &job_of(t)->job;
    j->done(j);
}

struct loop *loop_open(bool pollable)
{
    struct loop *l = calloc(1, sizeof *l);
    MUST(l && weir_main_open(&l->main) == 0);
    l->poll = (struct pollfd){.fd = weir_main_fd(l->main), .events = POLLIN};
    l->pollable = pollable;
    return l;
}

void loop_close(struct loop *l)
{
    MUST(weir_main_close(l->main, 0) == 0);
    free(l);
}

void submit(struct loop *l, struct job *j)
{
    weir_task *t = &((struct weir_job *)(void *)j)->task;
    t->run = run, t->done = done;
    MUST(weir_run(pool, t, l->main) == 0);
}

void turn(struct loop *l)
{
    if (!l->pollable) {
        MUST(weir_main_wait(l->main, -1) >= 0);
        return;
    }
    MUST(poll(&l->poll, 1, -1) == 1);
    MUST(weir_main_dispatch(l->main, 0) >= 0);
}

struct request {
    void (*fn)(void *);
    void *arg;
};

static void answer(weir_call *call, void *arg)
{
    struct request *r = arg;
    r->fn(r->arg);
    weir_call_finish(call, 0, NULL);
}

void run_in_main(struct loop *l, void (*fn)(void *), void *arg)
{
    struct request r = {fn, arg};
    MUST(weir_run_in_main(l->main, answer, &r, NULL) == 0);
}
