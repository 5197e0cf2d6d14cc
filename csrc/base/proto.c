/* SPDX-License-Identifier: ISC
 *
 * proto.c: writes protocol buffers, field by field.
 *
 * The length of a message stands before it, so its place is left open: four bytes, of which
 * the first three say that more follow, whatever the length is.
 */
#include "base/proto.h"

#include <string.h>

enum { VARINT = 0, FIXED = 1, BYTES = 2, LENGTH = 4 };

static void varint(wi_proto *p, uint64_t v)
{
    for (; v >= 128; v >>= 7)
        p->bytes[p->n++] = (unsigned char)(v | 128);
    p->bytes[p->n++] = (unsigned char)v;
}

static void tag(wi_proto *p, unsigned field, unsigned kind) { varint(p, field << 3 | kind); }

void wi_proto_int(wi_proto *p, unsigned field, uint64_t value)
{
    tag(p, field, VARINT);
    varint(p, value);
}

void wi_proto_fixed(wi_proto *p, unsigned field, uint64_t value)
{
    tag(p, field, FIXED);
    for (int i = 0; i < 8; i++)
        p->bytes[p->n++] = (unsigned char)(value >> 8 * i);
}

void wi_proto_text(wi_proto *p, unsigned field, const char *text)
{
    if (!text)
        return;
    size_t n = strnlen(text, WI_PROTO_TEXT);
    tag(p, field, BYTES);
    varint(p, n);
    memcpy(p->bytes + p->n, text, n);
    p->n += n;
}

size_t wi_proto_open(wi_proto *p, unsigned field)
{
    tag(p, field, BYTES);
    p->n += LENGTH;
    return p->n;
}

void wi_proto_close(wi_proto *p, size_t opened)
{
    size_t length = p->n - opened;
    for (int i = 0; i < LENGTH; i++)
        p->bytes[opened - LENGTH + (size_t)i] =
            (unsigned char)((length >> 7 * i & 127) | (i < LENGTH - 1 ? 128 : 0));
}
