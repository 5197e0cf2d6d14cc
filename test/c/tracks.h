/* SPDX-License-Identifier: ISC
 *
 * tracks.h: a trace in Perfetto's format, read back by its rules.
 *
 * The rules: every packet is whole, every track is named before it is used and once, slices
 * nest on their track and time does not go back there, every flow has a begin.
 */
#ifndef WEIR_TEST_TRACKS_H
#define WEIR_TEST_TRACKS_H

#include "harness.h"

typedef struct {
    const unsigned char *at, *end;
} proto_bytes;

typedef struct {
    unsigned    field;
    uint64_t    number; /* of a varint or a fixed */
    proto_bytes inside;
} proto_value;

/* The first such field of a message, or one of number 0. */
proto_value proto_get(proto_bytes message, unsigned field);
bool        proto_says(proto_bytes text, const char *what);

enum { TRACKS = 64, FLOWS = 4096 };

typedef struct {
    unsigned char *all;
    proto_bytes    name[TRACKS]; /* by uuid */
    unsigned       depth[TRACKS];
    uint64_t       last[TRACKS];
    unsigned       events, slices, instants, counts;
    unsigned char  flow[FLOWS]; /* by number, which goes on from file to file; 1: seen, 2: ended */
    proto_bytes    file;
} tracks;

/* Fails if the file breaks a rule. */
void tracks_load(tracks *t, const char *path);
void tracks_unload(tracks *t);
void tracks_expect_closed(const tracks *t);
void tracks_expect_flows(const tracks *t);
/* The n-th event of that type and name, whose packet has *at; fails if there is none. */
proto_bytes tracks_event(const tracks *t, unsigned type, const char *name, int n, uint64_t *at);
bool        tracks_have(const tracks *t, const char *name);

#endif
