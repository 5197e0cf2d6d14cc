/* SPDX-License-Identifier: ISC
 *
 * wire_own: what the two halves of wire.h share: wire.c and ask.c.
 */
#ifndef WR_WIRE_OWN_H
#define WR_WIRE_OWN_H

#include "outbox.h"
#include "parcel.h"
#include "wire.h"

enum { JOBS = 1, ASIDE = 2, ASKING = 3, CHANNELS = 4 };

struct wr_wire {
    amqp_connection_state_t connection;
    bool                    open[CHANNELS];
    bool                    tls, drains; /* drains: there was something, so there may be more */
    bool                    buffered;
    wr_outbox               outbox;
    int64_t                 within, beat, wrote, heard; /* beat: the heartbeat, 0 for none */
    uint64_t                published;
    wr_parcel               parcel[CHANNELS];
    char                    why[300];
};

amqp_bytes_t       wr_wire_text(const char *text); /* NULL: "" */
amqp_table_entry_t wr_wire_string(const char *key, wr_slice value);

/* Notes why, returns -1. */
int wr_wire_fail(wr_wire *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
int wr_wire_reply(wr_wire *w, amqp_rpc_reply_t reply);
int wr_wire_answered(wr_wire *w); /* the last call asked */
/* The last call asked by channel: *done is false if the server closed only that channel. */
int wr_wire_asked(wr_wire *w, amqp_channel_t channel, bool *done);
int wr_wire_open_channel(wr_wire *w, amqp_channel_t channel);
/* Before librabbitmq writes. */
int wr_wire_flush_all(wr_wire *w);

#endif
