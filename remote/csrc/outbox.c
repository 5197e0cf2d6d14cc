/* SPDX-License-Identifier: ISC
 *
 * outbox: frames that wait until a socket takes them.
 *
 * A frame is its type, its channel, the size of its payload, the payload, and an end mark.
 */
#include "outbox.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* where it is missing, librabbitmq has set SO_NOSIGPIPE */
#endif

enum { HEAD = 7, AROUND = HEAD + 1, CONTENT = 12, SPARE = 1 << 16, KEEP = 1 << 20 };

static void put(char *at, unsigned bytes, uint64_t value)
{
    while (bytes--) {
        at[bytes] = (char)(value & 0xff);
        value >>= 8;
    }
}

/* Where the next frame begins, with room for n bytes; NULL: no memory. */
static char *reserve(wr_outbox *o, size_t n)
{
    if (o->begin && o->end + n > o->room) {
        memmove(o->bytes, o->bytes + o->begin, o->end - o->begin);
        o->end -= o->begin;
        o->begin = 0;
    }
    if (o->end + n > o->room) {
        size_t room = o->end + n + SPARE;
        char  *more = realloc(o->bytes, room);
        if (!more)
            return NULL;
        o->bytes = more;
        o->room = room;
    }
    return o->bytes + o->end;
}

static void close_frame(wr_outbox *o, char *at, uint8_t type, amqp_channel_t channel,
                        size_t payload)
{
    at[0] = (char)type;
    put(at + 1, 2, channel);
    put(at + 3, 4, payload);
    at[HEAD + payload] = (char)AMQP_FRAME_END;
    o->end += payload + AROUND;
}

int wr_outbox_method(wr_outbox *o, amqp_channel_t channel, amqp_method_number_t id, void *method)
{
    char *at = reserve(o, o->frame_max);
    if (!at)
        return AMQP_STATUS_NO_MEMORY;
    put(at + HEAD, 4, id);
    int n =
        amqp_encode_method(id, method, (amqp_bytes_t){o->frame_max - AROUND - 4, at + HEAD + 4});
    if (n < 0)
        return n;
    close_frame(o, at, AMQP_FRAME_METHOD, channel, 4 + (size_t)n);
    return 0;
}

static int add_properties(wr_outbox *o, amqp_channel_t channel, amqp_basic_properties_t *p,
                          size_t size)
{
    char *at = reserve(o, o->frame_max);
    if (!at)
        return AMQP_STATUS_NO_MEMORY;
    put(at + HEAD, 2, AMQP_BASIC_CLASS);
    put(at + HEAD + 2, 2, 0);
    put(at + HEAD + 4, 8, size);
    int n = amqp_encode_properties(
        AMQP_BASIC_CLASS, p, (amqp_bytes_t){o->frame_max - AROUND - CONTENT, at + HEAD + CONTENT});
    if (n < 0)
        return n;
    close_frame(o, at, AMQP_FRAME_HEADER, channel, CONTENT + (size_t)n);
    return 0;
}

static int add_body(wr_outbox *o, amqp_channel_t channel, wr_slice body)
{
    size_t most = o->frame_max - AROUND;
    if (!reserve(o, body.size + (body.size / most + 1) * AROUND))
        return AMQP_STATUS_NO_MEMORY;
    for (size_t at = 0, n; at < body.size; at += n) {
        char *to = o->bytes + o->end;
        n = body.size - at < most ? body.size - at : most;
        memcpy(to + HEAD, body.bytes + at, n);
        close_frame(o, to, AMQP_FRAME_BODY, channel, n);
    }
    return 0;
}

/* A message of which a frame were missing would end the connection. */
int wr_outbox_message(wr_outbox *o, amqp_channel_t channel, amqp_basic_publish_t *how,
                      amqp_basic_properties_t *properties, wr_slice body)
{
    size_t waited = wr_outbox_waits(o);
    int    code = wr_outbox_method(o, channel, AMQP_BASIC_PUBLISH_METHOD, how);
    code = code ? code : add_properties(o, channel, properties, body.size);
    code = code ? code : add_body(o, channel, body);
    if (code)
        o->end = o->begin + waited;
    return code;
}

int wr_outbox_heartbeat(wr_outbox *o)
{
    char *at = reserve(o, AROUND);
    if (!at)
        return AMQP_STATUS_NO_MEMORY;
    close_frame(o, at, AMQP_FRAME_HEARTBEAT, 0, 0);
    return 0;
}

size_t wr_outbox_waits(const wr_outbox *o) { return o->end - o->begin; }

int wr_outbox_write(wr_outbox *o, int fd)
{
    while (wr_outbox_waits(o)) {
        ssize_t n = send(fd, o->bytes + o->begin, o->end - o->begin, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return 0;
        if (n < 0 && errno != EINTR)
            return -1;
        o->begin += n > 0 ? (size_t)n : 0;
    }
    o->begin = o->end = 0;
    if (o->room > KEEP) /* a large message has gone */
        wr_outbox_clear(o);
    return 0;
}

void wr_outbox_clear(wr_outbox *o)
{
    free(o->bytes);
    *o = (wr_outbox){.frame_max = o->frame_max};
}
