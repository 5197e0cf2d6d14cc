/* SPDX-License-Identifier: ISC
 *
 * proto.h: writes protocol buffers, field by field, into a buffer of the caller's.
 */
#pragma once

#include "weir.h"

#pragma GCC visibility push(hidden)

/* Whoever writes sees to it that there is room. */
typedef struct {
    unsigned char *bytes;
    size_t         n;
} wi_proto;

enum { WI_PROTO_TEXT = 200 }; /* longer texts are cut */

void wi_proto_int(wi_proto *p, unsigned field, uint64_t value);
void wi_proto_fixed(wi_proto *p, unsigned field, uint64_t value);
void wi_proto_text(wi_proto *p, unsigned field, const char *text); /* NULL: leaves it out */
/* A message inside: what is written between the two is in it. */
size_t wi_proto_open(wi_proto *p, unsigned field);
void   wi_proto_close(wi_proto *p, size_t opened);

#pragma GCC visibility pop
