/* SPDX-License-Identifier: ISC
 *
 * wire: one connection to a server, in the words of this library. WIRE.md is the format.
 *
 * Channel 1 carries the jobs or replies, with confirms. What may be refused by an error that
 * closes a channel (a queue or exchange that is not there) goes by channels 2 and 3, which
 * are opened again.
 *
 * At first librabbitmq writes all, at once, and may wait for the server. After wr_wire_buffer,
 * what is published, acknowledged and given back waits in memory for wr_wire_flush, which never
 * waits; the functions under "queues" go on to wait for an answer.
 *
 * Used by one thread at a time. Functions that return int return 0, or -1 if the connection is
 * of no more use: wr_wire_why says why.
 */
#ifndef WR_WIRE_H
#define WR_WIRE_H

#include "slice.h"
#include "url.h"
#include "weir_remote.h"

#define WR_JOB_TYPE "weir.job.1"
#define WR_REPLY_TYPE "weir.reply.1"
#define WR_REPLY_CONTENT "application/x-weir-reply"
#define WR_REPLY_PREFIX "weir.reply."
#define WR_CANCEL_EXCHANGE "weir.cancel"
#define WR_DEAD_QUEUE "weir.dead"
#define WR_KEPT_QUEUE "weir.dead.kept"

typedef struct wr_wire wr_wire;

typedef struct {
    const char *exchange, *key; /* to publish; NULL: "" */
    bool        mandatory;
    wr_slice    type, content_type, id, reply_to, expiration, body;
    /* Headers. */
    wr_slice outcome, result_type, reason, queue; /* reason, queue: of a dead letter */
    uint64_t delivery_count;
    bool     tell_start, only_if_wanted;
    /* As it arrived. */
    uint64_t body_size; /* more than message_limit: body is empty */
} wr_message;

typedef enum {
    WR_NOTHING = 0, /* nothing has come */
    WR_DELIVERED,   /* message, tag, consumer, redelivered */
    WR_RETURNED,    /* message: no queue of that name */
    WR_ACKED,       /* tag, multiple: the server has it */
    WR_NACKED,      /* tag, multiple: it does not take it */
    WR_BLOCKED,     /* it takes nothing for the time being */
    WR_UNBLOCKED
} wr_event_kind;

typedef struct {
    wr_event_kind kind;
    uint64_t      tag;
    bool          multiple, redelivered, too_big;
    wr_slice      consumer;
    wr_message    message;
} wr_event;

/* Connects and logs in, with channel 1 in confirm mode. what: who it is for, shown by the
 * server. Returns 0, or -1 and the reason in why, which never holds the password. */
int  wr_wire_open(wr_wire **out, const wr_url *url, const weir_remote_options *options,
                  const char *what, char why[], size_t room);
void wr_wire_close(wr_wire *wire, bool politely);
int  wr_wire_fd(const wr_wire *wire);
/* Why a function returned -1; never NULL. */
const char *wr_wire_why(const wr_wire *wire);

/* -1, because a queue is not there that somebody must declare. */
int wr_wire_missing(wr_wire *wire, const char *queue);

/* Over TLS nothing is buffered, because librabbitmq alone can write there. */
void wr_wire_buffer(wr_wire *wire);
bool wr_wire_is_buffered(const wr_wire *wire);
/* Writes what waits, as far as the server takes it now. */
int wr_wire_flush(wr_wire *wire);
/* Something waits still, until the descriptor is writable. */
bool wr_wire_is_full(const wr_wire *wire);
/* So much waits that it had better be flushed before there is more. */
bool wr_wire_has_much(const wr_wire *wire);
/* The heartbeats of a connection that is buffered, to be called four times in each: sends what
 * is due, and fails if none has come for two. heard: the descriptor was readable. */
int wr_wire_beat(wr_wire *wire, bool heard);

/* How often something was published. */
uint64_t wr_wire_published(const wr_wire *wire);
/* tag: its number in WR_ACKED and WR_NACKED, 1 for the first. */
int wr_wire_publish(wr_wire *wire, const wr_message *message, uint64_t *tag);
/* By channel 2, without a confirm; what happens to it is not told. */
int wr_wire_broadcast(wr_wire *wire, const char *exchange, const char *id);
int wr_wire_ack(wr_wire *wire, uint64_t tag, bool multiple);
int wr_wire_give_back(wr_wire *wire, uint64_t tag, bool again); /* again: to the queue */

/* ---- queues ---- */

/* *exists: whether the server has a queue of that name. */
int wr_wire_exists(wr_wire *wire, const char *queue, bool *exists);
/* The same, and how many messages wait in it, and how many consume it. */
int wr_wire_look(wr_wire *wire, const char *queue, bool *exists, unsigned *waiting,
                 unsigned *consumers);
int wr_wire_declare_reply(wr_wire *wire, const char *queue, int64_t life_ns);
/* quorum, durable; what exists otherwise is an error. */
int wr_wire_declare(wr_wire *wire, const char *queue);
int wr_wire_declare_cancel(wr_wire *wire);
int wr_wire_prefetch(wr_wire *wire, unsigned n);
int wr_wire_consume(wr_wire *wire, const char *queue, const char *consumer);
int wr_wire_stop(wr_wire *wire, const char *consumer);
/* Asks for one message: if *there, it is the next WR_DELIVERED, to be acknowledged. */
int wr_wire_get(wr_wire *wire, const char *queue, bool *there);
/* A queue of this connection's own, bound to the exchange of cancels. *there: whether the
 * exchange is. Its deliveries need no ack. */
int wr_wire_hear_cancels(wr_wire *wire, const char *consumer, bool *there);

/* What comes next, without waiting. The event's bytes last until the next call. */
int wr_wire_next(wr_wire *wire, wr_event *event);
/* Whether wr_wire_next may have something though the descriptor is not readable. */
bool wr_wire_has_more(const wr_wire *wire);
/* The last event's bytes are not needed any more. */
void wr_wire_forget(wr_wire *wire);

#endif
