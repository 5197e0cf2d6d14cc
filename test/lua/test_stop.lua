-- SPDX-License-Identifier: ISC
--
-- test_stop.lua: what cancel must not do, and what a task leaves behind in its thread.
-- Its loops allocate: there alone ThreadSanitizer lets the signal in.

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local gate = require "support.gate"
local weir = require "weir"

local luajit = rawget(_G, "jit") ~= nil
local has_close = coroutine.close ~= nil

-- f(gate) starts and is cancelled when it has opened the gate: the pool afterwards.
local function stopped(pool, f, timeout)
  local here = gate.new()
  local future = pool:task { cancellable = true }:run(f, here)
  gate.pass(here)
  os.remove(here)
  assert.is_true(future:cancel(timeout))
  assert.are.same({ false, "cancelled" }, { future:get() })
end

describe("a request to cancel", function()
  it("that comes while the thread makes a new state stops the task", function()
    local ready, go, flag = gate.new(), gate.new(), os.tmpname()
    os.remove(flag)
    local pool = assert(weir.pool {
      threads = 1,
      cancel_timeout = math.huge,
      init = function(a, b, name)
        local again = io.open(name)
        if not again then return end
        again:close()
        require("support.gate").open(a)
        require("support.gate").pass(b)
      end,
      args = { ready, go, flag },
    })
    local here = gate.new()
    local first = pool:task { cancellable = true }:run(function(_, name)
      require("support.gate").open(name)
      while true do local _ = {} end
    end, here)
    gate.pass(here)
    io.open(flag, "w"):close()
    first:cancel()
    local second = pool:task { cancellable = true }:run(function() while true do local _ = {} end end)
    gate.pass(ready) -- in init, on behalf of the second
    os.remove(flag)
    assert.is_true(second:cancel())
    gate.open(go)
    assert.are.same({ true, "third" }, { pool:run(function() return "third" end):get() })
    assert.is_true(pool:close())
    os.remove(ready)
    os.remove(go)
    os.remove(here)
  end)

  it("hits no other task, in whatever moment it comes", function()
    local seed = os.time()
    math.randomseed(seed)
    local pool = assert(weir.pool { threads = 2, cancel_timeout = math.huge })
    local sum = pool:task { cancellable = true }
    local function add(n)
      local s = 0
      for i = 1, n do s = s + i end
      return s, require("weir").cancelled()
    end
    local cancelled = 0
    for _ = 1, 100 do
      local futures, asked = {}, {}
      for i = 1, 10 do futures[i] = sum:run(add, i * 500) end
      for i = 1, 10 do
        if math.random(3) == 1 then asked[i] = futures[i]:cancel() end
        if asked[i] then cancelled = cancelled + 1 end
      end
      for i = 1, 10 do
        local ok, s, was = futures[i]:get()
        if asked[i] then
          assert(not ok and s == "cancelled", seed)
        else
          assert(ok and s == i * 500 * (i * 500 + 1) / 2 and was == false, seed)
        end
      end
    end
    assert.is_true(pool:close())
    local s = pool:stats()
    assert.are.same({ 1000, 0, 0 }, { s.ok + s.cancelled, s.failed, s.abandoned })
    assert.is_true(cancelled > 0 and s.cancelled <= cancelled)
  end)

  it("leaves no hook behind in coroutines that the state keeps", function()
    local out = gate.new()
    local pool = assert(weir.pool {
      threads = 1,
      init = function(name)
        return {
          name = name,
          co = coroutine.create(function()
            while true do coroutine.yield(pcall(function() while spin do end end)) end -- luacheck: ignore
          end),
        }
      end,
      args = { out },
      at_exit = function(state)
        spin = false -- luacheck: ignore
        local _, ok = coroutine.resume(coroutine.create(function() return "clean" end))
        require("support.gate").open(state.name, tostring(ok) .. " " .. tostring((coroutine.resume(state.co))))
      end,
    })
    local here = gate.new()
    local future = pool:task { cancellable = true }:run(function(state, name)
      coroutine.resume(state.co)
      require("support.gate").open(name)
      while true do local _ = {} end
    end, here)
    gate.pass(here)
    future:cancel()
    assert.are.equal("clean true", gate.pass(out))
    assert.is_true(pool:close()) -- no task came, so no state was made anew
    os.remove(here)
    os.remove(out)
  end)

  it("keeps a pool open no longer than its task takes to stop", function()
    local out = gate.new()
    do
      local pool = assert(weir.pool {
        threads = 1,
        cancel_timeout = 3600,
        at_exit = function() require("support.gate").open(out, "bye") end,
      })
      stopped(pool, function(here)
        require("support.gate").open(here)
        while true do local _ = {} end
      end)
      assert.are.equal("bye", gate.pass(out)) -- of the state that was given up
      pool:run(function() end):get()
    end
    collectgarbage()
    collectgarbage()
    assert.are.equal("bye", gate.pass(out))
    os.remove(out)
  end)

  if has_close then
    it("stops what runs because a coroutine is closed", function()
      local f = assert(load [[
        local here = ...
        local co = coroutine.create(function()
          local x <close> = setmetatable({}, { __close = function()
            require("support.gate").open(here)
            while true do local _ = {} end
          end })
          coroutine.yield()
        end)
        coroutine.resume(co)
        coroutine.close(co)
      ]])
      local pool = assert(weir.pool { threads = 1, cancel_timeout = math.huge })
      stopped(pool, f)
      assert.is_true(pool:close())
    end)
  end
end)

describe("a task that waits in weir", function()
  -- wait(here, inner, mutex) opens `here`, and waits for what does not come: inner's one
  -- thread is busy, and the mutex is held.
  local function ends(wait)
    local pool = assert(weir.pool { threads = 1, cancel_timeout = math.huge })
    local inner = assert(weir.pool { threads = 1 })
    local here, held, mutex = gate.new(), gate.new(), weir.mutex()
    mutex:lock()
    local busy = inner:run(function(a, b)
      require("support.gate").open(a)
      require("support.gate").pass(b)
    end, here, held)
    gate.pass(here)
    for _ = 1, 20 do
      local future = pool:run(wait, here, inner, mutex)
      gate.pass(here)
      assert.is_true(future:cancel())
      assert.are.same({ false, "cancelled" }, { future:get() })
      assert.are.same({ true, "next" }, { pool:run(function() return "next" end):get() })
    end
    assert.are.equal(0, pool:stats().abandoned)
    mutex:unlock()
    gate.open_last(held)
    assert.is_true(busy:get())
    assert.is_true(pool:close())
    assert.is_true(inner:close())
    os.remove(here)
  end

  it("for another task does so no longer when it is cancelled", function()
    ends(function(here, inner)
      require("support.gate").open(here)
      inner:run(function() end):get()
    end)
  end)

  it("protected, in a coroutine, again and again does so no longer either", function()
    ends(function(here, inner)
      require("support.gate").open(here)
      local future = inner:run(function() end)
      coroutine.wrap(function()
        while true do pcall(future.get, future) end
      end)()
    end)
  end)

  it("for a mutex does so no longer either", function()
    ends(function(here, _, mutex)
      require("support.gate").open(here)
      mutex:lock()
    end)
  end)

  it("for a worker's message does so no longer either", function()
    local script = os.tmpname()
    local file = assert(io.open(script, "w"))
    file:write "worker.peek()\n"
    file:close()
    local worker = require "weir.worker"
    local pool = assert(weir.pool { threads = 1, cancel_timeout = math.huge })
    local silent = worker.create(script)
    local here = gate.new()
    local future = pool:run(function(w, name)
      require("support.gate").open(name)
      require("weir.worker").receive(w)
    end, silent, here)
    gate.pass(here)
    assert.is_true(future:cancel())
    assert.are.same({ true, "next" }, { pool:run(function() return "next" end):get() })
    assert.are.equal(0, pool:stats().abandoned)
    worker.close(silent)
    assert.is_true(pool:close())
    os.remove(here)
    os.remove(script)
  end)
end)

describe("a thread that does not stop", function()
  it("is counted as lost while it burns", function()
    local pool = assert(weir.pool { threads = 1, cancel_timeout = 0.01 })
    local tries = 0
    repeat -- it may be stopped before it is inside of find
      tries = tries + 1
      stopped(pool, function(here)
        require("support.gate").open(here)
        return (("a"):rep(300)):find((".-"):rep(4) .. "b") -- for seconds
      end)
      assert.are.same({ true, "next" }, { pool:run(function() return "next" end):get() })
    until pool:stats().abandoned > 0
    local s = pool:stats()
    assert.are.same({ tries, tries, 1, 1 }, { s.ok, s.cancelled, s.abandoned, s.lost })
    assert.is_true(pool:close())
    assert.are.equal(1, pool:stats().lost)
  end)

  it("may sleep in C", function()
    local found, socket = pcall(require, "socket")
    if not found then skip "LuaSocket is not here" end
    local pool = assert(weir.pool { threads = 1, cancel_timeout = 0.01 })
    assert(socket.sleep)
    stopped(pool, function(here)
      local sleep = require("socket").sleep
      require("support.gate").open(here)
      while true do pcall(sleep, 1e6) end
    end)
    assert.are.same({ true, "next" }, { pool:run(function() return "next" end):get() })
    assert.is_true(pool:close())
  end)
end)

describe("a task", function()
  local pool
  before_each(function() pool = assert(weir.pool { threads = 1, max_blocked = 1 }) end)
  after_each(function() assert.is_true(pool:close()) end)

  it("finds the hook that an earlier one has set", function()
    pool:run(function() debug.sethook(function() hits = (hits or 0) + 1 end, "", 1) end):get() -- luacheck: ignore
    local _, hits = pool:run(function()
      for _ = 1, 10 do end
      return hits -- luacheck: ignore
    end):get()
    assert.is_true((hits or 0) > 0)
  end)

  it("that leaves weir.blocking half-way blocks its thread no longer", function()
    pool:run(function()
      local co = coroutine.wrap(function() require("weir").blocking(coroutine.yield) end)
      pcall(co)
    end):get()
    assert.are.equal(0, pool:stats().blocked)
  end)

  it("nests coroutines as deep as a program", function()
    local function depth()
      local n = 0
      local function f()
        n = n + 1
        if n < 150 then return coroutine.resume(coroutine.create(f)) end
      end
      f()
      return n
    end
    assert.are.same({ true, 150 }, { pool:run(depth):get() })
  end)

  it("has coroutines that do what a program's do", function()
    local function show()
      local log = {}
      local function note(...)
        for i = 1, select("#", ...) do log[#log + 1] = tostring((select(i, ...))):gsub("^.-:%d+: ", "at: ") end
      end
      local co = coroutine.create(function(a, b)
        note(a, b, coroutine.yield(1, nil, 3))
        error { "x" }
      end)
      note(coroutine.resume(co, 1, 2))
      note(coroutine.status(co), coroutine.resume(co, 4, nil))
      note(coroutine.resume(co))
      local this
      this = coroutine.create(function() note(coroutine.resume(this)) end)
      coroutine.resume(this)
      local outer
      outer = coroutine.create(function()
        coroutine.resume(coroutine.create(function() note(coroutine.resume(outer)) end))
      end)
      coroutine.resume(outer)
      local wrapped = coroutine.wrap(function(...) coroutine.yield(...) error "lost" end)
      note(wrapped(7, nil, 8))
      note(pcall(function() wrapped() end))
      note(pcall(function() wrapped() end))
      note((pcall(coroutine.resume, 5)), (pcall(coroutine.wrap, 5)))
      local unpack = table.unpack or unpack
      note(select("#", coroutine.resume(coroutine.create(function(...) return ... end), unpack({}, 1, 200))))
      return (table.concat(log, " "):gsub("table: %w+", "table"))
    end
    local function dead(text) -- 5.1 says "suspended" of nothing, others word it otherwise
      return (text:gsub("cannot resume [%w%-]+ coroutine", "cannot resume"))
    end
    local ok, there = pool:run(show):get()
    assert(ok, there)
    assert.are.equal(dead(show()), dead(there))
  end)

  if has_close then
    it("has coroutines that close what they leave by an error", function()
      local f = assert(load [[
        local log = {}
        local wrapped = coroutine.wrap(function()
          local x <close> = setmetatable({}, { __close = function(_, e) log[1] = e end })
          error("first", 0)
        end)
        log[2], log[3] = pcall(wrapped)
        local again = coroutine.wrap(function()
          local x <close> = setmetatable({}, { __close = function() error("second", 0) end })
          error("first", 0)
        end)
        log[4], log[5] = pcall(again)
        local co = coroutine.create(function()
          local x <close> = setmetatable({}, { __close = function() error("third", 0) end })
          coroutine.yield()
        end)
        coroutine.resume(co)
        log[6], log[7] = coroutine.close(co)
        log[8] = coroutine.close(co)
        log[9] = pcall(coroutine.close, 5)
        return log
      ]])
      assert.are.same({ true, f() }, { pool:run(f):get() })
    end)
  end

  if luajit then
    it("without the compiler leaves it as it was", function()
      local plain = pool:task { cancellable = true }
      local function status() return require("jit").status() == true end
      assert.are.same({ true, false }, { plain:run(status):get() })
      assert.are.same({ true, true }, { pool:run(status):get() })
      pool:run(function() jit.off() end):get() -- luacheck: ignore
      assert.are.same({ true, false }, { plain:run(status):get() })
      assert.are.same({ true, false }, { pool:run(status):get() })
    end)
  end

  it("may have a global jit of its own", function()
    pool:run(function() jit = {} end):get() -- luacheck: ignore
    assert.are.same({ true, 5 }, { pool:task { cancellable = true }:run(function() return 5 end):get() })
  end)
end)
