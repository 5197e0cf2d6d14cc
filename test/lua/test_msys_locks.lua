-- SPDX-License-Identifier: ISC
--
-- test_msys_locks.lua: thread.mutex and msys.lock in sessions and pools.

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local gate = require "support.gate"
local msys = require "weir.msys"

local thread = msys.thread

setup(function()
  for _, pool in ipairs { "CPU", "IO" } do msys.runInPool(pool, function() end) end
end)

describe("thread.mutex", function()
  it("has `MUTEX_NORMAL (default), MUTEX_RECURSIVE, MUTEX_ERRORCHECK`", function()
    for _, kind in ipairs { thread.MUTEX_NORMAL, thread.MUTEX_RECURSIVE, thread.MUTEX_ERRORCHECK } do
      local m = thread.mutex(kind)
      assert.is_true(m:lock())
      assert.is_true(m:unlock())
      assert.is_true(m:trylock())
      assert.is_true(m:unlock())
    end
    assert.is_true(thread.mutex():lock())
    local ok, why = pcall(function() thread.mutex "fast" end)
    assert.is_false(ok)
    assert.matches("^test/lua/test_msys_locks.lua:%d+: thread.mutex: argument 1 must be thread.MUTEX_NORMAL, ", why)
  end)

  it("`true on success; trylock false when held`", function()
    msys.run(function()
      local m = thread.mutex()
      assert.is_true(m:lock())
      msys.spawn(function() assert.is_false(m:trylock()) end)
      assert.are.same({ true, false }, { msys.runInPool("CPU", function() return m:trylock() end) })
      assert.is_true(m:unlock())
      assert.are.same({ true, true }, { msys.runInPool("CPU", function() return m:trylock() end) })
    end)
  end)

  it("`errorcheck relock, or unlock by a non-owner, returns nil plus message`; normal too", function()
    for _, kind in ipairs { thread.MUTEX_ERRORCHECK, thread.MUTEX_NORMAL } do
      msys.run(function()
        local m = thread.mutex(kind)
        m:lock()
        local ok, why = m:lock()
        assert.is_nil(ok)
        assert.matches("^lock: session %d+ has locked this mutex already$", why)
        msys.spawn(function()
          ok, why = m:unlock()
          assert.is_nil(ok)
          assert.matches("^unlock: this mutex is locked by session %d+, not by session %d+$", why)
        end)
        msys.sleep(0)
        local there = { msys.runInPool("CPU", function() return m:unlock() end) }
        assert.are.same({ true, nil }, { there[1], there[2] })
        assert.matches("^unlock: this mutex is locked by session %d+, not by a task of pool 'CPU'$", there[3])
        assert.is_true(m:unlock())
      end)
    end
  end)

  it("recursive ones count", function()
    msys.run(function()
      local m = thread.mutex(thread.MUTEX_RECURSIVE)
      for _ = 1, 3 do assert.is_true(m:lock()) end
      for _ = 1, 2 do assert.is_true(m:unlock()) end
      assert.are.same({ true, false }, { msys.runInPool("CPU", function() return m:trylock() end) })
      assert.is_true(m:unlock())
      assert.are.same({ true, true }, { msys.runInPool("CPU", function() return m:trylock() end) })
    end)
  end)

  it("contention suspends the session only, and the first to come is the first to get it", function()
    local log = {}
    msys.run(function()
      local m = thread.mutex()
      assert(m:lock())
      for i = 1, 3 do
        msys.spawn(function()
          assert(m:lock())
          table.insert(log, i)
          msys.sleep(0)
          assert(m:unlock())
        end)
      end
      msys.spawn(function() table.insert(log, "others go on") end)
      msys.sleep(0)
      msys.sleep(0)
      table.insert(log, "unlock")
      m:unlock()
    end)
    assert.are.same({ "others go on", "unlock", 1, 2, 3 }, log)
  end)

  it("is `usable from any thread through a captured variable`: sessions and pools exclude each other", function()
    local m = thread.mutex()
    msys.shareSet("test.counter", 0)
    local function inc()
      for _ = 1, 100 do
        assert(m:lock())
        msys.shareSet("test.counter", msys.shareGet "test.counter" + 1)
        assert(m:unlock())
      end
    end
    msys.run(function()
      for _ = 1, 4 do msys.runInPool("CPU", inc, true) end
      for _ = 1, 4 do msys.spawn(inc) end
    end)
    assert.are.equal(800, msys.shareGet "test.counter")
  end)

  it("a session waits for a pool's task, and the scheduler goes on", function()
    local m, inside, go, log = thread.mutex(), gate.new(), gate.new(), {}
    msys.run(function()
      msys.runInPool("CPU", function()
        m:lock()
        require("support.gate").open(inside)
        require("support.gate").pass(go)
        m:unlock()
      end, true)
      msys.sleep(0)
      gate.pass(inside)
      msys.spawn(function()
        table.insert(log, "another session")
        gate.open_last(go)
      end)
      assert.is_true(m:lock())
      table.insert(log, "locked")
      m:unlock()
    end)
    assert.are.same({ "another session", "locked" }, log)
    os.remove(inside)
  end)

  it("of an owner that ended is released", function()
    msys.run(function()
      local m = thread.mutex()
      msys.spawn(function() m:lock() end)
      msys.sleep(0)
      assert.is_true(m:trylock()) -- a session ended
      m:unlock()
      msys.runInPool("CPU", function() m:lock() end)
      assert.is_true(m:trylock()) -- a task ended
      m:unlock()
      msys.runInPool("CPU", function() m:lock() error "with it" end)
      assert.is_true(m:lock())
    end)
  end)

  it("is the session's, also in coroutines of its own", function()
    msys.run(function()
      local m = thread.mutex(thread.MUTEX_RECURSIVE)
      m:lock()
      assert.is_true(coroutine.wrap(function() return m:lock() end)())
      m:unlock()
      m:unlock()
      assert.is_nil(m:holder())
    end)
  end)

  it("is refused where two sessions would wait for each other", function()
    local a, b, whys = thread.mutex(), thread.mutex(), {}
    msys.run(function()
      msys.spawn(function()
        a:lock()
        msys.sleep(0)
        table.insert(whys, select(2, b:lock()) or "got it")
      end)
      msys.spawn(function()
        b:lock()
        msys.sleep(0)
        table.insert(whys, select(2, a:lock()) or "got it")
      end)
    end)
    table.sort(whys)
    assert.are.equal("got it", whys[1])
    assert.matches("^would deadlock: the mutex is locked by session %d+, which waits for session %d+$", whys[2])
  end)

  it("of the main program, which waits in msys.run, is refused", function()
    local m = thread.mutex()
    m:lock()
    msys.run(function()
      local ok, why = m:lock()
      assert.are.same({ nil, "would deadlock: the mutex is locked by the main program, of this thread" }, { ok, why })
    end)
    assert.is_true(m:unlock())
  end)

  it("is refused where a session that cannot be suspended waits for another", function()
    msys.run(function()
      local m = thread.mutex()
      msys.spawn(function()
        m:lock()
        msys.sleep(0.001)
        m:unlock()
      end)
      msys.sleep(0)
      local why
      table.sort({ 2, 1 }, function(x, y)
        why = select(2, m:lock())
        return x < y
      end)
      assert.matches("^would deadlock: the mutex is locked by session %d+, of this thread$", why)
      assert.is_true(m:lock())
    end)
  end)
end)

describe("msys.lock", function()
  it("is `process-wide` and `owned by the OS thread`", function()
    msys.run(function()
      assert.is_true(msys.lock "test")
      local inside = gate.new()
      msys.runInPool("CPU", function()
        require("support.gate").open(inside)
        msys.lock "test"
        msys.shareSet("test.who", "pool")
        msys.unlock "test"
      end, true)
      msys.sleep(0)
      gate.pass(inside)
      msys.shareSet("test.who", "scheduler")
      assert.is_true(msys.unlock "test")
      os.remove(inside)
    end)
    assert.are.equal("pool", msys.shareGet "test.who")
  end)

  it("is `not released when a script is suspended`: another session of that thread gets an error", function()
    msys.run(function()
      msys.lock "test"
      msys.spawn(function()
        local ok, why = pcall(function() msys.lock "test" end)
        assert.is_false(ok)
        assert.matches("^test/lua/test_msys_locks.lua:%d+: msys.lock: ", why)
        assert.matches(": 'test' is locked already by session %d+, of this thread$", why)
      end)
      msys.sleep(0)
      msys.sleep(0)
      assert.has_error(function() msys.lock "test" end)
      assert.is_true(msys.unlock "test")
      assert.is_true(msys.lock "test")
      assert.is_true(msys.unlock "test")
    end)
  end)

  it("a session waits for a pool's thread without stopping the scheduler", function()
    local inside, go, log = gate.new(), gate.new(), {}
    msys.run(function()
      msys.runInPool("CPU", function()
        msys.lock "test"
        require("support.gate").open(inside)
        require("support.gate").pass(go)
        msys.unlock "test"
      end, true)
      msys.sleep(0)
      gate.pass(inside)
      msys.spawn(function()
        table.insert(log, "another session")
        gate.open_last(go)
      end)
      assert.is_true(msys.lock "test")
      table.insert(log, "locked")
      msys.unlock "test"
    end)
    assert.are.same({ "another session", "locked" }, log)
    os.remove(inside)
  end)

  it("two sessions that wait for another thread: one gets it, the other an error", function()
    local inside, go, log = gate.new(), gate.new(), {}
    msys.run(function()
      msys.runInPool("CPU", function()
        msys.lock "test"
        require("support.gate").open(inside)
        require("support.gate").pass(go)
        msys.unlock "test"
      end, true)
      msys.sleep(0)
      gate.pass(inside)
      for i = 1, 2 do
        msys.spawn(function()
          local ok, why = pcall(msys.lock, "test")
          table.insert(log, ok and i or why)
        end)
      end
      if _VERSION == "Lua 5.1" and not rawget(_G, "jit") then return gate.open_last(go) end -- pcall blocks there
      msys.sleep(0)
      gate.open_last(go)
    end)
    if type(log[1]) ~= "number" then log[1], log[2] = log[2], log[1] end
    assert.are.equal("number", type(log[1]))
    assert.matches("msys.lock: 'test' is locked already by session %d+, of this thread$", log[2])
    assert.is_true(msys.unlock "test")
    os.remove(inside)
  end)

  it("`unlock must come from the same one`", function()
    msys.lock "test"
    local ok, none, why = msys.runInPool("CPU", function() return msys.unlock "test" end)
    assert.are.same({ true, nil }, { ok, none })
    assert.are.equal("msys.unlock: 'test': unlock: this mutex is locked by the scheduler's thread, "
      .. "not by a thread of pool 'CPU'", why)
    assert.is_true(msys.unlock "test")
    none, why = msys.unlock "test"
    assert.are.same({ nil, "msys.unlock: 'test': unlock: this mutex is not locked" }, { none, why })
  end)

  it("checks its argument", function()
    for name, call in pairs { lock = function() msys.lock() end, unlock = function() msys.unlock {} end } do
      local ok, why = pcall(call)
      assert.is_false(ok)
      assert.matches("^test/lua/test_msys_locks.lua:%d+: msys." .. name .. ": argument 1 must be a string, got ", why)
    end
  end)
end)
