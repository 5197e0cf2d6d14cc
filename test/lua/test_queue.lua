-- SPDX-License-Identifier: ISC
--
-- What a queue does at its limit, and with options of single calls.

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local gate = require "support.gate"
local pools = require "support.pool"
local weir = require "weir"

local with_pool, busy_pool = pools.with, pools.busy

describe("a full queue", function()
  it("refuses", function()
    local pool, future, leave = busy_pool { queue_limit = 1 }
    local queued = assert(pool:run(function() return 1 end))
    assert.are.same({ nil, "full" }, { pool:run(function() end) })
    assert.are.equal(1, pool:stats().refused)
    gate.open_last(leave)
    assert.are.same({ true, "left" }, { future:get() })
    assert.are.same({ true, 1 }, { queued:get() })
    pool:close()
  end)

  it("drops the oldest", function()
    local pool, _, leave = busy_pool { queue_limit = 1, on_full = "drop_oldest" }
    local oldest = pool:run(function() return 1 end)
    local newest = pool:run(function() return 2 end)
    gate.open_last(leave)
    assert.are.same({ false, "full" }, { oldest:get() })
    assert.are.same({ true, 2 }, { newest:get() })
    pool:close()
  end)

  it("makes run wait for space, in which calls are served", function()
    local pool, future, leave = busy_pool { queue_limit = 1, on_full = "wait" }
    local opener = assert(weir.pool { threads = 1 })
    local queued = assert(pool:run(function() return 1 end))
    opener:run(function(name)
      require("weir").run_in_main(function() end) -- so the main is inside its run
      require("support.gate").open(name)
    end, leave)
    local waited = assert(pool:run(function() return 2 end))
    assert.are.same({ true, "left" }, { future:get() })
    assert.are.same({ true, 1 }, { queued:get() })
    assert.are.same({ true, 2 }, { waited:get() })
    assert.is_true(pool:stats().refused > 0)
    pool:close()
    opener:close()
    os.remove(leave)
  end)

  it("that makes run wait takes those of a state in their order", function()
    local pool, _, leave = busy_pool { queue_limit = 1, on_full = "wait" }
    local order, tasks = {}, {}
    local loop = { ready = {}, owns = function() return false end, suspend = function() coroutine.yield() end }
    function loop.resume(co) loop.ready[#loop.ready + 1] = co end
    weir.loop.use(loop)
    assert(pool:run(function() return 0 end)) -- takes the only place
    for i = 1, 20 do
      tasks[i] = coroutine.create(function()
        assert(pool:run(function() end))
        order[#order + 1] = i
      end)
      assert(coroutine.resume(tasks[i]))
    end
    coroutine.resume(tasks[7]) -- for nothing
    gate.open_last(leave)
    while #order < 20 do
      weir.loop.turn(loop, 30)
      for i = 1, #loop.ready do assert(coroutine.resume(loop.ready[i])) end
      loop.ready = {}
    end
    weir.loop.use(nil)
    for i = 1, 20 do assert.are.equal(i, order[i]) end
    assert.are.same({ true }, { assert(pool:run(function() end)):get() })
    pool:close()
  end)

  it("that makes run wait minds no coroutine that is no more", function()
    local pool, _, leave = busy_pool { queue_limit = 1, on_full = "wait" }
    local loop = { owns = function() return false end, resume = function() end }
    function loop.suspend() error "killed" end
    weir.loop.use(loop)
    local queued = assert(pool:run(function() return 0 end))
    assert.is_false(coroutine.resume(coroutine.create(function() pool:run(function() error "ran" end) end)))
    weir.loop.use(nil)
    gate.open_last(leave)
    assert.are.same({ true, 0 }, { queued:get() })
    assert.are.same({ true, 1 }, { assert(pool:run(function() return 1 end)):get() })
    assert.are.equal(0, pool:stats().failed)
    pool:close()
  end)

  local function closes_while_run_waits(how, queued_ends)
    local pool, future, leave = busy_pool { queue_limit = 1, on_full = "wait" }
    local closer = assert(weir.pool { threads = 1 })
    local queued = assert(pool:run(function() end))
    closer:run(function(p, name)
      require("weir").run_in_main(function() end) -- so the main is inside its run
      p:close_async(how)
      require("support.gate").open(name)
    end, pool, leave)
    assert.are.same({ nil, "closed" }, { pool:run(function() end) })
    assert.are.same(queued_ends, { queued:get() })
    future:get()
    pool:close()
    closer:close()
    os.remove(leave)
  end

  it("that makes run wait tells of a close", function()
    closes_while_run_waits({}, { false, "closed" })
  end)

  it("that makes run wait tells of a close that drains", function()
    closes_while_run_waits({ drain = true }, { true })
  end)

  it("that makes run wait loses nothing", function()
    with_pool({ threads = 2, queue_limit = 2, on_full = "wait" }, function(pool)
      local futures = {}
      for i = 1, 200 do futures[i] = assert(pool:run(function(k) return k end, i)) end
      for i = 1, 200 do assert.are.same({ true, i }, { futures[i]:get() }) end
    end)
  end)
end)

describe("per-call options", function()
  it("let a higher priority overtake", function()
    local pool, _, leave = busy_pool {}
    local function note(word) order = (order or "") .. word; return order end -- luacheck: ignore
    pool:task { priority = "low" }:run(note, "l")
    pool:run(note, "n")
    pool:task { priority = "high" }:run(note, "h")
    local last = pool:task { priority = "low" }:run(note, "L")
    gate.open_last(leave)
    assert.are.same({ true, "hnlL" }, { last:get() })
    pool:close()
  end)

  it("expire a task that no thread starts in time", function()
    local pool, _, leave = busy_pool {}
    local future = pool:task { start_within = 0.01 }:run(function() end)
    assert.are.same({ false, "expired" }, { future:get() })
    gate.open_last(leave)
    pool:close()
  end)

  it("expire at once a task for which no time is given", function()
    local pool, _, leave = busy_pool {}
    local future = pool:task { start_within = 0 }:run(function() end)
    assert.are.same({ false, "expired" }, { future:get() })
    gate.open_last(leave)
    pool:close()
  end)

  it("may be without end", function()
    with_pool({ threads = 1 }, function(pool)
      local task = pool:task { timeout = math.huge, start_within = math.huge }
      local future = task:run(function() return 1 end)
      assert.is_true(future:wait(math.huge))
      assert.is_true(weir.all({ future }, math.huge))
      assert.are.same({ true, 1 }, { future:get() })
    end)
  end)

  it("end the wait for a task that takes too long", function()
    local pool = assert(weir.pool { threads = 1, cancel_timeout = math.huge })
    local never = gate.new()
    local task = pool:task { timeout = 0.01, start_within = math.huge }
    local future = task:run(function(name) require("support.gate").pass(name) end, never)
    assert.are.same({ false, "timeout" }, { future:get() })
    assert.are.same({ false, "timeout" }, { future:get() })
    pool:close() -- the task was stopped
    os.remove(never)
  end)

  it("may be used for any number of runs", function()
    with_pool({ threads = 2 }, function(pool)
      local task = pool:task { priority = "high", timeout = 60 }
      for i = 1, 10 do assert.are.same({ true, i }, { task:run(function(k) return k end, i):get() }) end
    end)
  end)
end)
