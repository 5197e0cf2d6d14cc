/* SPDX-License-Identifier: ISC
 *
 * slice: bytes of somebody else's.
 */
#ifndef WR_SLICE_H
#define WR_SLICE_H

#include <stdbool.h>
#include <stddef.h>

/* bytes is NULL if there are none. */
typedef struct {
    const char *bytes;
    size_t      size;
} wr_slice;

wr_slice wr_slice_of(const char *text); /* NULL is allowed */
bool     wr_slice_is(wr_slice slice, const char *text);

#endif
