/* SPDX-License-Identifier: ISC
 *
 * settle.h: how a job is over, for its future.
 */
#pragma once

#include "runtime/job.h"

#pragma GCC visibility push(hidden)

void wl_job_list(wl_job *j); /* in its main's list of what is under way, until it settles */
void wl_job_settle(wl_job *j, int outcome);
bool wl_job_end(wl_job *j, int how, int64_t abandon_ns); /* false: it is over already */

#pragma GCC visibility pop
