/* SPDX-License-Identifier: ISC
 *
 * answer: a copy in one block.
 */
#include "answer.h"

#include <stdlib.h>
#include <string.h>

static size_t room(const char *text) { return text ? strlen(text) + 1 : 0; }

static const char *put_text(char **at, const char *text)
{
    size_t n = room(text);
    char  *to = *at;
    if (!n)
        return NULL;
    memcpy(to, text, n);
    *at += n;
    return to;
}

wr_answer *wr_answer_copy(const wr_answer *from)
{
    size_t     strings = room(from->content_type) + room(from->error_name) + room(from->error_text);
    wr_answer *to = malloc(sizeof *to + from->size + strings);
    if (!to)
        return NULL;
    char *at = (char *)(to + 1);
    if (from->size)
        memcpy(at, from->bytes, from->size);
    *to = (wr_answer){.bytes = at, .size = from->size};
    at += from->size;
    to->content_type = put_text(&at, from->content_type);
    to->error_name = put_text(&at, from->error_name);
    to->error_text = put_text(&at, from->error_text);
    return to;
}
