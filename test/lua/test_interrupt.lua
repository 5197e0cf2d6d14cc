-- SPDX-License-Identifier: ISC
--
-- test_interrupt.lua: SIGINT, which lua turns into a hook, while the program waits.

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local run = require("support.program").run

-- The signal comes before, in or between waits: each must let the hook run.
local PROGRAM = [[
  local pool, go = weir.pool { threads = 1 }, gate.new()
  print((select(2, pcall(function()
    local future = pool:run(function(g) os.execute("kill -INT $PPID; read line < " .. g) end, go)
    WAIT
  end)):gsub("^.*: ", "")))
  gate.open_last(go)
  print(pool:close())
]]

describe("an interrupt ends", function()
  for name, wait in pairs {
    ["future:get"] = "future:get()",
    ["future:wait"] = "future:wait()",
    ["a wait with a limit"] = "future:wait(3600)",
    ["weir.all"] = "weir.all { future }",
    ["weir.any"] = "weir.any { future }",
    ["weir.sleep"] = "weir.sleep(3600)",
    ["a get in a coroutine"] = "coroutine.wrap(function() future:get() end)()",
  } do
    it(name, function()
      if name == "a get in a coroutine" and _VERSION == "Lua 5.1" and not rawget(_G, "jit") then
        skip "Lua 5.1 sets the hook of the main program alone"
      end
      assert.are.equal("interrupted!\ntrue\nexit 0\n", (run((PROGRAM:gsub("WAIT", wait)))))
    end)
  end

  it("nothing where a debugger's hook is all that is set", function()
    assert.are.equal("true\tdone\nexit 0\n", run [[
      local n = 0
      debug.sethook(function() n = n + 1 end, "", 1)
      local pool = weir.pool { threads = 1 }
      print(pool:run(function() require("weir").sleep(0.02) return "done" end):get())
      debug.sethook()
      assert(n > 0)
      pool:close()
    ]])
  end)
end)
