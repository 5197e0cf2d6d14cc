-- SPDX-License-Identifier: ISC
--
-- yieldable.lua: whether the running coroutine can be suspended where it is now. Lua 5.3
-- and later have a function for that. Elsewhere this file searches its stack; a function that
-- is not known to let a yield pass counts as one that does not.

if coroutine.isyieldable then return coroutine.isyieldable end -- luacheck: ignore

local getinfo = debug.getinfo
local is_5_1 = _VERSION == "Lua 5.1" and not rawget(_G, "jit")

-- C functions across which 5.2 and LuaJIT can yield.
local passes = is_5_1 and {} or { [pcall] = true, [xpcall] = true }

-- 5.1 calls metamethods, and iterators of for, from C that is not on its stack: a function
-- without a name may be such a one. A function that was called by a tail call has no name
-- either, and is taken for harmless: a metamethod that ends in one gets Lua's own error.
local function may_be_called_by_c(info)
  return info.what ~= "tail" and info.name == nil or info.name == "(for generator)"
end

-- Levels from the caller of `yieldable` up; the coroutine's first function has no caller.
return function()
  if not coroutine.running() then return false end
  local level, info = 2, getinfo(2, "Snf")
  while info do
    if info.what == "C" and not passes[info.func] then return false end
    local above = getinfo(level + 1, "Snf")
    if is_5_1 and above and above.what ~= "tail" and may_be_called_by_c(info) then return false end
    level, info = level + 1, above
  end
  return true
end
