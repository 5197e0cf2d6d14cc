/* SPDX-License-Identifier: ISC
 *
 * write.c: the packer's bytes: values without contents into its message.
 */
#include <math.h>
#include <string.h>

#include "codec/packer.h"

void wl_put_no_memory(wl_packer *p) { luaL_error(p->L, "not enough memory"); }

void wl_make_room(wl_packer *p, size_t n)
{
    wl_message *m = p->m;
    size_t      needed = m->size + n, twice = 2 * m->capacity;
    m = wl_message_resize(m, needed > twice ? needed : twice);
    if (!m)
        wl_put_no_memory(p);
    p->m = m;
}

void wl_put_u32(wl_packer *p, enum wl_tag tag, uint32_t n) { wl_put_field(p, tag, &n, sizeof n); }

void wl_put_integer(wl_packer *p, int64_t n)
{
    int8_t  n8 = (int8_t)n;
    int32_t n32 = (int32_t)n;
    if (n8 == n)
        wl_put_field(p, WL_INT8, &n8, sizeof n8);
    else if (n32 == n)
        wl_put_field(p, WL_INT32, &n32, sizeof n32);
    else
        wl_put_field(p, WL_INT64, &n, sizeof n);
}

void wl_put_number(wl_packer *p, int i)
{
#if LUA_VERSION_NUM >= 503
    if (lua_isinteger(p->L, i)) {
        wl_put_integer(p, lua_tointeger(p->L, i));
        return;
    }
#endif
    lua_Number n = lua_tonumber(p->L, i);
#if LUA_VERSION_NUM < 503 /* there is only one kind, so take what is shorter */
    if (n >= INT32_MIN && n <= INT32_MAX && n == (int32_t)n && !(n == 0 && signbit(n))) {
        wl_put_integer(p, (int32_t)n);
        return;
    }
#endif
    wl_put_field(p, WL_FLOAT, &n, sizeof n);
}

void wl_put_short(wl_packer *p, enum wl_tag tag, const char *s, size_t size)
{
    unsigned char *at = wl_put(p, 2 + size);
    at[0] = (unsigned char)tag;
    at[1] = (unsigned char)size;
    memcpy(at + 2, s, size);
}

void wl_put_string(wl_packer *p, const char *s, size_t size)
{
    if (size <= UINT8_MAX) {
        wl_put_short(p, WL_STRING8, s, size);
    } else {
        uint64_t length = size;
        wl_put_field(p, WL_STRING, &length, sizeof length);
        memcpy(wl_put(p, size), s, size);
    }
}

void wl_put_side(wl_packer *p, enum wl_tag tag) { wl_put_u32(p, tag, p->m->n_sides++); }
