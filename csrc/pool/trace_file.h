/* SPDX-License-Identifier: ISC
 *
 * trace_file.h: a trace in a file, also of a program as it is.
 */
#pragma once

#pragma GCC visibility push(hidden)

/* Begins what the variable WEIR_TRACE asks for; all calls after the first do nothing. No lock
 * of ours is held. */
void wi_trace_as_asked(void);

#pragma GCC visibility pop
