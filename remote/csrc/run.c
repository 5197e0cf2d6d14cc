/* SPDX-License-Identifier: ISC
 *
 * run: takes a job, or refuses it; takes it back.
 */
#include "client.h"
#include "hub.h"
#include "io.h"

#include <string.h>

/* ---- arguments ------------------------------------------------------------------------ */

static int check_options(const weir_job_options *o)
{
    if (!o || o->size != sizeof *o)
        return wr_fail(WEIR_EINVAL, "weir_remote_run: options are NULL, or their size is not "
                                    "sizeof(weir_job_options)");
    if (!o->deliver_to)
        return wr_fail(WEIR_EINVAL, "weir_remote_run: deliver_to is NULL");
    if ((unsigned)o->priority >= WEIR_LEVELS)
        return wr_fail(WEIR_EINVAL, "weir_remote_run: priority is %d", (int)o->priority);
    if (o->start_within_ns < 0 || o->timeout_ns < 0)
        return wr_fail(WEIR_EINVAL, "weir_remote_run: a time is negative");
    if (o->content_type && strlen(o->content_type) > 255)
        return wr_fail(WEIR_EINVAL, "weir_remote_run: content_type has more than 255 bytes");
    return 0;
}

static int check_run(const weir_remote *farm, const weir_job *job, const char *name,
                     const void *bytes, size_t size)
{
    if (!farm || !job || !job->done)
        return wr_fail(WEIR_EINVAL, "weir_remote_run: farm, job or job->done is NULL");
    if (!wr_is_name(name))
        return wr_fail(WEIR_EINVAL,
                       "weir_remote_run: a job's name is 1 to %d of [A-Za-z0-9._-], "
                       "not '%.*s'",
                       WEIR_REMOTE_NAME_MAX, WEIR_REMOTE_NAME_MAX, name ? name : "(NULL)");
    if (size && !bytes)
        return wr_fail(WEIR_EINVAL, "weir_remote_run: bytes is NULL and size is %zu", size);
    if (size > farm->options.message_limit)
        return wr_fail(WEIR_EFULL, "job %s at %s: the argument has %zu bytes, message_limit is %zu",
                       name, farm->url.shown, size, farm->options.message_limit);
    if (wr_is_forked(farm))
        return wr_fail(WEIR_EFORKED, "job %s at %s: the farm is the parent process's", name,
                       farm->url.shown);
    return 0;
}

/* ---- a place under queue_limit ----------------------------------------------------------- */

static bool is_full_locked(const weir_remote *farm)
{
    return farm->options.queue_limit && farm->n_flights >= farm->options.queue_limit;
}

static wr_flight *oldest_locked(weir_remote *farm, weir_priority level)
{
    wr_node *head = &farm->waiting[level];
    for (wr_node *n = head->next; n != head; n = n->next)
        if (!wr_of(n, wr_flight, link)->published)
            return wr_of(n, wr_flight, link);
    return NULL;
}

static bool drop_oldest_locked(weir_remote *farm, weir_priority level, wr_debts *debts)
{
    wr_flight *f = oldest_locked(farm, WEIR_LOW);
    if (!f && level != WEIR_LOW)
        f = oldest_locked(farm, WEIR_NORMAL);
    if (!f && level == WEIR_HIGH)
        f = oldest_locked(farm, WEIR_HIGH);
    return f && wr_settle_locked(f, WEIR_EFULL, "dropped for a newer job", NULL, debts);
}

static int full(const wr_flight *f)
{
    return wr_fail(WEIR_EFULL, "job %s at %s: %u jobs are in flight, which is queue_limit", f->name,
                   f->farm->url.shown, f->farm->options.queue_limit);
}

/* A thread that runs a job's done, or serves, must not wait for what needs it. */
static int make_space_locked(weir_remote *farm, wr_flight *f, wr_debts *debts)
{
    while (farm->phase == WR_OPEN && is_full_locked(farm)) {
        if (farm->options.when_full == WEIR_DROP_OLDEST &&
            drop_oldest_locked(farm, f->level, debts))
            continue;
        if (farm->options.when_full != WEIR_BLOCK)
            return full(f);
        if (wr_request_here())
            return wr_fail(WEIR_EDEADLK, "job %s at %s: a handler would wait for space", f->name,
                           farm->url.shown);
        pthread_cond_wait(&farm->changed, &farm->lock);
    }
    return farm->phase == WR_OPEN ? 0
                                  : wr_fail(WEIR_ECLOSED, "job %s at %s: the farm is closed",
                                            f->name, farm->url.shown);
}

/* ---- in ---------------------------------------------------------------------------------- */

static int reserve_locked(weir_remote *farm, wr_flight *f, wr_debts *debts)
{
    if (f->job->weir.of)
        return wr_fail(WEIR_EBUSY, "job %s at %s is in flight", f->name, farm->url.shown);
    int code = make_space_locked(farm, f, debts);
    if (!code && f->job->weir.of) /* another thread ran it while this one waited for space */
        return wr_fail(WEIR_EBUSY, "job %s at %s is in flight", f->name, farm->url.shown);
    if (!code && wr_alarms_promise(&farm->alarms) != 0)
        return wr_fail(WEIR_ENOMEM, "job %s at %s: no memory", f->name, farm->url.shown);
    if (!code && wr_ids_add(&farm->ids, &f->known) != 0) {
        wr_alarms_give_back(&farm->alarms);
        return wr_fail(WEIR_ENOMEM, "job %s at %s: no memory", f->name, farm->url.shown);
    }
    if (code)
        return code;
    farm->n_flights++;
    f->job->weir.of = f;
    if (f->job->weir.farm != farm) /* a cancel that races with this run reads it */
        f->job->weir.farm = farm;
    return 0;
}

static void take_back_locked(weir_remote *farm, wr_flight *f)
{
    wr_ids_remove(&farm->ids, &f->known);
    wr_alarms_give_back(&farm->alarms);
    farm->n_flights--;
    f->job->weir.of = NULL;
    pthread_cond_broadcast(&farm->changed);
}

/* A close that came meanwhile has not seen it. */
static void enter_locked(weir_remote *farm, wr_flight *f, wr_debts *debts)
{
    memcpy(f->job->id, f->known.id, WR_ID);
    farm->stats.submitted++;
    f->state = farm->hub ? WR_SENT : WR_WAITING;
    wr_list_push(&farm->flights, &f->in);
    wr_list_push(farm->hub ? &farm->sent : &farm->waiting[f->level], &f->link);
    wr_flight_arm_locked(f, debts);
    if (!farm->hub)
        wr_client_wait_locked(farm, debts);
    if (farm->phase == WR_CANCELLING)
        wr_settle_locked(f, WEIR_ECLOSED, "the farm is closed", NULL, debts);
}

static int expect(weir_remote *farm, wr_flight *f, weir_main *main)
{
    int code = weir_notice_expect(&f->back, main);
    if (code)
        return wr_fail(code, "job %s at %s: deliver_to is closed", f->name, farm->url.shown);
    return 0;
}

static int let_in(weir_remote *farm, wr_flight *f, weir_main *main)
{
    wr_debts debts;
    wr_lock(farm, &debts);
    int code = reserve_locked(farm, f, &debts);
    wr_unlock(farm, &debts);
    if (code)
        return code;
    code = expect(farm, f, main);
    wr_flight_ref(f); /* its done may have returned before this does */
    wr_lock(farm, &debts);
    if (code)
        take_back_locked(farm, f);
    else
        enter_locked(farm, f, &debts);
    wr_unlock(farm, &debts);
    if (!code && farm->hub)
        wr_hub_send(f);
    else if (!code)
        wr_io_send(farm->io[WR_CLIENT]);
    wr_flight_unref(f);
    return code;
}

int weir_remote_run(weir_remote *farm, weir_job *job, const char *name, const void *bytes,
                    size_t size, const weir_job_options *options)
{
    int code = check_run(farm, job, name, bytes, size);
    code = code ? code : check_options(options);
    if (code)
        return code;
    wr_flight *f = wr_flight_new(farm, job, name, bytes, size, options);
    if (!f)
        return wr_fail(WEIR_ENOMEM, "job %s at %s: no memory for %zu bytes", name, farm->url.shown,
                       size);
    wr_farm_ref(farm);
    code = wr_make_id(f->known.id);
    code = code ? code : let_in(farm, f, options->deliver_to);
    if (code)
        wr_flight_unref(f);
    return code;
}

/* ---- out --------------------------------------------------------------------------------- */

int weir_remote_cancel(weir_job *job)
{
    wr_debts     debts;
    weir_remote *farm = job ? job->weir.farm : NULL;
    if (!farm)
        return wr_fail(WEIR_EINVAL, "weir_remote_cancel: the job was never run");
    if (wr_is_forked(farm))
        return wr_fail(WEIR_EFORKED, "weir_remote_cancel: the farm is the parent process's");
    wr_lock(farm, &debts);
    wr_flight *f = job->weir.of;
    bool       settled = f && f->state != WR_RESERVED &&
                   wr_settle_locked(f, WEIR_ECANCELED, "cancelled", NULL, &debts);
    wr_unlock(farm, &debts);
    return settled ? 0 : wr_fail(WEIR_EINVAL, "weir_remote_cancel: the job is not in flight");
}
