-- SPDX-License-Identifier: ISC
--
-- A coroutine that luv lets go on may run another loop, to its end, before luv polls
-- again: each must hear of what comes back to it.

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local found, uv = pcall(require, "luv")
if not found then return require "support.missing" "luv" end

local gate = require "support.gate"
local weir = require "weir"
local plain = _VERSION == "Lua 5.1" and not rawget(_G, "jit")

describe("inside a turn of luv", function()
  local pool

  before_each(function() pool = assert(weir.pool { threads = 1 }) end)
  after_each(function()
    weir.loop.use(nil)
    pool:close()
  end)

  -- Runs f where luv has just let a coroutine go on, as often as tasks follow each other.
  local function inside_a_turn(f)
    local problem = "it did not come to its end"
    weir.loop.use(weir.loop.luv)
    assert(coroutine.resume(coroutine.create(function()
      for i = 1, 3 do assert.are.same({ true, i }, { pool:run(function(n) return n end, i):get() }) end
      local ok
      if plain then ok = true f() else ok, problem = pcall(f) end
      if ok then problem = nil end
    end)))
    uv.run()
    if problem then error(problem, 0) end
  end

  it("a wait that blocks", function()
    inside_a_turn(function()
      weir.loop.use(weir.loop.block)
      for i = 1, 100 do assert.are.same({ true, i }, { pool:run(function(n) return n end, i):get() }) end
    end)
  end)

  it("OpenOS' machine", function()
    local thread = require "weir.thread"
    inside_a_turn(function()
      weir.loop.use(nil)
      local value
      thread.run(function()
        for i = 1, 3 do
          local _
          local go = gate.new()
          local future = pool:run(function(g, n) require("support.gate").pass(g) return n end, go, i)
          thread.create(function() -- after the machine has polled
            thread.sleep(0.001)
            gate.open_last(go)
          end)
          _, value = future:get()
        end
      end)
      assert.are.equal(3, value)
    end)
  end)

  it("another that watches", function()
    if plain then skip "Copas' coxpcall wraps what luv resumes" end
    local copas = require("support.in_copas").module()
    if not copas then skip "Copas 4 is not here" end
    inside_a_turn(function()
      weir.loop.use(nil)
      local value
      copas.addthread(function()
        for i = 1, 3 do
          local _
          local go = gate.new()
          local future = pool:run(function(g, n) require("support.gate").pass(g) return n end, go, i)
          copas.addthread(function() -- after Copas has polled
            copas.pause(0.001)
            gate.open_last(go)
          end)
          _, value = future:get()
        end
      end)
      copas.loop()
      assert.are.equal(3, value)
    end)
  end)

  it("timers come between tasks that follow each other for ever", function()
    local stopped, calls, timer = false, 0, uv.new_timer()
    weir.loop.use(weir.loop.luv)
    timer:start(5, 0, function()
      timer:close()
      stopped = true
    end)
    assert(coroutine.resume(coroutine.create(function()
      while not stopped do
        pool:run(function() end):get()
        calls = calls + 1
      end
    end)))
    uv.run()
    assert.is_true(stopped and calls > 0)
  end)
end)
