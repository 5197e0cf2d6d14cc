/* SPDX-License-Identifier: ISC
 *
 * registry.h: every open main and every pool of the process, for fork, for
 * weir_main_close and for run_in_main without a main.
 *
 * Its lock is taken before a pool's or a main's, and never while another lock of ours is
 * held but a fork's; doc/threads.md has the whole order.
 */
#pragma once

#include "base/list.h"
#include "base/platform.h"

#pragma GCC visibility push(hidden)

struct wi_registry {
    wi_mutex lock;
    wi_list  mains; /* oldest first; each holds its open reference */
    wi_list  pools; /* each until its memory goes */
};

/* The one of this process, made at the first call. */
struct wi_registry *wi_registry(void);

void wi_unregister(weir_link *element);

/* The smallest number that none of those noted has, so that few numbers are ever seen; past
 * 64 of them, one more than the greatest. */
typedef struct {
    uint64_t noted; /* of the numbers below 64 */
    unsigned above;
} wi_numbers;

void     wi_numbers_note(wi_numbers *n, unsigned number);
unsigned wi_numbers_free(const wi_numbers *n);

#pragma GCC visibility pop
