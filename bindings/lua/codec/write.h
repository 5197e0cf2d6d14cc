/* SPDX-License-Identifier: ISC
 *
 * write.h: the packer's bytes: values without contents into its message.
 */
#ifndef WL_CODEC_WRITE_H
#define WL_CODEC_WRITE_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "codec/format.h"

enum { WL_LONG_TEXT = 256 }; /* strings from here on are objects, see WL_TEXT */

static inline void no_memory(wl_packer *p) { luaL_error(p->L, "not enough memory"); }

static inline void make_room(wl_packer *p, size_t n)
{
    wl_message *m = p->m;
    size_t      needed = m->size + n, twice = 2 * m->capacity;
    m = wl_message_resize(m, needed > twice ? needed : twice);
    if (!m)
        no_memory(p);
    p->m = m;
}

static inline unsigned char *put(wl_packer *p, size_t n)
{
    if (p->m->capacity - p->m->size < n)
        make_room(p, n);
    unsigned char *at = p->m->bytes + p->m->size;
    p->m->size += n;
    return at;
}

static inline void put_tag(wl_packer *p, enum wl_tag tag) { *put(p, 1) = (unsigned char)tag; }

static inline void put_field(wl_packer *p, enum wl_tag tag, const void *field, size_t size)
{
    unsigned char *at = put(p, 1 + size);
    *at = (unsigned char)tag;
    memcpy(at + 1, field, size);
}

static inline void put_u32(wl_packer *p, enum wl_tag tag, uint32_t n)
{
    put_field(p, tag, &n, sizeof n);
}

static inline void put_integer(wl_packer *p, int64_t n)
{
    int8_t  n8 = (int8_t)n;
    int32_t n32 = (int32_t)n;
    if (n8 == n)
        put_field(p, WL_INT8, &n8, sizeof n8);
    else if (n32 == n)
        put_field(p, WL_INT32, &n32, sizeof n32);
    else
        put_field(p, WL_INT64, &n, sizeof n);
}

static inline void put_number(wl_packer *p, int i)
{
#if LUA_VERSION_NUM >= 503
    if (lua_isinteger(p->L, i)) {
        put_integer(p, lua_tointeger(p->L, i));
        return;
    }
#endif
    lua_Number n = lua_tonumber(p->L, i);
#if LUA_VERSION_NUM < 503 /* there is only one kind, so take what is shorter */
    if (n >= INT32_MIN && n <= INT32_MAX && n == (int32_t)n && !(n == 0 && signbit(n))) {
        put_integer(p, (int32_t)n);
        return;
    }
#endif
    put_field(p, WL_FLOAT, &n, sizeof n);
}

static inline void put_short(wl_packer *p, enum wl_tag tag, const char *s, size_t size)
{
    unsigned char *at = put(p, 2 + size);
    at[0] = (unsigned char)tag;
    at[1] = (unsigned char)size;
    memcpy(at + 2, s, size);
}

static inline void put_string(wl_packer *p, const char *s, size_t size)
{
    if (size <= UINT8_MAX) {
        put_short(p, WL_STRING8, s, size);
    } else {
        uint64_t length = size;
        put_field(p, WL_STRING, &length, sizeof length);
        memcpy(put(p, size), s, size);
    }
}

static inline void put_side(wl_packer *p, enum wl_tag tag) { put_u32(p, tag, p->m->n_sides++); }

#endif
