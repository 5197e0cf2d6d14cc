/* SPDX-License-Identifier: ISC
 *
 * taken: a message between its arrival and its end.
 */
#include "taken.h"

#include "form.h"

#include <stdlib.h>
#include <string.h>

static wr_taken *of_request(weir_request *r) { return wr_of(r, wr_taken, request); }

/* ---- to the answerer ---------------------------------------------------------------------- */

static void hop(wr_taken *t, enum wr_which to, void (*fn)(weir_notice *, int))
{
    t->hop = (weir_notice){.fn = fn};
    if (weir_notice_expect(&t->hop, t->request.farm->io[to]->main) == 0)
        weir_notice_post(&t->hop, 0);
}

static void at_answerer(weir_notice *notice, int outcome)
{
    wr_taken *t = wr_of(notice, wr_taken, hop);
    wr_io    *io = t->request.farm->io[WR_ANSWERER];
    (void)outcome;
    pthread_mutex_lock(&io->wire_lock);
    wr_list_push(&io->ready, &t->at);
    io->more = true;
    pthread_mutex_unlock(&io->wire_lock);
}

void wr_taken_to_answerer(wr_taken *t) { hop(t, WR_ANSWERER, at_answerer); }

/* ---- the route of its request ------------------------------------------------------------ */

static int publish_started(wr_io *io, const wr_taken *t)
{
    uint64_t   tag;
    wr_message m = {.key = t->reply_to,
                    .type = wr_slice_of(WR_REPLY_TYPE),
                    .content_type = wr_slice_of(WR_REPLY_CONTENT),
                    .id = wr_slice_of(t->request.id),
                    .outcome = wr_slice_of("started")};
    return wr_wire_publish(io->wire, &m, &tag);
}

/* On the answerer's thread, by its notice, which comes before its end does. */
static void tell_started(weir_notice *notice, int outcome)
{
    wr_taken *t = wr_of(notice, wr_taken, begun);
    wr_io    *io = t->request.farm->io[WR_ANSWERER];
    (void)outcome;
    pthread_mutex_lock(&io->wire_lock);
    if (io->up && !io->blocked && !io->broken)
        io->broken = publish_started(io, t) != 0;
    pthread_mutex_unlock(&io->wire_lock);
}

/* A farm that closes gives back what it has not begun, so that its end takes no longer than the
 * handlers that run. If jobs of its own are in flight, these may be among them, and nobody
 * else may be there to run them. */
static bool gives_back(weir_remote *farm)
{
    pthread_mutex_lock(&farm->lock);
    bool gives = farm->phase != WR_OPEN && !farm->n_flights;
    pthread_mutex_unlock(&farm->lock);
    return gives;
}

static bool taken_begins(weir_request *r)
{
    wr_taken *t = of_request(r);
    if (gives_back(r->farm))
        return false;
    t->begun.fn = tell_started;
    if (t->tell_start && weir_notice_expect(&t->begun, r->farm->io[WR_ANSWERER]->main) == 0)
        weir_notice_post(&t->begun, 0);
    return true;
}

/* What tells its start goes the way that the start went, because it must come after it. */
static void answer(wr_taken *t)
{
    weir_remote *farm = t->request.farm;
    wr_io       *io = farm->io[WR_ANSWERER];
    if (t->tell_start || pthread_mutex_trylock(&io->wire_lock) != 0) {
        wr_taken_to_answerer(t);
        return;
    }
    wr_farm_ref(farm); /* the request may be over as soon as its reply is out */
    wr_list_push(&io->ready, &t->at);
    wr_io_send_unlocks(io);
    wr_farm_unref(farm);
}

/* Who has stopped what did not run: the close, or its client, who does not want it. */
static bool cancels(weir_remote *farm)
{
    pthread_mutex_lock(&farm->lock);
    bool it_does = farm->phase == WR_CANCELLING;
    pthread_mutex_unlock(&farm->lock);
    return it_does;
}

static bool runs_again(weir_request *r, wr_verdict verdict)
{
    switch (verdict) {
    case WR_RETRY:
    case WR_HUNG:
    case WR_UNSERVED: return true;
    case WR_STOPPED: return cancels(r->farm);
    default: return false;
    }
}

/* On a worker, or who else ends the request. */
static void taken_over(weir_request *r, wr_verdict verdict)
{
    wr_taken *t = of_request(r);
    t->verdict = verdict;
    t->verb = runs_again(r, verdict) ? WR_AGAIN : WR_ACK;
    if (t->verb == WR_AGAIN || verdict == WR_STOPPED || !t->reply_to)
        wr_taken_to_taker(t);
    else
        answer(t);
}

static void free_taken(weir_request *r) { free(of_request(r)); }

static const wr_route route = {taken_begins, taken_over, free_taken};

/* ---- copies ------------------------------------------------------------------------------- */

static const char *put_slice(char **at, wr_slice from)
{
    char *to = *at;
    if (from.size)
        memcpy(to, from.bytes, from.size);
    to[from.size] = 0;
    *at += from.size + 1;
    return to;
}

wr_taken *wr_taken_copy(const wr_event *event, const wr_handler *handler)
{
    const wr_message *m = &event->message;
    size_t room = m->body.size + m->id.size + m->content_type.size + m->type.size + m->reason.size +
                  m->queue.size + m->reply_to.size + 7;
    wr_taken *t = calloc(1, sizeof *t + room);
    if (!t)
        return NULL;
    char *at = (char *)(t + 1);
    t->request.bytes = put_slice(&at, m->body);
    t->request.size = m->body.size;
    t->request.id = put_slice(&at, m->id);
    t->request.content_type = put_slice(&at, m->content_type);
    t->type = put_slice(&at, m->type);
    t->reason = put_slice(&at, m->reason);
    t->queue = put_slice(&at, m->queue);
    t->reply_to = put_slice(&at, m->reply_to);
    if (!wr_form_may_answer(m->reply_to))
        t->reply_to = NULL;
    t->request.route = &route;
    t->request.handler = handler;
    t->request.attempt = (unsigned)(m->delivery_count < 1000000 ? m->delivery_count : 1000000) + 1;
    if (!m->delivery_count && event->redelivered)
        t->request.attempt = 2; /* a queue that does not count */
    t->tell_start = m->tell_start && t->reply_to;
    t->request.start_within = m->expiration.size ? wr_form_milliseconds(m->expiration) : 0;
    t->tag = event->tag;
    wr_list_init(&t->at);
    return t;
}

/* ---- to the taker -------------------------------------------------------------------------- */

/* A tag of an earlier connection says nothing: the server has queued that message again. */
static void tell_server_locked(wr_io *io, const wr_taken *t)
{
    if (!io->up || io->broken || t->generation != io->generation)
        return;
    int code = t->verb == WR_ACK ? wr_wire_ack(io->wire, t->tag, false)
                                 : wr_wire_give_back(io->wire, t->tag, true);
    io->broken = code != 0;
}

/* A farm that closes stops to consume before it gives anything back, because the server may
 * hand that to it again otherwise. */
static void at_taker(weir_notice *notice, int outcome)
{
    wr_taken *t = wr_of(notice, wr_taken, hop);
    wr_io    *io = t->request.farm->io[WR_TAKER];
    (void)outcome;
    pthread_mutex_lock(&io->wire_lock);
    if (t->verb == WR_AGAIN && io->up && !io->broken)
        io->broken = io->kind->send(io) != 0;
    tell_server_locked(io, t);
    pthread_mutex_unlock(&io->wire_lock);
    wr_request_end(&t->request);
}

void wr_taken_to_taker(wr_taken *t) { hop(t, WR_TAKER, at_taker); }

/* Whether the calling thread has the taker's wire now, and can write to it without waiting. */
static bool may_tell(wr_io *io)
{
    if (pthread_mutex_trylock(&io->wire_lock) != 0)
        return false;
    if (io->up && wr_wire_is_buffered(io->wire))
        return true;
    wr_io_send_unlocks(io);
    return false;
}

/* The requests end after the unlock, because the last one may end the farm. */
void wr_taken_let_go(weir_remote *farm, wr_node *list)
{
    wr_io *io = farm->io[WR_TAKER];
    bool   here = !wr_list_empty(list) && may_tell(io);
    for (wr_node *n = list->next; here && n != list; n = n->next)
        tell_server_locked(io, wr_of(n, wr_taken, at));
    if (here)
        wr_io_send_unlocks(io);
    for (wr_node *n; (n = wr_list_pop(list));) {
        wr_taken *t = wr_of(n, wr_taken, at);
        if (here)
            wr_request_end(&t->request);
        else
            wr_taken_to_taker(t);
    }
}
