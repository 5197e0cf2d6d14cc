/* SPDX-License-Identifier: ISC
 *
 * trace: what weir_remote_trace writes. A job is a slice at its client, from its run to its
 * done, and a slice for each time that a worker had it. A flow whose number is made from the
 * job's id leads from the one to the others, also where they stand in files of two processes.
 */
#ifndef WR_TRACE_H
#define WR_TRACE_H

#include <stdint.h>

/* A slice from `begun` until now. what: "job" or "request"; outcome: for the reader. No lock
 * is held. */
void wr_trace_slice(const char *what, const char *name, const char *id, int64_t begun,
                    int64_t outcome);

#endif
