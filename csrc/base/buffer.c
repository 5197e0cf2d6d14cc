/* SPDX-License-Identifier: ISC
 *
 * buffer.c: a text that grows.
 */
#include "base/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { AT_LEAST = 4096 };

/* Whether there is room for n bytes and a 0 byte. */
static bool has_grown(wi_buffer *t, size_t n)
{
    if (t->length + n < t->size)
        return true;
    size_t size = 2 * t->size + n + AT_LEAST;
    char  *grown = realloc(t->at, size);
    if (grown)
        t->at = grown, t->size = size;
    t->failed |= !grown;
    return grown;
}

void wi_buffer_add(wi_buffer *t, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (n > 0 && !t->failed && has_grown(t, (size_t)n))
        t->length += (size_t)vsnprintf(t->at + t->length, (size_t)n + 1, format, args);
    va_end(args);
}
