/* SPDX-License-Identifier: ISC
 *
 * answerer: replies and kept dead letters out, confirms in. Its ready and unconfirmed are
 * guarded by wire_lock, because a worker sends the reply of what it has run.
 */
#include "taken.h"

#include <stdlib.h>
#include <string.h>

static wr_taken *of_node(wr_node *n) { return wr_of(n, wr_taken, at); }

static bool always_locked(wr_io *io) { return io->farm->phase == WR_OPEN || io->farm->n_requests; }
static bool at_once_locked(wr_io *io)
{
    (void)io;
    return true;
}

/* A dead letter must not leave its queue before it has another. */
static int answerer_connected(wr_io *io)
{
    bool kept = false;
    if (wr_wire_exists(io->wire, WR_KEPT_QUEUE, &kept) != 0)
        return -1;
    return kept ? 0 : wr_wire_missing(io->wire, WR_KEPT_QUEUE);
}

static void replies_lost(wr_io *io)
{
    pthread_mutex_lock(&io->wire_lock);
    for (wr_node *n = io->unconfirmed.next; n != &io->unconfirmed; n = n->next)
        memset(of_node(n)->published, 0, sizeof of_node(n)->published);
    wr_list_prepend(&io->ready, &io->unconfirmed);
    pthread_mutex_unlock(&io->wire_lock);
}

static wr_taken *next_ready(wr_io *io)
{
    pthread_mutex_lock(&io->wire_lock);
    wr_node *n = wr_list_pop(&io->ready);
    pthread_mutex_unlock(&io->wire_lock);
    return n ? of_node(n) : NULL;
}

/* A farm that closes without a server does not wait for one: the server runs the jobs again,
 * as it must, because they are not acknowledged. */
static void drop_all(wr_io *io)
{
    pthread_mutex_lock(&io->farm->lock);
    bool closes = io->farm->phase != WR_OPEN;
    pthread_mutex_unlock(&io->farm->lock);
    for (wr_taken *t; closes && (t = next_ready(io));) {
        t->verb = WR_AGAIN;
        wr_taken_to_taker(t);
    }
}

/* ---- out --------------------------------------------------------------------------------- */

static const char *outcome_of(const wr_taken *t)
{
    return t->is_dead                 ? "lost"
           : t->verdict == WR_REPLY   ? "ok"
           : t->verdict == WR_EXPIRED ? "expired"
                                      : "raised";
}

/* name, 0, text, 0; NULL: no memory. */
static char *error_body(const wr_answer *answer, size_t *size)
{
    size_t name = strlen(answer->error_name) + 1, text = strlen(answer->error_text) + 1;
    char  *body = malloc(name + text);
    if (!body)
        return NULL;
    memcpy(body, answer->error_name, name);
    memcpy(body + name, answer->error_text, text);
    *size = name + text;
    return body;
}

static int publish_reply(wr_io *io, wr_taken *t)
{
    const wr_answer *answer = t->request.answer; /* constant once the task is over */
    char            *error = NULL;
    size_t           size = 0;
    wr_message       m = {.key = t->reply_to};
    m.type = wr_slice_of(WR_REPLY_TYPE);
    m.content_type = wr_slice_of(WR_REPLY_CONTENT);
    m.id = wr_slice_of(t->request.id);
    m.outcome = wr_slice_of(outcome_of(t));
    m.reason = wr_slice_of(t->is_dead ? t->reason : NULL);
    if (t->verdict == WR_REPLY && !t->is_dead) {
        m.result_type = wr_slice_of(answer->content_type);
        m.body = (wr_slice){answer->bytes, answer->size};
    } else if (t->verdict == WR_RAISED && !t->is_dead) {
        error = error_body(answer, &size);
        m.body = (wr_slice){error, error ? size : 0};
    }
    int code = wr_wire_publish(io->wire, &m, &t->published[0]);
    free(error);
    return code;
}

static int publish_kept(wr_io *io, wr_taken *t)
{
    wr_message m = {.key = WR_KEPT_QUEUE};
    m.type = wr_slice_of(t->type);
    m.content_type = wr_slice_of(t->request.content_type);
    m.id = wr_slice_of(t->request.id);
    m.reply_to = wr_slice_of(t->reply_to);
    m.reason = wr_slice_of(t->reason);
    m.queue = wr_slice_of(t->queue);
    m.body = (wr_slice){t->request.bytes, t->request.size};
    return wr_wire_publish(io->wire, &m, &t->published[1]);
}

static int send_replies(wr_io *io)
{
    int code = 0;
    while (!code && !io->blocked && !wr_list_empty(&io->ready) && !wr_wire_has_much(io->wire)) {
        wr_taken *t = of_node(wr_list_pop(&io->ready));
        wr_list_push(&io->unconfirmed, &t->at);
        if (t->reply_to)
            code = publish_reply(io, t);
        if (!code && t->is_dead)
            code = publish_kept(io, t);
    }
    io->more = !io->blocked && !wr_list_empty(&io->ready);
    return code;
}

/* ---- in ------------------------------------------------------------------------------------ */

static bool is_whole(wr_taken *t, const wr_event *event)
{
    bool rest = false;
    for (int i = 0; i < 2; i++) {
        bool this = event->multiple ? t->published[i] <= event->tag : t->published[i] == event->tag;
        if (this)
            t->published[i] = 0;
        rest |= t->published[i] != 0;
    }
    return !rest;
}

/* Those of which now all is confirmed. */
static void confirmed_locked(wr_io *io, const wr_event *event, wr_node *whole)
{
    for (wr_node *n = io->unconfirmed.next, *after; n != &io->unconfirmed; n = after) {
        wr_taken *t = of_node(n);
        after = n->next;
        if (event->kind == WR_NACKED && t->is_dead)
            t->verb = WR_AGAIN;
        if (is_whole(t, event)) {
            wr_list_remove(n);
            wr_list_push(whole, n);
        }
    }
}

/* A reply that its queue does not take is nobody's any more. A dead letter that is not kept
 * stays where it is. */
static int take_confirm(wr_io *io, const wr_event *event)
{
    wr_node whole;
    if (event->kind != WR_ACKED && event->kind != WR_NACKED)
        return 0;
    wr_list_init(&whole);
    pthread_mutex_lock(&io->wire_lock);
    confirmed_locked(io, event, &whole);
    pthread_mutex_unlock(&io->wire_lock);
    wr_taken_let_go(io->farm, &whole);
    return 0;
}

const wr_kind wr_answerer = {"worker (replies)", always_locked, at_once_locked, answerer_connected,
                             send_replies,       send_replies,  take_confirm,   replies_lost,
                             drop_all,           NULL};
