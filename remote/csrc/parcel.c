/* SPDX-License-Identifier: ISC
 *
 * parcel: frames into messages. Whatever a peer wrote stays within its own message: sizes are
 * checked against the limit before memory is asked for, and unknown headers are passed over.
 */
#include "parcel.h"

#include <stdlib.h>
#include <string.h>

static wr_slice slice(amqp_bytes_t bytes) { return (wr_slice){bytes.bytes, bytes.len}; }

/* ---- headers ------------------------------------------------------------------------ */

static bool key_is(const amqp_table_entry_t *e, const char *name)
{
    return wr_slice_is(slice(e->key), name);
}

static uint64_t number(const amqp_field_value_t *v)
{
    switch (v->kind) {
    case AMQP_FIELD_KIND_I8: return v->value.i8 > 0 ? (uint64_t)v->value.i8 : 0;
    case AMQP_FIELD_KIND_U8: return v->value.u8;
    case AMQP_FIELD_KIND_I16: return v->value.i16 > 0 ? (uint64_t)v->value.i16 : 0;
    case AMQP_FIELD_KIND_U16: return v->value.u16;
    case AMQP_FIELD_KIND_I32: return v->value.i32 > 0 ? (uint64_t)v->value.i32 : 0;
    case AMQP_FIELD_KIND_U32: return v->value.u32;
    case AMQP_FIELD_KIND_I64: return v->value.i64 > 0 ? (uint64_t)v->value.i64 : 0;
    case AMQP_FIELD_KIND_U64: return v->value.u64;
    default: return 0;
    }
}

static void take_text(wr_message *m, const amqp_table_entry_t *e)
{
    const struct {
        const char *name;
        wr_slice   *to;
    } texts[] = {{"weir-outcome", &m->outcome},
                 {"weir-type", &m->result_type},
                 {"x-first-death-reason", &m->reason},
                 {"x-first-death-queue", &m->queue}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (key_is(e, texts[i].name))
            *texts[i].to = slice(e->value.value.bytes);
}

static void take_header(wr_message *m, const amqp_table_entry_t *e)
{
    bool is_true = e->value.kind == AMQP_FIELD_KIND_BOOLEAN && e->value.value.boolean;
    if (e->value.kind == AMQP_FIELD_KIND_UTF8)
        take_text(m, e);
    else if (key_is(e, "x-delivery-count"))
        m->delivery_count = number(&e->value);
    else if (key_is(e, "weir-start"))
        m->tell_start = is_true;
    else if (key_is(e, "weir-wanted"))
        m->only_if_wanted = is_true;
}

void wr_parcel_headers(wr_message *message, const amqp_table_t *headers)
{
    for (int i = 0; i < headers->num_entries; i++)
        take_header(message, &headers->entries[i]);
}

/* ---- frames --------------------------------------------------------------------------- */

static void begin(wr_parcel *p, wr_event_kind kind, amqp_bytes_t key)
{
    wr_parcel_clear(p);
    p->event.kind = kind;
    p->event.message.queue = slice(key); /* unless a header says more */
    p->stage = WR_HEADER_NEXT;
}

static void confirmed(wr_parcel *p, wr_event_kind kind, uint64_t tag, bool multiple)
{
    wr_parcel_clear(p);
    p->event.kind = kind;
    p->event.tag = tag;
    p->event.multiple = multiple;
    p->stage = WR_PARCEL_DONE;
}

static int add_method(wr_parcel *p, const amqp_method_t *method)
{
    if (method->id == AMQP_BASIC_DELIVER_METHOD) {
        const amqp_basic_deliver_t *m = method->decoded;
        begin(p, WR_DELIVERED, m->routing_key);
        p->event.tag = m->delivery_tag;
        p->event.redelivered = m->redelivered;
        p->event.consumer = slice(m->consumer_tag);
    } else if (method->id == AMQP_BASIC_GET_OK_METHOD) {
        const amqp_basic_get_ok_t *m = method->decoded;
        begin(p, WR_DELIVERED, m->routing_key);
        p->event.tag = m->delivery_tag;
        p->event.redelivered = m->redelivered;
    } else if (method->id == AMQP_BASIC_RETURN_METHOD) {
        begin(p, WR_RETURNED, ((const amqp_basic_return_t *)method->decoded)->routing_key);
    } else if (method->id == AMQP_BASIC_ACK_METHOD) {
        const amqp_basic_ack_t *m = method->decoded;
        confirmed(p, WR_ACKED, m->delivery_tag, m->multiple);
    } else if (method->id == AMQP_BASIC_NACK_METHOD) {
        const amqp_basic_nack_t *m = method->decoded;
        confirmed(p, WR_NACKED, m->delivery_tag, m->multiple);
    } else {
        return -1;
    }
    return 0;
}

static void take_properties(wr_message *m, const amqp_basic_properties_t *from)
{
    if (from->_flags & AMQP_BASIC_TYPE_FLAG)
        m->type = slice(from->type);
    if (from->_flags & AMQP_BASIC_CONTENT_TYPE_FLAG)
        m->content_type = slice(from->content_type);
    if (from->_flags & AMQP_BASIC_CORRELATION_ID_FLAG)
        m->id = slice(from->correlation_id);
    if (from->_flags & AMQP_BASIC_REPLY_TO_FLAG)
        m->reply_to = slice(from->reply_to);
    if (from->_flags & AMQP_BASIC_EXPIRATION_FLAG)
        m->expiration = slice(from->expiration);
    if (from->_flags & AMQP_BASIC_HEADERS_FLAG)
        wr_parcel_headers(m, &from->headers);
}

static int add_header(wr_parcel *p, const amqp_frame_t *frame)
{
    if (frame->payload.properties.class_id != AMQP_BASIC_CLASS)
        return -1;
    p->want = frame->payload.properties.body_size;
    take_properties(&p->event.message, frame->payload.properties.decoded);
    p->event.message.body_size = p->want;
    p->event.too_big = p->want > p->limit;
    p->stage = p->want ? WR_BODY_NEXT : WR_PARCEL_DONE;
    if (!p->want || p->event.too_big)
        return 0;
    p->body = malloc(p->want);
    p->event.message.body = (wr_slice){p->body, p->want};
    return p->body ? 0 : -1;
}

static int add_body(wr_parcel *p, amqp_bytes_t fragment)
{
    if (fragment.len > p->want - p->have)
        return -1;
    if (p->body)
        memcpy(p->body + p->have, fragment.bytes, fragment.len);
    p->have += fragment.len;
    if (p->have == p->want)
        p->stage = WR_PARCEL_DONE;
    return 0;
}

int wr_parcel_add(wr_parcel *parcel, const amqp_frame_t *frame)
{
    bool starts = parcel->stage == WR_NO_PARCEL || parcel->stage == WR_PARCEL_DONE;
    switch (frame->frame_type) {
    case AMQP_FRAME_METHOD: return starts ? add_method(parcel, &frame->payload.method) : -1;
    case AMQP_FRAME_HEADER: return parcel->stage == WR_HEADER_NEXT ? add_header(parcel, frame) : -1;
    case AMQP_FRAME_BODY:
        return parcel->stage == WR_BODY_NEXT ? add_body(parcel, frame->payload.body_fragment) : -1;
    default: return -1;
    }
}

void wr_parcel_clear(wr_parcel *parcel)
{
    size_t limit = parcel->limit;
    free(parcel->body);
    *parcel = (wr_parcel){.limit = limit};
}
