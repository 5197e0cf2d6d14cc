-- SPDX-License-Identifier: ISC

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local gate = require "support.gate"
local weir = require "weir"

local here = {} -- what only this state has
_G.weir_test_here = here

local pool

setup(function() pool = assert(weir.pool { threads = 2 }) end)
teardown(function()
  pool:close()
  _G.weir_test_here = nil
end)

local function in_task(f, ...)
  return pool:run(f, ...):get()
end

describe("run_in_main", function()
  it("calls a function in the state that submitted the task", function()
    here.value = "main's"
    assert.are.same({ true, "main's", nil, 3 }, { in_task(function()
      return require("weir").run_in_main(function(n)
        return weir_test_here.value, nil, n -- luacheck: ignore
      end, 3)
    end) })
  end)

  it("raises in the task what the function raised", function()
    local ok, problem = in_task(function()
      require("weir").run_in_main(function() error { code = 5 } end)
    end)
    assert.are.same({ false, { code = 5 } }, { ok, problem })
    assert.are.same({ true, false, "there" }, { in_task(function()
      return pcall(require("weir").run_in_main, function() error("there", 0) end)
    end) })
  end)

  it("may wait for other tasks there", function()
    here.pool = pool
    assert.are.same({ true, "nested" }, { in_task(function()
      return require("weir").run_in_main(function()
        local _, value = weir_test_here.pool:run(function() return "nested" end):get() -- luacheck: ignore
        return value
      end)
    end) })
  end)

  it("is served by close while it waits for the task that calls", function()
    local own = assert(weir.pool { threads = 1 })
    local inside, leave = gate.new(), gate.new()
    local future = own:run(function(a)
      require("support.gate").open(a)
      return require("weir").run_in_main(function() return "served" end)
    end, inside)
    gate.pass(inside)
    assert.is_true(own:close())
    assert.are.same({ true, "served" }, { future:get() })
    os.remove(inside)
    os.remove(leave)
  end)

  it("fails where a close could never let the function end", function()
    local own = assert(weir.pool { threads = 1 })
    local inside = gate.new()
    local future = own:run(function(a)
      require("support.gate").open(a)
      return require("weir").run_in_main(function() coroutine.yield() end)
    end, inside)
    gate.pass(inside)
    assert.is_true(own:close())
    local ok, problem = future:get()
    assert.is_false(ok)
    assert.matches("run_in_main: the function yielded, but no loop runs there", problem, 1, true)
    os.remove(inside)
  end)

  it("of a nested task goes to the task that submitted it", function()
    local _, who, inner = in_task(function()
      local w = require "weir"
      local own = assert(w.pool { threads = 1, name = "inner" })
      where = "the outer task's state" -- luacheck: ignore
      local future = own:run(function()
        return require("weir").run_in_main(function() return where end) -- luacheck: ignore
      end)
      local ok, value = future:get()
      own:close()
      return value, ok
    end)
    assert.are.same({ "the outer task's state", true }, { who, inner })
  end)

  it("is served at every depth while each level waits", function()
    local function nest(depth, self)
      local w = require "weir"
      if depth == 0 then
        return w.run_in_main(function() return level end) -- luacheck: ignore
      end
      level = depth -- luacheck: ignore
      local own = assert(w.pool { threads = 1 })
      local ok, value = own:run(self, depth - 1, self):get()
      own:close()
      if not ok then error(value, 0) end
      return value
    end
    assert.are.same({ true, 1 }, { in_task(nest, 4, nest) })
  end)

  it("is served while the target itself calls further up", function()
    here.answer = function() return "top" end
    assert.are.same({ true, "middle", "top" }, { in_task(function()
      local w = require "weir"
      local own = assert(w.pool { threads = 1 })
      word = "middle" -- luacheck: ignore
      local future = own:run(function()
        return require("weir").run_in_main(function()
          return word, (require("weir").run_in_main(function() return weir_test_here.answer() end)) -- luacheck: ignore
        end)
      end)
      local _, a, b = future:get()
      own:close()
      return a, b
    end) })
  end)

  it("fails when the task that it goes to has ended", function()
    local inside, go, out = gate.new(), gate.new(), gate.new()
    local ok = in_task(function(...)
      local g, w = require "support.gate", require "weir"
      orphan_pool = assert(w.pool { threads = 1 }) -- luacheck: ignore
      orphan_pool:run(function(progress, a, b, c) -- luacheck: ignore
        local gates = require "support.gate"
        gates.open(a)
        gates.pass(b)
        local called, why = pcall(require("weir").run_in_main, function() end)
        local reported, why_not = pcall(progress)
        gates.open(c, ("%s %s, %s %s"):format(tostring(called), why, tostring(reported), why_not))
      end, w.progress(function() end), ...)
      g.pass((...))
    end, inside, go, out)
    assert.is_true(ok)
    gate.open_last(go)
    assert.are.equal("false run_in_main: closed, false run_in_main: closed", gate.pass(out))
    os.remove(out)
    os.remove(inside)
  end)

  it("refuses what cannot cross, in both directions", function()
    local ok, problem = in_task(function()
      require("weir").run_in_main(function() end, { co = coroutine.create(function() end) })
    end)
    assert.is_false(ok)
    assert.matches("^argument 2%.co: coroutine cannot cross", problem)
    ok, problem = in_task(function()
      require("weir").run_in_main(function() return { coroutine.create(function() end) } end)
    end)
    assert.is_false(ok)
    assert.matches("^result 1%[1%]: coroutine cannot cross", problem)
  end)

  it("outside a task is an error at the caller's line", function()
    local ok, problem = pcall(function() weir.run_in_main(function() end) end)
    assert.is_false(ok)
    assert.matches("test_call.lua:%d+: weir.run_in_main: called outside a task$", problem)
  end)

  it("is answered for each of many callers", function()
    local futures = {}
    here.count = 0
    for i = 1, 500 do
      futures[i] = pool:run(function(k)
        return require("weir").run_in_main(function(n)
          weir_test_here.count = weir_test_here.count + 1 -- luacheck: ignore
          return n * 2
        end, k)
      end, i)
    end
    for i = 1, 500 do assert.are.same({ true, i * 2 }, { futures[i]:get() }) end
    assert.are.equal(500, here.count)
  end)
end)

describe("a task that ends", function()
  it("takes back what it queued and nobody started", function()
    local own = assert(weir.pool { threads = 1 })
    local _, leave = own:run(function()
      local g, w = require "support.gate", require "weir"
      inner = assert(w.pool { threads = 1 }) -- luacheck: ignore
      local inside, out = g.new(), g.new()
      inner:run(function(a, b) -- luacheck: ignore
        local gates = require "support.gate"
        gates.open(a)
        gates.pass(b)
      end, inside, out)
      g.pass(inside)
      os.remove(inside)
      queued = inner:run(function() end) -- luacheck: ignore
      return out
    end):get()
    assert.are.same({ true, false, "closed" }, { own:run(function() return queued:get() end):get() }) -- luacheck: ignore
    gate.open_last(leave)
    assert.is_true(own:close())
  end)
end)

describe("a task that waits for its own pool", function()
  it("gets an error where nobody is left to run what it waits for", function()
    local own = assert(weir.pool { threads = 1, name = "tight" })
    local ok, problem = own:run(function(p) return p:run(function() end):get() end, own):get()
    assert.is_false(ok)
    assert.matches("would deadlock: pool 'tight', 1 of 1 threads wait", problem, 1, true)
    own:close()
  end)

  it("gets a spare thread where the pool may start one", function()
    local own = assert(weir.pool { threads = 1, max_blocked = 1 })
    assert.are.same({ true, true, "spare" }, {
      own:run(function(p) return p:run(function() return "spare" end):get() end, own):get(),
    })
    own:close()
  end)

  it("gets one for a wait that ends by itself, too", function()
    local own = assert(weir.pool { threads = 1, max_blocked = 1 })
    assert.are.same({ true, true }, {
      own:run(function(p) return p:run(function() return "spare" end):wait(60) end, own):get(),
    })
    own:close()
  end)

  it("gets no error where something else may end the wait", function()
    local own = assert(weir.pool { threads = 1 })
    assert.are.same({ true, 2 }, { own:run(function(p, other)
      local mine = p:run(function() end)
      return (require("weir").any { mine, other:run(function() end) })
    end, own, pool):get() })
    own:close()
  end)

  it("waits where another thread is left", function()
    local own = assert(weir.pool { threads = 2 })
    assert.are.same({ true, true, "other" }, {
      own:run(function(p) return p:run(function() return "other" end):get() end, own):get(),
    })
    own:close()
  end)
end)

describe("weir.blocking", function()
  it("returns and raises what the function does", function()
    assert.are.same({ 1, nil, 3 }, { weir.blocking(function(...) return ... end, 1, nil, 3) })
    assert.has_error(function() weir.blocking(function() error { 1 } end) end, { 1 })
  end)

  it("lets the pool start a spare thread", function()
    local own = assert(weir.pool { threads = 1, max_blocked = 1 })
    local a = gate.new()
    local future = own:run(function(name)
      return require("weir").blocking(function() return require("support.gate").pass(name) end)
    end, a)
    own:run(function(name) require("support.gate").open(name, "from the spare") end, a)
    assert.are.same({ true, "from the spare" }, { future:get() })
    own:close()
    os.remove(a)
  end)
end)
