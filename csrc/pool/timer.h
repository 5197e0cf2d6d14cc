/* SPDX-License-Identifier: ISC
 *
 * timer.h: deadlines pass on time.
 */
#pragma once

#include "pool/pool.h"

#pragma GCC visibility push(hidden)

int wi_timer_need(weir_pool *p); /* 0 or the refusal of its thread */

#pragma GCC visibility pop
