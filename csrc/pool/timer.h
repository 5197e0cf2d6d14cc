/* SPDX-License-Identifier: ISC
 *
 * timer.h: deadlines pass on time.
 */
#ifndef WI_TIMER_H
#define WI_TIMER_H

#include "pool/pool.h"

#pragma GCC visibility push(hidden)

int wi_timer_need(weir_pool *p); /* 0 or the refusal of its thread */

#pragma GCC visibility pop
#endif
