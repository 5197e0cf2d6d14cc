/* SPDX-License-Identifier: ISC
 *
 * plain.c: the packer's short way, for messages of plain values.
 *
 * Most calls take a function that was sent before, and a few numbers and strings.
 * Nothing in here raises, so it needs no protection; and what it writes, the long way
 * would have written.
 */
#include <stdlib.h>

#include "codec/packer.h"

bool wl_is_constant(const wl_packer *p, int i)
{
    lua_State *L = p->L;
#if LUA_VERSION_NUM < 502
    const int allowed = 0;
    lua_getfenv(L, i);
    bool own = !wl_stands_for_globals(p, lua_topointer(L, -1));
    lua_pop(L, 1);
#else
    const int allowed = 1;
    bool      own = false;
#endif
    for (int k = 1; !own && lua_getupvalue(L, i, k); k++) {
        own = k > allowed || !wl_stands_for_globals(p, lua_topointer(L, -1));
        lua_pop(L, 1);
    }
    return !own;
}

static bool room_for(const wl_packer *p, size_t n) { return p->m->capacity - p->m->size >= n; }

static bool plain_string(wl_packer *p, int i)
{
    size_t      size;
    const char *s = lua_tolstring(p->L, i, &size);
    bool        fits = size < WL_LONG_TEXT && room_for(p, 16 + size);
    if (fits)
        wl_put_string(p, s, size);
    return fits;
}

static bool has_side(wl_message *m)
{
    if (!m->sides && (m->sides = malloc(2 * sizeof *m->sides)))
        m->max_sides = 2;
    return m->max_sides > 0;
}

/* Only as the first value, so that none before it can be the same. */
static bool plain_function(wl_packer *p, int i)
{
    if (p->m->size || p->options->strip || p->options->data || p->options->restricted ||
        lua_iscfunction(p->L, i) || !wl_is_constant(p, i))
        return false;
    wl_blob *b = has_side(p->m) ? wl_blob_of(p->L, i) : NULL;
    if (!b)
        return false;
    p->m->sides[0] = (wl_side){WL_SIDE_BLOB, NULL, b};
    wl_put_side(p, WL_CONSTANT);
    return true;
}

static bool plain_value(wl_packer *p, int i)
{
    lua_State *L = p->L;
    switch (lua_type(L, i)) {
    case LUA_TNIL: wl_put_tag(p, WL_NIL); return true;
    case LUA_TBOOLEAN: wl_put_tag(p, lua_toboolean(L, i) ? WL_TRUE : WL_FALSE); return true;
    case LUA_TNUMBER: wl_put_number(p, i); return true;
    case LUA_TSTRING: return plain_string(p, i);
    case LUA_TFUNCTION: return plain_function(p, i);
    default: return false;
    }
}

bool wl_pack_plain(wl_packer *p, int first, int n, wl_message **used)
{
    int i = 0;
    if (!(p->m = *used ? *used : wl_message_new()))
        return false;
    while (i < n && room_for(p, 16) && plain_value(p, first + i))
        i++;
    p->m->n = n;
    if ((p->m->plain = i == n)) {
        *used = NULL;
        return true;
    }
    if (*used)
        wl_message_empty(p->m);
    else
        wl_message_free(p->m);
    p->m = NULL;
    return false;
}
