-- SPDX-License-Identifier: ISC

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local gate = require "support.gate"
local weir = require "weir"

local pool

setup(function() pool = assert(weir.pool { threads = 2 }) end)
teardown(function() pool:close() end)

-- A task inside which a thread is, and the gate that lets it go.
local function held(f)
  local here, leave = gate.new(), gate.new()
  local future = pool:run(function(a, b)
    local g = require "support.gate"
    g.open(a)
    g.pass(b)
    if f then return f() end
    return "done"
  end, here, leave)
  gate.pass(here)
  os.remove(here)
  return future, leave
end

describe("a future", function()
  it("can be called in place of get", function()
    assert.are.same({ true, 1 }, { pool:run(function() return 1 end)() })
  end)

  it("gives its results any number of times, each time a copy", function()
    local future = pool:run(function() return { 1 } end)
    local _, a = future:get()
    local _, b = future:get()
    assert.are.same({ 1 }, a)
    a[1] = 2
    assert.are.same({ 1 }, b)
  end)

  it("gives one plain value as often, and says what it said", function()
    local no_value = pool:run(function() end)
    assert.are.equal(1, select("#", no_value:get()))
    for _ = 1, 2 do assert.are.equal(1, select("#", no_value:get())) end
    local values = { true, false, 1, -1, 0.5, 2 ^ 53, -0.0, 1e300, 0 / 0, "text", ("long"):rep(1e5) }
    for i = 0, #values do
      local given = values[i]
      local future = pool:run(function(v) return v end, given)
      for _ = 1, 3 do
        assert.are.equal(2, select("#", future:get()))
        local ok, value = future:get()
        assert.is_true(ok)
        assert.is_true(value == given or value ~= value and given ~= given)
        assert.are.equal(tostring(given), tostring(value)) -- -0.0, and integers stay what they are
      end
      assert.is_true(future:wait(0))
      assert.are.equal(2, select("#", future:try()))
      assert.is_nil(future:traceback())
      assert.is_false(future:cancel())
      assert.is_true(weir.all { future })
      assert.are.equal(1, (weir.any { future }))
      assert.are.equal("weir.future: over", tostring(future))
      local told
      future:on_settle(function(f) told = f end)
      assert.are.equal(future, told)
    end
  end)

  it("is still one when its value was read", function()
    local future = pool:run(function() return 7 end)
    future:get()
    assert.are.equal("weir.future: over", tostring(future))
    assert.are.equal("weir", getmetatable(future))
    assert.is_true(weir.all { future })
    assert.is_false(future:cancel())
    assert.is_nil(future:traceback())
    assert.are.same({ true, 7 }, { future:try() })
    local function refusal(argument)
      return select(2, pcall(pool.run, pool, function() end, argument))
    end
    assert.are.equal(refusal(pool:run(function() end)), refusal(future)) -- it cannot cross
  end)

  it("gives nothing to try while its task runs", function()
    local future, leave = held()
    assert.are.equal(0, select("#", future:try()))
    gate.open_last(leave)
    assert.is_true(future:wait())
    assert.are.same({ true, "done" }, { future:try() })
  end)

  it("comes by trying alone", function()
    local future = pool:run(function() return 1 end)
    local ok
    repeat ok = future:try() until ok ~= nil
    assert.is_true(ok)
  end)

  it("waits no longer than it is told", function()
    local future, leave = held()
    assert.is_false(future:wait(0))
    assert.is_false(future:wait(0.001))
    gate.open_last(leave)
    assert.is_true(future:wait(60))
    assert.are.same({ true, "done" }, { future:get() })
  end)

  it("names the wait that has a timeout, if get is given one", function()
    local future = pool:run(function() return 1 end)
    local ok, problem = pcall(function() return (future:get(1)) end)
    assert.is_false(ok)
    assert.matches("test_future%.lua:%d+: get: takes no argument 1, got %S+ %(wait takes a timeout%)$", problem)
    ok, problem = pcall(function() return (future:get "1") end)
    assert.is_false(ok)
    assert.matches("test_future%.lua:%d+: get: takes no argument 1, got \"1\"$", problem)
  end)

  it("says whether it is over", function()
    local future, leave = held()
    assert.are.equal("weir.future: pending", tostring(future))
    gate.open_last(leave)
    future:wait()
    assert.are.equal("weir.future: over", tostring(future))
  end)

  it("outlives the pool's handle and its close", function()
    local own = assert(weir.pool { threads = 1 })
    local future = own:run(function() return "kept" end)
    future:wait()
    own:close()
    own = nil -- luacheck: ignore
    collectgarbage()
    assert.are.same({ true, "kept" }, { future:get() })
  end)
end)

describe("an error", function()
  it("arrives with its position", function()
    local ok, problem = pool:run(function() error "boom" end):get()
    assert.is_false(ok)
    assert.matches("test_future.lua:%d+: boom$", problem)
  end)

  it("may be any value", function()
    assert.are.same({ false, { code = 1 } }, { pool:run(function() error { code = 1 } end):get() })
    assert.are.same({ false, 7 }, { pool:run(function() error(7, 0) end):get() })
    local results = { n = select("#", pool:run(function() error() end):get()) }
    assert.are.equal(2, results.n)
  end)

  it("keeps the text that it has by __tostring, wherever it goes", function()
    local function fail() error(setmetatable({}, { __tostring = function() return "disk full" end })) end
    local future = pool:run(fail)
    local _, problem = future:get()
    assert.matches("^error value .*not registered.*: disk full$", problem)
    assert.matches("^disk full\nstack traceback:.*test_future.lua:%d+", future:traceback())
    local ok, called
    _, ok, called = pool:run(function()
      return pcall(require("weir").run_in_main, function()
        error(setmetatable({}, { __tostring = function() return "main full" end }))
      end)
    end):get()
    assert.is_false(ok)
    assert.matches("^error value .*not registered.*: main full$", called)
    local none
    none, problem = weir.pool { init = fail }
    assert.is_nil(none)
    assert.matches("^error value .*not registered.*: disk full$", problem)
    local told
    weir.on_unhandled(function(_, traceback) told = traceback end)
    pool:run(fail):wait()
    collectgarbage()
    collectgarbage()
    weir.on_unhandled(nil)
    assert.matches("^disk full\n", told)
  end)

  it("whose __tostring raises or gives no text is told all the same", function()
    local future = pool:run(function() error(setmetatable({}, { __tostring = function() error "sic" end })) end)
    future:wait()
    assert.matches("sic", future:traceback())
    future = pool:run(function() error {} end)
    future:wait()
    assert.matches("^%(error object is a table value%)\nstack traceback", future:traceback())
  end)

  it("brings the traceback of its thread", function()
    local future = pool:run(function()
      local function inner() error "deep" end
      inner()
    end)
    future:wait()
    local traceback = future:traceback()
    assert.matches("deep", traceback, 1, true)
    assert.matches("stack traceback", traceback, 1, true)
    assert.matches("inner", traceback, 1, true)
    assert.not_matches("in task", traceback, 1, true)
  end)

  it("ends its traceback with the task's label", function()
    local future = assert(pool:task { label = "import" }:run(function() error "deep" end))
    future:wait()
    assert.matches("deep\nstack traceback:.*\n\tin task 'import'$", future:traceback())
    local nested = assert(pool:task { label = "outer" }:run(function()
      return require("weir").run_in_main(error, "on the loop")
    end))
    nested:wait()
    assert.matches("on the loop.*\n\tin task 'outer'$", nested:traceback())
  end)

  it("is there when the task succeeded: no traceback", function()
    local future = pool:run(function() end)
    assert.is_nil(future:traceback())
    future:wait()
    assert.is_nil(future:traceback())
  end)

  it("of a stack overflow settles the task", function()
    local future = pool:run(function() local function f() return 1 + f() end return f() end)
    local ok, problem = future:get()
    assert.is_false(ok)
    assert.matches("stack overflow", tostring(problem), 1, true)
    assert.are.same({ true, 1 }, { pool:run(function() return 1 end):get() })
  end)
end)

describe("a result that cannot cross", function()
  it("fails the task and is named", function()
    local ok, problem = pool:run(function() return 1, { co = coroutine.create(function() end) } end):get()
    assert.is_false(ok)
    assert.matches("^result 2%.co: coroutine cannot cross", problem)
    ok, problem = pool:run(function() error { co = coroutine.create(function() end) } end):get()
    assert.is_false(ok)
    assert.matches("^error value%.co: coroutine cannot cross", problem)
  end)
end)

describe("cancel", function()
  it("takes a queued task back", function()
    local one = assert(weir.pool { threads = 1 })
    local here, leave = gate.new(), gate.new()
    one:run(function(a, b) local g = require "support.gate"; g.open(a); g.pass(b) end, here, leave)
    gate.pass(here)
    local ran = gate.new()
    local future = one:run(function(name) require("support.gate").open(name) end, ran)
    assert.is_true(future:cancel())
    assert.are.same({ false, "cancelled" }, { future:get() })
    assert.is_false(future:cancel())
    assert.is_nil(future:traceback())
    gate.open_last(leave)
    assert.is_true(one:close { drain = true })
    assert.are.equal(1, one:stats().cancelled)
    os.remove(here)
    os.remove(ran)
  end)

  it("stops a running task, and its future is over at once", function()
    local future, leave = held()
    assert.is_true(future:cancel())
    assert.are.same({ false, "cancelled" }, { future:get() })
    assert.is_false(future:cancel())
    os.remove(leave)
  end)

  it("is too late for a task that is over", function()
    local future = pool:run(function() return 1 end)
    future:wait()
    assert.is_false(future:cancel())
    assert.are.same({ true, 1 }, { future:get() })
  end)

end)

describe("weir.all and weir.any", function()
  it("wait for every one", function()
    local futures = {}
    for i = 1, 10 do futures[i] = pool:run(function(k) return k end, i) end
    assert.is_true(weir.all(futures))
    for i = 1, 10 do assert.are.same({ true, i }, { futures[i]:try() }) end
    assert.is_true(weir.all {})
  end)

  it("wait for one", function()
    local slow, leave = held()
    local fast = pool:run(function() return "fast" end)
    local index, future = weir.any { slow, fast }
    assert.are.equal(2, index)
    assert.are.same({ true, "fast" }, { future:get() })
    gate.open_last(leave)
    assert.is_true(weir.all { slow, fast })
    assert.are.equal(1, (weir.any { slow, fast }))
  end)

  it("wait no longer than they are told", function()
    local slow, leave = held()
    assert.is_false(weir.all({ slow }, 0.001))
    assert.are.same({}, { weir.any({ slow }, 0.001) })
    gate.open_last(leave)
    assert.is_true(weir.all({ slow }, 60))
  end)
end)

describe("a failure that nobody reads", function()
  local reports

  before_each(function()
    reports = {}
    weir.on_unhandled(function(problem, traceback) reports[#reports + 1] = { problem, traceback } end)
  end)
  after_each(function() weir.on_unhandled(nil) end)

  local function fail(read)
    local future = pool:run(function() error { "lost" } end)
    future:wait()
    if read then read(future) end
  end

  local function collect()
    collectgarbage()
    collectgarbage()
  end

  it("is reported when its future is collected", function()
    fail()
    collect()
    assert.are.equal(1, #reports)
    assert.are.same({ "lost" }, reports[1][1])
    assert.matches("stack traceback", reports[1][2], 1, true)
    collect()
    assert.are.equal(1, #reports)
  end)

  it("is reported when it comes after its future was collected", function()
    local leave
    do
      local _
      _, leave = held(function() error("late", 0) end)
    end
    collect()
    gate.open_last(leave)
    local deadline = os.time() + 30
    while #reports == 0 and os.time() < deadline do pool:run(function() end):get() end
    assert.are.equal("late", reports[1][1])
  end)

  it("is not reported when somebody did", function()
    fail(function(future) future:get() end)
    fail(function(future) future:try() end)
    fail(function(future) future:traceback() end)
    collect()
    assert.are.same({}, reports)
  end)

  it("is not reported when it was cancelled", function()
    do
      local future, leave = held()
      future:cancel()
      os.remove(leave)
    end
    for _ = 1, 4 do pool:run(function() end):get() end
    collect()
    assert.are.same({}, reports)
  end)
end)
