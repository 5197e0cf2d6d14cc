/* SPDX-License-Identifier: ISC
 *
 * codec.c: the reader of the codec, given any bytes for a message. It returns values or an error,
 * and what it returns can be packed again, or is refused with an error.
 */
#include "codec/codec.h"
#include "codec/format.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int pack_all(lua_State *L)
{
    wl_pack_options o = {.what = "value", .number = 1, .metatables = WL_DROP};
    wl_message     *again = NULL;
    if (wl_pack(L, 1, lua_gettop(L), &o, &again) == 0)
        wl_message_free(again);
    return 0;
}

/* message -> */
static int read_and_pack(lua_State *L)
{
    const wl_message *m = lua_touserdata(L, 1);
    lua_settop(L, 0);
    if (wl_unpack(L, m) < 0)
        return 0;
    return pack_all(L);
}

/* A light pointer, and the bytecode of a function with an upvalue. */
static void add_sides(lua_State *L, wl_message *m)
{
    static int target;
    m->sides = calloc(2, sizeof *m->sides);
    if (!m->sides ||
        luaL_dostring(L, "local a = {} return string.dump(function(x) return a[x] end)"))
        abort();
    size_t      size;
    const char *code = lua_tolstring(L, -1, &size);
    m->n_sides = m->max_sides = 2;
    m->sides[0] = (wl_side){WL_SIDE_LIGHT, NULL, &target};
    m->sides[1] = (wl_side){WL_SIDE_BLOB, NULL, wl_blob_intern(code, size)};
    if (!m->sides[1].p)
        abort();
    lua_pop(L, 1);
}

/* The first byte: how many values, and whether they are from a restricted state. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static lua_State *L;
    if (!L) {
        L = luaL_newstate();
        luaL_openlibs(L);
    }
    if (size < 1)
        return 0;
    wl_message *m = wl_message_new(), *larger = m ? wl_message_resize(m, size + 64) : NULL;
    if (!larger)
        abort();
    m = larger;
    m->n = data[0] % 4, m->number = 1, m->what = "value", m->restricted = data[0] & 64;
    m->size = size - 1;
    memcpy(m->bytes, data + 1, size - 1);
    add_sides(L, m);
    lua_pushcfunction(L, read_and_pack);
    lua_pushlightuserdata(L, m);
    lua_pcall(L, 1, 0, 0);
    lua_settop(L, 0);
    wl_message_free(m);
    lua_gc(L, LUA_GCCOLLECT, 0);
    return 0;
}
