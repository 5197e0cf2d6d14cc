/* SPDX-License-Identifier: ISC
 *
 * burst.h: pool threads that let a loop go on.
 */
#pragma once

#include "runtime/main.h"

#pragma GCC visibility push(hidden)

void wl_burst_look(wl_thread *w, wl_main *m); /* a task from m is about to run */
void wl_burst_end(wl_thread *w); /* a command is about to start, which would inherit it */

#pragma GCC visibility pop
