-- SPDX-License-Identifier: ISC
--
-- Tasks that clean up when they are cancelled; whole pools that are cancelled; map.

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local gate = require "support.gate"
local pools = require "support.pool"
local program = require "support.program"
local weir = require "weir"

local with_pool = pools.with

-- Runs f(here, out) in a pool of one thread, cancels it when it has opened the gate, and
-- returns what it then writes to the file.
local function cancelled(f, how)
  local here, out = gate.new(), os.tmpname()
  with_pool({ threads = 1, cancel_timeout = math.huge }, function(pool)
    local future = pool:task({ cancellable = true }):run(f, here, out)
    gate.pass(here)
    os.remove(here)
    if how then how(pool) else assert.is_true(future:cancel()) end
    assert.are.same({ false, "cancelled" }, { future:get() })
    assert.are.same({ true, "next" }, { pool:run(function() return "next" end):get() })
  end)
  local file = assert(io.open(out))
  local text = file:read "*a"
  file:close()
  os.remove(out)
  return text
end

describe("weir.on_cancel", function()
  it("calls its functions when the task was stopped, the last one first", function()
    assert.are.equal("second first ", cancelled(function(here, out)
      local w, g = require "weir", require "support.gate"
      local function write(text) local f = io.open(out, "a") f:write(text) f:close() end
      w.on_cancel(function() write "first " end)
      w.on_cancel(function() write "second " end)
      g.open(here)
      while true do end
    end))
  end)

  it("calls them after a task that returned by itself", function()
    assert.are.equal("left false false", cancelled(function(here, out)
      local w, g = require "weir", require "support.gate"
      w.on_cancel(function()
        local f = io.open(out, "w")
        f:write("left ", tostring(w.in_task()), " ", tostring(w.cancelled()))
        f:close()
      end)
      w.cancelled()
      g.open(here)
      while not w.cancelled() do end
    end))
  end)

  it("calls none without a cancel, nor those of an earlier task", function()
    local out = os.tmpname()
    with_pool({ threads = 1 }, function(pool)
      assert(pool:run(function(name)
        require("weir").on_cancel(function() os.remove(name) end)
      end, out):get())
      local here = gate.new()
      local future = pool:task({ cancellable = true }):run(function(h)
        require("weir").on_cancel(function() end)
        require("support.gate").open(h)
        while true do end
      end, here)
      gate.pass(here)
      os.remove(here)
      future:cancel()
      assert(pool:run(function() end):get())
    end)
    assert(io.open(out)):close()
    os.remove(out)
  end)

  it("reports what they raise, and calls the next one", function()
    local output = program.run([[
      local pool, here = weir.pool { threads = 1 }, gate.new()
      local future = pool:task { cancellable = true }:run(function(h)
        local w = require "weir"
        w.on_cancel(function() print "next" end)
        w.on_cancel(function() error "lost" end)
        require("support.gate").open(h)
        while true do end
      end, here)
      gate.pass(here)
      future:cancel()
      pool:run(function() end):get()
      pool:close()
      os.remove(here)]])
    assert.is_truthy(output:find("lost", 1, true), output)
    assert.is_truthy(output:find("next", 1, true), output)
  end)

  it("belongs into a task, and takes a function", function()
    assert.has_error(function() weir.on_cancel(print) end, "weir.on_cancel: called outside a task")
    assert.has_error(function() weir.on_cancel(1) end, "weir.on_cancel: argument 1 must be a function, got 1")
  end)
end)

describe("a task that has asked weir.cancelled", function()
  it("goes on to its end after the answer true", function()
    assert.are.equal("1000000", cancelled(function(here, out)
      local w = require "weir"
      w.cancelled()
      require("support.gate").open(here)
      while not w.cancelled() do end
      local n = 0
      for _ = 1, 1e6 do n = n + 1 end
      local f = io.open(out, "w")
      f:write(("%d"):format(n))
      f:close()
    end))
  end)

  it("is interrupted where it waits", function()
    assert.are.equal("false", cancelled(function(here, out)
      local w = require "weir"
      w.cancelled()
      require("support.gate").open(here)
      local ok = pcall(w.sleep, 1e6)
      local f = io.open(out, "w")
      f:write(tostring(ok))
      f:close()
    end))
  end)

  it("is abandoned when it never ends", function()
    local pool, here, go = assert(weir.pool { threads = 1, cancel_timeout = 0 }), gate.new(), gate.new()
    local future = pool:run(function(h, g)
      local w, gates = require "weir", require "support.gate"
      w.cancelled()
      gates.open(h)
      repeat local _, line = pcall(gates.pass, g) until line -- the signal ends a read
    end, here, go)
    gate.pass(here)
    os.remove(here)
    future:cancel()
    assert.are.same({ true, 1 }, { pool:run(function() return 1 end):get() })
    while pool:stats().abandoned == 0 do weir.sleep(0.001) end -- its replacement may be first
    gate.open_last(go, "go")
    assert.is_true(pool:close())
  end)

  it("leaves the next task as it was", function()
    with_pool({ threads = 1, cancel_timeout = math.huge }, function(pool)
      assert(pool:run(function() require("weir").cancelled() end):get())
      local here = gate.new()
      local future = pool:task({ cancellable = true }):run(function(h)
        require("support.gate").open(h)
        while true do end
      end, here)
      gate.pass(here)
      os.remove(here)
      future:cancel()
      assert.are.same({ true, 1 }, { pool:run(function() return 1 end):get() })
    end)
  end)
end)

describe("pool:cancel_all", function()
  it("ends what runs and what is queued, and no other pool's tasks", function()
    local other = assert(weir.pool { threads = 1 })
    local free = pools.fill(other, 1)
    local kept = other:run(function() return "kept" end)
    local queued
    local text = cancelled(function(here, out)
      local f = io.open(out, "w")
      f:write "ran"
      f:close()
      require("support.gate").open(here)
      while true do end
    end, function(pool)
      queued = { pool:run(function() return 1 end), pool:run(function() return 2 end) }
      pool:cancel_all()
    end)
    assert.are.equal("ran", text)
    for i = 1, 2 do assert.are.same({ false, "cancelled" }, { queued[i]:get() }) end
    free()
    assert.are.same({ true, "kept" }, { kept:get() })
    assert.is_true(other:close())
  end)

  it("leaves tasks that have ended, and may be called on a closed pool", function()
    local pool = assert(weir.pool { threads = 1 })
    local future = pool:run(function() return 5 end)
    assert.is_true(future:wait())
    pool:cancel_all()
    assert.are.same({ true, 5 }, { future:get() })
    pool:close()
    pool:cancel_all()
    assert.has_error(function() pool.cancel_all {} end)
  end)

  it("tells those who wait for a future", function()
    local told = 0
    cancelled(function(here)
      require("support.gate").open(here)
      while true do end
    end, function(pool)
      for _ = 1, 10 do pool:run(function() end):on_settle(function() told = told + 1 end) end
      pool:cancel_all()
      assert.are.equal(10, told)
    end)
  end)
end)

describe("pool:map", function()
  it("returns the results in order", function()
    with_pool({ threads = 2, init = function() return 100 end }, function(pool)
      local add = function(state, n, m) return state + n + m end
      assert.are.same({ 111, 112, 113 }, pool:map(add, { 1, 2, 3 }, 10))
      assert.are.same({}, pool:map(add, {}, 10))
    end)
  end)

  it("returns the error that came first and its index, and cancels the rest", function()
    with_pool({ threads = 2 }, function(pool)
      local go = gate.new()
      local function f(n, g)
        if n == 1 then require("support.gate").pass(g) end -- until it is cancelled
        if n == 2 then error("two", 0) end
        return n
      end
      assert.are.same({ n = 3, nil, "two", 2 }, (function(...) return { n = select("#", ...), ... } end)(
        pool:map(f, { 1, 2, 3, 4, 5 }, go)))
      os.remove(go)
    end)
  end)

  for _, on_full in ipairs { "refuse", "wait" } do
    it("waits for space in a queue that would " .. on_full, function()
      with_pool({ threads = 1, queue_limit = 1, on_full = on_full }, function(pool)
        local list = {}
        for i = 1, 50 do list[i] = i end
        assert.are.same(list, pool:map(function(n) return n end, list))
      end)
    end)
  end

  it("starts no call after one has failed", function()
    with_pool({ threads = 1, queue_limit = 1 }, function(pool)
      local list, go = {}, gate.new()
      for i = 1, 500 do list[i] = i end
      local function f(n, g)
        if n == 1 then error("one", 0) end
        require("support.gate").pass(g) -- until it is cancelled, so the queue fills
      end
      assert.are.same({ nil, "one", 1 }, { pool:map(f, list, go) })
      os.remove(go)
      assert.is_true(pool:stats().submitted < 5)
    end)
  end)

  it("names a value that cannot cross, and wrong arguments", function()
    with_pool({ threads = 1 }, function(pool)
      local co = coroutine.create(function() end)
      assert.has_error(function() pool:map(print, { 1, { co } }) end,
        "map: list[2][1]: coroutine cannot cross to another thread")
      assert.has_error(function() pool:map(1, {}) end, "map: argument 1 must be a function, got 1")
      assert.has_error(function() pool:map(print) end, "map: argument 2 (list) must be a table, got nil")
    end)
  end)

  it("says that the pool is closed", function()
    local pool = assert(weir.pool { threads = 1 })
    pool:close()
    assert.are.same({ nil, "closed", 1 }, { pool:map(print, { 1 }) })
  end)
end)

describe("a pool that goes out of scope", function()
  if _VERSION < "Lua 5.4" then return pending "is closed: <close> is there from Lua 5.4 on" end

  it("is closed, after its tasks have ended", function()
    local seen, futures = nil, {}
    assert(load([[
      local weir, futures, see = ...
      local pool <close> = assert(weir.pool { threads = 1 })
      see(pool)
      futures[1] = pool:run(function() return 3 end)
      futures[1]:get()]]))(weir, futures, function(pool) seen = pool end)
    assert.are.same({ true, 3 }, { futures[1]:get() })
    assert.are.same({ nil, "closed" }, { seen:run(print) })
  end)
end)
