/* SPDX-License-Identifier: ISC
 *
 * taken: a message between its arrival and its end.
 */
#include "taken.h"

#include "form.h"

#include <stdlib.h>
#include <string.h>

static wr_taken *of_request(weir_request *r) { return wr_of(r, wr_taken, request); }

/* ---- the route of its request ------------------------------------------------------------ */

/* On the answerer's thread, by its notice, which comes before its end does. */
static void tell_started(weir_notice *notice, int outcome)
{
    wr_taken  *t = wr_of(notice, wr_taken, begun);
    wr_io     *io = t->request.farm->io[WR_ANSWERER];
    uint64_t   tag;
    wr_message m = {.key = t->reply_to,
                    .type = wr_slice_of(WR_REPLY_TYPE),
                    .content_type = wr_slice_of(WR_REPLY_CONTENT),
                    .id = wr_slice_of(t->request.id),
                    .outcome = wr_slice_of("started")};
    (void)outcome;
    if (io->wire && !io->blocked && wr_wire_publish(io->wire, &m, &tag) != 0)
        io->broken = true;
}

static void taken_begun(weir_request *r)
{
    wr_taken *t = of_request(r);
    t->begun.fn = tell_started;
    if (t->tell_start && weir_notice_expect(&t->begun, r->farm->io[WR_ANSWERER]->main) == 0)
        weir_notice_post(&t->begun, 0);
}

/* On the answerer's thread. */
static void taken_over(weir_request *r, wr_verdict verdict)
{
    wr_taken *t = of_request(r);
    wr_io    *io = r->farm->io[WR_ANSWERER];
    t->verdict = verdict;
    t->verb =
        verdict == WR_RETRY || verdict == WR_HUNG || verdict == WR_UNSERVED ? WR_AGAIN : WR_ACK;
    if (t->verb == WR_AGAIN || verdict == WR_STOPPED || !t->reply_to) {
        wr_taken_to_taker(t);
        return;
    }
    wr_list_push(&io->ready, &t->at);
    io->more = true;
}

static void free_taken(weir_request *r) { free(of_request(r)); }

static const wr_route route = {taken_begun, taken_over, free_taken};

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

/* ---- from thread to thread ------------------------------------------------------------------ */

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
    wr_list_push(&io->ready, &t->at);
    io->more = true;
}

void wr_taken_to_answerer(wr_taken *t) { hop(t, WR_ANSWERER, at_answerer); }

/* A tag of an earlier connection says nothing: the server has queued that message again. */
static void at_taker(weir_notice *notice, int outcome)
{
    wr_taken *t = wr_of(notice, wr_taken, hop);
    wr_io    *io = t->request.farm->io[WR_TAKER];
    (void)outcome;
    if (io->wire && !io->broken && t->generation == io->generation) {
        int code = t->verb == WR_ACK ? wr_wire_ack(io->wire, t->tag, false)
                                     : wr_wire_give_back(io->wire, t->tag, t->verb == WR_AGAIN);
        io->broken = code != 0;
    }
    wr_request_end(&t->request);
}

void wr_taken_to_taker(wr_taken *t) { hop(t, WR_TAKER, at_taker); }
