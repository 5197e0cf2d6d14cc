/* SPDX-License-Identifier: ISC
 *
 * code.c: the bytecode of functions into a message; and when the packer begins again, so that
 * the collector may run.
 */
#include <stdlib.h>
#include <string.h>

#include "codec/packer.h"

static void begin_again(wl_packer *p)
{
    p->again = true;
    lua_pushlightuserdata(p->L, p);
    lua_error(p->L);
}

/* From now on objects are held. */
void wl_pack_hold(wl_packer *p)
{
    if (!p->holds && p->n_entries)
        begin_again(p);
    p->holds = true;
}

/* The collector may run: only arguments may have been met and not held. */
void wl_pack_may_collect(wl_packer *p)
{
    if (p->loose)
        begin_again(p);
}

/* A free place in the side array, filled by the caller with what cannot fail. */
wl_side *wl_side_next(wl_packer *p)
{
    wl_message *m = p->m;
    if (m->n_sides == m->max_sides) {
        uint32_t n = m->max_sides ? 2 * m->max_sides : 2;
        wl_side *sides = n > m->max_sides ? realloc(m->sides, n * sizeof *sides) : NULL;
        if (!sides)
            wl_put_no_memory(p);
        m->sides = sides;
        m->max_sides = n;
    }
    return &m->sides[m->n_sides];
}

/* lua_Writer; 5.5 ends with an empty piece */
static int append_code(lua_State *L, const void *piece, size_t size, void *packer)
{
    wl_packer *p = packer;
    (void)L;
    if (p->code_capacity - p->code_size < size) {
        size_t capacity = 2 * p->code_capacity + size;
        bool   first = p->code == p->little_code;
        char  *code = realloc(first ? NULL : p->code, capacity);
        if (!code)
            return 1;
        if (first)
            memcpy(code, p->little_code, p->code_size);
        p->code = code;
        p->code_capacity = capacity;
    }
    if (size)
        memcpy(p->code + p->code_size, piece, size);
    p->code_size += size;
    return 0;
}

static wl_blob *dump(wl_packer *p, int i)
{
    wl_pack_may_collect(p);
    p->code_size = 0;
    lua_pushvalue(p->L, i);
    if (wl_dump(p->L, append_code, p, p->options->strip) != 0)
        wl_put_no_memory(p);
    lua_pop(p->L, 1);
    wl_blob *b = wl_blob_intern(p->code, p->code_size);
    if (!b)
        wl_put_no_memory(p);
    return b;
}

/* The message owns the blob before anything can raise. */
void wl_put_code(wl_packer *p, enum wl_tag tag, int i)
{
    wl_side *side = wl_side_next(p);
    bool     caches = !p->options->strip;
    wl_blob *known = caches ? wl_blob_of(p->L, i) : NULL;
    *side = (wl_side){WL_SIDE_BLOB, NULL, known ? known : dump(p, i)};
    wl_put_side(p, tag);
    if (caches && !known)
        wl_blob_note(p->L, i, side->p);
}
