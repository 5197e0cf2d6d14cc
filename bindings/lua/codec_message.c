/* SPDX-License-Identifier: ISC
 *
 * codec_message.c: a message without any Lua state.
 */
#include <stdlib.h>

#include "codec_format.h"

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

void wl_message_free(wl_message *m)
{
    if (!m)
        return;
    for (uint32_t i = 0; i < m->n_sides; i++)
        release(&m->sides[i]);
    free(m->sides);
    free(m);
}
