-- SPDX-License-Identifier: ISC
--
-- scale(n): how much of n, the size that the test's name says. All of it under Lua 5.4 and LuaJIT;
-- a tenth elsewhere, where tools/lua sets WEIR_SCALE: what grows by steps has taken the same steps.

local part = tonumber(os.getenv "WEIR_SCALE" or "1")

return function(n) return math.floor(n * part) end
