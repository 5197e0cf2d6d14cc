/* SPDX-License-Identifier: ISC
 *
 * client_io: jobs out, replies in.
 *
 * A job is published at most as often as the connection is lost before its confirm. Its
 * reply may come before its confirm, and after the job has settled: then nobody waits for it.
 */
#include "client.h"
#include "form.h"
#include "io.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 64 }; /* jobs published before what has come is looked at */

/* ---- without a server ------------------------------------------------------------------- */

static void later_alarm_locked(weir_remote *farm, int64_t at, wr_debts *debts)
{
    wr_set_alarm_locked(farm, &farm->give_up, at, debts);
}

/* The job's own wait begins when it is run, or when the connection is lost. */
static int64_t gives_up_at(const weir_remote *farm, const wr_flight *f)
{
    int64_t from = f->submitted > farm->down_since ? f->submitted : farm->down_since;
    return from + farm->options.give_up_ns;
}

void wr_client_give_up(wr_alarm *alarm, wr_debts *debts)
{
    weir_remote *farm = wr_of(alarm, weir_remote, give_up);
    int64_t      now = weir_now(), next = 0;
    if (farm->stats.connected)
        return;
    for (wr_node *n = farm->flights.next, *after; n != &farm->flights; n = after) {
        wr_flight *f = wr_of(n, wr_flight, in);
        int64_t    at = gives_up_at(farm, f);
        after = n->next;
        if (at <= now)
            wr_give_up_locked(f, WEIR_REMOTE_ELOST, "no server for give_up", debts);
        else if (!next || at < next)
            next = at;
    }
    later_alarm_locked(farm, next, debts);
}

void wr_client_wait_locked(weir_remote *farm, wr_debts *debts)
{
    if (!farm->stats.connected && !farm->give_up.place)
        later_alarm_locked(farm, weir_now() + farm->options.give_up_ns, debts);
}

/* ---- the connection ---------------------------------------------------------------------- */

/* The reply queue is gone, and with it perhaps the answer to what the server had. It expires
 * by the client's absence: that job is lost. Or somebody deleted it, or the server was killed
 * before it had written down that it has the queue: the job is published again. */
static void regain_locked(weir_remote *farm, bool expired, wr_debts *debts)
{
    for (wr_node *n = farm->flights.next, *after; n != &farm->flights; n = after) {
        wr_flight *f = wr_of(n, wr_flight, in);
        after = n->next;
        if (f->state != WR_CONFIRMED)
            continue;
        if (expired) {
            wr_settle_locked(f, WEIR_REMOTE_ELOST,
                             "this client was away for longer than its reply queue lives", NULL,
                             debts);
        } else {
            f->state = WR_WAITING;
            wr_list_push(&farm->waiting[f->level], &f->link);
        }
    }
}

/* Those of each level in the order of their publishing, before what was not published. */
static void wait_again_locked(weir_remote *farm)
{
    wr_node levels[WEIR_LEVELS];
    for (unsigned i = 0; i < WEIR_LEVELS; i++)
        wr_list_init(&levels[i]);
    for (wr_node *n; (n = wr_list_pop(&farm->sent));) {
        wr_flight *f = wr_of(n, wr_flight, link);
        f->state = WR_WAITING;
        wr_list_push(&levels[f->level], n);
    }
    for (unsigned i = 0; i < WEIR_LEVELS; i++)
        wr_list_prepend(&farm->waiting[i], &levels[i]);
}

static int client_connected(wr_io *io)
{
    weir_remote *farm = io->farm;
    wr_debts     debts;
    bool         was_there = true;
    io->ack = 0;
    if (wr_wire_exists(io->wire, farm->reply_queue, &was_there) != 0)
        return -1;
    io->gone |= !was_there; /* what follows may fail after it has made the queue */
    if (wr_wire_declare_reply(io->wire, farm->reply_queue, farm->options.reply_life_ns) != 0 ||
        wr_wire_consume(io->wire, farm->reply_queue, "reply") != 0)
        return -1;
    wr_lock(farm, &debts);
    if (io->gone)
        regain_locked(farm, weir_now() - farm->down_since >= farm->options.reply_life_ns, &debts);
    io->gone = false;
    farm->stats.connected = true;
    later_alarm_locked(farm, 0, &debts);
    wr_unlock(farm, &debts);
    return 0;
}

static void client_lost(wr_io *io)
{
    weir_remote *farm = io->farm;
    wr_debts     debts;
    wr_lock(farm, &debts);
    wait_again_locked(farm);
    if (farm->stats.connected)
        farm->down_since = weir_now();
    farm->stats.connected = false;
    if (farm->n_flights)
        wr_client_wait_locked(farm, &debts);
    wr_unlock(farm, &debts);
}

static bool wants_locked(wr_io *io)
{
    return io->farm->n_flights || !wr_list_empty(&io->farm->unwanted);
}

static bool may_end_locked(wr_io *io) { return io->blocked || wr_list_empty(&io->farm->unwanted); }

/* ---- out ------------------------------------------------------------------------------------ */

static wr_flight *first_locked(weir_remote *farm)
{
    static const weir_priority order[] = {WEIR_HIGH, WEIR_NORMAL, WEIR_LOW};
    for (unsigned i = 0; i < WEIR_LEVELS; i++) {
        wr_node *n = wr_list_pop(&farm->waiting[order[i]]);
        if (n)
            return wr_of(n, wr_flight, link);
    }
    return NULL;
}

static bool waits_locked(const weir_remote *farm)
{
    bool waits = false;
    for (unsigned i = 0; i < WEIR_LEVELS; i++)
        waits |= !wr_list_empty(&farm->waiting[i]);
    return waits;
}

/* The next job, SENT, with a reference; NULL: there is none. *more: whether there is another. */
static wr_flight *next(wr_io *io, uint64_t tag, bool *more)
{
    weir_remote *farm = io->farm;
    pthread_mutex_lock(&farm->lock);
    wr_flight *f = first_locked(farm);
    if (f) {
        f->state = WR_SENT;
        f->tag = tag;
        farm->stats.published++;
        farm->stats.republished += f->published;
        f->published = true;
        wr_list_push(&farm->sent, &f->link);
        wr_flight_ref(f);
    }
    *more = waits_locked(farm);
    pthread_mutex_unlock(&farm->lock);
    return f;
}

/* In milliseconds, so that the server does not hand it over too late. "": none. */
static void expiration(char *out, size_t room, const wr_flight *f)
{
    int64_t until = f->deadline, left;
    if (f->start_by && (!until || f->start_by < until))
        until = f->start_by;
    left = (until - weir_now()) / 1000000;
    *out = 0;
    if (until)
        snprintf(out, room, "%lld", (long long)(left > 0 ? left : 0));
}

static int publish(wr_io *io, const wr_flight *f)
{
    char     key[WEIR_REMOTE_NAME_MAX + 16], expires[24];
    uint64_t tag;
    snprintf(key, sizeof key, "weir.%s%s", f->name, wr_suffix(f->level));
    expiration(expires, sizeof expires, f);
    wr_message m = {.key = key, .mandatory = true, .tell_start = f->start_by != 0};
    m.only_if_wanted = f->only_if_wanted;
    m.type = wr_slice_of(WR_JOB_TYPE);
    m.content_type = wr_slice_of(f->content_type);
    m.id = wr_slice_of(f->known.id);
    m.reply_to = wr_slice_of(io->farm->reply_queue);
    m.expiration = wr_slice_of(*expires ? expires : NULL);
    m.body = (wr_slice){f->bytes, f->size};
    return wr_wire_publish(io->wire, &m, &tag);
}

static int publish_next(wr_io *io, bool *more)
{
    wr_flight *f = next(io, wr_wire_published(io->wire) + 1, more);
    int        code = f ? publish(io, f) : 0;
    if (f)
        wr_flight_unref(f);
    return code;
}

static int publish_jobs(wr_io *io)
{
    bool more = true;
    int  code = 0;
    for (int i = 0; !code && more && i < BATCH && !io->blocked && !wr_wire_has_much(io->wire); i++)
        code = publish_next(io, &more);
    io->more = more && !io->blocked;
    return code;
}

static wr_flight *next_unwanted(weir_remote *farm)
{
    pthread_mutex_lock(&farm->lock);
    wr_node *n = wr_list_pop(&farm->unwanted);
    pthread_mutex_unlock(&farm->lock);
    return n ? wr_of(n, wr_flight, unwanted) : NULL;
}

/* Best effort: a worker that does not hear of it runs the job all the same. */
static int tell_workers(wr_io *io)
{
    wr_flight *f;
    int        code = 0;
    while (!code && !io->blocked && (f = next_unwanted(io->farm))) {
        code = wr_wire_broadcast(io->wire, WR_CANCEL_EXCHANGE, f->known.id);
        wr_flight_unref(f);
    }
    return code;
}

static int send_jobs(wr_io *io)
{
    int code = 0;
    if (io->ack)
        code = wr_wire_ack(io->wire, io->ack, true);
    io->ack = 0;
    code = code ? code : tell_workers(io);
    return code ? code : publish_jobs(io);
}

/* ---- in ---------------------------------------------------------------------------------------
 */

/* sent is in the order of tags. What settled meanwhile is not there any more. */
static void confirmed(wr_io *io, const wr_event *event)
{
    weir_remote *farm = io->farm;
    wr_debts     debts;
    wr_lock(farm, &debts);
    for (wr_node *n = farm->sent.next, *after; n != &farm->sent; n = after) {
        wr_flight *f = wr_of(n, wr_flight, link);
        after = n->next;
        if (f->tag > event->tag)
            break;
        if (f->tag != event->tag && !event->multiple)
            continue;
        if (event->kind == WR_NACKED) {
            wr_settle_locked(f, WEIR_EFULL, "the server refuses it: the queue is full", NULL,
                             &debts);
        } else {
            wr_list_remove(n);
            f->state = WR_CONFIRMED;
            farm->stats.confirmed++;
        }
    }
    wr_unlock(farm, &debts);
}

static void returned(wr_io *io, const wr_event *event)
{
    weir_remote *farm = io->farm;
    wr_debts     debts;
    wr_lock(farm, &debts);
    wr_flight *f = wr_find_locked(farm, event->message.id.bytes, event->message.id.size);
    if (f)
        wr_settle_locked(f, WEIR_REMOTE_ENAME,
                         "the server has no such queue: weir-remote-setup declares it", NULL,
                         &debts);
    wr_unlock(farm, &debts);
}

/* The server counts deliveries and does not tell why they came to nothing. */
static const char *why_lost(const wr_message *m)
{
    if (wr_slice_is(m->reason, "delivery_limit"))
        return "it was delivered as often as its queue allows: each time its worker was lost, gave "
               "it "
               "back, or ran it for longer than run_within";
    return wr_slice_is(m->reason, "rejected") ? "a worker refused its message"
                                              : "it became a dead letter of its queue";
}

/* Takes answer. */
static void settle_locked(wr_flight *f, const wr_event *event, wr_answer *answer, wr_debts *debts)
{
    const wr_message *m = &event->message;
    if (event->too_big) {
        wr_settle_locked(f, WEIR_EFULL, "the result is larger than message_limit", NULL, debts);
    } else if (wr_slice_is(m->outcome, "ok")) {
        wr_settle_locked(f, answer ? 0 : WEIR_ENOMEM, "no memory for the result", answer, debts);
    } else if (wr_slice_is(m->outcome, "raised")) {
        wr_settle_locked(f, WEIR_REMOTE_ERAISED, "its handler gave no answer", answer, debts);
    } else if (wr_slice_is(m->outcome, "expired")) {
        wr_settle_locked(f, WEIR_EEXPIRED, "no worker had started it by its deadline", NULL, debts);
    } else if (wr_slice_is(m->outcome, "lost")) {
        wr_settle_locked(f, WEIR_REMOTE_ELOST, why_lost(m), NULL, debts);
    } else if (wr_slice_is(m->outcome, "started")) {
        f->started = true;
        wr_flight_arm_locked(f, debts);
    } else {
        f->farm->stats.refused++;
    }
}

static void delivered(wr_io *io, const wr_event *event)
{
    const wr_message *m = &event->message;
    weir_remote      *farm = io->farm;
    /* before the lock, because it may be long */
    wr_answer *answer = wr_form_is_reply(m) ? wr_form_answer(event) : NULL;
    wr_debts   debts;
    wr_lock(farm, &debts);
    wr_flight *f = wr_form_is_reply(m) ? wr_find_locked(farm, m->id.bytes, m->id.size) : NULL;
    if (f)
        settle_locked(f, event, answer, &debts);
    else if (wr_form_is_reply(m))
        farm->stats.duplicates += !wr_slice_is(m->outcome, "started");
    else
        farm->stats.refused++;
    wr_unlock(farm, &debts);
    if (!f)
        free(answer);
    io->ack = event->tag;
}

static int take_of_client(wr_io *io, const wr_event *event)
{
    switch (event->kind) {
    case WR_ACKED:
    case WR_NACKED: confirmed(io, event); break;
    case WR_RETURNED: returned(io, event); break;
    case WR_DELIVERED: delivered(io, event); break;
    default: break;
    }
    return 0;
}

/* Without a connection no worker can be told. */
static void forget_unwanted(wr_io *io)
{
    for (wr_flight *f; (f = next_unwanted(io->farm));)
        wr_flight_unref(f);
}

static const wr_kind client = {"client",  wants_locked,   may_end_locked, client_connected,
                               send_jobs, publish_jobs,   take_of_client, client_lost,
                               NULL,      forget_unwanted};

int wr_client_start(weir_remote *farm) { return wr_io_start(farm, WR_CLIENT, &client); }
