/* SPDX-License-Identifier: ISC
 *
 * label.c: one copy of each text, for good.
 *
 * The copies stand in memory of the library's own, which is only ever taken from. A table of stacks
 * that only grow, so no lock: a thread that adds a text looks again when another has pushed before
 * it, and finds either its own text or one more to pass by. A fork finds the table whole at any
 * moment.
 */
#include "base/platform.h"
#include "base/stack.h"

#include <string.h>

enum { ROWS = 1024 };

typedef struct {
    weir_link link;
    char      text[];
} label;

static wi_stack rows[ROWS];
static _Alignas(label) char room[WEIR_LABEL_BYTES];
static _Atomic size_t used;

static wi_stack *row_of(const char *text)
{
    uint32_t hash = 2166136261u;
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 16777619u;
    return &rows[hash % ROWS];
}

/* Among what stands from e on. */
static const char *find(weir_link *e, const char *text)
{
    for (; e; e = e->next)
        if (strcmp(((label *)e)->text, text) == 0)
            return ((label *)e)->text;
    return NULL;
}

/* NULL: there is no room. What a losing thread took is lost. */
static label *store(const char *text)
{
    size_t len = strlen(text), size = (sizeof(label) + len) / sizeof(label) * sizeof(label);
    size += sizeof(label);
    if (len >= WEIR_LABEL_BYTES || atomic_load(&used) + size > WEIR_LABEL_BYTES)
        return NULL;
    size_t at = atomic_fetch_add(&used, size);
    if (at + size > WEIR_LABEL_BYTES)
        return NULL;
    label *made = (label *)(void *)(room + at);
    memcpy(made->text, text, len + 1);
    return made;
}

const char *weir_label(const char *text)
{
    if (!text)
        return NULL;
    wi_stack   *row = row_of(text);
    weir_link  *newest = wi_stack_newest(row);
    const char *found = find(newest, text);
    label      *made = found ? NULL : store(text);
    wi_yield();
    while (made && !wi_stack_push_onto(row, newest, &made->link)) {
        newest = wi_stack_newest(row);
        if ((found = find(newest, text)))
            return found;
    }
    return made ? made->text : found;
}
