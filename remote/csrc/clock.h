/* SPDX-License-Identifier: ISC
 *
 * clock: the task that rings a farm's alarms. It has a thread only while it rings, and is
 * apart from the I/O threads, because one of these may stand in a write for as long as its
 * server takes no bytes.
 */
#ifndef WR_CLOCK_H
#define WR_CLOCK_H

#include "farm.h"

/* Returns 0 or what weir_run refused. It ends when the farm is over. */
int wr_clock_start(weir_remote *farm);

#endif
