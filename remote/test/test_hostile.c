/* SPDX-License-Identifier: ISC
 *
 * Peers that send what they must not: to workers, to clients, and by the wire itself.
 */
#include "farm.h"
#include "options.h"
#include "parcel.h"
#include "server.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- frames: no server is needed ---------------------------------------------------------- */

static amqp_bytes_t some(uint64_t *seed)
{
    static char              bytes[64];
    static const char *const known[] = {"weir.job.1", "weir-outcome", "x-delivery-count", "ok"};
    const char              *text = known[rnd(seed) % 4];
    switch (rnd(seed) % 3) {
    case 0: return (amqp_bytes_t){.len = strlen(text), .bytes = (void *)(uintptr_t)text};
    case 1: return (amqp_bytes_t){.len = rnd(seed) % sizeof bytes, .bytes = bytes};
    default: return (amqp_bytes_t){0};
    }
}

static const uint8_t kinds[] = {AMQP_FIELD_KIND_BOOLEAN, AMQP_FIELD_KIND_I8,   AMQP_FIELD_KIND_U64,
                                AMQP_FIELD_KIND_UTF8,    AMQP_FIELD_KIND_I64,  AMQP_FIELD_KIND_VOID,
                                AMQP_FIELD_KIND_ARRAY,   AMQP_FIELD_KIND_TABLE};

static void random_header(amqp_table_entry_t *e, uint64_t *seed)
{
    *e = (amqp_table_entry_t){.key = some(seed)};
    e->value.kind = kinds[rnd(seed) % sizeof kinds];
    if (e->value.kind == AMQP_FIELD_KIND_UTF8)
        e->value.value.bytes = some(seed);
    else if (e->value.kind != AMQP_FIELD_KIND_ARRAY && e->value.kind != AMQP_FIELD_KIND_TABLE)
        e->value.value.u64 =
            e->value.kind == AMQP_FIELD_KIND_BOOLEAN ? 1 : (uint64_t)rnd(seed) << 32 | rnd(seed);
}

static void random_properties(amqp_basic_properties_t *p, amqp_table_entry_t *headers, int n,
                              uint64_t *seed)
{
    *p = (amqp_basic_properties_t){._flags = rnd(seed)};
    p->type = some(seed);
    p->content_type = some(seed);
    p->correlation_id = some(seed);
    p->reply_to = some(seed);
    p->expiration = some(seed);
    for (int i = 0; i < n; i++)
        random_header(&headers[i], seed);
    p->headers =
        (amqp_table_t){.num_entries = (int)(rnd(seed) % (unsigned)(n + 1)), .entries = headers};
}

typedef struct {
    amqp_basic_properties_t properties;
    amqp_table_entry_t      headers[6];
    amqp_basic_deliver_t    deliver;
    amqp_basic_return_t     returned;
    amqp_basic_ack_t        ack;
    amqp_basic_nack_t       nack;
    char                    body[256];
} parts_of_frame;

static amqp_frame_t random_frame(parts_of_frame *x, uint64_t *seed)
{
    static const uint8_t types[] = {AMQP_FRAME_METHOD, AMQP_FRAME_HEADER, AMQP_FRAME_BODY,
                                    AMQP_FRAME_BODY,   AMQP_FRAME_HEADER, 77};
    amqp_frame_t         f = {.frame_type = types[rnd(seed) % sizeof types]};
    const struct {
        amqp_method_number_t id;
        void                *decoded;
    } methods[] = {{AMQP_BASIC_DELIVER_METHOD, &x->deliver},
                   {AMQP_BASIC_RETURN_METHOD, &x->returned},
                   {AMQP_BASIC_ACK_METHOD, &x->ack},
                   {AMQP_BASIC_NACK_METHOD, &x->nack},
                   {AMQP_BASIC_QOS_OK_METHOD, NULL}};
    if (f.frame_type == AMQP_FRAME_METHOD) {
        unsigned one = rnd(seed) % 5;
        f.payload.method = (amqp_method_t){.id = methods[one].id, .decoded = methods[one].decoded};
    } else if (f.frame_type == AMQP_FRAME_HEADER) {
        random_properties(&x->properties, x->headers, 6, seed);
        f.payload.properties.class_id = rnd(seed) % 8 ? AMQP_BASIC_CLASS : 10;
        f.payload.properties.body_size =
            rnd(seed) % 4 ? rnd(seed) % 300 : UINT64_MAX - rnd(seed) % 3;
        f.payload.properties.decoded = &x->properties;
    } else if (f.frame_type == AMQP_FRAME_BODY) {
        f.payload.body_fragment =
            (amqp_bytes_t){.len = rnd(seed) % sizeof x->body, .bytes = x->body};
    }
    return f;
}

/* Under ASan: whatever comes, a parcel reads and keeps only what it was given, and at most its
 * limit. */
TEST(frames_in_any_order_and_form_are_taken_or_refused)
{
    static parts_of_frame x;
    wr_parcel             p = {.limit = 200};
    uint64_t              seed = test_seed();
    unsigned              whole = 0, refused = 0;
    for (unsigned i = 0; i < scaled(300000); i++) {
        amqp_frame_t f = random_frame(&x, &seed);
        if (wr_parcel_add(&p, &f) != 0) {
            refused++;
            wr_parcel_clear(&p);
        } else if (p.stage == WR_PARCEL_DONE) {
            whole++;
            expect_op(p.event.message.body.size, <=, 200);
            expect(!p.event.too_big || !p.event.message.body.size);
        }
    }
    expect_op(whole, >, 0);
    expect_op(refused, >, 0);
    wr_parcel_clear(&p);
}

/* One message with a body of so many bytes. */
static void add_message(wr_parcel *p, parts_of_frame *x, size_t size)
{
    amqp_frame_t f = {.frame_type = AMQP_FRAME_METHOD};
    f.payload.method = (amqp_method_t){.id = AMQP_BASIC_DELIVER_METHOD, .decoded = &x->deliver};
    expect_eq(wr_parcel_add(p, &f), 0);
    f = (amqp_frame_t){.frame_type = AMQP_FRAME_HEADER};
    f.payload.properties.class_id = AMQP_BASIC_CLASS;
    f.payload.properties.body_size = size;
    f.payload.properties.decoded = &x->properties;
    expect_eq(wr_parcel_add(p, &f), 0);
    f = (amqp_frame_t){.frame_type = AMQP_FRAME_BODY};
    f.payload.body_fragment = (amqp_bytes_t){.len = size, .bytes = x->body};
    expect_eq(wr_parcel_add(p, &f), 0);
    expect_eq(p->stage, WR_PARCEL_DONE);
}

TEST(a_body_is_kept_up_to_the_limit)
{
    static parts_of_frame x;
    wr_parcel             p = {.limit = 200};
    add_message(&p, &x, 200);
    expect(!p.event.too_big);
    expect_eq(p.event.message.body.size, 200);
    add_message(&p, &x, 201);
    expect(p.event.too_big);
    expect_eq(p.event.message.body.size, 0);
    wr_parcel_clear(&p);
}

/* ---- through a server ------------------------------------------------------------------------ */

typedef struct {
    weir_remote_options options;
    wr_url              url;
    wr_wire            *wire;
} stranger;

static void stranger_open(stranger *s)
{
    char                why[300];
    weir_remote_options o = server_options();
    *s = (stranger){0};
    expect_eq(wr_options_read(&s->options, &s->url, &o), 0);
    expect_eq(wr_wire_open(&s->wire, &s->url, &s->options, "stranger", why, sizeof why), 0);
}

static void stranger_close(stranger *s)
{
    wr_wire_close(s->wire, true);
    wr_options_clear(&s->options);
    wr_url_clear(&s->url);
}

static void publish(stranger *s, const wr_message *m)
{
    uint64_t tag;
    wr_event e = {0};
    expect_eq(wr_wire_publish(s->wire, m, &tag), 0);
    test_stage("a stranger's message is confirmed");
    while (e.kind != WR_ACKED || e.tag < tag)
        expect_eq(wr_wire_next(s->wire, &e), 0);
    test_stage(NULL);
}

static const char id[] = "01234567-89ab-4cde-8f01-23456789abcd";
static const char answer_to[] = "weir.reply.01234567-89ab-4cde-8f01-23456789abcd";

static wr_message good_job(void)
{
    return (wr_message){.key = "weir.echo",
                        .type = wr_slice_of(WR_JOB_TYPE),
                        .content_type = wr_slice_of("text/plain"),
                        .id = wr_slice_of(id),
                        .reply_to = wr_slice_of(answer_to),
                        .body = wr_slice_of("x")};
}

/* Each goes to the dead letters, and from there to those that are kept; none of them runs, and
 * the worker goes on. */
TEST(a_worker_refuses_what_is_no_job)
{
    client     c;
    worker     w;
    stranger   s;
    errand     e = ERRAND;
    unsigned   kept = 0, before = 0, consumers;
    bool       there;
    wr_message bad[6];
    for (int i = 0; i < 6; i++)
        bad[i] = good_job();
    bad[0].type = wr_slice_of("weir.job.2");
    bad[1].content_type = wr_slice_of(WR_REPLY_CONTENT);
    bad[2].id = wr_slice_of("short");
    bad[3].reply_to = wr_slice_of("weir.echo"); /* a queue of jobs */
    bad[4].reply_to = wr_slice_of("weir.reply.01234567-89ab-4cde-8f01-23456789abc/");
    bad[5].type = (wr_slice){0};
    client_open(&c, NULL);
    stranger_open(&s);
    expect_eq(wr_wire_look(s.wire, WR_KEPT_QUEUE, &there, &before, &consumers), 0);
    worker_start(&w, "echo", NULL);
    for (int i = 0; i < 6; i++)
        publish(&s, &bad[i]);
    test_stage("six messages are kept");
    while (kept < before + 6)
        expect_eq(wr_wire_look(s.wire, WR_KEPT_QUEUE, &there, &kept, &consumers), 0);
    expect_eq(kept, before + 6);
    expect_eq(ask(c.farm, &e, c.m, "echo", "x"), 0);
    worker_stop(&w);
    stranger_close(&s);
    client_close(&c);
}

/* Into the client's own reply queue, before the true answer. */
TEST(a_client_takes_only_answers_to_what_it_asked)
{
    client   c;
    worker   w;
    stranger s;
    errand   e = ERRAND;
    client_open(&c, NULL);
    stranger_open(&s);
    worker_start(&w, "holds", NULL);
    submit(c.farm, &e, c.m, "holds", "true");
    worker_says(&w, "holds");
    wr_message m = {.key = c.farm->reply_queue,
                    .type = wr_slice_of(WR_REPLY_TYPE),
                    .content_type = wr_slice_of(WR_REPLY_CONTENT),
                    .id = wr_slice_of(id),
                    .outcome = wr_slice_of("ok")};
    publish(&s, &m); /* a foreign id */
    m.id = wr_slice_of(e.job.id);
    m.type = wr_slice_of("other");
    publish(&s, &m); /* another type */
    m.type = wr_slice_of(WR_REPLY_TYPE);
    m.content_type = wr_slice_of("text/plain");
    publish(&s, &m); /* another content type */
    m.content_type = wr_slice_of(WR_REPLY_CONTENT);
    m.outcome = wr_slice_of("bogus");
    publish(&s, &m); /* an outcome that nobody knows */
    TURN_UNTIL(c, stats(c.farm).refused == 3);
    expect_eq(stats(c.farm).duplicates, 1);
    expect_eq(e.dones, 0);
    worker_go_on(&w);
    expect_eq(outcome_of(c.m, &e), 0);
    expect(!memcmp(e.result, "true", 4));
    worker_stop(&w);
    stranger_close(&s);
    client_close(&c);
}

/* 100 KiB in a header, and as many unknown ones as fit: they are passed over. */
TEST(a_worker_passes_over_headers_that_are_huge)
{
    client     c;
    worker     w;
    stranger   s;
    errand     e = ERRAND;
    char      *huge = real_zalloc(100000);
    wr_message m = good_job();
    client_open(&c, NULL);
    stranger_open(&s);
    worker_start(&w, "echo", NULL);
    memset(huge, 'h', 99999);
    m.result_type = wr_slice_of(huge);
    publish(&s, &m);
    expect_eq(ask(c.farm, &e, c.m, "echo", "x"), 0);
    free(huge);
    worker_stop(&w);
    stranger_close(&s);
    client_close(&c);
}

/* A job whose reply-to is another client's queue: that client did not ask, and drops it. */
TEST(a_client_drops_answers_to_what_a_stranger_asked_for_it)
{
    client     c;
    worker     w;
    stranger   s;
    errand     first = ERRAND, e = ERRAND;
    wr_message m = good_job();
    client_open(&c, NULL);
    stranger_open(&s);
    worker_start(&w, "echo", NULL);
    expect_eq(ask(c.farm, &first, c.m, "echo", "x"), 0); /* its reply queue is there */
    m.reply_to = wr_slice_of(c.farm->reply_queue);
    publish(&s, &m);
    TURN_UNTIL(c, stats(c.farm).duplicates == 1);
    expect_eq(ask(c.farm, &e, c.m, "echo", "y"), 0);
    expect_eq(stats(c.farm).settled, 2);
    worker_stop(&w);
    stranger_close(&s);
    client_close(&c);
}

/* An error without its zeros says nothing, and is still an error. */
TEST(an_error_of_another_form_is_an_error_without_a_text)
{
    static const char *const bodies[] = {"", "no zero", "one zero\0"};
    static const size_t      sizes[] = {0, 7, 9};
    client                   c;
    stranger                 s;
    worker                   w;
    client_open(&c, NULL);
    stranger_open(&s);
    worker_start(&w, "holds", NULL);
    for (int i = 0; i < 3; i++) {
        errand e = ERRAND;
        submit(c.farm, &e, c.m, "holds", "x");
        worker_says(&w, "holds");
        wr_message m = {.key = c.farm->reply_queue,
                        .type = wr_slice_of(WR_REPLY_TYPE),
                        .content_type = wr_slice_of(WR_REPLY_CONTENT),
                        .id = wr_slice_of(e.job.id),
                        .outcome = wr_slice_of("raised"),
                        .body = {bodies[i], sizes[i]}};
        publish(&s, &m);
        expect_eq(outcome_of(c.m, &e), WEIR_REMOTE_ERAISED);
        expect(has(e.text, "no answer"));
        worker_go_on(&w);
    }
    worker_stop(&w);
    stranger_close(&s);
    client_close(&c);
}

TEST(a_result_above_the_client_s_limit_is_refused_and_the_client_goes_on)
{
    client              c;
    worker              w;
    errand              e = ERRAND, small = ERRAND;
    stranger            s;
    char               *big = real_zalloc(1 << 20);
    weir_remote_options o = server_options();
    o.message_limit = 1000;
    client_open(&c, &o);
    stranger_open(&s);
    worker_start(&w, "holds,echo", NULL);
    submit(c.farm, &e, c.m, "holds", "x");
    worker_says(&w, "holds");
    wr_message m = {.key = c.farm->reply_queue,
                    .type = wr_slice_of(WR_REPLY_TYPE),
                    .content_type = wr_slice_of(WR_REPLY_CONTENT),
                    .id = wr_slice_of(e.job.id),
                    .outcome = wr_slice_of("ok"),
                    .body = {big, 1 << 20}};
    publish(&s, &m);
    expect_eq(outcome_of(c.m, &e), WEIR_EFULL);
    expect(has(e.text, "message_limit"));
    worker_go_on(&w);
    expect_eq(ask(c.farm, &small, c.m, "echo", "x"), 0);
    free(big);
    worker_stop(&w);
    stranger_close(&s);
    client_close(&c);
}

SUITE(frames, frames_in_any_order_and_form_are_taken_or_refused, a_body_is_kept_up_to_the_limit)
SUITE(hostile, a_worker_refuses_what_is_no_job, a_client_takes_only_answers_to_what_it_asked,
      a_worker_passes_over_headers_that_are_huge,
      a_client_drops_answers_to_what_a_stranger_asked_for_it,
      an_error_of_another_form_is_an_error_without_a_text,
      a_result_above_the_client_s_limit_is_refused_and_the_client_goes_on)
