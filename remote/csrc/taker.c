/* SPDX-License-Identifier: ISC
 *
 * taker: jobs, cancels and dead letters in, acknowledgements out.
 */
#include "client.h"
#include "form.h"
#include "taken.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool always_locked(wr_io *io) { return io->farm->phase == WR_OPEN || io->farm->n_requests; }
static bool at_once_locked(wr_io *io)
{
    (void)io;
    return true;
}
static void nothing_lost(wr_io *io) { (void)io; }

/* ---- the connection --------------------------------------------------------------------- */

static int consume(wr_io *io, const char *queue, const char *consumer)
{
    bool there = false;
    if (wr_wire_exists(io->wire, queue, &there) != 0)
        return -1;
    return there ? wr_wire_consume(io->wire, queue, consumer) : wr_wire_missing(io->wire, queue);
}

static void consumer_of(char *out, size_t room, size_t handler, unsigned level)
{
    snprintf(out, room, "job.%zu.%u", handler, level);
}

static int consume_job(wr_io *io, size_t handler, weir_priority level)
{
    char queue[WEIR_REMOTE_NAME_MAX + 16], consumer[40];
    snprintf(queue, sizeof queue, "weir.%s%s", io->farm->handlers[handler].name, wr_suffix(level));
    consumer_of(consumer, sizeof consumer, handler, level);
    return consume(io, queue, consumer);
}

static int consume_all(wr_io *io)
{
    int code = consume(io, WR_DEAD_QUEUE, "dead");
    for (size_t i = 0; i < io->farm->n_handlers; i++)
        for (unsigned level = 0; level < WEIR_LEVELS; level++)
            code = code ? code : consume_job(io, i, level);
    return code;
}

static bool closes(wr_io *io)
{
    pthread_mutex_lock(&io->farm->lock);
    bool it_does = io->farm->phase != WR_OPEN;
    pthread_mutex_unlock(&io->farm->lock);
    return it_does;
}

static int taker_connected(wr_io *io)
{
    bool there;
    io->stopped = closes(io);
    if (io->stopped)
        return 0;
    if (wr_wire_hear_cancels(io->wire, "cancel", &there) != 0)
        return -1;
    if (!there)
        wr_tell(io->farm, WEIR_EINVAL,
                "worker of %s: no exchange %s, so that cancels do not come: "
                "weir-remote-setup declares it",
                io->farm->url.shown, WR_CANCEL_EXCHANGE);
    int code = wr_wire_prefetch(io->wire, io->farm->prefetch);
    return code ? code : consume_all(io);
}

/* A farm that closes takes no more. What it has taken goes on. */
static int stop_all(wr_io *io)
{
    char consumer[40];
    int  code = wr_wire_stop(io->wire, "dead");
    for (size_t i = 0; i < io->farm->n_handlers; i++)
        for (unsigned level = 0; !code && level < WEIR_LEVELS; level++) {
            consumer_of(consumer, sizeof consumer, i, level);
            code = wr_wire_stop(io->wire, consumer);
        }
    io->stopped = true;
    return code;
}

static int send_stops(wr_io *io) { return closes(io) && !io->stopped ? stop_all(io) : 0; }

static int send_nothing(wr_io *io)
{
    (void)io;
    return 0;
}

/* ---- what comes ---------------------------------------------------------------------------- */

static int acknowledge(wr_io *io, uint64_t tag)
{
    pthread_mutex_lock(&io->wire_lock);
    int code = wr_wire_ack(io->wire, tag, false);
    pthread_mutex_unlock(&io->wire_lock);
    return code;
}

static int refuse_message(wr_io *io, const wr_event *event, const char *why)
{
    pthread_mutex_lock(&io->farm->lock);
    io->farm->stats.refused++;
    pthread_mutex_unlock(&io->farm->lock);
    wr_tell(io->farm, WEIR_EINVAL, "worker of %s: a message of queue %.*s was refused: %s",
            io->farm->url.shown, (int)event->message.queue.size, event->message.queue.bytes, why);
    pthread_mutex_lock(&io->wire_lock);
    int code = wr_wire_give_back(io->wire, event->tag, false);
    pthread_mutex_unlock(&io->wire_lock);
    return code;
}

static const wr_handler *handler_of(wr_io *io, const wr_event *event, unsigned *level)
{
    size_t handler;
    if (!wr_form_consumer(event->consumer, &handler, level) || handler >= io->farm->n_handlers)
        return NULL;
    return &io->farm->handlers[handler];
}

/* Its copy, counted, or NULL. Without memory the server keeps it until the connection ends. */
static wr_taken *take_in(wr_io *io, const wr_event *event, const wr_handler *handler)
{
    wr_taken *t = wr_taken_copy(event, handler);
    if (!t)
        return NULL;
    t->generation = io->generation;
    if (wr_request_take(&t->request, io->farm) == 0)
        return t;
    free(t);
    return NULL;
}

/* What was on its way when the farm began to close. */
static int not_taken(wr_io *io, const wr_event *event)
{
    if (!closes(io))
        return 0;
    pthread_mutex_lock(&io->wire_lock);
    int code = send_stops(io);
    code = code ? code : wr_wire_give_back(io->wire, event->tag, true);
    pthread_mutex_unlock(&io->wire_lock);
    return code;
}

static int run(wr_io *io, const wr_event *event, const wr_handler *handler, unsigned level)
{
    wr_taken *t = take_in(io, event, handler);
    if (!t)
        return not_taken(io, event);
    t->request.level = level;
    if (wr_request_run(&t->request, NULL) != 0) {
        t->verb = WR_AGAIN;
        wr_taken_to_taker(t);
    }
    return 0;
}

/* Others cannot tell the server meanwhile, and send what they have to this thread. */
static int look_for_client(wr_io *io, const wr_event *event, bool *there)
{
    char queue[WR_ID + 12];
    snprintf(queue, sizeof queue, "%.*s", (int)event->message.reply_to.size,
             event->message.reply_to.bytes);
    pthread_mutex_lock(&io->wire_lock);
    int code = wr_wire_exists(io->wire, queue, there);
    pthread_mutex_unlock(&io->wire_lock);
    return code;
}

static int take_job(wr_io *io, const wr_event *event)
{
    unsigned          level = 0;
    const wr_handler *handler = handler_of(io, event, &level);
    const char       *fault = wr_form_fault(event);
    bool              wanted = true;
    if (!handler || fault)
        return refuse_message(io, event, handler ? fault : "nobody consumes it");
    if (event->message.only_if_wanted && look_for_client(io, event, &wanted) != 0)
        return -1;
    return wanted ? run(io, event, handler, level) : acknowledge(io, event->tag);
}

/* What expired has settled at its client. */
static int take_dead(wr_io *io, const wr_event *event)
{
    if (wr_slice_is(event->message.reason, "expired"))
        return acknowledge(io, event->tag);
    wr_taken *t = take_in(io, event, io->farm->handlers);
    if (!t)
        return not_taken(io, event);
    t->is_dead = true;
    wr_taken_to_answerer(t);
    return 0;
}

static void hear_cancel(wr_io *io, const wr_event *event)
{
    const wr_slice id = event->message.id;
    wr_debts       debts;
    wr_lock(io->farm, &debts);
    for (wr_node *n = io->farm->requests.next; n != &io->farm->requests; n = n->next) {
        weir_request *r = wr_of(n, weir_request, in);
        if (wr_slice_is(id, r->id))
            wr_request_stop(r, &debts);
    }
    wr_unlock(io->farm, &debts);
}

static int take_delivery(wr_io *io, const wr_event *event)
{
    if (event->kind != WR_DELIVERED)
        return 0;
    if (wr_slice_is(event->consumer, "dead"))
        return take_dead(io, event);
    if (!wr_slice_is(event->consumer, "cancel"))
        return take_job(io, event);
    hear_cancel(io, event);
    return 0;
}

const wr_kind wr_taker = {"worker",   always_locked, at_once_locked, taker_connected,
                          send_stops, send_nothing,  take_delivery,  nothing_lost,
                          NULL,       NULL};

int wr_worker_start(weir_remote *farm)
{
    int code = weir_pool_resize(farm->pool, 3, 4);
    code = code ? code : wr_io_start(farm, WR_ANSWERER, &wr_answerer);
    code = code ? code : wr_io_start(farm, WR_TAKER, &wr_taker);
    return code ? wr_fail(code, "weir_remote_serve: %s: %s", farm->url.shown, weir_strerror(code))
                : 0;
}
