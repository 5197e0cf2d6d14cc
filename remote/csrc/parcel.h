/* SPDX-License-Identifier: ISC
 *
 * parcel: puts together what arrives in frames: a method, its header, its body.
 */
#ifndef WR_PARCEL_H
#define WR_PARCEL_H

#include "wire.h"

#include <amqp.h>
#include <amqp_framing.h>

typedef struct {
    wr_event event; /* what has come so far */
    char    *body;
    size_t   have, limit; /* limit: the largest body that is kept */
    uint64_t want;        /* the body's size, by its header */
    enum { WR_NO_PARCEL = 0, WR_HEADER_NEXT, WR_BODY_NEXT, WR_PARCEL_DONE } stage;
} wr_parcel;

/* One frame of one channel. Returns 0; -1: out of order, or no memory. When stage is
 * WR_PARCEL_DONE, event is whole. */
int  wr_parcel_add(wr_parcel *parcel, const amqp_frame_t *frame);
void wr_parcel_clear(wr_parcel *parcel); /* keeps the limit */

/* The headers that WIRE.md names; the others, and values of other types, are passed over. */
void wr_parcel_headers(wr_message *message, const amqp_table_t *headers);

#endif
