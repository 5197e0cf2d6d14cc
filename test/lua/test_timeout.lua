-- SPDX-License-Identifier: ISC
--
-- test_timeout.lua: what is said of tasks with a timeout, at its very limit too. That it
-- ends every way to wait under each loop stands in support/loop_tests.lua.

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local gate = require "support.gate"
local weir = require "weir"

local told

before_each(function()
  told = {}
  weir.on_unhandled(function(problem, traceback) told[#told + 1] = { problem, traceback } end)
end)
after_each(function() weir.on_unhandled(nil) end)

-- Fails with "own", whatever is done to stop it: weir's hook does not come inside another.
local function fail_late(here, go)
  debug.sethook(function()
    debug.sethook()
    os.execute(("echo > %s; read line < %s"):format(here, go)) -- which no signal ends
    error("own", 0)
  end, "", 1)
  local _ = 1
end

-- Until what the pool's only thread did before was delivered.
local function flush(pool)
  assert.are.same({ true }, { pool:run(function() end):get() })
end

describe("a timeout", function()
  it("ends a task that waits in the queue, too", function()
    local pool, go = assert(weir.pool { threads = 1 }), gate.new()
    pool:run(function(g) require("support.gate").pass(g) end, go)
    local future = pool:task { timeout = 0.001 }:run(function() return 1 end)
    for _ = 1, 2 do assert.are.same({ false, "timeout" }, { future:get() }) end
    gate.open_last(go)
    assert.is_true(pool:close { drain = true })
    local stats = pool:stats()
    assert.are.equal(1, stats.timed_out)
    assert.are.equal(1, stats.expired + stats.cancelled)
    assert.are.equal(1, stats.ok)
  end)

  it("says what a limit for the start says where both are given", function()
    local pool, go = assert(weir.pool { threads = 1 }), gate.new()
    pool:run(function(g) require("support.gate").pass(g) end, go)
    local future = pool:task { timeout = 3600, start_within = 0.001 }:run(function() end)
    assert.are.same({ false, "expired" }, { future:get() })
    assert.are.equal(0, pool:stats().timed_out)
    gate.open_last(go)
    pool:close { drain = true }
  end)

  it("leaves a task alone that ends in time", function()
    while weir.loop.pending() > 0 do weir.sleep(0.001) end -- of other tests
    local pool = assert(weir.pool { threads = 1 })
    local future = pool:task { timeout = 3600 }:run(function() return 1 end)
    for _ = 1, 2 do assert.are.same({ true, 1 }, { future:get() }) end
    assert.are.equal(0, weir.loop.pending()) -- nothing is kept for the limit
    local stats = pool:stats()
    assert.are.equal(1, stats.ok)
    assert.are.equal(0, stats.timed_out)
    pool:close()
  end)

  it("does not count where cancel was first", function()
    local pool, here, go = assert(weir.pool { threads = 1 }), gate.new(), gate.new()
    local future = pool:task { timeout = 0.001, start_within = math.huge }:run(function(h, g)
      require("support.gate").open(h)
      require("support.gate").pass(g)
    end, here, go)
    gate.pass(here)
    if future:cancel() then -- the limit may wait in the mailbox already, and comes too late
      for _ = 1, 2 do assert.are.same({ false, "cancelled" }, { future:get() }) end
      flush(pool)
      assert.are.same({ false, "cancelled" }, { future:get() })
      assert.are.equal(0, pool:stats().timed_out)
    end
    pool:close()
    os.remove(here)
    os.remove(go)
  end)

  it("may be for ever so many tasks at once, in any order", function()
    local pool, go, here = assert(weir.pool { threads = 1 }), gate.new(), gate.new()
    pool:run(function(h, g)
      require("support.gate").open(h)
      require("support.gate").pass(g)
    end, here, go)
    gate.pass(here)
    local short, long = {}, {}
    for i = 1, 500 do
      long[i] = pool:task { timeout = 3600 + i * 7919 % 500 }:run(function(k) return k end, i)
      short[i] = pool:task { timeout = i * 7919 % 500 / 5e5 }:run(function() end)
    end
    for i = 1, 500, 2 do assert.is_true(long[i]:cancel()) end
    assert.is_true(weir.all(short))
    for i = 1, 500 do assert.are.same({ false, "timeout" }, { short[i]:get() }) end
    gate.open_last(go)
    os.remove(here)
    for i = 2, 500, 2 do assert.are.same({ true, i }, { long[i]:get() }) end
    assert.are.equal(500, pool:stats().timed_out)
    pool:close()
  end)

  it("of a task's own task is no reason to call the wait a deadlock", function()
    local pool = assert(weir.pool { threads = 1 })
    assert.are.same({ true, false, "timeout" }, { pool:run(function(p)
      return p:task { timeout = 0.001 }:run(function() end):get()
    end, pool):get() })
    pool:close()
  end)
end)

describe("an error that comes after the timeout", function()
  it("is told to on_unhandled, once, and the future stays as it was", function()
    local pool, here, go = assert(weir.pool { threads = 1 }), gate.new(), gate.new()
    local future = pool:task { timeout = 0.001, start_within = math.huge }:run(fail_late, here, go)
    gate.pass(here)
    for _ = 1, 2 do assert.are.same({ false, "timeout" }, { future:get() }) end
    assert.are.equal(1, pool:stats().running) -- its task has not returned
    gate.open_last(go)
    os.remove(here)
    flush(pool)
    assert.are.equal(1, #told)
    assert.are.equal("own", told[1][1])
    assert.are.same({ false, "timeout" }, { future:get() })
    assert.is_nil(future:traceback())
    future = nil -- luacheck: ignore
    collectgarbage()
    collectgarbage()
    flush(pool)
    assert.are.equal(1, #told)
    local stats = pool:stats()
    assert.are.equal(1, stats.timed_out)
    assert.are.equal(1, stats.cancelled)
    pool:close()
  end)

  it("is told with its own text where the limit comes while that is made", function()
    local pool = assert(weir.pool { threads = 1, cancel_timeout = math.huge })
    local here, hold = gate.new(), os.tmpname()
    local future = pool:task { timeout = 0.001, start_within = math.huge }:run(function(inside, on)
      local began
      local function text() -- which may be called again
        if not began then
          began = true
          require("support.gate").open(inside)
        end
        for file in function() return io.open(on) end do file:close() end -- until it is gone
        return "own"
      end
      error(setmetatable({}, { __tostring = text }), 0)
    end, here, hold)
    gate.pass(here)
    assert.are.same({ false, "timeout" }, { future:get() })
    os.remove(hold)
    os.remove(here)
    flush(pool)
    assert.are.equal(1, #told)
    assert.matches("own", told[1][1])
    pool:close()
  end)

  it("is told also of a task that was abandoned", function()
    local pool = assert(weir.pool { threads = 1, cancel_timeout = 0 })
    local here, go = gate.new(), gate.new()
    local future = pool:task { timeout = 0.001, start_within = math.huge }:run(fail_late, here, go)
    gate.pass(here)
    assert.are.same({ false, "timeout" }, { future:get() })
    while pool:stats().abandoned == 0 do flush(pool) end
    assert.are.same({}, told)
    gate.open_last(go)
    os.remove(here)
    while #told == 0 do flush(pool) end
    flush(pool)
    assert.are.equal(1, #told)
    assert.are.equal("own", told[1][1])
    pool:close()
  end)

  it("is told by the future where it came before the limit was heard of", function()
    local pool = assert(weir.pool { threads = 1 })
    local late = weir.loop.clock() + 0.01
    local future = pool:task { timeout = 0.01, start_within = math.huge }:run(function() error("in time", 0) end)
    while weir.loop.clock() < late or pool:stats().failed == 0 do end -- who does not turn hears of both at once
    for _ = 1, 2 do assert.are.same({ false, "in time" }, { future:get() }) end
    collectgarbage()
    assert.are.same({}, told)
    pool:close()
  end)

  it("and every other is told once, at the very limit", function()
    local pool, n, said = assert(weir.pool { threads = 1 }), 300, {}
    local task = pool:task { timeout = 0.002, cancellable = true }
    for i = 1, n do
      local ok, problem = task:run(function(number, till)
        local clock = require("weir").loop.clock
        while clock() < till do end
        error(number, 0)
      end, i, weir.loop.clock() + 0.002 + (i % 21 - 10) * 1e-5):get()
      assert.is_false(ok)
      said[problem] = (said[problem] or 0) + 1
    end
    flush(pool)
    collectgarbage()
    collectgarbage()
    local failures = #told
    for _, one in ipairs(told) do
      assert.is_nil(said[one[1]]) -- not of a failure that its future told
      said[one[1]] = "told"
    end
    for key, count in pairs(said) do
      if type(key) == "number" and count ~= "told" then failures = failures + count end
    end
    local stats = pool:stats()
    assert.are.equal(said.timeout or 0, stats.timed_out)
    assert.are.equal(n, stats.timed_out + failures - #told)
    assert.is_true(stats.failed <= failures)
    assert.is_nil(said.closed)
    pool:close()
  end)
end)
