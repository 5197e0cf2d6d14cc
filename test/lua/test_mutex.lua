-- SPDX-License-Identifier: ISC

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local gate = require "support.gate"
local weir = require "weir"

local pool

setup(function() pool = assert(weir.pool { threads = 2, name = "locking" }) end)
teardown(function() pool:close() end)

-- A loop under which coroutines wait; turn runs all that are ready.
local function new_loop()
  local mine, waits, ready = {}, {}, {}
  local loop = {
    owns = function(co) return mine[co] == true end,
    suspend = function(co) waits[co] = true; coroutine.yield() end,
    resume = function(co)
      if waits[co] then waits[co] = nil; table.insert(ready, co) end
    end,
  }
  function loop.start(f)
    local co = coroutine.create(f)
    mine[co] = true
    table.insert(ready, co)
    return co
  end
  function loop.go()
    while ready[1] do assert(coroutine.resume(table.remove(ready, 1))) end
  end
  weir.loop.register(loop)
  return loop
end

describe("a mutex", function()
  it("is locked and unlocked by its owner", function()
    local m = weir.mutex()
    assert.is_nil(m:holder())
    assert.is_true(m:lock())
    assert.are.equal("the main program", m:holder())
    assert.are.equal("weir.mutex: locked by the main program", tostring(m))
    assert.is_true(m:unlock())
    assert.are.equal("weir.mutex: free", tostring(m))
  end)

  it("refuses a second lock by its owner, unless it is recursive", function()
    for _, kind in ipairs { "normal", "errorcheck" } do
      local m = weir.mutex(kind)
      assert.is_true(m:lock())
      assert.are.same({ nil, "lock: the main program has locked this mutex already" }, { m:lock() })
      assert.is_false(m:trylock())
      assert.is_true(m:unlock())
    end
    local m = weir.mutex "recursive"
    assert.is_true(m:lock())
    assert.is_true(m:lock())
    assert.is_true(m:trylock())
    for _ = 1, 3 do
      assert.are.equal("the main program", m:holder())
      assert.is_true(m:unlock())
    end
    assert.is_nil(m:holder())
  end)

  it("refuses an unlock by another, and of a free one", function()
    local m, other = weir.mutex(), weir.owner "somebody else"
    assert.are.same({ nil, "unlock: this mutex is not locked" }, { m:unlock() })
    assert.is_true(m:lock(other))
    assert.are.same({ nil, "unlock: this mutex is locked by somebody else, not by the main program" }, { m:unlock() })
    assert.is_true(m:unlock(other))
  end)

  it("is the same one in every state", function()
    local m = weir.mutex()
    m:lock()
    local future = pool:run(function(x) return x:trylock(), x:holder() end, m)
    assert.are.same({ true, false, "the main program" }, { future:get() })
    m:unlock()
    assert.are.same({ true, true, "a task of pool 'locking'" },
      { pool:run(function() return m:trylock(), m:holder() end):get() })
  end)

  it("is given back by a task that ends, also when it fails", function()
    local m = weir.mutex()
    assert.is_false((pool:run(function() m:lock() error "oops" end):get()))
    assert.is_nil(m:holder())
    assert.is_true(m:lock())
    m:unlock()
  end)

  it("is given back by an owner that is released, or collected", function()
    local m, owner = weir.mutex(), weir.owner "an owner"
    m:lock(owner)
    owner:release()
    owner:release()
    assert.is_nil(m:holder())
    assert.has_error(function() m:lock(owner) end)
    m:lock(weir.owner "nobody's")
    collectgarbage()
    collectgarbage()
    assert.is_nil(m:holder())
  end)

  it("wakes the threads that wait for it", function()
    local m, inside, go = weir.mutex(), { gate.new(), gate.new() }, gate.new()
    local futures = { pool:run(function(name)
      m:lock()
      require("support.gate").pass(name)
      m:unlock()
    end, go) }
    -- it has the mutex once nobody else can get it
    while m:trylock() do m:unlock() end
    local other = assert(weir.pool { threads = 2 })
    for i = 1, 2 do
      futures[i + 1] = other:run(function(name)
        require("support.gate").open(name)
        return m:lock()
      end, inside[i])
      gate.pass(inside[i])
    end
    gate.open_last(go)
    for i = 1, 3 do assert.is_true((futures[i]:get())) end
    assert.is_nil(m:holder())
    other:close()
    for _, name in ipairs(inside) do os.remove(name) end
  end)

  it("suspends a coroutine under a loop, and no other", function()
    local loop, m, log = new_loop(), weir.mutex(), {}
    local function log_around(name)
      return function()
        assert(m:lock())
        table.insert(log, name .. " in")
        loop.suspend(coroutine.running())
        table.insert(log, name .. " out")
        assert(m:unlock())
      end
    end
    local a, b = loop.start(log_around "a"), loop.start(log_around "b")
    loop.go()
    loop.resume(a)
    loop.go() -- a gives it to b; that comes by the mailbox
    while weir.loop.pending() > 0 do weir.loop.turn(loop) end
    loop.go()
    loop.resume(b)
    loop.go()
    assert.are.same({ "a in", "a out", "b in", "b out" }, log)
    assert.is_nil(m:holder())
  end)

  it("goes to who came first", function()
    local loop, m, log = new_loop(), weir.mutex(), {}
    m:lock()
    for i = 1, 3 do
      loop.start(function()
        assert(m:lock())
        table.insert(log, i)
        assert(m:unlock())
      end)
    end
    loop.go()
    m:unlock()
    while weir.loop.pending() > 0 do
      weir.loop.turn(loop)
      loop.go()
    end
    assert.are.same({ 1, 2, 3 }, log)
  end)

  it("goes from one thread to the other, a thousand times", function()
    local m = weir.mutex()
    weir.shared.set("test.counter", 0)
    local futures = {}
    for i = 1, 2 do
      futures[i] = pool:run(function()
        local shared = require("weir").shared
        for _ = 1, 1000 do
          m:lock()
          shared.set("test.counter", shared.get "test.counter" + 1)
          m:unlock()
        end
      end)
    end
    assert.is_true(weir.all(futures))
    assert.are.equal(2000, weir.shared.get "test.counter")
    weir.shared.set("test.counter", nil)
  end)

  it("refuses a wait that would close a circle", function()
    local loop, a, b, why = new_loop(), weir.mutex(), weir.mutex(), nil
    local one = loop.start(function()
      assert(a:lock())
      loop.suspend(coroutine.running())
      assert(b:lock())
      b:unlock()
      a:unlock()
    end)
    loop.go()
    local two = loop.start(function()
      assert(b:lock())
      loop.suspend(coroutine.running())
      why = select(2, a:lock())
      b:unlock()
    end)
    loop.go()
    loop.resume(one)
    loop.go() -- it waits for b
    loop.resume(two)
    loop.go()
    assert.matches("^would deadlock: the mutex is locked by thread: .*, which waits for thread: ", why)
    while weir.loop.pending() > 0 do weir.loop.turn(loop) end
    loop.go()
    assert.are.equal("dead", coroutine.status(one))
    assert.is_nil(a:holder() or b:holder())
  end)

  it("refuses one of two threads that wait for each other", function()
    local a, b, inside = weir.mutex(), weir.mutex(), gate.new()
    assert(a:lock())
    local future = pool:run(function(name)
      assert(b:lock())
      require("support.gate").open(name)
      local ok, why = a:lock()
      b:unlock()
      return ok, why
    end, inside)
    gate.pass(inside)
    local ok, why = b:lock()
    if ok then b:unlock() end
    a:unlock()
    local _, task_ok, task_why = future:get()
    assert.are.same({ true, true }, { ok or task_ok, not (ok and task_ok) })
    assert.matches("^would deadlock: ", why or task_why)
    os.remove(inside)
  end)

  it("refuses a wait for somebody who could not go on meanwhile", function()
    local loop, m = new_loop(), weir.mutex()
    local co = loop.start(function()
      m:lock()
      loop.suspend(coroutine.running())
      m:unlock()
    end)
    loop.go()
    local ok, why = m:lock()
    assert.is_nil(ok)
    assert.matches("^would deadlock: the mutex is locked by thread: .*, of this thread$", why)
    loop.resume(co)
    loop.go()
    assert.is_true(m:lock())
    m:unlock()
  end)

  it("checks its arguments", function()
    local m = weir.mutex()
    for _, case in ipairs {
      { function() weir.mutex "fast" end, 'weir.mutex: argument 1 %(kind%) must be one of "normal", "recursive"' },
      { function() m.lock(5) end, "lock: called on a number, not on a mutex" },
      { function() m:lock "me" end, "lock: argument 1 %(owner%) must be an owner or nil, got string" },
      { function() m:unlock {} end, "unlock: argument 1 %(owner%) must be an owner or nil, got table" },
      { function() weir.owner() end, "weir.owner: argument 1 %(name%) must be a string, got nil" },
    } do
      local ok, problem = pcall(case[1])
      assert.is_false(ok)
      assert.matches("^test/lua/test_mutex.lua:%d+: ", problem)
      assert.matches(case[2], problem)
    end
  end)
end)
