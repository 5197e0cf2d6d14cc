/* SPDX-License-Identifier: ISC
 *
 * wire: one connection, by librabbitmq.
 *
 * librabbitmq reads without waiting, and writes until all is written: a write may last as long
 * as the server takes no bytes. So what a buffered connection writes goes by the outbox, and so
 * do its heartbeats, because librabbitmq would put its own into a frame that is half written.
 * It still writes what it has an answer to, when the outbox is empty.
 */
#include "wire_own.h"

#include <amqp_ssl_socket.h>
#include <amqp_tcp_socket.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char default_ca[] = "/etc/ssl/certs/ca-certificates.crt";

static amqp_bytes_t bytes_of(wr_slice s)
{
    return (amqp_bytes_t){.len = s.size, .bytes = (void *)(uintptr_t)s.bytes};
}

amqp_bytes_t wr_wire_text(const char *t) { return amqp_cstring_bytes(t ? t : ""); }

/* ---- reasons --------------------------------------------------------------------------- */

int wr_wire_fail(wr_wire *w, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(w->why, sizeof w->why, format, args);
    va_end(args);
    return -1;
}

static int status(wr_wire *w, int code)
{
    return code == AMQP_STATUS_OK ? 0 : wr_wire_fail(w, "%s", amqp_error_string2(code));
}

static int closed_by_server(wr_wire *w, const amqp_method_t *method)
{
    if (method->id == AMQP_CHANNEL_CLOSE_METHOD) {
        const amqp_channel_close_t *m = method->decoded;
        return wr_wire_fail(w, "the server says %d %.*s", m->reply_code, (int)m->reply_text.len,
                            (const char *)m->reply_text.bytes);
    }
    if (method->id == AMQP_CONNECTION_CLOSE_METHOD) {
        const amqp_connection_close_t *m = method->decoded;
        return wr_wire_fail(w, "the server says %d %.*s", m->reply_code, (int)m->reply_text.len,
                            (const char *)m->reply_text.bytes);
    }
    return wr_wire_fail(w, "the server sent the method 0x%08x", (unsigned)method->id);
}

int wr_wire_reply(wr_wire *w, amqp_rpc_reply_t r)
{
    switch (r.reply_type) {
    case AMQP_RESPONSE_NORMAL: return 0;
    case AMQP_RESPONSE_LIBRARY_EXCEPTION: return status(w, r.library_error);
    case AMQP_RESPONSE_SERVER_EXCEPTION: return closed_by_server(w, &r.reply);
    default: return wr_wire_fail(w, "the server did not answer");
    }
}

int wr_wire_answered(wr_wire *w) { return wr_wire_reply(w, amqp_get_rpc_reply(w->connection)); }

const char *wr_wire_why(const wr_wire *wire) { return wire->why; }

/* ---- what is written --------------------------------------------------------------------- */

void wr_wire_buffer(wr_wire *wire)
{
    amqp_connection_state_t c = wire->connection;
    if (wire->tls)
        return;
    wire->buffered = true;
    wire->outbox.frame_max = (size_t)amqp_get_frame_max(c);
    wire->beat = amqp_get_heartbeat(c) * INT64_C(1000000000);
    wire->wrote = wire->heard = weir_now();
    amqp_tune_connection(c, amqp_get_channel_max(c), amqp_get_frame_max(c), 0);
}

bool wr_wire_is_buffered(const wr_wire *wire) { return wire->buffered; }
bool wr_wire_is_full(const wr_wire *wire) { return wr_outbox_waits(&wire->outbox) > 0; }

bool wr_wire_has_much(const wr_wire *wire)
{
    enum { MUCH = 1 << 17 };
    return wr_outbox_waits(&wire->outbox) > MUCH;
}

int wr_wire_flush(wr_wire *wire)
{
    if (!wr_wire_is_full(wire))
        return 0;
    wire->wrote = weir_now();
    return wr_outbox_write(&wire->outbox, wr_wire_fd(wire)) == 0
               ? 0
               : wr_wire_fail(wire, "the connection does not take bytes: %s", strerror(errno));
}

/* Before librabbitmq writes. */
int wr_wire_flush_all(wr_wire *w)
{
    int     code = wr_wire_flush(w);
    int64_t until = weir_now() + w->within;
    while (!code && wr_wire_is_full(w)) {
        struct pollfd p = {.fd = wr_wire_fd(w), .events = POLLOUT};
        int64_t       left = until - weir_now();
        if (left <= 0)
            return wr_wire_fail(w, "the server takes no bytes");
        poll(&p, 1, (int)(left / 1000000) + 1);
        code = wr_wire_flush(w);
    }
    return code;
}

static int put_method(wr_wire *w, amqp_channel_t channel, amqp_method_number_t id, void *method)
{
    return status(w, w->buffered ? wr_outbox_method(&w->outbox, channel, id, method)
                                 : amqp_send_method(w->connection, channel, id, method));
}

static int put_message(wr_wire *w, amqp_channel_t channel, amqp_basic_publish_t *how,
                       amqp_basic_properties_t *p, wr_slice body)
{
    return status(w, w->buffered ? wr_outbox_message(&w->outbox, channel, how, p, body)
                                 : amqp_basic_publish(w->connection, channel, how->exchange,
                                                      how->routing_key, how->mandatory, 0, p,
                                                      bytes_of(body)));
}

int wr_wire_beat(wr_wire *wire, bool heard)
{
    int64_t now = weir_now();
    if (heard)
        wire->heard = now;
    if (!wire->buffered || !wire->beat)
        return 0;
    if (now - wire->heard > 2 * wire->beat)
        return wr_wire_fail(wire, "the server has sent nothing for two heartbeats");
    if (now - wire->wrote < wire->beat / 2 || wr_wire_is_full(wire))
        return 0;
    return status(wire, wr_outbox_heartbeat(&wire->outbox)) ? -1 : wr_wire_flush(wire);
}

/* ---- channels --------------------------------------------------------------------------- */

int wr_wire_open_channel(wr_wire *w, amqp_channel_t channel)
{
    if (w->open[channel])
        return 0;
    if (wr_wire_flush_all(w) != 0)
        return -1;
    amqp_channel_open(w->connection, channel);
    int code = wr_wire_answered(w);
    w->open[channel] = code == 0;
    return code;
}

/* After a channel.close of the server's; 0 if the connection goes on. */
static int channel_closed(wr_wire *w, amqp_channel_t channel)
{
    amqp_channel_close_ok_t ok = {0};
    w->open[channel] = false;
    wr_parcel_clear(&w->parcel[channel]);
    return put_method(w, channel, AMQP_CHANNEL_CLOSE_OK_METHOD, &ok);
}

/* The last call asked by channel: *done is false if the server closed only that channel. */
int wr_wire_asked(wr_wire *w, amqp_channel_t channel, bool *done)
{
    amqp_rpc_reply_t r = amqp_get_rpc_reply(w->connection);
    *done = r.reply_type == AMQP_RESPONSE_NORMAL;
    if (r.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION && r.reply.id == AMQP_CHANNEL_CLOSE_METHOD)
        return channel_closed(w, channel);
    return wr_wire_reply(w, r);
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
        wr_wire_fail(w, "the certificates of %s cannot be read", ca);
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
        return *w->why ? -1 : wr_wire_fail(w, "no memory");
    amqp_set_handshake_timeout(w->connection, &within);
    amqp_set_rpc_timeout(w->connection, &within);
    int code = amqp_socket_open_noblock(s, url->host, (int)url->port, &within);
    return code == AMQP_STATUS_SOCKET_ERROR /* of which librabbitmq drops the reason */
               ? wr_wire_fail(w, "cannot connect: nobody listens there, or it is out of reach")
               : status(w, code);
}

static amqp_table_entry_t boolean(const char *key, bool value)
{
    return (amqp_table_entry_t){.key = amqp_cstring_bytes(key),
                                .value = {.kind = AMQP_FIELD_KIND_BOOLEAN, .value.boolean = value}};
}

amqp_table_entry_t wr_wire_string(const char *key, wr_slice value)
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
                                wr_wire_string("connection_name", wr_slice_of(what))};
    amqp_table_t       properties = {.num_entries = 2, .entries = all};
    return wr_wire_reply(w, amqp_login_with_properties(w->connection, url->vhost, CHANNELS, 131072,
                                                       (int)(o->heartbeat_ns / 1000000000),
                                                       &properties, AMQP_SASL_METHOD_PLAIN,
                                                       url->user, url->password));
}

static int confirm_mode(wr_wire *w)
{
    amqp_confirm_select(w->connection, JOBS);
    return wr_wire_answered(w);
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
    w->within = options->connect_within_ns;
    w->connection = amqp_new_connection();
    int code = w->connection ? connect_to(w, url, options) : wr_wire_fail(w, "no memory");
    code = code ? code : log_in(w, url, options, what);
    code = code ? code : wr_wire_open_channel(w, JOBS);
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
    if (wire->connection && politely && wr_wire_flush_all(wire) == 0)
        amqp_connection_close(wire->connection, AMQP_REPLY_SUCCESS);
    if (wire->connection)
        amqp_destroy_connection(wire->connection);
    for (int i = 0; i < CHANNELS; i++)
        wr_parcel_clear(&wire->parcel[i]);
    wr_outbox_clear(&wire->outbox);
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
        to[n++] = wr_wire_string("weir-outcome", m->outcome);
    if (m->result_type.bytes)
        to[n++] = wr_wire_string("weir-type", m->result_type);
    if (m->reason.bytes)
        to[n++] = wr_wire_string("x-first-death-reason", m->reason);
    if (m->queue.bytes)
        to[n++] = wr_wire_string("x-first-death-queue", m->queue);
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
    amqp_basic_publish_t how = {.exchange = wr_wire_text(m->exchange),
                                .routing_key = wr_wire_text(m->key),
                                .mandatory = m->mandatory};
    *tag = ++wire->published;
    return put_message(wire, JOBS, &how, &p, m->body);
}

uint64_t wr_wire_published(const wr_wire *wire) { return wire->published; }

int wr_wire_missing(wr_wire *wire, const char *queue)
{
    return wr_wire_fail(wire, "the server has no queue %s: weir-remote-setup declares it", queue);
}

int wr_wire_broadcast(wr_wire *wire, const char *exchange, const char *id)
{
    amqp_basic_properties_t p = {._flags = AMQP_BASIC_CORRELATION_ID_FLAG,
                                 .correlation_id = wr_wire_text(id)};
    amqp_basic_publish_t    how = {.exchange = wr_wire_text(exchange)};
    if (wr_wire_open_channel(wire, ASIDE) != 0)
        return -1;
    return put_message(wire, ASIDE, &how, &p, (wr_slice){0});
}

int wr_wire_ack(wr_wire *wire, uint64_t tag, bool multiple)
{
    amqp_basic_ack_t ack = {.delivery_tag = tag, .multiple = multiple};
    return put_method(wire, JOBS, AMQP_BASIC_ACK_METHOD, &ack);
}

int wr_wire_give_back(wr_wire *wire, uint64_t tag, bool again)
{
    amqp_basic_reject_t reject = {.delivery_tag = tag, .requeue = again};
    return put_method(wire, JOBS, AMQP_BASIC_REJECT_METHOD, &reject);
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
        return wr_wire_fail(w, "the server ended a consumer: its queue is gone");
    if (wr_parcel_add(p, frame) != 0)
        return wr_wire_fail(w, "a frame out of its order on channel %d, or no memory",
                            frame->channel);
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
            return wr_wire_fail(wire, "a frame of channel %d, which is not open", frame.channel);
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
