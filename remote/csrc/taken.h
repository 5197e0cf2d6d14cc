/* SPDX-License-Identifier: ISC
 *
 * taken: a message that the taker has and the server still keeps. The taker hands a job to
 * the served pool and a dead letter to the answerer. The reply goes out on the answerer's wire,
 * by the thread that ran the job if it can. When the server has confirmed it, the answerer has
 * the server forget the message, on the taker's wire. Where a thread finds a wire in use, it
 * sends the taken to that wire's thread. It belongs to the thread that has it, and on ready
 * and unconfirmed to who has the wire.
 */
#ifndef WR_TAKEN_H
#define WR_TAKEN_H

#include "io.h"
#include "request.h"

enum wr_verb { WR_ACK = 0, WR_AGAIN };

typedef struct {
    weir_request request;
    weir_notice  hop, begun;      /* on its way to a thread; its handler has begun */
    wr_node      at;              /* on ready or unconfirmed of the answerer */
    uint64_t     tag, generation; /* of the delivery */
    uint64_t     published[2];    /* what the server has not confirmed yet; 0: nothing */
    enum wr_verb verb;
    wr_verdict   verdict;
    bool         tell_start, is_dead;
    /* Of a dead letter; strings of its own block, as all of request's. */
    const char *type, *reason, *queue;
    const char *reply_to; /* NULL: nobody is to be answered */
} wr_taken;

/* A copy of what came; NULL: no memory. handler: of a job. */
wr_taken *wr_taken_copy(const wr_event *event, const wr_handler *handler);

/* To the answerer: has a dead letter published. The taker's thread. */
void wr_taken_to_answerer(wr_taken *t);
/* To the taker: has the server told by t->verb, and ends the request. */
void wr_taken_to_taker(wr_taken *t);
/* The same for all of the list, here if the taker's wire is free. Nobody else has the list. */
void wr_taken_let_go(weir_remote *farm, wr_node *list);

extern const wr_kind wr_taker, wr_answerer;

#endif
