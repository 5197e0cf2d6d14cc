-- SPDX-License-Identifier: ISC
--
-- test_memory.lua: the binding without memory: the n-th allocation fails, and all after
-- it, for every n, in each of several scenarios. See support/memory_sweep.lua.

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local function sweep(name, where)
  local pipe = io.popen(("timeout 1200 %s test/lua/support/memory_sweep.lua %s %s 2>&1"):format(os.getenv "WEIR_LUA",
    name, where))
  local output = pipe:read("*a")
  pipe:close()
  return output
end

-- How many allocations each needs at least, so that a sweep that fails none is noticed.
local scenarios = {
  open = 8, run = 3, task = 3, cancel = 3, call = 3, progress = 4, worker = 4, close = 1, close_async = 1,
}

local leaks = rawget(_G, "jit") and os.getenv "WEIR_LUA_VARIANT" == "checked"

describe("without memory", function()
  for name, least in pairs(scenarios) do
    for _, where in ipairs { "lua", "own", "everywhere" } do
      it(("%s says so and loses nothing, when %s allocations fail"):format(name, where), function()
        if leaks and where == "lua" then skip "LuaJIT itself leaks then, and asserts that it does not" end
        local output = sweep(name, where)
        local failures = output:match "^ok (%d+)\n$"
        assert(failures, output)
        assert.is_true(tonumber(failures) >= least, output)
      end)
    end
  end
end)
