/* SPDX-License-Identifier: ISC
 *
 * worker.h: what a thread does while it serves a pool.
 */
#pragma once

#include "pool/pool.h"

#pragma GCC visibility push(hidden)

void *wi_worker_serve(void *worker); /* the body of a thread of ours */
/* Posts `ready` and opens the pool, if every thread has reported and nobody did so. */
void wi_pool_open_if_all_reported(weir_pool *p);

#pragma GCC visibility pop
