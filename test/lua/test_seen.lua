-- SPDX-License-Identifier: ISC
--
-- What a pool says of itself: what runs, how long tasks took, what the watcher finds.

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local gate = require "support.gate"
local pools = require "support.pool"
local program = require "support.program"
local weir = require "weir"

local with_pool = pools.with

-- A task that waits inside its function: its future, and the gates that it opens and waits for.
local function held(pool, label)
  local here, leave = gate.new(), gate.new()
  return assert(pool:task { label = label }:run(function(a, b)
    local g = require "support.gate"
    g.open(a)
    g.pass(b)
  end, here, leave)), here, leave
end

-- Such a task that has begun: its future, and what lets it go.
local function stuck(pool, label)
  local future, here, leave = held(pool, label)
  gate.pass(here)
  os.remove(here)
  return future, function()
    gate.open_last(leave)
    assert.is_true(future:get())
  end
end

describe("what runs", function()
  it("is listed by label, thread and age", function()
    with_pool({ threads = 2 }, function(pool)
      assert.are.same({}, pool:running())
      local _, leave = stuck(pool, "import")
      local _, leave_other = stuck(pool)
      local list = pool:running()
      assert.are.equal(2, #list)
      assert.are.equal(1, list[1].thread + list[2].thread)
      assert.is_true(list[1].seconds >= list[2].seconds)
      local import = list[1].label and 1 or 2 -- both may be of the same age, by the coarse clock
      assert.are.equal("import", list[import].label)
      assert.is_nil(list[3 - import].label)
      assert.is_false(list[import].cancelled)
      assert.is_false(list[import].blocking)
      leave()
      leave_other()
      assert.are.same({}, pool:running())
    end)
  end)

  it("has an age in the snapshot", function()
    with_pool({ threads = 1 }, function(pool)
      assert.are.equal(0, pool:stats().oldest_running)
      local _, leave = stuck(pool, "import")
      local queued = assert(pool:run(function() end))
      assert.is_true(pool:stats().oldest_running > 0)
      assert.is_true(pool:stats().oldest_queued > 0)
      leave()
      assert.is_true(queued:get())
      assert.are.equal(0, pool:stats().oldest_running)
      assert.are.equal(0, pool:stats().oldest_queued)
    end)
  end)

  it("is more than a first look has room for", function()
    with_pool({ threads = 20 }, function(pool)
      local leave = pools.fill(pool, 20)
      assert.are.equal(20, #pool:running())
      leave()
    end)
  end)

  it("refuses wrong labels", function()
    with_pool({ threads = 1 }, function(pool)
      assert.has_error(function() pool:task { label = 5 } end, "task: options.label must be a string, got 5")
      assert.has_error(function() pool:running(1) end)
    end)
  end)
end)

describe("how long tasks took", function()
  it("is counted where the pool measures", function()
    with_pool({ threads = 1, measure = true }, function(pool)
      assert.is_nil(pool:percentile("run", 50))
      for _ = 1, 10 do assert.is_true(pool:run(function() end):get()) end
      local n, below = 0, 0
      for _, bucket in ipairs(pool:times("run")) do
        assert.is_true(bucket.below > below)
        n, below = n + bucket.count, bucket.below
      end
      assert.are.equal(10, n)
      assert.are.equal(below, pool:percentile("run", 100))
      assert.is_true(pool:percentile("queue", 50) > 0)
      assert.has_error(function() pool:times("both") end, 'times: argument 1 must be one of "queue", "run", got "both"')
      assert.has_error(function() pool:percentile("run", 101) end,
        "percentile: argument 2 must be a number from 0 to 100, got 101")
    end)
  end)

  it("is not known where it does not", function()
    with_pool({ threads = 1 }, function(pool)
      assert.is_nil(pool:times("run"))
      assert.is_nil(pool:percentile("run", 50))
    end)
  end)
end)

describe("the watcher", function()
  it("tells a function of a stuck task by its label", function()
    with_pool({ threads = 2, name = "db" }, function(pool)
      local told -- by a pool of another test, which may still end, nothing is
      local _, leave = stuck(pool, "import")
      assert.is_true(weir.watch { task = 0.01, log = function(text)
        told = told or text:match "^task 'import' has run for .* on db/%d$"
      end })
      while not told do weir.sleep(0.001) end
      assert.is_true(weir.watch())
      leave()
    end)
  end)

  it("wakes a state that waits for the stuck task itself", function()
    with_pool({ threads = 1 }, function(pool)
      local here, leave = gate.new(), gate.new()
      local future = pool:run(function(a, b)
        local g = require "support.gate"
        g.open(a)
        g.pass(b)
      end, here, leave)
      gate.pass(here)
      os.remove(here)
      local opened
      weir.watch { task = 0.01, log = function() opened = opened or gate.open(leave) or true end }
      assert.is_true(future:get())
      weir.watch()
      os.remove(leave)
    end)
  end)

  it("tells a new function nothing of before", function()
    with_pool({ threads = 1 }, function(pool)
      local old, old_here, old_leave = held(pool, "old")
      local new, new_here, new_leave = held(pool, "new")
      gate.pass(old_here)
      weir.watch { task = 0.005, log = function() end }
      local until_ = os.clock() + 0.05
      while os.clock() < until_ do end -- what is found waits for this state, which does not turn
      gate.open_last(old_leave)
      gate.pass(new_here)
      local told = {}
      weir.watch { task = 0.005, log = function(text) told[#told + 1] = text end }
      while not told[1] do weir.sleep(0.001) end
      weir.watch()
      gate.open_last(new_leave)
      assert.is_true(old:get() and new:get())
      os.remove(old_here)
      os.remove(new_here)
      assert.matches("'new'", told[1])
    end)
  end)

  it("writes to stderr what a state that does not turn has no room for", function()
    local output = program.run([[
      local pool = assert(weir.pool { threads = 20 })
      local leave, told, wrong = require "support.pool".fill(pool, 20), 0, nil
      weir.watch { task = 0.005, log = function(text)
        told = told + 1
        wrong = wrong or not text:match "^a task has run for .* on %S+/%d+$" and text
      end }
      local until_ = os.clock() + 0.2
      while os.clock() < until_ do end
      while told < 16 do weir.sleep(0.001) end
      weir.watch()
      leave()
      pool:close()
      assert(not wrong, wrong)]], true)
    assert.is_truthy(output:match "weir: a task has run for %S+ m?s on weir/%d+\n")
    assert.is_truthy(output:match "exit 0\n$")
  end)

  it("goes on when the function raises", function()
    with_pool({ threads = 1 }, function(pool)
      local n = 0
      local _, leave = stuck(pool)
      weir.watch { task = 0.005, log = function() n = n + 1; error("log", 0) end }
      while n < 2 do weir.sleep(0.001) end
      weir.watch()
      leave()
    end)
  end)

  it("tells nothing of tasks that are young", function()
    with_pool({ threads = 1 }, function(pool)
      local n = 0
      weir.watch { task = 1000, loop = 1000, log = function() n = n + 1 end }
      for _ = 1, 100 do assert.is_true(pool:run(function() end):get()) end
      weir.watch()
      assert.are.equal(0, n)
    end)
  end)

  it("refuses wrong options", function()
    assert.has_error(function() weir.watch {} end, "weir.watch: options.task or options.loop must be given")
    assert.has_error(function() weir.watch { task = 0 } end,
      "weir.watch: options.task must be a number of seconds, more than 0, got 0")
    assert.has_error(function() weir.watch { loop = "2" } end)
    assert.has_error(function() weir.watch { task = 1, log = 5 } end)
  end)

  it("writes to stderr by default", function()
    local output = program.run([[
      local name = gate.new()
      local pool = assert(weir.pool { threads = 1, name = "db" })
      local future = pool:task { label = "import" }:run(function(n) require "support.gate".pass(n) end, name)
      assert(weir.watch { task = 0.05, loop = 0.05 })
      local until_ = os.clock() + 0.3
      while os.clock() < until_ do end -- this is no loop that turns
      gate.open_last(name)
      future:get()
      weir.watch()
      pool:close()]], true)
    assert.is_truthy(output:match "weir: task 'import' has run for %S+ m?s on db/0\n")
    assert.is_truthy(output:match "weir: the loop has not turned for %S+ m?s\n")
    assert.is_truthy(output:match "exit 0\n$")
  end)

  it("writes to stderr at once that a loop does not turn, whoever is told of tasks", function()
    local output = program.run([[
      local name = gate.new()
      local pool = assert(weir.pool { threads = 1 })
      local future = pool:run(function(n) require "support.gate".pass(n) end, name)
      assert(weir.watch { loop = 0.05, log = function(text) io.stderr:write("told: ", text, "\n") end })
      local until_ = os.clock() + 0.3
      while os.clock() < until_ do end
      gate.open_last(name)
      future:get()
      weir.watch()
      pool:close()]], true)
    assert.is_truthy(output:match "weir: the loop has not turned for %S+ m?s\n")
    assert.is_nil(output:match "told:")
    assert.is_truthy(output:match "exit 0\n$")
  end)
end)

describe("weir.slice", function()
  it("calls the function, and lets errors pass", function()
    assert.are.same({ 3, nil, 4 }, { weir.slice("sum", function(a, b) return a + b, nil, 4 end, 1, 2) })
    local problem = {}
    local ok, raised = pcall(weir.slice, "fails", error, problem)
    assert.is_false(ok)
    assert.are.equal(problem, raised)
    assert.has_error(function() weir.slice(1, print) end, "weir.slice: argument 1 must be a string, got 1")
    assert.has_error(function() weir.slice "label" end)
  end)
end)

describe("WEIR_TRACE", function()
  it("writes what a program does to a file", function()
    local file = os.tmpname()
    local output = program.run([[
      local pool = assert(weir.pool { threads = 1, name = "db" })
      assert(pool:task { label = "import" }:run(function() end):get())
      weir.slice("search", function() end)
      pool:close()]], false, "WEIR_TRACE=" .. file)
    assert.are.equal("exit 0\n", output)
    local trace = assert(io.open(file, "rb"))
    local bytes = trace:read "*a"
    trace:close()
    os.remove(file)
    for _, text in ipairs { "submit import", "done import", "db/0", "search" } do
      assert.is_truthy(bytes:find(text, 1, true), text .. " in " .. #bytes .. " bytes")
    end
  end)
end)
