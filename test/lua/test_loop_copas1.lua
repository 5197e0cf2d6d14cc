-- SPDX-License-Identifier: ISC
--
-- Copas 1.1.7, Debian 12's: only a coroutine that waits in copas.receive can be suspended,
-- and its loop never ends. Each test is a program, for Copas 4 is what the others have.

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local program = require "support.program"

local FOLDER = (os.getenv "WEIR_BUILD" or "_build-ci") .. "/lua/copas1"
local there = io.open(FOLDER .. "/copas.lua")
if there then there:close() end
local old = (_VERSION == "Lua 5.1" or _VERSION == "Lua 5.2") and not rawget(_G, "jit")

-- Asked of a program, for what runs these tests may find modules of another Lua's as well.
local function missing() -- what it needs of this system, or nil
  if not there then return "Copas 1.1.7" end
  for _, name in ipairs { "socket", "coxpcall" } do
    if program.run(("require %q"):format(name)) ~= "exit 0\n" then return name end
  end
end

local lacks = old and missing()
if not old or lacks then
  describe("under Copas 1.1.7", function()
    pending(old and lacks .. " is not here" or "is for Lua 5.1 and 5.2")
  end)
  return
end

local BEGIN = ("package.path = %q .. package.path\n"):format(FOLDER .. "/?.lua;") .. [[
local copas = require "copas"
assert(copas._VERSION == "Copas 1.1.7" and not copas.wakeup)
local pool = assert(weir.pool { threads = 2 })
local left = 0
local function start(f) -- a thread of Copas
  left = left + 1
  copas.addthread(function() f(); left = left - 1 end)
end
local function turn() -- until the last of them has ended
  while left > 0 do copas.step(20) end
end
]]

local function prints(expected, text)
  assert.are.equal(expected .. "exit 0\n", program.run(BEGIN .. text))
end

describe("under Copas 1.1.7", function()
  it("a future suspends its coroutine and no other", function()
    prints("turned\ttrue\topened\n", [[
      local go, turned = gate.new(), nil
      start(function()
        local future = pool:run(function(g) return require("support.gate").pass(g) end, go)
        local ok, line = future:get()
        print(turned, ok, line)
      end)
      start(function()
        turned = "turned"
        gate.open_last(go, "opened")
      end)
      turn()
    ]])
  end)

  it("several coroutines wait for one future, and cancel releases them", function()
    prints("false\tcancelled\nfalse\tcancelled\ntrue\n", [[
      local here, go = gate.new(), gate.new()
      local future = pool:run(function(h, g)
        require("support.gate").open(h)
        require("support.gate").pass(g)
      end, here, go)
      gate.pass(here)
      for _ = 1, 2 do start(function() print(future:get()) end) end
      start(function()
        pool:run(function() end):get()
        future:cancel()
      end)
      turn()
      os.remove(here)
      os.remove(go)
      print(pool:close())
    ]])
  end)

  it("a task calls a function of the main state", function()
    prints("true\t2\tnested\n", [[
      _G.pool = pool
      start(function()
        print(pool:run(function()
          return require("weir").run_in_main(function()
            local _, word = pool:run(function() return "nested" end):get()
            return 2, word
          end)
        end):get())
      end)
      turn()
    ]])
  end)

  it("who waits for a time blocks, and no longer than that", function()
    prints("false\ttrue\n", [[
      local go = gate.new()
      start(function()
        local future = pool:run(function(g) require("support.gate").pass(g) end, go)
        local first = future:wait(0.01)
        gate.open_last(go)
        print(first, future:wait(20))
      end)
      turn()
    ]])
  end)

  it("three thousand concurrent calls each bring their own result", function()
    prints("3000\n", [[
      local right = 0
      for i = 1, 3000 do
        start(function()
          local ok, value = pool:run(function(k) return k * 3 end, i):get()
          if ok and value == i * 3 then right = right + 1 end
        end)
      end
      turn()
      print(right)
    ]])
  end)

  it("weir.copas_async works", function()
    prints("true\tline\nfalse\tsorry\n", [[
      require "weir.copas_async"
      local async = require "copas.async"
      start(function()
        local fd = async.io_popen("echo line")
        print(true, fd:read())
        fd:close()
        print(async(function() error("sorry", 0) end))
      end)
      turn()
    ]])
  end)
end)
