/* SPDX-License-Identifier: ISC
 *
 * What is written: frames as librabbitmq reads them, and a socket that takes some of them.
 */
#include "harness.h"
#include "outbox.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FRAME = 4096, BODY = 20000, LARGE = 3000000 };

typedef struct {
    wr_outbox o;
    int       near, far;
    char     *came;
    size_t    n_came;
} writing;

static void writing_begin(writing *w)
{
    int pair[2];
    expect_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    *w = (writing){.o = {.frame_max = FRAME}, .near = pair[0], .far = pair[1]};
    w->came = real_zalloc(2 * LARGE);
}

static void writing_end(writing *w)
{
    wr_outbox_clear(&w->o);
    close(w->near);
    close(w->far);
    free(w->came);
}

static void take_some(writing *w)
{
    ssize_t n = recv(w->far, w->came + w->n_came, 2 * LARGE - w->n_came, MSG_DONTWAIT);
    w->n_came += n > 0 ? (size_t)n : 0;
}

static int add_message(writing *w, wr_slice body)
{
    amqp_basic_publish_t    how = {.routing_key = amqp_cstring_bytes("weir.x"), .mandatory = 1};
    amqp_basic_properties_t p = {._flags = AMQP_BASIC_CORRELATION_ID_FLAG,
                                 .correlation_id = amqp_cstring_bytes("an id")};
    return wr_outbox_message(&w->o, 1, &how, &p, body);
}

static int add_ack(writing *w, uint64_t tag)
{
    amqp_basic_ack_t ack = {.delivery_tag = tag, .multiple = 1};
    return wr_outbox_method(&w->o, 2, AMQP_BASIC_ACK_METHOD, &ack);
}

static void look_at_method(const amqp_frame_t *f, int *publishes, uint64_t *acked)
{
    if (f->payload.method.id == AMQP_BASIC_PUBLISH_METHOD) {
        const amqp_basic_publish_t *m = f->payload.method.decoded;
        expect_eq(f->channel, 1);
        expect(m->mandatory && m->routing_key.len == 6);
        ++*publishes;
    } else {
        const amqp_basic_ack_t *m = f->payload.method.decoded;
        expect_eq(f->payload.method.id, AMQP_BASIC_ACK_METHOD);
        expect_eq(f->channel, 2);
        expect(m->multiple);
        *acked = m->delivery_tag;
    }
}

TEST(librabbitmq_reads_what_was_written)
{
    writing                 w;
    char                   *body = real_zalloc(BODY), *back = real_zalloc(BODY);
    size_t                  size = 0, announced = 0;
    int                     publishes = 0, beats = 0;
    uint64_t                acked = 0;
    amqp_connection_state_t c = amqp_new_connection();
    for (size_t i = 0; i < BODY; i++)
        body[i] = (char)(i * 7);
    writing_begin(&w);
    expect_eq(add_message(&w, (wr_slice){body, BODY}), 0);
    expect_eq(add_ack(&w, 77), 0);
    expect_eq(add_message(&w, (wr_slice){0}), 0);
    expect_eq(wr_outbox_heartbeat(&w.o), 0);
    expect_eq(wr_outbox_write(&w.o, w.near), 0);
    expect(!wr_outbox_waits(&w.o));
    take_some(&w);
    for (size_t at = 0; at < w.n_came;) {
        amqp_frame_t f;
        int          taken = amqp_handle_input(c, (amqp_bytes_t){w.n_came - at, w.came + at}, &f);
        expect_op(taken, >, 0);
        at += (size_t)taken;
        if (f.frame_type == AMQP_FRAME_METHOD) {
            look_at_method(&f, &publishes, &acked);
        } else if (f.frame_type == AMQP_FRAME_HEADER) {
            const amqp_basic_properties_t *p = f.payload.properties.decoded;
            announced += f.payload.properties.body_size;
            expect_eq(p->correlation_id.len, 5);
        } else if (f.frame_type == AMQP_FRAME_BODY) {
            expect_op(f.payload.body_fragment.len, <=, FRAME - 8);
            memcpy(back + size, f.payload.body_fragment.bytes, f.payload.body_fragment.len);
            size += f.payload.body_fragment.len;
        } else if (f.frame_type == AMQP_FRAME_HEARTBEAT) {
            beats++;
        }
    }
    expect_eq(publishes, 2);
    expect_eq(acked, 77);
    expect_eq(beats, 1);
    expect_eq(announced, BODY);
    expect_eq(size, BODY);
    expect(!memcmp(body, back, BODY));
    amqp_destroy_connection(c);
    writing_end(&w);
    free(body);
    free(back);
}

/* What is added meanwhile comes after it. */
TEST(what_a_socket_does_not_take_waits)
{
    writing w, whole;
    char   *body = real_zalloc(LARGE);
    for (size_t i = 0; i < LARGE; i++)
        body[i] = (char)(i * 31 >> 3);
    writing_begin(&w);
    writing_begin(&whole);
    expect_eq(add_message(&w, (wr_slice){body, LARGE}), 0);
    expect_eq(add_message(&whole, (wr_slice){body, LARGE}), 0);
    expect_eq(wr_outbox_write(&w.o, w.near), 0);
    expect(wr_outbox_waits(&w.o));
    expect_eq(add_message(&w, (wr_slice){body, LARGE / 2}), 0);
    expect_eq(add_message(&whole, (wr_slice){body, LARGE / 2}), 0);
    expect_eq(add_ack(&w, 5), 0);
    expect_eq(add_ack(&whole, 5), 0);
    while (wr_outbox_waits(&w.o)) {
        take_some(&w);
        expect_eq(wr_outbox_write(&w.o, w.near), 0);
    }
    take_some(&w);
    expect_eq(w.n_came, whole.o.end);
    expect(!memcmp(w.came, whole.o.bytes, w.n_came));
    writing_end(&w);
    writing_end(&whole);
    free(body);
}

TEST(a_socket_that_is_gone_is_told)
{
    writing w;
    writing_begin(&w);
    shutdown(w.far, SHUT_RDWR);
    expect_eq(add_ack(&w, 1), 0);
    expect_eq(wr_outbox_write(&w.o, w.near), -1);
    writing_end(&w);
}

/* A part of a message would end the connection. */
TEST(what_does_not_fit_into_memory_or_a_frame_adds_nothing)
{
    writing                 w;
    char                   *body = real_zalloc(LARGE);
    amqp_basic_publish_t    how = {0};
    amqp_basic_properties_t p = {._flags = AMQP_BASIC_HEADERS_FLAG};
    amqp_table_entry_t      large = {
             .key = amqp_cstring_bytes("large"),
             .value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = {FRAME, body}}};
    p.headers = (amqp_table_t){1, &large};
    writing_begin(&w);
    expect_eq(add_ack(&w, 1), 0);
    size_t end = w.o.end;
    fault_arm(FAULT_ALLOC, 1, 1);
    expect_eq(add_message(&w, (wr_slice){body, LARGE}), AMQP_STATUS_NO_MEMORY);
    expect(fault_disarm());
    expect_eq(w.o.end, end);
    expect_op(wr_outbox_message(&w.o, 1, &how, &p, (wr_slice){0}), <, 0);
    expect_eq(w.o.end, end);
    writing_end(&w);
    free(body);
}

SUITE(outbox, librabbitmq_reads_what_was_written, what_a_socket_does_not_take_waits,
      a_socket_that_is_gone_is_told, what_does_not_fit_into_memory_or_a_frame_adds_nothing)
