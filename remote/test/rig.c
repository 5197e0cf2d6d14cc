/* SPDX-License-Identifier: ISC
 *
 * rig.c: farms, jobs, handlers.
 */
#include "rig.h"

#include <stdio.h>
#include <string.h>

gate entered = GATE, leave = GATE;

weir_remote_options options_of(const char *url)
{
    return (weir_remote_options){.size = sizeof(weir_remote_options), .url = url};
}

weir_job_options to(weir_main *m)
{
    return (weir_job_options){.size = sizeof(weir_job_options), .deliver_to = m};
}

bool has(const char *text, const char *part) { return text && strstr(text, part); }

static void keep(char *to_, size_t room, const char *text)
{
    snprintf(to_, room, "%s", text ? text : "");
}

void errand_done(weir_job *job)
{
    errand *e = (errand *)(void *)job;
    e->dones++;
    e->outcome = job->outcome;
    e->size = job->result_size;
    if (job->result_size && job->result_size < sizeof e->result)
        memcpy(e->result, job->result, job->result_size);
    keep(e->type, sizeof e->type, job->content_type);
    keep(e->error, sizeof e->error, job->error_name);
    keep(e->text, sizeof e->text, job->error_text);
}

void submit(weir_remote *farm, errand *e, weir_main *m, const char *name, const char *text)
{
    weir_job_options o = to(m);
    expect_eq(weir_remote_run(farm, &e->job, name, text, strlen(text), &o), 0);
}

int outcome_of(weir_main *m, errand *e)
{
    test_stage("waits for a job's outcome");
    while (!e->dones)
        expect_op(weir_main_wait(m, -1), >, 0);
    test_stage(NULL);
    return e->outcome;
}

/* A handler without memory for its answer raises. */
bool came(int outcome)
{
    return outcome == WEIR_REMOTE_ERAISED && fault_injected() ? false : given(outcome);
}

int ask(weir_remote *farm, errand *e, weir_main *m, const char *name, const char *text)
{
    submit(farm, e, m, name, text);
    return outcome_of(m, e);
}

bool yard_open(yard *y, const weir_remote_options *options, const weir_handler *handlers, size_t n)
{
    weir_pool_options one = pool_of(1);
    *y = (yard){0};
    gate_shut(&entered);
    gate_shut(&leave);
    return given(weir_main_open(&y->m)) && given(weir_pool_open(&y->pool, &one)) &&
           given(weir_remote_open(&y->farm, options)) &&
           given(weir_remote_serve(y->farm, y->pool, handlers, n));
}

void yard_close(yard *y)
{
    expect_eq(weir_remote_close(y->farm, WEIR_REMOTE_DRAIN, y->m, -1), 0);
    pool_end(y->pool);
    main_end(y->m);
}

int echo(weir_request *r, void *state)
{
    size_t      size;
    const void *bytes = weir_request_bytes(r, &size);
    (void)state;
    return weir_request_reply_as(r, weir_request_content_type(r), bytes, size);
}

int raises(weir_request *r, void *state)
{
    (void)state;
    return weir_request_fail(r, "Oops", "it went wrong");
}

int silent(weir_request *r, void *state)
{
    (void)r;
    (void)state;
    return 0;
}

int holds(weir_request *r, void *state)
{
    gate_open(&entered);
    gate_wait(&leave);
    return echo(r, state);
}
