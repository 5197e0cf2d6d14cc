-- SPDX-License-Identifier: ISC
--
-- test_msys_pools.lua: names, ids, settings and statistics; order and number of threads.

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local gate = require "support.gate"
local msys = require "weir.msys"
local pools = require "support.pools"
local threadpool = require "msys.threadpool"

local new_pool, occupy, gates, remove = pools.new, pools.occupy, pools.gates, pools.remove

describe("the standard pools", function()
  -- The table of section 3.3: id, name, default concurrency, backlog.
  local rows = {
    { 0, "CPU", 4 }, { 1, "IO", 50 }, { 2, "SwapOut", 5 }, { 3, "SwapIn", 5 }, { 4, "Close", 0 },
    { 5, "Unlink", 6, 100 }, { 6, "Batch_Unlink", 4 }, { 7, "SpoolIn", 1 }, { 8, "Async_Bounce", 4 },
    { 9, "Sieve_IO", 4 },
  }
  for _, row in ipairs(rows) do
    it(("have | %d | %s | %d |"):format(row[1], row[2], row[3]), function()
      assert.are.equal(row[1], threadpool.find(row[2]))
      assert.are.equal(row[2], threadpool.find(row[1]))
      local settings = require("weir.msys.registry").find(row[1])
      assert.are.same({ row[3], row[4] or 0 }, { settings.concurrency, settings.backlog })
    end)
  end

  it("-1, the short-lived job, is CPU's", function()
    local before = threadpool.stat("CPU").invocations
    assert.are.same({ true, 7 }, { msys.runInPool(-1, function() return 7 end) })
    assert.are.equal(before + 1, threadpool.stat("CPU").invocations)
  end)
end)

describe("msys.threadpool.configure", function()
  it("`Naming a new pool defines it`", function()
    local before = threadpool.count()
    local name = new_pool { concurrency = 2 }
    assert.are.equal(before + 1, threadpool.count())
    local id = threadpool.find(name)
    assert.is_true(id >= 10)
    assert.are.equal(name, threadpool.find(id))
    assert.are.same({ true, "by id" }, { msys.runInPool(id, function() return "by id" end) })
    assert.are.same({ true, "upper" }, { msys.runInPool(name:upper(), function() return "upper" end) })
  end)

  it("is the process's: pool threads see it, and what they define", function()
    local name = new_pool { concurrency = 1 }
    local function find() return msys.threadpool.find(name) end
    assert.are.same({ true, threadpool.find(name) }, { msys.runInPool("IO", find) })
    msys.runInPool("IO", function() msys.threadpool.configure(name .. "there", { concurrency = 1 }) end)
    assert.are.same({ true, 1 }, { msys.runInPool(name .. "there", function() return 1 end) })
  end)

  it("`Concurrency | number of threads | yes` at runtime", function()
    local name = new_pool { concurrency = 1 }
    local go, inside = gates(2), gates(2)
    msys.run(function()
      assert.is_true(threadpool.configure(name, { concurrency = 2 }))
      for i = 1, 2 do
        local a, b = inside[i], go[i]
        msys.runInPool(name, function() require("support.gate").open(a); require("support.gate").pass(b) end, true)
      end
      msys.sleep(0)
      for i = 1, 2 do gate.pass(inside[i]) end -- both are inside at once
      for i = 1, 2 do gate.open(go[i]) end
    end)
    remove(go)
    remove(inside)
  end)

  it("`Backlog | … | no` at runtime, nor a stack size where we cannot", function()
    local name = new_pool { concurrency = 1, backlog = 3, stack_size = 2 ^ 20 }
    local ok, why = threadpool.configure(name, { backlog = 4 })
    assert.are.same({ nil, ("pool '%s' is in use: its backlog cannot change any more"):format(name) }, { ok, why })
    ok, why = threadpool.configure(name, { stack_size = 2 ^ 21 })
    assert.are.same({ nil, ("pool '%s' is in use: its stack_size cannot change any more"):format(name) }, { ok, why })
    assert.is_true(threadpool.configure(name, { backlog = 3, concurrency = 2 }))
  end)

  it("checks its arguments", function()
    for _, case in ipairs {
      { "argument 1 must be a string, got 5", function() threadpool.configure(5, {}) end },
      { "options must be a table, got nil", function() threadpool.configure "x" end },
      { 'unknown option "threads"', function() threadpool.configure("x", { threads = 1 }) end },
      { "options.concurrency must be a whole number from 0 to 1024, got %-1",
        function() threadpool.configure("x", { concurrency = -1 }) end },
      { "options.stack_size must be 0 or a whole number from 65536 to 1073741824, got 100",
        function() threadpool.configure("x", { stack_size = 100 }) end },
      { "argument 1 must be a pool's name or id, got nil", function() threadpool.find() end },
      { "argument 1 must be a pool's name or id, got {}", function() threadpool.stat {} end },
    } do
      local ok, problem = pcall(case[2])
      assert.is_false(ok)
      assert.matches("^test/lua/test_msys_pools.lua:%d+: msys.threadpool", problem)
      assert.matches((case[1]:gsub("{}", "table")), problem)
    end
  end)
end)

describe("msys.threadpool", function()
  it("find: `nil if unknown`; stat: `table or nil`", function()
    assert.is_nil(threadpool.find "nowhere")
    assert.is_nil(threadpool.find(4711))
    assert.is_nil(threadpool.stat "nowhere")
    assert.is_nil(threadpool.stat(4711))
  end)

  it("stat has the documented fields", function()
    local name = new_pool { concurrency = 2 }
    local wait_inside, leave = occupy(name)
    local stat
    msys.run(function()
      msys.sleep(0)
      wait_inside()
      stat = threadpool.stat(name)
      leave()
    end)
    assert.are.same({ name, 2, 0, 0, 1, 1 }, { stat.name, stat.invocations, stat.queue_sz, stat.job_num_queued,
      stat.job_num_running, stat.num_active_threads })
    assert.are.equal(stat.num_threads, stat.num_active_threads + stat.num_inactive_threads)
    for _, field in ipairs { "avg_concurrency", "saturation", "avg_wallclock_time_per_op" } do
      assert.are.equal("number", type(stat[field]))
    end
    stat = threadpool.stat(name)
    assert.is_true(stat.avg_wallclock_time_per_op > 0 and stat.avg_concurrency > 0)
    assert.is_true(math.abs(stat.saturation - 50 * stat.avg_concurrency) < 1e-6)
  end)

  it("stat `prints itself nicely`", function()
    local name = new_pool { concurrency = 1 }
    assert.matches("^" .. name .. ": 1 invocations, .* on average at once %(.*%%%s?of what it can%), .* ms each\n"
      .. "  threads: %d %(%d active, %d inactive%); jobs: 0 queued, 0 running$", tostring(threadpool.stat(name)))
  end)

  it("counts what is queued", function()
    local name = new_pool { concurrency = 1 }
    local wait_inside, leave = occupy(name)
    msys.run(function()
      msys.sleep(0)
      wait_inside()
      for _ = 1, 3 do msys.runInPool(name, function() end, true) end
      msys.sleep(0)
      assert.are.same({ 3, 3, 1 }, { threadpool.stat(name).queue_sz, threadpool.stat(name).job_num_queued,
        threadpool.stat(name).job_num_running })
      leave()
    end)
    assert.are.equal(5, threadpool.stat(name).invocations)
  end)

  it("`require \"msys.threadpool\"` and `require \"thread\"` work in sessions and pools, not elsewhere", function()
    assert.are.equal(msys.threadpool, require "msys.threadpool")
    local before = package.loaded.thread
    msys.run(function()
      assert.are.equal(msys.thread, require "thread")
      local ok, same = msys.runInPool("CPU", function()
        return require "thread" == msys.thread and require "msys.threadpool" == msys.threadpool
      end)
      assert.are.same({ true, true }, { ok, same })
    end)
    assert.are.equal(before, package.loaded.thread)
    assert.has_error(function() msys.run(function() error "a session fails" end) end)
    assert.are.equal(before, package.loaded.thread)
  end)
end)

describe("a pool", function()
  it("`Jobs are FIFO`: starts its calls in their order, whichever form", function()
    local name = new_pool { concurrency = 1 }
    msys.shareSet("test.order", "")
    msys.run(function()
      local function note(i) return function() msys.shareSet("test.order", msys.shareGet "test.order" .. i) end end
      msys.runInPool(name, note "1", true)
      msys.runInPool(name, note "2", note "3")
      msys.runInPool(name, note "4", function() end, msys.core.ECTP_COMPLETE_CALLBACK_SCHED)
      msys.runInPool(name, note "5")
    end)
    assert.are.equal("12345", msys.shareGet "test.order")
  end)

  it("does so also while it is not open yet, and from the main program", function()
    for _, from in ipairs { function(f) msys.run(f) end, function(f) f() msys.run(function() end) end } do
      local name = pools.fresh_name()
      threadpool.configure(name, { concurrency = 1 })
      msys.shareSet("test.order", "")
      from(function()
        local function note(i) return function() msys.shareSet("test.order", msys.shareGet "test.order" .. i) end end
        for i = 1, 3 do msys.runInPool(name, note(i), true) end
        msys.runInPool(name, note(4))
      end)
      assert.are.equal("1234", msys.shareGet "test.order")
    end
  end)

  it("gets thousands of calls that wait for its opening, in their order", function()
    local name, seen, right = pools.fresh_name(), 0, true
    msys.threadpool.configure(name, { concurrency = 1 })
    msys.run(function()
      for i = 1, 5000 do
        msys.runInPool(name, function() return i end, function(_, k)
          seen = seen + 1
          right = right and k == seen
        end, msys.core.ECTP_COMPLETE_CALLBACK_SCHED)
      end
    end)
    assert.are.same({ 5000, true }, { seen, right })
  end)

  it("has threads `on demand`, no more than its concurrency", function()
    local name = pools.fresh_name()
    threadpool.configure(name, { concurrency = 3 })
    assert.are.equal(0, threadpool.stat(name).num_threads)
    msys.runInPool(name, function() end)
    local go, inside = gates(5), gates(5)
    msys.run(function()
      for i = 1, 5 do
        local a, b = inside[i], go[i]
        msys.runInPool(name, function() require("support.gate").open(a); require("support.gate").pass(b) end, true)
      end
      msys.sleep(0)
      for i = 1, 3 do gate.pass(inside[i]) end
      assert.are.same({ 3, 3, 2 }, { threadpool.stat(name).num_threads, threadpool.stat(name).job_num_running,
        threadpool.stat(name).job_num_queued })
      for i = 1, 3 do gate.open(go[i]) end
      for i = 4, 5 do gate.pass(inside[i]) end
      for i = 4, 5 do gate.open(go[i]) end
    end)
    remove(go)
    remove(inside)
  end)

  it("of concurrency 0 runs in the caller", function()
    local mine = {}
    msys.run(function()
      _OSTLS.here = mine
      assert.are.same({ true, mine, nil, 3 }, { msys.runInPool("Close", function() return _OSTLS.here, nil, 3 end) })
      assert.are.same({ false, "no" }, { msys.runInPool("close", function() error("no", 0) end) })
      local log = {}
      msys.runInPool(4, function() table.insert(log, "f") end, function(ok) table.insert(log, ok) end)
      assert.are.same({}, log)
      msys.sleep(0)
      msys.sleep(0)
      assert.are.same({ "f", true }, log)
      assert.are.same({ true, true, mine == nil }, { msys.runInPool("IO", function()
        return msys.runInPool("Close", function() return _OSTLS.here ~= nil end)
      end) })
      _OSTLS.here = nil
    end)
    assert.is_true(threadpool.stat("Close").invocations >= 4)
    assert.are.equal(0, threadpool.stat("Close").num_threads)
  end)
end)
