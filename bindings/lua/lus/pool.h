/* SPDX-License-Identifier: ISC
 *
 * pool.h: the threads on which all actors run.
 */
#pragma once

#include <stdbool.h>

#include "lus/core.h"

#pragma GCC visibility push(hidden)

int      wl_actor_pool_open(void);        /* 0, or why there is none */
int      wl_actor_pool_run(weir_task *t); /* of an open one: 0, or why it was not accepted */
unsigned wl_actor_pool_most_threads(void);
bool     wl_actor_pool_begin_block(void);
void     wl_actor_pool_end_block(void);

#pragma GCC visibility pop
