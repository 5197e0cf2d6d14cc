/* SPDX-License-Identifier: ISC
 *
 * slice: bytes of somebody else's.
 */
#include "slice.h"

#include <string.h>

wr_slice wr_slice_of(const char *text) { return (wr_slice){text, text ? strlen(text) : 0}; }

bool wr_slice_is(wr_slice slice, const char *text)
{
    return slice.size == strlen(text) && !memcmp(slice.bytes ? slice.bytes : "", text, slice.size);
}
