/* SPDX-License-Identifier: ISC
 *
 * answer: what a handler said, in one block of memory.
 */
#ifndef WR_ANSWER_H
#define WR_ANSWER_H

#include <stddef.h>

typedef struct {
    const char *content_type, *error_name, *error_text; /* NULL: none */
    const void *bytes;
    size_t      size;
} wr_answer;

/* Copies all of `from`. NULL: no memory. Free with free(). */
wr_answer *wr_answer_copy(const wr_answer *from);

#endif
