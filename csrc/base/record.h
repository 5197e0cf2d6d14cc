/* SPDX-License-Identifier: ISC
 *
 * record.h: events, as records in a ring per thread.
 */
#pragma once

#include "weir.h"

#include <stdatomic.h>
#include <stdbool.h>

#pragma GCC visibility push(hidden)

/* Who is told of events: weir_trace's hook, and the rings. */
enum { WI_HOOKED = 1, WI_RECORDED = 2 };
extern _Atomic unsigned wi_traced;

/* Every event passes this. Relaxed: 0 needs no partner, and what is read after it has partners
 * of its own. */
static inline unsigned wi_is_traced(void)
{
    return atomic_load_explicit(&wi_traced, memory_order_relaxed);
}

void wi_trace_for(unsigned whom, bool on);

/* What a task is called in records. It is noted while the task is there, because an event may
 * be told when it is gone. */
typedef struct {
    uint64_t    at; /* of the clock of records; 0: untold */
    const char *label;
    unsigned    number, by;
} wi_name;

uint64_t wi_record_clock(void);
unsigned wi_record_number(void); /* never 0, and no other one's until 2^32 were given */
/* Into the calling thread's ring; at 0: now. No lock of ours is held. */
void wi_record(unsigned event, const char *pool, const wi_name *name, int value);

static inline void wi_record_if(unsigned event, const char *pool, const wi_name *name, int value)
{
    if (wi_is_traced() & WI_RECORDED)
        wi_record(event, pool, name, value);
}

/* Around a fork: takes and gives back the lock; the child records nothing. */
void wi_record_hold(void);
void wi_record_release(void);
void wi_record_forked(void);

#pragma GCC visibility pop
