/* SPDX-License-Identifier: ISC
 *
 * ask: what a connection asks its server for, and waits for the answer.
 */
#include "wire_own.h"

int wr_wire_look(wr_wire *wire, const char *queue, bool *exists, unsigned *waiting,
                 unsigned *consumers)
{
    if (wr_wire_open_channel(wire, ASKING) != 0 || wr_wire_flush_all(wire) != 0)
        return -1;
    amqp_queue_declare_ok_t *ok = amqp_queue_declare(wire->connection, ASKING, wr_wire_text(queue),
                                                     1, 0, 0, 0, amqp_empty_table);
    *waiting = ok ? ok->message_count : 0;
    *consumers = ok ? ok->consumer_count : 0;
    return wr_wire_asked(wire, ASKING, exists);
}

int wr_wire_exists(wr_wire *wire, const char *queue, bool *exists)
{
    unsigned waiting, consumers;
    return wr_wire_look(wire, queue, exists, &waiting, &consumers);
}

/* The answer to a get is the method that a parcel begins with. */
int wr_wire_get(wr_wire *wire, const char *queue, bool *there)
{
    amqp_rpc_reply_t r = amqp_basic_get(wire->connection, JOBS, wr_wire_text(queue), 0);
    amqp_frame_t     frame = {.frame_type = AMQP_FRAME_METHOD, .channel = JOBS};
    *there = false;
    if (wr_wire_reply(wire, r) != 0)
        return -1;
    if (r.reply.id != AMQP_BASIC_GET_OK_METHOD)
        return 0;
    frame.payload.method = r.reply;
    *there = true;
    if (wr_parcel_add(&wire->parcel[JOBS], &frame) != 0)
        return wr_wire_fail(wire, "a message while another one arrives");
    return 0;
}

static int declare(wr_wire *w, const char *queue, amqp_table_entry_t *argument)
{
    amqp_queue_declare(w->connection, JOBS, wr_wire_text(queue), 0, 1, 0, 0,
                       (amqp_table_t){.num_entries = 1, .entries = argument});
    return wr_wire_answered(w);
}

int wr_wire_declare_reply(wr_wire *wire, const char *queue, int64_t life_ns)
{
    int64_t            ms = life_ns / 1000000;
    amqp_table_entry_t expires = {
        .key = amqp_cstring_bytes("x-expires"),
        .value = {.kind = AMQP_FIELD_KIND_I64, .value.i64 = ms > 0 ? ms : 1}};
    return declare(wire, queue, &expires);
}

int wr_wire_declare(wr_wire *wire, const char *queue)
{
    amqp_table_entry_t quorum = wr_wire_string("x-queue-type", wr_slice_of("quorum"));
    return declare(wire, queue, &quorum);
}

int wr_wire_declare_cancel(wr_wire *wire)
{
    amqp_exchange_declare(wire->connection, JOBS, wr_wire_text(WR_CANCEL_EXCHANGE),
                          wr_wire_text("fanout"), 0, 1, 0, 0, amqp_empty_table);
    return wr_wire_answered(wire);
}

int wr_wire_prefetch(wr_wire *wire, unsigned n)
{
    amqp_basic_qos(wire->connection, JOBS, 0, (uint16_t)(n > 65535 ? 65535 : n), 0);
    return wr_wire_answered(wire);
}

int wr_wire_consume(wr_wire *wire, const char *queue, const char *consumer)
{
    amqp_basic_consume(wire->connection, JOBS, wr_wire_text(queue), wr_wire_text(consumer), 0, 0, 0,
                       amqp_empty_table);
    return wr_wire_answered(wire);
}

int wr_wire_stop(wr_wire *wire, const char *consumer)
{
    if (wr_wire_flush_all(wire) != 0)
        return -1;
    amqp_basic_cancel(wire->connection, JOBS, wr_wire_text(consumer));
    return wr_wire_answered(wire);
}

int wr_wire_hear_cancels(wr_wire *wire, const char *consumer, bool *there)
{
    amqp_connection_state_t c = wire->connection;
    *there = false;
    if (wr_wire_open_channel(wire, ASIDE) != 0)
        return -1;
    amqp_queue_declare_ok_t *q =
        amqp_queue_declare(c, ASIDE, amqp_empty_bytes, 0, 0, 1, 1, amqp_empty_table);
    if (!q)
        return wr_wire_answered(wire);
    amqp_bytes_t name = amqp_bytes_malloc_dup(q->queue);
    amqp_queue_bind(c, ASIDE, name, wr_wire_text(WR_CANCEL_EXCHANGE), wr_wire_text(""),
                    amqp_empty_table);
    int code = wr_wire_asked(wire, ASIDE, there);
    if (!code && *there) {
        amqp_basic_consume(c, ASIDE, name, wr_wire_text(consumer), 0, 1, 1, amqp_empty_table);
        code = wr_wire_answered(wire);
    }
    amqp_bytes_free(name);
    return code;
}
