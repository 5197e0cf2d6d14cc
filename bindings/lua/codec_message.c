/* SPDX-License-Identifier: ISC
 *
 * codec_message.c: a message without any Lua state.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdlib.h>
#include <sys/mman.h>

#include "codec_format.h"

wl_message *wl_message_new(void)
{
    wl_message *m = malloc(sizeof *m + WL_SMALL_CAPACITY);
    if (m)
        *m = (wl_message){.capacity = WL_SMALL_CAPACITY};
    return m;
}

/* A page fault for each 4 KiB would cost more than the copying. */
void wl_message_prepare(wl_message *m)
{
#ifdef MADV_HUGEPAGE
    const uintptr_t page = (uintptr_t)1 << 21;
    uintptr_t       from = ((uintptr_t)m->bytes + page - 1) & ~(page - 1);
    uintptr_t       to = ((uintptr_t)m->bytes + m->capacity) & ~(page - 1);
    if (to > from)
        madvise((void *)from, to - from, MADV_HUGEPAGE);
#else
    (void)m;
#endif
}

wl_message *wl_message_fit(wl_message *m)
{
    if (m->capacity <= WL_LOOSE_CAPACITY || m->size > m->capacity / 2)
        return m;
    wl_message *smaller = realloc(m, sizeof *m + m->size);
    if (!smaller)
        return m;
    smaller->capacity = smaller->size;
    return smaller;
}

size_t wl_message_size(const wl_message *m)
{
    return sizeof *m + m->capacity + m->max_sides * sizeof *m->sides;
}

static void release(wl_side *s)
{
    if (s->kind == WL_SIDE_BLOB)
        wl_blob_release(s->p);
    else if (s->kind == WL_SIDE_HANDLE)
        s->type->release(s->p);
}

static void release_sides(wl_message *m)
{
    for (uint32_t i = 0; i < m->n_sides; i++)
        release(&m->sides[i]);
    m->n_sides = 0;
}

void wl_message_free(wl_message *m)
{
    if (!m)
        return;
    release_sides(m);
    free(m->sides);
    free(m);
}

wl_message *wl_message_empty(wl_message *m)
{
    if (m && m->capacity > WL_KEPT_CAPACITY) {
        wl_message_free(m);
        return NULL;
    }
    if (m) {
        release_sides(m);
        m->size = 0;
    }
    return m;
}
