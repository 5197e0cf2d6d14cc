-- SPDX-License-Identifier: ISC

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local gate = require "support.gate"
local weir = require "weir"

local shared = weir.shared
local pool

setup(function() pool = assert(weir.pool { threads = 2 }) end)
teardown(function() pool:close() end)

local function in_task(f, ...)
  return pool:run(f, ...):get()
end

describe("weir.shared", function()
  after_each(function() shared.set("test.key", nil) end)

  it("holds copies of what can cross", function()
    assert.is_nil(shared.get "test.key")
    for _, value in ipairs { 1, 1.5, -0.0, "a\0b", true, false } do
      shared.set("test.key", value)
      assert.are.equal(value, shared.get "test.key")
      assert.are.same({ true, value }, { in_task(function() return require("weir").shared.get "test.key" end) })
    end
    local value = { 1, x = { "y" } }
    value.self = value
    shared.set("test.key", value)
    value[1] = 2
    local copy = shared.get "test.key"
    assert.are.same({ 1, "y" }, { copy[1], copy.x[1] })
    assert.are.equal(copy, copy.self)
    assert.are_not.equal(copy, shared.get "test.key")
  end)

  it("keeps integers and floats apart", function()
    if not math.type then return end -- luacheck: ignore
    shared.set("test.key", 3)
    assert.are.equal("integer", math.type(shared.get "test.key")) -- luacheck: ignore
    shared.set("test.key", 3.0)
    assert.are.equal("float", math.type(shared.get "test.key")) -- luacheck: ignore
    shared.set("test.key", math.maxinteger)
    assert.are.equal(math.mininteger, shared.add("test.key", 1)) -- as Lua adds
  end)

  it("refuses what cannot cross, and leaves what was there", function()
    shared.set("test.key", 1)
    local ok, problem = pcall(function() shared.set("test.key", { co = coroutine.create(function() end) }) end)
    assert.is_false(ok)
    assert.matches("^test/lua/test_shared.lua:%d+: weir.shared.set: value%.co: coroutine cannot cross", problem)
    assert.are.equal(1, shared.get "test.key")
  end)

  it("keeps handles alive", function()
    shared.set("test.key", weir.mutex())
    collectgarbage()
    local m = shared.get "test.key"
    assert.is_true(m:lock())
    local function try() return require("weir").shared.get("test.key"):trylock() end
    assert.are.same({ true, false }, { in_task(try) })
    assert.is_true(m:unlock())
  end)

  it("adds at once, on however many threads", function()
    local futures = {}
    for i = 1, 4 do
      futures[i] = pool:run(function()
        for _ = 1, 2500 do require("weir").shared.add("test.key", 1) end
      end)
    end
    assert.is_true(weir.all(futures))
    assert.are.equal(10000, shared.get "test.key")
    shared.set("test.key", "ten")
    assert.are.same({ nil, 'weir.shared.add: "test.key" is no number' }, { shared.add("test.key", 1) })
  end)

  it("updates with nobody else's change between", function()
    local futures = {}
    for i = 1, 2 do
      futures[i] = pool:run(function(k)
        for _ = 1, 500 do
          require("weir").shared.update("test.key", function(list)
            list = list or { 0, 0 }
            list[k] = list[k] + 1
            return list
          end)
        end
      end, i)
    end
    assert.is_true(weir.all(futures))
    assert.are.same({ 500, 500 }, shared.get "test.key")
  end)

  it("calls the function of an update again when another was first", function()
    local calls = 0
    shared.set("test.key", 1)
    local result = shared.update("test.key", function(n)
      calls = calls + 1
      if calls == 1 then shared.set("test.key", 10) end
      return n + 1
    end)
    assert.are.same({ 2, 11, 11 }, { calls, result, shared.get "test.key" })
  end)

  it("makes a value once for all who ask", function()
    local futures = {}
    for i = 1, 2 do
      futures[i] = pool:run(function()
        return require("weir").shared.once("test.key", function() return tostring({}) end)
      end)
    end
    local _, a = futures[1]:get()
    local _, b = futures[2]:get()
    assert.are.same({ a, a }, { b, shared.get "test.key" })
    assert.are.equal(a, shared.once("test.key", function() error "not called" end))
  end)

  it("refuses to make nothing once", function()
    local ok, problem = pcall(function() shared.once("test.key", function() end) end)
    assert.is_false(ok)
    assert.matches("^test/lua/test_shared.lua:%d+: weir.shared.once: argument 2 returned nil$", problem)
  end)

  it("gives each change a version of its own", function()
    local before = shared.version "test.key"
    assert.are.equal(0, before)
    shared.set("test.key", 1)
    local first = shared.version "test.key"
    shared.set("test.key", 1)
    local second = shared.version "test.key"
    assert.is_true(first > 0 and second > first)
    shared.set("test.key", nil)
    assert.are.equal(0, shared.version "test.key")
  end)

  it("outlives the state that set it", function()
    local other = assert(weir.pool { threads = 1 })
    other:run(function() require("weir").shared.set("test.key", { "from another state" }) end):get()
    assert.is_true(other:close())
    assert.are.same({ "from another state" }, shared.get "test.key")
  end)

  it("checks its arguments", function()
    for name, call in pairs {
      get = function() shared.get(5) end,
      set = function() shared.set(nil, 1) end,
      add = function() shared.add("test.key", "1") end,
      update = function() shared.update("test.key") end,
      once = function() shared.once("test.key", 5) end,
      version = function() shared.version {} end,
    } do
      local ok, problem = pcall(call)
      assert.is_false(ok)
      assert.matches("^test/lua/test_shared.lua:%d+: weir.shared." .. name .. ": argument %d must be a ", problem)
    end
  end)
end)

describe("weir.pack", function()
  it("copies at once, for any number of readers", function()
    local list = { 1 }
    local packed = weir.pack(list, nil, "x", nil)
    list[1] = 2
    for _ = 1, 2 do
      local n, first = select("#", packed:unpack()), packed:unpack()
      assert.are.same({ 4, { 1 } }, { n, first })
      assert.are.same({ true, 1, "x" }, { in_task(function()
        local got, _, x = packed:unpack()
        return got[1], x
      end) })
    end
    assert.is_true(packed:size() > 0)
  end)

  it("names what cannot cross, at the caller's line", function()
    local ok, problem = pcall(function() weir.pack(1, { io.stdout }) end)
    if ok then return end -- io.stdout is found in a module
    assert.matches("^test/lua/test_shared.lua:%d+: weir.pack: argument 2%[1%]: ", problem)
  end)

  it("names a coroutine", function()
    local ok, problem = pcall(function() weir.pack(1, { coroutine.create(function() end) }) end)
    assert.is_false(ok)
    assert.matches("^test/lua/test_shared.lua:%d+: weir.pack: argument 2%[1%]: coroutine cannot cross", problem)
  end)
end)

describe("pool:post", function()
  it("runs a task that outlives the one that posted it", function()
    local own, out, go, inside = assert(weir.pool { threads = 1 }), gate.new(), gate.new(), gate.new()
    own:run(function(i, g)
      require("support.gate").open(i)
      require("support.gate").pass(g)
    end, inside, go)
    gate.pass(inside)
    assert.are.same({ true, true }, { in_task(function(p, o)
      return p:post(function(name) require("support.gate").open(name, "posted") end, o)
    end, own, out) })
    assert.is_true(weir.loop.pending() > 0) -- of this state, which it came from
    gate.open_last(go)
    assert.are.equal("posted", gate.pass(out))
    own:close()
    os.remove(out)
    os.remove(inside)
  end)

  it("reports a failure where the chain of tasks began", function()
    local own, told = assert(weir.pool { threads = 1 }), {}
    weir.on_unhandled(function(problem, traceback) told = { problem, traceback } end)
    in_task(function(p) p:post(function() error("posted in vain", 0) end) end, own)
    while not told[1] do weir.loop.turn(weir.loop.block) end
    weir.on_unhandled(nil)
    assert.are.equal("posted in vain", told[1])
    assert.matches("posted in vain\nstack traceback:", told[2])
    own:close()
  end)

  it("is refused by a full queue and a closed pool", function()
    local own, inside, go = assert(weir.pool { threads = 1, queue_limit = 1 }), gate.new(), gate.new()
    own:post(function(i, g)
      require("support.gate").open(i)
      require("support.gate").pass(g)
    end, inside, go)
    gate.pass(inside)
    assert.is_true(own:post(function() end))
    assert.are.same({ nil, "full" }, { own:post(function() end) })
    gate.open_last(go)
    own:close { drain = true }
    assert.are.same({ nil, "closed" }, { own:post(function() end) })
    os.remove(inside)
  end)

  it("names what cannot cross", function()
    local ok, problem = pcall(function() pool:post(function() end, coroutine.create(function() end)) end)
    assert.is_false(ok)
    assert.matches("^test/lua/test_shared.lua:%d+: post: argument 2: coroutine cannot cross", problem)
  end)
end)

describe("the post of a task", function()
  local function hold(inside, leave)
    local g = require "support.gate"
    g.open(inside)
    g.pass(leave)
  end

  it("runs under its label and priority", function()
    local own, inside, go, order = assert(weir.pool { threads = 1 }), gate.new(), gate.new(), os.tmpname()
    assert.is_true(own:task({ label = "hold" }):post(hold, inside, go))
    gate.pass(inside)
    assert.are.equal("hold", own:running()[1].label)
    local function note(text, name)
      local file = assert(io.open(name, "a"))
      file:write(text, " ")
      file:close()
    end
    assert.is_true(own:task({ priority = "low" }):post(note, "low", order))
    assert.is_true(own:task({ priority = "high" }):post(note, "high", order))
    gate.open_last(go)
    own:close { drain = true }
    assert.are.equal("high low ", io.open(order):read "*a")
    os.remove(order)
    os.remove(inside)
  end)

  it("is ended by its limits, and only counted, while it is queued", function()
    local own, inside, go, told = assert(weir.pool { threads = 1 }), gate.new(), gate.new(), nil
    weir.on_unhandled(function(problem) told = problem end)
    assert.is_true(own:post(hold, inside, go))
    gate.pass(inside)
    assert.is_true(own:task({ timeout = 0.01 }):post(error, "started"))
    while own:stats().timed_out == 0 do weir.sleep(0.001) end
    local expired = own:stats().expired -- the timeout ended it in one of two ways
    assert.is_true(own:task({ start_within = 0.01 }):post(error, "started"))
    while own:stats().expired == expired do weir.sleep(0.001) end
    gate.open_last(go)
    own:close()
    weir.on_unhandled(nil)
    assert.is_nil(told)
    os.remove(inside)
  end)

  it("is ended where the chain of tasks began", function()
    local own, inside, go = assert(weir.pool { threads = 1 }), gate.new(), gate.new()
    assert.are.same({ true, true }, { in_task(function(p, f, ...)
      return p:task({ timeout = 0.02 }):post(f, ...)
    end, own, hold, inside, go) })
    gate.pass(inside)
    assert.is_true(own:run(function() end):get())
    assert.are.equal(1, own:stats().timed_out)
    own:close()
    os.remove(go)
    os.remove(inside)
  end)

  it("waits for space no longer than its timeout", function()
    local own, inside, go = assert(weir.pool { threads = 1, queue_limit = 1, on_full = "wait" }), gate.new(), gate.new()
    assert.is_true(own:post(hold, inside, go))
    gate.pass(inside)
    assert.is_true(own:post(function() end))
    assert.are.same({ nil, "timeout" }, { own:task({ timeout = 0.01 }):post(error) })
    assert.are.same({ nil, "expired" }, { own:task({ start_within = 0.01 }):post(error) })
    gate.open_last(go)
    own:close { drain = true }
    assert.are.same({ nil, "closed" }, { own:task({ timeout = 1 }):post(error) })
    os.remove(inside)
  end)

  it("names wrong arguments, at the caller's line", function()
    local any = pool:task {}
    local ok, problem = pcall(function() any:post(1) end)
    assert.is_false(ok)
    assert.matches("^test/lua/test_shared.lua:%d+: post: argument 1 must be a function, got 1$", problem)
    ok, problem = pcall(function() any:post(print, coroutine.create(function() end)) end)
    assert.is_false(ok)
    assert.matches("^test/lua/test_shared.lua:%d+: post: argument 2: coroutine cannot cross", problem)
  end)
end)

describe("future:on_settle", function()
  it("calls a function when the task is over, or was", function()
    local go, seen = gate.new(), {}
    local future = pool:run(function(g) return require("support.gate").pass(g) end, go)
    future:on_settle(function(f) table.insert(seen, { f == future, f:get() }) end)
    assert.are.same({}, seen)
    gate.open_last(go, "opened")
    future:get()
    assert.are.same({ { true, true, "opened" } }, seen)
    future:on_settle(function() table.insert(seen, "at once") end)
    assert.are.equal("at once", seen[2])
  end)

  it("hands what the function raises to weir.on_unhandled", function()
    local go, told = gate.new(), nil
    weir.on_unhandled(function(problem) told = problem end)
    local future = pool:run(function(g) return require("support.gate").pass(g) end, go)
    future:on_settle(function() error("in on_settle", 0) end)
    gate.open_last(go)
    future:get()
    weir.on_unhandled(nil)
    assert.are.equal("in on_settle", told)
  end)
end)

describe("a wait for space", function()
  it("is refused where every thread of the pool waits", function()
    local own = assert(weir.pool { threads = 1, name = "tight", queue_limit = 1, on_full = "wait" })
    local ok, problem = own:run(function(p)
      p:run(function() end)
      p:run(function() end)
    end, own):get()
    assert.is_false(ok)
    assert.matches("would deadlock: pool 'tight', 1 of 1 threads wait", problem, 1, true)
    own:close()
  end)

  it("ends where another thread makes some", function()
    local own = assert(weir.pool { threads = 2, queue_limit = 1, on_full = "wait" })
    assert.are.same({ true, 20 }, { own:run(function(p)
      local futures = {}
      for i = 1, 20 do futures[i] = p:run(function() end) end
      assert(require("weir").all(futures))
      return #futures
    end, own):get() })
    own:close()
  end)
end)

describe("weir.sleep", function()
  it("lasts at least that long, and serves run_in_main meanwhile", function()
    local served = false
    _G.weir_test_served = function() served = true end
    local future = pool:run(function()
      require("weir").run_in_main(function() weir_test_served() end) -- luacheck: ignore
    end)
    local began = weir.loop.clock()
    weir.sleep(0.02)
    assert.is_true(weir.loop.clock() - began >= 0.02)
    future:get()
    _G.weir_test_served = nil
    assert.is_true(served)
    assert.has_error(function() weir.sleep(-1) end)
  end)
end)
