/* SPDX-License-Identifier: ISC
 *
 * wire: one connection, by librabbitmq.
 *
 * librabbitmq reads without waiting, and writes until all is written: a write may last as long
 * as the server takes no bytes. It keeps the heartbeats while its frames are asked for. So
 * this belongs to a thread of its own, and what must not wait is elsewhere.
 */
#include "wire.h"

#include "parcel.h"

#include <amqp_ssl_socket.h>
#include <amqp_tcp_socket.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { JOBS = 1, ASIDE = 2, ASKING = 3, CHANNELS = 4 };

static const char default_ca[] = "/etc/ssl/certs/ca-certificates.crt";

struct wr_wire {
    amqp_connection_state_t connection;
    bool                    open[CHANNELS];
    bool                    tls, drains; /* drains: there was something, so there may be more */
    uint64_t                published;
    wr_parcel               parcel[CHANNELS];
    char                    why[300];
};

static amqp_bytes_t bytes_of(wr_slice s)
{
    return (amqp_bytes_t){.len = s.size, .bytes = (void *)(uintptr_t)s.bytes};
}

static amqp_bytes_t text(const char *t) { return amqp_cstring_bytes(t ? t : ""); }

/* ---- reasons --------------------------------------------------------------------------- */

static int fail(wr_wire *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int fail(wr_wire *w, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(w->why, sizeof w->why, format, args);
    va_end(args);
    return -1;
}

static int status(wr_wire *w, int code)
{
    return code == AMQP_STATUS_OK ? 0 : fail(w, "%s", amqp_error_string2(code));
}

static int closed_by_server(wr_wire *w, const amqp_method_t *method)
{
    if (method->id == AMQP_CHANNEL_CLOSE_METHOD) {
        const amqp_channel_close_t *m = method->decoded;
        return fail(w, "the server says %d %.*s", m->reply_code, (int)m->reply_text.len,
                    (const char *)m->reply_text.bytes);
    }
    if (method->id == AMQP_CONNECTION_CLOSE_METHOD) {
        const amqp_connection_close_t *m = method->decoded;
        return fail(w, "the server says %d %.*s", m->reply_code, (int)m->reply_text.len,
                    (const char *)m->reply_text.bytes);
    }
    return fail(w, "the server sent the method 0x%08x", (unsigned)method->id);
}

static int reply(wr_wire *w, amqp_rpc_reply_t r)
{
    switch (r.reply_type) {
    case AMQP_RESPONSE_NORMAL: return 0;
    case AMQP_RESPONSE_LIBRARY_EXCEPTION: return status(w, r.library_error);
    case AMQP_RESPONSE_SERVER_EXCEPTION: return closed_by_server(w, &r.reply);
    default: return fail(w, "the server did not answer");
    }
}

static int answered(wr_wire *w) { return reply(w, amqp_get_rpc_reply(w->connection)); }

const char *wr_wire_why(const wr_wire *wire) { return wire->why; }

/* ---- channels --------------------------------------------------------------------------- */

static int open_channel(wr_wire *w, amqp_channel_t channel)
{
    if (w->open[channel])
        return 0;
    amqp_channel_open(w->connection, channel);
    int code = answered(w);
    w->open[channel] = code == 0;
    return code;
}

/* After a channel.close of the server's; 0 if the connection goes on. */
static int channel_closed(wr_wire *w, amqp_channel_t channel)
{
    amqp_channel_close_ok_t ok = {0};
    w->open[channel] = false;
    wr_parcel_clear(&w->parcel[channel]);
    return status(w, amqp_send_method(w->connection, channel, AMQP_CHANNEL_CLOSE_OK_METHOD, &ok));
}

/* The last call asked by channel: *done is false if the server closed only that channel. */
static int asked(wr_wire *w, amqp_channel_t channel, bool *done)
{
    amqp_rpc_reply_t r = amqp_get_rpc_reply(w->connection);
    *done = r.reply_type == AMQP_RESPONSE_NORMAL;
    if (r.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION && r.reply.id == AMQP_CHANNEL_CLOSE_METHOD)
        return channel_closed(w, channel);
    return reply(w, r);
}

/* ---- opening ---------------------------------------------------------------------------- */

static struct timeval timeval_of(int64_t ns)
{
    return (struct timeval){.tv_sec = ns / 1000000000, .tv_usec = ns % 1000000000 / 1000};
}

static amqp_socket_t *make_socket(wr_wire *w, const wr_url *url, const weir_remote_options *o)
{
    if (!url->tls)
        return amqp_tcp_socket_new(w->connection);
    amqp_socket_t *s = amqp_ssl_socket_new(w->connection);
    const char    *ca = o->ca_file ? o->ca_file : default_ca;
    if (s && amqp_ssl_socket_set_cacert(s, ca) != AMQP_STATUS_OK) {
        fail(w, "the certificates of %s cannot be read", ca);
        return NULL;
    }
    if (s) {
        amqp_ssl_socket_set_verify_peer(s, 1);
        amqp_ssl_socket_set_verify_hostname(s, 1);
    }
    return s;
}

static int connect_to(wr_wire *w, const wr_url *url, const weir_remote_options *o)
{
    struct timeval within = timeval_of(o->connect_within_ns);
    amqp_socket_t *s = make_socket(w, url, o);
    if (!s)
        return *w->why ? -1 : fail(w, "no memory");
    amqp_set_handshake_timeout(w->connection, &within);
    amqp_set_rpc_timeout(w->connection, &within);
    return status(w, amqp_socket_open_noblock(s, url->host, (int)url->port, &within));
}

static amqp_table_entry_t boolean(const char *key, bool value)
{
    return (amqp_table_entry_t){.key = amqp_cstring_bytes(key),
                                .value = {.kind = AMQP_FIELD_KIND_BOOLEAN, .value.boolean = value}};
}

static amqp_table_entry_t string(const char *key, wr_slice value)
{
    return (amqp_table_entry_t){
        .key = amqp_cstring_bytes(key),
        .value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = bytes_of(value)}};
}

static int log_in(wr_wire *w, const wr_url *url, const weir_remote_options *o, const char *what)
{
    amqp_table_entry_t able[] = {boolean("connection.blocked", true),
                                 boolean("consumer_cancel_notify", true)};
    amqp_table_entry_t all[] = {{.key = amqp_cstring_bytes("capabilities"),
                                 .value = {.kind = AMQP_FIELD_KIND_TABLE,
                                           .value.table = {.num_entries = 2, .entries = able}}},
                                string("connection_name", wr_slice_of(what))};
    amqp_table_t       properties = {.num_entries = 2, .entries = all};
    return reply(w, amqp_login_with_properties(w->connection, url->vhost, CHANNELS, 131072,
                                               (int)(o->heartbeat_ns / 1000000000), &properties,
                                               AMQP_SASL_METHOD_PLAIN, url->user, url->password));
}

static int confirm_mode(wr_wire *w)
{
    amqp_confirm_select(w->connection, JOBS);
    return answered(w);
}

int wr_wire_open(wr_wire **out, const wr_url *url, const weir_remote_options *options,
                 const char *what, char why[], size_t room)
{
    wr_wire *w = calloc(1, sizeof *w);
    snprintf(why, room, "no memory");
    if (!w)
        return -1;
    for (int i = 0; i < CHANNELS; i++)
        w->parcel[i].limit = options->message_limit;
    w->tls = url->tls;
    w->connection = amqp_new_connection();
    int code = w->connection ? connect_to(w, url, options) : fail(w, "no memory");
    code = code ? code : log_in(w, url, options, what);
    code = code ? code : open_channel(w, JOBS);
    code = code ? code : confirm_mode(w);
    if (code) {
        snprintf(why, room, "%s", w->why);
        wr_wire_close(w, false);
        return -1;
    }
    *out = w;
    return 0;
}

void wr_wire_close(wr_wire *wire, bool politely)
{
    if (wire->connection && politely)
        amqp_connection_close(wire->connection, AMQP_REPLY_SUCCESS);
    if (wire->connection)
        amqp_destroy_connection(wire->connection);
    for (int i = 0; i < CHANNELS; i++)
        wr_parcel_clear(&wire->parcel[i]);
    free(wire);
}

int wr_wire_fd(const wr_wire *wire) { return amqp_get_sockfd(wire->connection); }

/* ---- publishing --------------------------------------------------------------------------- */

static void set(amqp_basic_properties_t *p, amqp_flags_t flag, amqp_bytes_t *field, wr_slice value)
{
    if (!value.bytes)
        return;
    p->_flags |= flag;
    *field = bytes_of(value);
}

static int headers_of(amqp_table_entry_t *to, const wr_message *m)
{
    int n = 0;
    if (m->outcome.bytes)
        to[n++] = string("weir-outcome", m->outcome);
    if (m->result_type.bytes)
        to[n++] = string("weir-type", m->result_type);
    if (m->reason.bytes)
        to[n++] = string("x-first-death-reason", m->reason);
    if (m->queue.bytes)
        to[n++] = string("x-first-death-queue", m->queue);
    if (m->tell_start)
        to[n++] = boolean("weir-start", true);
    if (m->only_if_wanted)
        to[n++] = boolean("weir-wanted", true);
    return n;
}

int wr_wire_publish(wr_wire *wire, const wr_message *m, uint64_t *tag)
{
    enum { PERSISTENT = 2 };
    amqp_table_entry_t      headers[6];
    amqp_basic_properties_t p = {._flags = AMQP_BASIC_DELIVERY_MODE_FLAG,
                                 .delivery_mode = PERSISTENT};
    set(&p, AMQP_BASIC_TYPE_FLAG, &p.type, m->type);
    set(&p, AMQP_BASIC_CONTENT_TYPE_FLAG, &p.content_type, m->content_type);
    set(&p, AMQP_BASIC_CORRELATION_ID_FLAG, &p.correlation_id, m->id);
    set(&p, AMQP_BASIC_REPLY_TO_FLAG, &p.reply_to, m->reply_to);
    set(&p, AMQP_BASIC_EXPIRATION_FLAG, &p.expiration, m->expiration);
    p.headers = (amqp_table_t){.num_entries = headers_of(headers, m), .entries = headers};
    if (p.headers.num_entries)
        p._flags |= AMQP_BASIC_HEADERS_FLAG;
    *tag = ++wire->published;
    return status(wire, amqp_basic_publish(wire->connection, JOBS, text(m->exchange), text(m->key),
                                           m->mandatory, 0, &p, bytes_of(m->body)));
}

void wr_wire_hold(wr_wire *wire, bool hold)
{
#ifdef TCP_CORK
    int on = hold;
    setsockopt(wr_wire_fd(wire), IPPROTO_TCP, TCP_CORK, &on, sizeof on);
#else
    (void)wire;
    (void)hold;
#endif
}

uint64_t wr_wire_published(const wr_wire *wire) { return wire->published; }

int wr_wire_missing(wr_wire *wire, const char *queue)
{
    return fail(wire, "the server has no queue %s: weir-remote-setup declares it", queue);
}

int wr_wire_broadcast(wr_wire *wire, const char *exchange, const char *id)
{
    amqp_basic_properties_t p = {._flags = AMQP_BASIC_CORRELATION_ID_FLAG,
                                 .correlation_id = text(id)};
    if (open_channel(wire, ASIDE) != 0)
        return -1;
    return status(wire, amqp_basic_publish(wire->connection, ASIDE, text(exchange), text(""), 0, 0,
                                           &p, amqp_empty_bytes));
}

int wr_wire_ack(wr_wire *wire, uint64_t tag, bool multiple)
{
    return status(wire, amqp_basic_ack(wire->connection, JOBS, tag, multiple));
}

int wr_wire_give_back(wr_wire *wire, uint64_t tag, bool again)
{
    return status(wire, amqp_basic_reject(wire->connection, JOBS, tag, again));
}

/* ---- queues -------------------------------------------------------------------------------- */

int wr_wire_look(wr_wire *wire, const char *queue, bool *exists, unsigned *waiting,
                 unsigned *consumers)
{
    if (open_channel(wire, ASKING) != 0)
        return -1;
    amqp_queue_declare_ok_t *ok =
        amqp_queue_declare(wire->connection, ASKING, text(queue), 1, 0, 0, 0, amqp_empty_table);
    *waiting = ok ? ok->message_count : 0;
    *consumers = ok ? ok->consumer_count : 0;
    return asked(wire, ASKING, exists);
}

int wr_wire_exists(wr_wire *wire, const char *queue, bool *exists)
{
    unsigned waiting, consumers;
    return wr_wire_look(wire, queue, exists, &waiting, &consumers);
}

/* The answer to a get is the method that a parcel begins with. */
int wr_wire_get(wr_wire *wire, const char *queue, bool *there)
{
    amqp_rpc_reply_t r = amqp_basic_get(wire->connection, JOBS, text(queue), 0);
    amqp_frame_t     frame = {.frame_type = AMQP_FRAME_METHOD, .channel = JOBS};
    *there = false;
    if (reply(wire, r) != 0)
        return -1;
    if (r.reply.id != AMQP_BASIC_GET_OK_METHOD)
        return 0;
    frame.payload.method = r.reply;
    *there = true;
    if (wr_parcel_add(&wire->parcel[JOBS], &frame) != 0)
        return fail(wire, "a message while another one arrives");
    return 0;
}

static int declare(wr_wire *w, const char *queue, amqp_table_entry_t *argument)
{
    amqp_queue_declare(w->connection, JOBS, text(queue), 0, 1, 0, 0,
                       (amqp_table_t){.num_entries = 1, .entries = argument});
    return answered(w);
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
    amqp_table_entry_t quorum = string("x-queue-type", wr_slice_of("quorum"));
    return declare(wire, queue, &quorum);
}

int wr_wire_declare_cancel(wr_wire *wire)
{
    amqp_exchange_declare(wire->connection, JOBS, text(WR_CANCEL_EXCHANGE), text("fanout"), 0, 1, 0,
                          0, amqp_empty_table);
    return answered(wire);
}

int wr_wire_prefetch(wr_wire *wire, unsigned n)
{
    amqp_basic_qos(wire->connection, JOBS, 0, (uint16_t)(n > 65535 ? 65535 : n), 0);
    return answered(wire);
}

int wr_wire_consume(wr_wire *wire, const char *queue, const char *consumer)
{
    amqp_basic_consume(wire->connection, JOBS, text(queue), text(consumer), 0, 0, 0,
                       amqp_empty_table);
    return answered(wire);
}

int wr_wire_stop(wr_wire *wire, const char *consumer)
{
    amqp_basic_cancel(wire->connection, JOBS, text(consumer));
    return answered(wire);
}

int wr_wire_hear_cancels(wr_wire *wire, const char *consumer, bool *there)
{
    amqp_connection_state_t c = wire->connection;
    *there = false;
    if (open_channel(wire, ASIDE) != 0)
        return -1;
    amqp_queue_declare_ok_t *q =
        amqp_queue_declare(c, ASIDE, amqp_empty_bytes, 0, 0, 1, 1, amqp_empty_table);
    if (!q)
        return answered(wire);
    amqp_bytes_t name = amqp_bytes_malloc_dup(q->queue);
    amqp_queue_bind(c, ASIDE, name, text(WR_CANCEL_EXCHANGE), text(""), amqp_empty_table);
    int code = asked(wire, ASIDE, there);
    if (!code && *there) {
        amqp_basic_consume(c, ASIDE, name, text(consumer), 0, 1, 1, amqp_empty_table);
        code = answered(wire);
    }
    amqp_bytes_free(name);
    return code;
}

/* ---- what comes ---------------------------------------------------------------------------- */

static int of_connection(wr_wire *w, const amqp_frame_t *frame, wr_event *event)
{
    amqp_method_number_t id = frame->frame_type == AMQP_FRAME_METHOD ? frame->payload.method.id : 0;
    if (id == AMQP_CONNECTION_BLOCKED_METHOD)
        event->kind = WR_BLOCKED;
    else if (id == AMQP_CONNECTION_UNBLOCKED_METHOD)
        event->kind = WR_UNBLOCKED;
    else if (id == AMQP_CONNECTION_CLOSE_METHOD)
        return closed_by_server(w, &frame->payload.method);
    return 0;
}

/* A channel that the server closes beside the jobs' is opened anew when it is needed. */
static int of_channel(wr_wire *w, const amqp_frame_t *frame, wr_event *event)
{
    wr_parcel           *p = &w->parcel[frame->channel];
    amqp_method_number_t id = frame->frame_type == AMQP_FRAME_METHOD ? frame->payload.method.id : 0;
    if (id == AMQP_CHANNEL_CLOSE_METHOD && frame->channel != JOBS)
        return channel_closed(w, frame->channel);
    if (id == AMQP_CHANNEL_CLOSE_METHOD)
        return closed_by_server(w, &frame->payload.method);
    if (id == AMQP_BASIC_CANCEL_METHOD)
        return fail(w, "the server ended a consumer: its queue is gone");
    if (wr_parcel_add(p, frame) != 0)
        return fail(w, "a frame out of its order on channel %d, or no memory", frame->channel);
    if (p->stage == WR_PARCEL_DONE)
        *event = p->event;
    return 0;
}

void wr_wire_forget(wr_wire *wire)
{
    for (amqp_channel_t i = 0; i < CHANNELS; i++)
        if (wire->parcel[i].stage == WR_PARCEL_DONE || i == 0) {
            wr_parcel_clear(&wire->parcel[i]);
            amqp_maybe_release_buffers_on_channel(wire->connection, i);
        }
}

int wr_wire_next(wr_wire *wire, wr_event *event)
{
    struct timeval none = {0};
    *event = (wr_event){.kind = WR_NOTHING};
    wire->drains = wire->tls;
    wr_wire_forget(wire);
    while (event->kind == WR_NOTHING) {
        amqp_frame_t frame;
        int          code = amqp_simple_wait_frame_noblock(wire->connection, &frame, &none);
        if (code == AMQP_STATUS_TIMEOUT)
            return wire->drains = false;
        if (code != AMQP_STATUS_OK)
            return status(wire, code);
        if (frame.channel >= CHANNELS)
            return fail(wire, "a frame of channel %d, which is not open", frame.channel);
        code = frame.channel ? of_channel(wire, &frame, event) : of_connection(wire, &frame, event);
        if (code)
            return code;
    }
    return 0;
}

/* OpenSSL may have read what the descriptor does not tell of. */
bool wr_wire_has_more(const wr_wire *wire)
{
    return wire->drains || amqp_frames_enqueued(wire->connection) ||
           amqp_data_in_buffer(wire->connection);
}
