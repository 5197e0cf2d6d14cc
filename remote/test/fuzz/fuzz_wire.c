/* SPDX-License-Identifier: ISC
 *
 * fuzz_wire.c: whatever a server sends. The input is what a socket would give, in frames as
 * librabbitmq takes them apart; what is whole goes through all that looks into a message, on
 * the client's side and on the worker's.
 *
 * With libFuzzer (clang -fsanitize=fuzzer -DLIBFUZZER) this is its target. Otherwise a program:
 * fuzz_wire FILE...: replays each file, then WEIR_SCALE * 20,000 mutations of them.
 */
#include "form.h"
#include "parcel.h"
#include "taken.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHANNELS = 4, LIMIT = 4096 };

static unsigned runnable, answers; /* jobs and replies of the right form */

static void need(bool ok)
{
    if (!ok)
        abort();
}

static void look_as_client(const wr_event *event)
{
    wr_answer *answer = wr_form_is_reply(&event->message) ? wr_form_answer(event) : NULL;
    if (answer && answer->error_name)
        need(strlen(answer->error_name) + strlen(answer->error_text) < event->message.body.size);
    need(!answer || answer->size <= LIMIT);
    answers += answer != NULL;
    free(answer);
}

static void look_as_worker(const wr_event *event)
{
    size_t    handler;
    unsigned  level;
    char      queue[64];
    wr_taken *t = wr_taken_copy(event, NULL);
    need(t != NULL);
    need(!t->reply_to || strlen(t->reply_to) == event->message.reply_to.size);
    need(t->request.start_within >= 0 && t->request.attempt > 0);
    if (!wr_form_fault(event)) {
        need(strlen(t->request.id) == WR_ID - 1 && t->reply_to);
        runnable++;
    }
    if (wr_form_consumer(event->consumer, &handler, &level))
        need(level < WEIR_LEVELS);
    if (wr_form_job_queue(event->message.queue, queue, sizeof queue))
        need(!strncmp(queue, "weir.", 5));
    free(t);
}

static void take(wr_parcel *p, const amqp_frame_t *frame)
{
    if (wr_parcel_add(p, frame) != 0) {
        wr_parcel_clear(p); /* the connection would end */
    } else if (p->stage == WR_PARCEL_DONE && p->event.kind == WR_DELIVERED) {
        need(p->event.message.body.size <= LIMIT);
        look_as_client(&p->event);
        look_as_worker(&p->event);
    }
}

/* amqp_handle_input takes no more than a frame at a time. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    wr_parcel parcels[CHANNELS] = {
        {.limit = LIMIT}, {.limit = LIMIT}, {.limit = LIMIT}, {.limit = LIMIT}};
    amqp_connection_state_t c = amqp_new_connection();
    need(c != NULL);
    for (size_t at = 0; at < size;) {
        amqp_frame_t frame;
        amqp_bytes_t rest = {.len = size - at, .bytes = (void *)(uintptr_t)(data + at)};
        int          taken = amqp_handle_input(c, rest, &frame);
        if (taken <= 0)
            break;
        at += (size_t)taken;
        if (frame.frame_type && frame.channel < CHANNELS)
            take(&parcels[frame.channel], &frame);
    }
    for (int i = 0; i < CHANNELS; i++)
        wr_parcel_clear(&parcels[i]);
    amqp_destroy_connection(c);
    return 0;
}

#ifndef LIBFUZZER

enum { FILES = 64, ROOM = 1024 };

static struct {
    size_t  size;
    uint8_t bytes[ROOM];
} corpus[FILES];

static uint64_t seed;

static uint32_t rnd(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33);
}

static void read_file(int i, const char *path)
{
    FILE *file = fopen(path, "re");
    need(file != NULL);
    corpus[i].size = fread(corpus[i].bytes, 1, ROOM, file);
    fclose(file);
    LLVMFuzzerTestOneInput(corpus[i].bytes, corpus[i].size);
}

/* One of the corpus with some bytes changed, cut, and the end of another behind it. */
static size_t mutate(uint8_t *out, int n)
{
    static const uint8_t odd[] = {0, 1, 0x7f, 0x80, 0xff, 206, 'S', 'F'};
    int                  one = (int)(rnd() % (unsigned)n), other = (int)(rnd() % (unsigned)n);
    size_t               size = corpus[one].size, from = 0;
    memcpy(out, corpus[one].bytes, size);
    for (unsigned i = rnd() % 8; size && i; i--)
        out[rnd() % size] = rnd() % 2 ? (uint8_t)rnd() : odd[rnd() % sizeof odd];
    if (size && rnd() % 4 == 0)
        size = rnd() % size;
    if (corpus[other].size && rnd() % 2)
        from = rnd() % corpus[other].size;
    memcpy(out + size, corpus[other].bytes + from, corpus[other].size - from);
    return size + corpus[other].size - from;
}

int main(int argc, char **argv)
{
    const char *scale = getenv("WEIR_SCALE"), *given = getenv("WEIR_SEED");
    unsigned    most = (unsigned)(20000 * (scale ? atof(scale) : 1));
    seed = given ? strtoull(given, NULL, 10) : (uint64_t)weir_now();
    printf("WEIR_SEED=%llu\n", (unsigned long long)seed);
    need(argc > 1 && argc <= FILES);
    for (int i = 1; i < argc; i++)
        read_file(i - 1, argv[i]);
    need(runnable >= 2 && answers >= 2); /* else the corpus reaches nothing */
    for (unsigned i = 0; i < most; i++) {
        uint8_t *input = malloc(2 * ROOM); /* of its own, for the sanitizer */
        size_t   size = mutate(input, argc - 1);
        uint8_t *exact = realloc(input, size ? size : 1);
        LLVMFuzzerTestOneInput(exact, size);
        free(exact);
    }
    printf("%d passed, 0 failed\n", argc - 1);
    return 0;
}
#endif
