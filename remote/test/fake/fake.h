/* SPDX-License-Identifier: ISC
 *
 * fake.h: a server in memory behind wire.h, for the sanitizers: all of the library but wire.c
 * and parcel.c runs on it, at any rate, with connections that fail at any call.
 */
#ifndef REMOTE_FAKE_H
#define REMOTE_FAKE_H

#include "wire.h"

/* What it does to those who use it; each one in so many calls, 0: never. */
typedef struct {
    unsigned cut;    /* the connection is lost, before or after what was asked */
    unsigned nack;   /* a publishing is refused */
    unsigned refuse; /* a connection is not made */
} fake_faults;

/* Without queues and faults; seed: of the faults. */
void     fake_begin(uint64_t seed);
void     fake_end(void);                               /* forgets the queues and what they have */
void     fake_begin_faults(const fake_faults *faults); /* from now on */
void     fake_block(bool blocked);      /* as a server that is short of memory says */
void     fake_hold_confirms(bool held); /* false: those that were held come */
unsigned fake_waiting(const char *queue);
unsigned fake_cuts(void);

#endif
