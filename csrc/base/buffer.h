/* SPDX-License-Identifier: ISC
 *
 * buffer.h: a text that grows.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#pragma GCC visibility push(hidden)

/* Zero is the empty one. Its memory is the user's to free. */
typedef struct {
    char  *at; /* NULL: nothing was added yet */
    size_t length, size;
    bool   failed; /* out of memory: what was added since then is not there */
} wi_buffer;

__attribute__((format(printf, 2, 3))) void wi_buffer_add(wi_buffer *t, const char *format, ...);

#pragma GCC visibility pop
