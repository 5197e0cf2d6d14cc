/* SPDX-License-Identifier: ISC
 *
 * limit.h: futures whose limit passes.
 */
#pragma once

#include "runtime/main.h"

#pragma GCC visibility push(hidden)

int      wl_limit_begin(wl_job *j, int64_t timeout_ns); /* then its future is over; 0, or why not */
uint32_t wl_limit_take(wl_main *m); /* the key of who waits for a future that was ended so */
void     wl_limits_drop(wl_main *m);

#pragma GCC visibility pop
