/* SPDX-License-Identifier: ISC
 *
 * graph.c: random graphs of Lua values cross, and are compared with what was sent by a reference
 * that shares no code with the codec: the same shape, references and types, part by part.
 */
#include "codec/codec.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char reference[] =
    "local made, sources = {}, {}\n"
    "function build(bytes)\n"
    "  local at, objects = 1, { {} }\n"
    "  local function byte() at = at + 1 return bytes:byte(at - 1) or 0 end\n"
    "  local make = {\n"
    "    function() return true end, function() return false end,\n"
    "    function() return byte() - 128 end, function() return byte() / 7 end,\n"
    "    function() return byte() * 0x1000000000 end, function() return -0.0 end,\n"
    "    function() return ('x'):rep(byte()) .. byte() end,\n"
    "    function() return ('long'):rep(byte() * 8) end,\n"
    "    function() local t = {} objects[#objects + 1] = t return t end,\n"
    "    function() return objects[byte() % #objects + 1] end,\n"
    "    function() return math.huge end,\n"
    "  }\n"
    "  local function value() return make[byte() % #make + 1]() end\n"
    "  while at <= #bytes do\n"
    "    local t = objects[byte() % #objects + 1]\n"
    "    if byte() % 2 == 0 then t[#t + 1] = value() else t[value()] = value() end\n"
    "  end\n"
    "  return objects[1]\n"
    "end\n"
    "local function same_key(a, b)\n"
    "  return rawequal(a, b) or type(a) == 'table' and type(b) == 'table'\n"
    "end\n"
    "function same(a, b)\n"
    "  local pairs_of, back, queue = {}, {}, { { a, b } }\n"
    "  local function check(x, y)\n"
    "    if type(x) ~= 'table' or type(y) ~= 'table' then\n"
    "      assert(rawequal(x, y) and math.type(x) == math.type(y) and tostring(x) == tostring(y))\n"
    "    elseif pairs_of[x] or back[y] then\n"
    "      assert(pairs_of[x] == y and back[y] == x)\n"
    "    else\n"
    "      pairs_of[x], back[y] = y, x\n"
    "      queue[#queue + 1] = { x, y }\n"
    "    end\n"
    "  end\n"
    "  pairs_of[a], back[b] = b, a\n"
    "  local i, later = 1, {}\n"
    "  while queue[i] do\n"
    "    local x, y, n, m = queue[i][1], queue[i][2], 0, 0\n"
    "    i = i + 1\n"
    "    for k, v in pairs(x) do\n"
    "      n = n + 1\n"
    "      if type(k) ~= 'table' then assert(y[k] ~= nil) check(v, y[k])\n"
    "      elseif pairs_of[k] then check(v, y[pairs_of[k]]) else later[#later + 1] = { x, y } end\n"
    "    end\n"
    "    for _ in pairs(y) do m = m + 1 end\n"
    "    assert(n == m)\n"
    "    if not queue[i] then\n" /* keys that are tables are known by where else they stand */
    "      for _, one in ipairs(later) do\n"
    "        for k, v in pairs(one[1]) do\n"
    "          if pairs_of[k] then check(v, one[2][pairs_of[k]]) end\n"
    "        end\n"
    "      end\n"
    "      later = {}\n"
    "    end\n"
    "  end\n"
    "end\n";

/* bytes -> ; raises where what came is not what was sent */
static int cross(lua_State *L)
{
    wl_message *m = NULL;
    lua_getglobal(L, "build");
    lua_insert(L, 1);
    lua_call(L, 1, 1);
    if (wl_pack(L, 1, 1, NULL, &m) != 0)
        return lua_error(L);
    lua_getglobal(L, "same");
    lua_pushvalue(L, 1);
    int n = wl_unpack(L, m);
    wl_message_free(m);
    if (n != 1)
        return luaL_error(L, "%d values came: %s", n, lua_tostring(L, -1));
    lua_call(L, 2, 0);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static lua_State *L;
    if (!L) {
        L = luaL_newstate();
        luaL_openlibs(L);
        if (luaL_dostring(L, reference))
            abort();
    }
    lua_pushcfunction(L, cross);
    lua_pushlstring(L, (const char *)data, size);
    if (lua_pcall(L, 1, 0, 0) != 0) {
        fprintf(stderr, "%s\n", lua_tostring(L, -1));
        abort();
    }
    lua_settop(L, 0);
    return 0;
}
