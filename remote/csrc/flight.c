/* SPDX-License-Identifier: ISC
 *
 * flight: a job from its run to its done. farm.h has the states.
 */
#include "client.h"
#include "io.h"
#include "trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local weir_remote *in_done; /* whose done the thread is in */

weir_remote *wr_flight_here(void) { return in_done; }

/* ---- the way back ------------------------------------------------------------------- */

static const struct {
    int         outcome;
    const char *name;
} names[] = {{WEIR_REMOTE_ELOST, "lost"},    {WEIR_REMOTE_ENAME, "unknown name"},
             {WEIR_ETIMEDOUT, "timeout"},    {WEIR_EEXPIRED, "expired"},
             {WEIR_ECANCELED, "cancelled"},  {WEIR_ECLOSED, "closed"},
             {WEIR_EFULL, "full"},           {WEIR_ENOMEM, "memory"},
             {WEIR_REMOTE_ERAISED, "raised"}};

static const char *name_of(int outcome)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].outcome == outcome)
            return names[i].name;
    return outcome ? "error" : NULL;
}

static void fill_job(weir_job *job, const wr_flight *f)
{
    static const wr_answer none;
    const wr_answer       *answer = f->answer ? f->answer : &none;
    job->outcome = f->outcome;
    job->result = answer->bytes;
    job->result_size = answer->size;
    job->content_type = answer->content_type;
    job->error_name = answer->error_name ? answer->error_name : name_of(f->outcome);
    job->error_text = answer->error_text ? answer->error_text : f->outcome ? f->text : NULL;
}

/* In a child of fork, which may have the job's end in its main, the lock may be held by a thread
 * of the parent; and nobody else is there. */
static void leave_flight(wr_flight *f)
{
    bool forked = wr_is_forked(f->farm);
    if (!forked)
        pthread_mutex_lock(&f->farm->lock);
    f->job->weir.of = NULL;
    if (!forked)
        pthread_mutex_unlock(&f->farm->lock);
}

/* On the thread of the job's main. The job may be gone once its done has begun. */
static void come_back(weir_notice *notice, int outcome)
{
    wr_flight   *f = wr_of(notice, wr_flight, back);
    weir_job    *job = f->job;
    weir_remote *before = in_done;
    (void)outcome;
    leave_flight(f);
    fill_job(job, f);
    wr_trace_slice("job", f->name, f->known.id, f->submitted, f->outcome);
    in_done = f->farm;
    job->done(job);
    in_done = before;
    wr_flight_unref(f);
}

/* ---- settling ------------------------------------------------------------------------- */

/* Its worker may still run it: tell it, if it may have one and did not answer. */
static void disown_locked(wr_flight *f, wr_debts *debts)
{
    if (f->request)
        wr_request_stop(f->request, debts);
    if (!f->published || f->farm->hub)
        return;
    wr_flight_ref(f);
    wr_list_push(&f->farm->unwanted, &f->unwanted);
    wr_want_locked(f->farm, WR_CLIENT, debts);
}

static bool is_disowned(int outcome)
{
    return outcome == WEIR_ECANCELED || outcome == WEIR_ETIMEDOUT || outcome == WEIR_ECLOSED ||
           outcome == WEIR_EEXPIRED;
}

bool wr_settle_locked(wr_flight *f, int outcome, const char *why, wr_answer *answer,
                      wr_debts *debts)
{
    weir_remote *farm = f->farm;
    if (f->state == WR_SETTLED) {
        free(answer);
        return false;
    }
    f->state = WR_SETTLED;
    f->outcome = outcome;
    f->answer = answer;
    snprintf(f->text, sizeof f->text, "job %s (queue weir.%s%s) at %s: %s", f->name, f->name,
             wr_suffix(f->level), farm->url.shown, why ? why : "");
    wr_ids_remove(&farm->ids, &f->known);
    wr_list_remove(&f->in);
    wr_list_remove(&f->link);
    wr_set_alarm_locked(farm, &f->alarm, 0, debts);
    wr_alarms_give_back(&farm->alarms);
    farm->n_flights--;
    farm->stats.settled++;
    pthread_cond_broadcast(&farm->changed); /* for WEIR_BLOCK */
    if (is_disowned(outcome))
        disown_locked(f, debts);
    wr_list_push(&debts->settled, &f->link);
    return true;
}

wr_flight *wr_find_locked(weir_remote *farm, const char *id, size_t length)
{
    wr_known *known = wr_ids_find(&farm->ids, id, length);
    return known ? wr_of(known, wr_flight, known) : NULL;
}

void wr_give_up_locked(wr_flight *f, int outcome, const char *what, wr_debts *debts)
{
    char         why[2 * WR_SENTENCE];
    const wr_io *io = f->farm->io[WR_CLIENT]; /* local: NULL */
    bool         lacks = io && io->why[0];
    snprintf(why, sizeof why, "%s%s%s", what, lacks ? "; no connection: " : "",
             lacks ? io->why : "");
    wr_settle_locked(f, outcome, why, NULL, debts);
}

/* Whichever of its two times has come. */
static void is_late(wr_alarm *alarm, wr_debts *debts)
{
    wr_flight *f = wr_of(alarm, wr_flight, alarm);
    int64_t    now = weir_now();
    bool       starts = f->start_by && !f->started;
    if (f->deadline && f->deadline <= now)
        wr_give_up_locked(f, WEIR_ETIMEDOUT, "no answer within its timeout", debts);
    else if (starts && f->start_by <= now)
        wr_give_up_locked(f, WEIR_EEXPIRED, "no worker had started it by its deadline", debts);
    else
        wr_flight_arm_locked(f, debts);
}

void wr_flight_arm_locked(wr_flight *f, wr_debts *debts)
{
    bool    starts = f->start_by && !f->started;
    int64_t at = f->deadline;
    if (starts && (!at || f->start_by < at))
        at = f->start_by;
    wr_set_alarm_locked(f->farm, &f->alarm, at, debts);
}

/* ---- a new one ------------------------------------------------------------------------ */

static int64_t later(int64_t now, int64_t ns)
{
    return !ns ? 0 : ns > INT64_MAX - now ? INT64_MAX : now + ns;
}

wr_flight *wr_flight_new(weir_remote *farm, weir_job *job, const char *name, const void *bytes,
                         size_t size, const weir_job_options *options)
{
    const char *type = options->content_type ? options->content_type : "application/octet-stream";
    size_t      n_name = strlen(name) + 1, n_type = strlen(type) + 1;
    wr_flight  *f = calloc(1, sizeof *f + size + n_name + n_type);
    if (!f)
        return NULL;
    char *at = (char *)(f + 1);
    if (size)
        memcpy(at, bytes, size);
    f->bytes = at;
    f->size = size;
    f->name = memcpy(at + size, name, n_name);
    f->content_type = memcpy(at + size + n_name, type, n_type);
    f->farm = farm;
    f->job = job;
    f->back.fn = come_back;
    f->alarm.ring = is_late;
    f->level = options->priority;
    f->only_if_wanted = options->only_if_wanted;
    f->submitted = weir_now();
    f->start_by = later(f->submitted, options->start_within_ns);
    f->deadline = later(f->submitted, options->timeout_ns);
    f->refs = 1;
    wr_list_init(&f->in);
    wr_list_init(&f->link);
    wr_list_init(&f->unwanted);
    return f;
}
