/* SPDX-License-Identifier: ISC
 *
 * heap.h: the queued tasks that have a start deadline, and the parked ones whose park
 * has one, earliest first.
 *
 * An intrusive pairing heap: insert O(1), take and remove O(log n) amortised,
 * no memory but the task's own words. Guarded by the pool's lock.
 */
#pragma once

#include "weir.h"

#pragma GCC visibility push(hidden)

typedef struct {
    weir_task *root; /* NULL: empty */
} wi_heap;

void wi_heap_insert(wi_heap *h, weir_task *t);
void wi_heap_remove(wi_heap *h, weir_task *t);

#pragma GCC visibility pop
