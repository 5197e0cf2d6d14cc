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

  -- Nobody can make space before the test opens the gate, so each limit passes.
  it("that makes run wait counts that time for timeout and start_within", function()
    local pool, future, leave = busy_pool { queue_limit = 1, on_full = "wait" }
    local queued = assert(pool:run(function() return 1 end))
    local function never() error "ran" end
    assert.are.same({ nil, "timeout" }, { pool:task { timeout = 0.01 }:run(never) })
    assert.are.same({ nil, "expired" }, { pool:task { start_within = 0.01, timeout = 60 }:run(never) })
    assert.are.same({ nil, "timeout" }, { pool:task { start_within = 60, timeout = 0 }:run(never) })
    gate.open_last(leave)
    assert.are.same({ true, "left" }, { future:get() })
    assert.are.same({ true, 1 }, { queued:get() })
    assert.are.same({ true, 2 }, { assert(pool:run(function() return 2 end)):get() })
    assert.are.equal(3, pool:stats().submitted)
    pool:close()
  end)

  it("that makes run wait leaves a task what the wait has left of its time", function()
    local core = require "weir.core"
    local pool, future, leave = busy_pool { queue_limit = 1, on_full = "wait" }
    local opener = assert(weir.pool { threads = 1 })
    assert(pool:run(function() end))
    opener:run(function(name)
      require("weir").run_in_main(function() end) -- so the main is inside its run
      require("support.gate").open(name)
    end, leave)
    local submit, within, timeout = core.submit, nil, nil
    core.submit = function(...)
      within, timeout = select(3, ...), select(5, ...)
      return submit(...)
    end
    local waited = pool:task({ start_within = 50, timeout = 60 }):run(function() return 2 end)
    core.submit = submit
    assert.are.same({ true, 2 }, { waited:get() })
    assert.is_true(within < 50 and within > 0, within)
    assert.is_true(timeout < 60 and timeout > within, timeout)
    future:get()
    pool:close()
    opener:close()
    os.remove(leave)
  end)

  it("that makes run wait goes on with the next once a wait has reached its limit", function()
    local pool, _, leave = busy_pool { queue_limit = 1, on_full = "wait" }
    local loop = { ready = {}, owns = function() return false end, suspend = function() coroutine.yield() end }
    function loop.resume(co) loop.ready[#loop.ready + 1] = co end
    weir.loop.use(loop)
    assert(pool:run(function() end)) -- takes the only place
    local limited = pool:task { timeout = 0.01 }
    local outcomes, tasks = {}, {}
    for i = 1, 4 do
      tasks[i] = coroutine.create(function()
        local future, problem = (i == 2 and pool or limited):run(function() return i end)
        outcomes[i] = future or problem
      end)
      assert(coroutine.resume(tasks[i]))
    end
    for _, i in ipairs { 1, 3, 4 } do
      repeat assert(coroutine.resume(tasks[i])) until outcomes[i] -- as the loop's timer would
      assert.are.equal("timeout", outcomes[i])
    end
    assert.is_nil(outcomes[2])
    gate.open_last(leave)
    while not outcomes[2] do
      weir.loop.turn(loop, 30)
      for i = 1, #loop.ready do assert(coroutine.resume(loop.ready[i])) end
      loop.ready = {}
    end
    weir.loop.use(nil)
    assert.are.same({ true, 2 }, { outcomes[2]:get() })
    pool:close()
  end)

  it("is asked for space once, however many waits reach their limits", function()
    local core = require "weir.core"
    local asks, ask = 0, core.space
    local pool, future, leave = busy_pool { queue_limit = 1, on_full = "wait" }
    assert(pool:run(function() end))
    core.space = function(...) asks = asks + 1; return ask(...) end
    for _ = 1, 20 do pool:task { timeout = 0 }:run(function() error "ran" end) end
    core.space = ask
    gate.open_last(leave)
    future:get()
    assert.are.equal(1, asks)
    assert.are.same({ true, 3 }, { assert(pool:run(function() return 3 end)):get() })
    pool:close()
  end)

  it("lets a task wait for its own pool's space as long as the limit says", function()
    with_pool({ threads = 1, queue_limit = 1, on_full = "wait" }, function(pool)
      assert.are.same({ true, nil, "timeout" }, { pool:run(function(own)
        own:run(function() end)
        return own:task { timeout = 0.01 }:run(function() end) -- no "would deadlock"
      end, pool):get() })
    end)
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
