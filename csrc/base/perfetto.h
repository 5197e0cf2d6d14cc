/* SPDX-License-Identifier: ISC
 *
 * perfetto.h: writes records as a trace that https://ui.perfetto.dev opens. A file is one
 * thread's.
 */
#pragma once

#include "base/proto.h"

#pragma GCC visibility push(hidden)

enum { WI_PERFETTO_BUFFER = 1 << 16 };

typedef struct {
    int                        fd;
    uint64_t                   tracks; /* given so far */
    struct wi_perfetto_thread *threads;
    size_t                     n_threads;
    struct wi_perfetto_pool   *pools;
    size_t                     n_pools;
    uint64_t                   lost;
    wi_proto                   out;
    unsigned char              buffer[WI_PERFETTO_BUFFER];
} wi_perfetto;

/* f is zero-filled, and has fd from here on. Partner: wi_perfetto_end. */
void wi_perfetto_begin(wi_perfetto *f, int fd);
void wi_perfetto_put(wi_perfetto *f, const weir_record *r);
/* How many tasks of a pool, known by its serial, are queued and run now; and how many records
 * were lost so far. What is as before is not written. */
void wi_perfetto_count(wi_perfetto *f, uint64_t serial, const char *name, size_t queued,
                       unsigned running);
void wi_perfetto_count_lost(wi_perfetto *f, uint64_t lost);
/* Until then what was put may wait in the buffer. */
void wi_perfetto_flush(wi_perfetto *f);
/* Closes fd and frees what f holds; what was not flushed is not written. */
void wi_perfetto_end(wi_perfetto *f);

#pragma GCC visibility pop
