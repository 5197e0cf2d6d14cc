/* SPDX-License-Identifier: ISC
 *
 * message.c: one value on its way through a channel: a small one as it is, any other
 * as a message of the codec.
 */
#include "lus/message.h"

#include <math.h>
#include <string.h>

static bool small_number(lua_State *L, int i, wl_msg *item)
{
#if LUA_VERSION_NUM >= 503
    if (lua_isinteger(L, i)) {
        item->u.i = lua_tointeger(L, i);
        item->kind = item->u.i == (int8_t)item->u.i ? WL_MSG_INT8 : WL_MSG_INT;
        return true;
    }
    item->u.n = lua_tonumber(L, i);
    item->kind = WL_MSG_FLOAT;
#else
    lua_Number n = lua_tonumber(L, i);
    item->kind = WL_MSG_FLOAT;
    if (n >= -128 && n < 128 && n == (int)n && !(n == 0 && signbit(n))) {
        item->u.i = (int)n;
        item->kind = WL_MSG_INT8;
    } else {
        item->u.n = n;
    }
#endif
    return true;
}

static bool small_text(lua_State *L, int i, wl_msg *item)
{
    size_t      size;
    const char *text = lua_tolstring(L, i, &size);
    if (size > sizeof item->text)
        return false;
    item->kind = WL_MSG_TEXT;
    item->size = (uint32_t)size;
    memcpy(item->text, text, size);
    return true;
}

static bool small(lua_State *L, int i, wl_msg *item)
{
    switch (lua_type(L, i)) {
    case LUA_TNIL: item->kind = WL_MSG_NIL; return true;
    case LUA_TBOOLEAN: item->kind = lua_toboolean(L, i) ? WL_MSG_TRUE : WL_MSG_FALSE; return true;
    case LUA_TNUMBER: return small_number(L, i, item);
    case LUA_TSTRING: return small_text(L, i, item);
    default: return false;
    }
}

/* The value at i. The item is owned from then on. */
void wl_msg_pack(lua_State *L, int i, const char *function, wl_msg *item)
{
    static const wl_pack_options options = {.what = "value", .metatables = WL_DROP, .data = true};
    if (small(L, i, item))
        return;
    if (wl_core->wl_pack(L, i, 1, &options, &item->u.m) != 0)
        wl_fail_caller(L, "%s: %s", function, lua_tostring(L, -1));
    item->kind = WL_MSG_VALUES;
}

void wl_msg_drop(wl_msg *item)
{
    if (item->kind == WL_MSG_VALUES)
        wl_core->wl_message_free(item->u.m);
}

/* -> value; what is left of the item goes */
void wl_msg_push(lua_State *L, wl_msg *item)
{
    switch ((enum wl_msg_kind)item->kind) {
    case WL_MSG_NIL: lua_pushnil(L); return;
    case WL_MSG_FALSE: lua_pushboolean(L, 0); return;
    case WL_MSG_TRUE: lua_pushboolean(L, 1); return;
    case WL_MSG_INT8:
    case WL_MSG_INT: lua_pushinteger(L, (lua_Integer)item->u.i); return;
    case WL_MSG_FLOAT: lua_pushnumber(L, item->u.n); return;
    case WL_MSG_TEXT: lua_pushlstring(L, item->text, item->size); return;
    case WL_MSG_VALUES: break;
    }
    int n = wl_core->wl_unpack(L, item->u.m);
    wl_core->wl_message_free(item->u.m);
    if (n < 0)
        lua_error(L);
}
