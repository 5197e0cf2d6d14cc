-- SPDX-License-Identifier: ISC
--
-- test_msys_waits.lua: full backlogs, pools that wait for themselves, calls from inside
-- closures.

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local gate = require "support.gate"
local msys = require "weir.msys"
local output = require "support.output"
local pools = require "support.pools"
local threadpool = require "msys.threadpool"
local weir = require "weir"

local new_pool, occupy, gates, remove = pools.new, pools.occupy, pools.gates, pools.remove

-- Open pools: a call reaches their threads while this thread is blocked in a gate.
setup(function()
  for _, pool in ipairs { "CPU", "IO" } do msys.runInPool(pool, function() end) end
end)

describe("a full backlog", function()
  it("`blocks the caller until there is room`: suspends the session, not the scheduler", function()
    local name = new_pool { concurrency = 1, backlog = 2 }
    local wait_inside, leave = occupy(name)
    local log = {}
    msys.run(function()
      msys.sleep(0)
      wait_inside()
      msys.spawn(function()
        table.insert(log, "another session: " .. #log .. " queued")
        leave()
      end)
      for i = 1, 4 do
        msys.runInPool(name, function() end, true)
        table.insert(log, i)
      end
    end)
    assert.are.same({ 1, 2, "another session: 2 queued", 3, 4 }, log)
    assert.are.equal(6, threadpool.stat(name).invocations)
  end)

  it("suspends a call that waits for its result, too", function()
    local name = new_pool { concurrency = 1, backlog = 1 }
    local wait_inside, leave = occupy(name)
    msys.run(function()
      msys.sleep(0)
      wait_inside()
      msys.runInPool(name, function() end, true)
      msys.spawn(leave)
      assert.are.same({ true, "at last" }, { msys.runInPool(name, function() return "at last" end) })
    end)
  end)

  it("loses nothing of a thousand calls", function()
    local name = new_pool { concurrency = 2, backlog = 3 }
    msys.shareSet("test.n", 0)
    local lock = msys.thread.mutex()
    local function count()
      lock:lock()
      msys.shareSet("test.n", msys.shareGet "test.n" + 1)
      lock:unlock()
    end
    local ended = 0
    msys.run(function()
      for k = 1, 10 do
        msys.spawn(function()
          for i = 1, 100 do
            if i % 10 == k - 1 then
              assert(msys.runInPool(name, count))
            elseif i % 3 == 0 then
              msys.runInPool(name, count, function() ended = ended + 1 end, msys.core.ECTP_COMPLETE_CALLBACK_SCHED)
            else
              msys.runInPool(name, count, true)
            end
          end
        end)
      end
    end)
    assert.are.equal(1000, msys.shareGet "test.n")
    assert.is_true(ended > 0)
  end)

  it("blocks a pool's thread that calls", function()
    local name = new_pool { concurrency = 1, backlog = 1 }
    local wait_inside, leave = occupy(name)
    local asked = gate.new()
    msys.run(function()
      msys.sleep(0)
      wait_inside()
      msys.spawn(function()
        gate.pass(asked)
        leave()
      end)
      local ok, n = msys.runInPool("IO", function()
        msys.runInPool(name, function() return 1 end, true) -- the queue has room for it
        require("support.gate").open(asked)
        return select(2, msys.runInPool(name, function() return 2 end))
      end)
      assert.are.same({ true, 2 }, { ok, n })
    end)
    os.remove(asked)
  end)
end)

describe("a closure that waits for its own full pool", function()
  it("gets `would deadlock: pool 'x', N of N threads wait`", function()
    for n = 1, 2 do
      local name = new_pool { concurrency = n }
      msys.run(function()
        local inside, go, results = gates(n), gates(n), {}
        for i = 1, n do
          local a, b = inside[i], go[i]
          msys.spawn(function()
            results[i] = { msys.runInPool(name, function()
              require("support.gate").open(a)
              require("support.gate").pass(b)
              local ok, value = msys.runInPool(name, function() return "inner" end)
              return ok, value
            end) }
          end)
        end
        msys.sleep(0)
        for i = 1, n do gate.pass(inside[i]) end
        for i = 1, n do gate.open(go[i]) end
        while not (results[1] and results[n]) do msys.sleep(0.001) end
        local refused = 0
        for i = 1, n do
          if results[i][1] == false then
            refused = refused + 1
            assert.matches("test_msys_waits.lua:%d+: msys.runInPool: would deadlock: ", results[i][2])
            assert.matches(("pool '%s', %d of %d threads wait"):format(name, n, n), results[i][2], 1, true)
          else
            assert.are.same({ true, true, "inner" }, results[i])
          end
        end
        assert.is_true(refused >= 1)
        remove(go)
        remove(inside)
      end)
      assert.are.same({ true, "it goes on" }, { msys.runInPool(name, function() return "it goes on" end) })
    end
  end)

  it("also where it waits for room in the queue", function()
    local name = new_pool { concurrency = 1, backlog = 2 }
    msys.shareSet("test.n", 0)
    local function count() msys.shareSet("test.n", msys.shareGet "test.n" + 1) end
    msys.run(function()
      local ok, why = msys.runInPool(name, function()
        for _ = 1, 3 do msys.runInPool(name, count, true) end
      end)
      assert.is_false(ok)
      assert.matches("test_msys_waits.lua:%d+: msys.runInPool: would deadlock: ", why)
      assert.matches("pool '" .. name .. "', 1 of 1 threads wait", why, 1, true)
    end)
    assert.are.equal(2, msys.shareGet "test.n") -- the two that were accepted
  end)

  it("waits where another thread is left", function()
    local name = new_pool { concurrency = 2 }
    assert.are.same({ true, true, "inner" }, { msys.runInPool(name, function()
      return msys.runInPool(name, function() return "inner" end)
    end) })
  end)

  it("starts what it deferred when it ends, whatever the queue holds", function()
    local name = new_pool { concurrency = 1, backlog = 1 }
    local inside, go = gate.new(), gate.new()
    msys.shareSet("test.n", 0)
    local function count() msys.shareSet("test.n", msys.shareGet "test.n" + 1) end
    msys.run(function()
      msys.runInPool(name, function()
        msys.runInPool(name, count, true) -- there is room now, but not any more when we end
        require("support.gate").open(inside)
        require("support.gate").pass(go)
      end, true)
      msys.sleep(0)
      gate.pass(inside)
      msys.runInPool(name, count, true)
      msys.sleep(0)
      gate.open_last(go)
    end)
    assert.are.equal(2, msys.shareGet "test.n")
    os.remove(inside)
  end)
end)

describe("a call from inside a pool closure", function()
  it("`blocks that pool thread and returns there`", function()
    msys.run(function()
      assert.are.same({ true, true, true, 1, nil }, { msys.runInPool("CPU", function()
        _OSTLS.nested = true
        local ok, a, b = msys.runInPool("IO", function() return 1, nil, _OSTLS.nested end)
        return _OSTLS.nested, ok, a, b
      end) })
    end)
  end)

  it("asynchronously starts when the closure has ended, and the scheduler waits for it", function()
    local text = output.of [[
      require "weir.msys"
      msys.run(function()
        msys.runInPool("SpoolIn", function()
          msys.runInPool("SpoolIn", function()
            msys.runInPool("SpoolIn", function() print "third" end, function() print "its completion" end)
            print "second"
          end, true)
          print "first"
        end, true)
      end)
      print "idle"]]
    assert.are.equal("first\nsecond\nthird\nits completion\nidle\n", text)
  end)

  it("with a completion in the scheduler calls it there, copied", function()
    local text = output.of [[
      require "weir.msys"
      _OSTLS.where = "scheduler"
      msys.run(function()
        _TLS.who = "session"
        msys.runInPool("IO", function()
          local n = 41
          msys.runInPool("CPU", function() return n + 1, _OSTLS.where end, function(ok, m, where)
            print(ok, m, where, _OSTLS.where, _TLS.who)
            msys.sleep(0)
            print "it may be suspended"
          end, msys.core.ECTP_COMPLETE_CALLBACK_SCHED)
        end)
      end)]]
    assert.are.equal("true\t42\tnil\tscheduler\tsession\nit may be suspended\n", text)
  end)

  it("may wait for what it started asynchronously", function()
    local name = new_pool { concurrency = 2 }
    local go = gate.new()
    assert.are.same({ true, true }, { msys.runInPool(name, function()
      msys.runInPool(name, function() require("support.gate").open(go) end, true)
      return msys.runInPool("IO", function() require("support.gate").pass(go) end)
    end) })
    os.remove(go)
  end)
end)

describe("a blocked pool thread", function()
  it("never stops the scheduler", function()
    local name = new_pool { concurrency = 1 }
    local wait_inside, leave = occupy(name)
    local turns = 0
    msys.run(function()
      msys.sleep(0)
      wait_inside()
      msys.timer.after(0, function() turns = turns + 1 end)
      for _ = 1, 100 do msys.sleep(0) turns = turns + 1 end
      assert.are.same({ true, 5 }, { msys.runInPool("IO", function() return 5 end) })
      leave()
    end)
    assert.is_true(turns >= 100)
  end)
end)

describe("os.exit in a closure", function()
  it("raises, pointing to run_in_main", function()
    local ok, why = msys.runInPool("CPU", function() os.exit(3) end)
    assert.is_false(ok)
    assert.matches("os.exit: not in a thread of pool 'CPU'; use weir.run_in_main%(os.exit%)", why)
  end)

  it("in a session ends the process", function()
    local text, status = output.of [[
      require "weir.msys"
      msys.run(function()
        msys.runInPool("IO", function() end, true)
        msys.sleep(0)
        os.exit(3)
      end)]]
    assert.are.equal("", text)
    assert.are.equal(3, status > 255 and status / 256 or status)
  end)
end)

describe("fresh states", function()
  it("of every pool's thread have msys, _TLS and _OSTLS before their first task", function()
    for _, pool in ipairs { "CPU", "IO", "SwapOut", "SwapIn", "Unlink", "Batch_Unlink", "SpoolIn", "Sieve_IO" } do
      assert.are.same({ true, true, "table", "table", "function" }, { msys.runInPool(pool, function()
        return require "weir.msys" == msys, type(_TLS), type(_OSTLS), type(msys.runInPool)
      end) })
    end
  end)

  it("are not schedulers", function()
    for _, call in ipairs { function() msys.run(print) end, function() msys.spawn(print) end,
      function() msys.timer.after(0, print) end } do
      local ok, why = msys.runInPool("CPU", call)
      assert.is_false(ok)
      assert.matches("test_msys_waits.lua:%d+: msys%..*: only on the scheduler's thread, not on a pool's", why)
    end
  end)

  it("wait for weir's own pools as any task does", function()
    local pool = assert(weir.pool { threads = 1 })
    local function wait() return pool:run(function() return 9 end):get() end
    assert.are.same({ true, true, 9 }, { msys.runInPool("CPU", wait) })
    msys.run(function() assert.are.same({ true, 8 }, { pool:run(function() return 8 end):get() }) end)
    pool:close()
  end)
end)
