-- SPDX-License-Identifier: ISC
--
-- test_progress.lua: weir.progress without a loop; under each loop see loop_tests.lua.
-- A call whose task above has ended stands in test_call.lua.

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local program = require "support.program"
local weir = require "weir"

local pool

setup(function() pool = assert(weir.pool { threads = 2, name = "reporters" }) end)
teardown(function() pool:close() end)

local function in_task(f, ...)
  return pool:run(f, ...):get()
end

-- In every thread of the pool: nothing is left of the tasks before.
local function collect_in(own)
  for _ = 1, 2 do
    assert(own:run(function() collectgarbage() collectgarbage() end):get())
  end
end

local function collect()
  for _ = 1, 3 do collectgarbage() end
end

describe("a handle of weir.progress", function()
  it("calls the function itself, with its own upvalues, and gives copies", function()
    local said, t = {}, { 1 }
    local progress = weir.progress(function(...)
      said[#said + 1] = { n = select("#", ...), ... }
      return t, nil, #said
    end)
    local ok, same, got, none, n = in_task(function(p)
      p("first", nil)
      local u, none, n = p { 2 }
      u[1] = 5
      return u ~= p(), u, none, n
    end, progress)
    assert.are.same({ true, true, { 5 }, nil, 2 }, { ok, same, got, none, n })
    assert.are.same({ { n = 2, "first", nil }, { n = 1, { 2 } }, { n = 0 } }, said)
    assert.are.same({ 1 }, t)
  end)

  it("crosses as an argument, an upvalue, a result and in a table, into packed and shared values", function()
    local count = 0
    local progress = weir.progress(function() count = count + 1 end)
    local packed = weir.pack(progress)
    weir.shared.set("test.progress", progress)
    local ok, back = in_task(function(p, t)
      p()
      t.deep[1]()
      progress()
      packed:unpack()()
      require("weir").shared.get("test.progress")()
      return p
    end, progress, { deep = { progress } })
    weir.shared.set("test.progress", nil)
    assert.is_true(ok, back)
    assert.are.equal(5, count)
    back()
    assert.are.equal(6, count)
    assert.are.equal("weir.progress", tostring(back))
  end)

  it("in the state that made it calls the function as any", function()
    local same = {}
    local progress = weir.progress(function(...) return ... end)
    assert.are.equal(same, (progress(same)))
    assert.are.equal(3, select("#", progress(nil, nil, nil)))
    local ok, problem = pcall(weir.progress(function() error(same) end))
    assert.is_false(ok)
    assert.are.equal(same, problem)
  end)

  it("raises in the task what the function raised, and what cannot cross", function()
    local progress = weir.progress(function(problem) error(problem, 0) end)
    assert.are.same({ false, { code = 5 } }, { in_task(function() progress { code = 5 } end) })
    assert.are.same({ true, false, "mine" }, { in_task(function() return pcall(progress, "mine") end) })
    local ok, problem = in_task(function() progress(coroutine.create(function() end)) end)
    assert.is_false(ok)
    assert.matches("coroutine cannot cross", problem, 1, true)
    local returns = weir.progress(function() return coroutine.create(function() end) end)
    ok, problem = in_task(function() returns() end)
    assert.is_false(ok)
    assert.matches("^result 1: coroutine cannot cross", problem)
  end)

  it("goes up from task to task to the state that made it", function()
    local said = {}
    local progress = weir.progress(function(word)
      said[#said + 1] = word
      return word .. " heard"
    end)
    local function nest(depth, self, p)
      if depth == 0 then return p "from below" end
      local own = assert(require("weir").pool { threads = 1 })
      local ok, value = own:run(self, depth - 1, self, p):get()
      own:close()
      if not ok then error(value, 0) end
      return value
    end
    assert.are.same({ true, "from below heard" }, { in_task(nest, 3, nest, progress) })
    assert.are.same({ "from below" }, said)
  end)

  it("may be made in a task, for tasks of its own", function()
    assert.are.same({ true, 3 }, { in_task(function()
      local w = require "weir"
      local own, sum = assert(w.pool { threads = 1 }), 0
      local progress = w.progress(function(n) sum = sum + n end)
      assert(own:run(function() progress(1) progress(2) end):get())
      own:close()
      return sum
    end) })
  end)

  it("may be called by many tasks at once", function()
    local sum, futures = 0, {}
    local progress = weir.progress(function(n) sum = sum + n end)
    for i = 1, 200 do
      futures[i] = pool:run(function(p, n) for _ = 1, 5 do p(n) end end, progress, i)
    end
    for i = 1, 200 do assert(futures[i]:get()) end
    assert.are.equal(5 * 200 * 201 / 2, sum)
  end)

  it("says so where no task above is of the state that made it", function()
    local own = assert(weir.pool { threads = 1 })
    local ok, stray = own:run(function() return require("weir").progress(function() return "there" end) end):get()
    assert(ok, stray)
    local why = "weir.progress: the state that made the function has ended, or submitted none of these tasks"
    assert.has_error(function() stray() end, why)
    assert.are.same({ false, why }, { in_task(function(p) p() end, stray) })
    assert.are.same({ true, "there" }, { own:run(function(p) return p() end, stray):get() }) -- its state again
    own:close()
    assert.has_error(function() stray() end, why)
  end)
end)

describe("the function of weir.progress", function()
  -- A handle, and a table that is empty once its function was collected.
  local function make()
    local weak = setmetatable({}, { __mode = "v" })
    weak[1] = function() return #weak end
    return weir.progress(weak[1]), weak
  end

  it("is held while only another state has a handle, and no longer", function()
    local own = assert(weir.pool { threads = 1 })
    local progress, weak = make()
    assert(own:run(function(p) kept = p end, progress):get()) -- luacheck: ignore
    progress = nil -- luacheck: ignore
    collect()
    assert.are.same({ true, 1 }, { own:run(function() return kept() end):get() }) -- luacheck: ignore
    own:run(function() kept = nil end):get() -- luacheck: ignore
    collect_in(own)
    collect()
    assert.is_nil(weak[1])
    own:close()
  end)

  it("is held while a message has one, and no longer", function()
    local progress, weak = make()
    weir.shared.set("test.progress", progress)
    progress = nil -- luacheck: ignore
    collect()
    assert.are.equal(1, weir.shared.get "test.progress"())
    weir.shared.set("test.progress", nil)
    collect()
    assert.is_nil(weak[1])
  end)

  it("is let go with the handle that never crossed, one by one", function()
    local first, weak_first = make()
    local _, weak_second = (function() return nil, select(2, make()) end)()
    collect()
    assert.is_nil(weak_second[1])
    assert.are.equal(1, first())
    first = nil -- luacheck: ignore
    collect()
    assert.is_nil(weak_first[1])
  end)

  it("goes with its state, whoever still has a handle", function()
    assert.are.equal("true\nexit 0\n", program.run([[
      local pool = assert(weir.pool { threads = 1 })
      local ok, stray = pool:run(function()
        return require("weir").progress(function() end), require("weir").progress(function() end)
      end):get()
      weir.shared.set("stray", weir.progress(function() end))
      pool:close()
      print(ok and not pcall(stray))
    ]], true))
  end)
end)
