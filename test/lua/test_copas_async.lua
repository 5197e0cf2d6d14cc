-- SPDX-License-Identifier: ISC
--
-- weir.copas_async: calls and futures, in Copas and outside of it.

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local async = require "weir.copas_async"
local gate = require "support.gate"
local in_copas = require "support.in_copas"
local weir = require "weir"

local copas = in_copas.module()
local run = copas and in_copas.run or function(...) for _, f in ipairs { ... } do f() end end
local in_copas_only = copas and it or pending

local function upvalue(f, wanted)
  for i = 1, 60 do
    local name, value = debug.getupvalue(f, i)
    if name == wanted then return value end
  end
end

local function stats()
  return upvalue(upvalue(upvalue(async.run, "submit"), "get_pool"), "pool"):stats()
end

-- A call that waits until its gate is opened, and returns what came through.
local function gated()
  local here, go = gate.new(), gate.new()
  local future = async.addthread(function()
    local g = require "support.gate"
    g.open(here)
    return "came", g.pass(go)
  end)
  gate.pass(here)
  os.remove(here)
  return future, go
end

describe("weir.copas_async", function()
  it("is copas.async from then on", function()
    package.loaded["copas.async"] = nil
    assert.are.equal(async, require "copas.async")
  end)

  it("has three constants and a timeout", function()
    assert.are.same({ false, true, "error", 5 }, { async.PENDING, async.SUCCESS, async.ERROR, async.cancel_timeout })
  end)

  it("raises for unknown fields, read or set", function()
    local ok, problem = pcall(function() return async.addthreat end)
    assert.is_false(ok)
    assert.matches("^test/lua/test_copas_async.lua:%d+: unknown field 'async.addthreat'$", problem)
    ok, problem = pcall(function() async.canceltimeout = 1 end)
    assert.is_false(ok)
    assert.matches("^test/lua/test_copas_async.lua:%d+: unknown field 'async.canceltimeout'$", problem)
    assert.is_false((pcall(function() return async[1] end)))
  end)

  it("takes only a number of seconds for cancel_timeout", function()
    for _, wrong in ipairs { -1, "5", {}, 0 / 0, false } do
      local ok, problem = pcall(function() async.cancel_timeout = wrong end)
      assert.is_false(ok)
      assert.matches("test_copas_async.lua:%d+: async.cancel_timeout must be a number of seconds, 0 or more, got",
        problem)
    end
    async.cancel_timeout = math.huge
    assert.are.equal(math.huge, async.cancel_timeout)
    async.cancel_timeout = 5
  end)

  it("opens no thread before the first call", function()
    assert.is_nil(upvalue(upvalue(upvalue(async.run, "submit"), "get_pool"), "pool"))
  end)

  it("refuses what is no function, at the caller's line", function()
    for _, name in ipairs { "addthread", "run" } do
      for _, wrong in ipairs { 5, "f", {}, false } do
        local ok, problem = pcall(function() async[name](wrong) end)
        assert.is_false(ok)
        assert.matches("^test/lua/test_copas_async.lua:%d+: copas.async." .. name
          .. ": argument 1 must be a function, got ", problem)
      end
    end
    local ok, problem = pcall(function() async() end)
    assert.is_false(ok)
    assert.matches("^test/lua/test_copas_async.lua:%d+: copas.async: argument 1 must be a function, got nil", problem)
  end)

  it("refuses what cannot cross, at the caller's line", function()
    local co = coroutine.create(function() end)
    for _, name in ipairs { "addthread", "run" } do
      local ok, problem = pcall(function() async[name](function() return co end) end)
      assert.is_false(ok)
      assert.matches("^test/lua/test_copas_async.lua:%d+: copas.async." .. name ..
        ": argument 1 %(upvalue 'co'%): coroutine cannot cross to another thread$", problem)
    end
    local ok, problem = pcall(function() async(function() return co end) end)
    assert.is_false(ok)
    assert.matches("lua:%d+: copas.async: argument 1 %(upvalue 'co'%): coroutine", problem)
  end)
end)

describe("a call", function()
  it("returns true and every value, nils too", function()
    run(function()
      local function count(...) return select("#", ...), { ... } end
      local n, values = count(async(function() return nil, 2, nil, { a = { 1 } }, nil end))
      assert.are.equal(6, n)
      assert.are.same({ true, nil, 2, nil, { a = { 1 } } }, values)
      assert.are.equal(1, (count(async.run(function() end))))
      assert.are.same({ true, "x" }, { async.addthread(function() return "x" end):get() })
      assert.are.same({ true, "y" }, { async.addthread(function() return "y" end)() })
    end)
  end)

  it("returns false and the error, whatever it is", function()
    run(function()
      local ok, problem = async(function() error "message" end)
      assert.is_false(ok)
      assert.matches("test_copas_async.lua:%d+: message$", problem)
      assert.are.same({ false, { code = 5 } }, { async(function() error { code = 5 } end) })
      assert.are.same({ pcall(error) }, { async(function() error() end) }) -- from 5.5 on a string
      assert.are.same({ false, false }, { async(function() error(false) end) })
      assert.are.same({ false, 12 }, { async(function() error(12, 0) end) })
    end)
  end)

  it("fails when its result cannot cross", function()
    run(function()
      local ok, problem = async(function() return 1, coroutine.create(print), 3 end)
      if _VERSION ~= "Lua 5.1" or rawget(_G, "jit") then
        assert.are.same({ false, "result 2: coroutine cannot cross to another thread" }, { ok, problem })
      end
      ok, problem = async(function() error(io.open("/dev/null")) end)
      assert.is_false(ok)
      assert.matches("^error value: userdata", problem)
    end)
  end)

  it("has copies of its upvalues", function()
    run(function()
      local n, list = 5, { 1 }
      local ok, m, count = async(function() n = n + 1; list[2] = 2; return n, #list end)
      assert.are.same({ true, 6, 2, 5, { 1 } }, { ok, m, count, n, list })
    end)
  end)

  it("takes copies of metatables with it", function()
    local class = {}
    class.__index = class
    class.__call = function(self) return self.n end
    function class:double() return 2 * self.n end
    local object = setmetatable({ n = 4 }, class)
    run(function()
      local ok, eight, back = async(function() return object:double(), object end)
      assert.are.same({ true, 8, 8 }, { ok, eight, back:double() })
      assert.are.same({ true, 4 }, { async(object) }) -- what can be called is a function
    end)
  end)

  it("may be a function of C", function()
    run(function()
      local ok, now = async(os.time)
      assert.is_true(ok)
      assert.are.equal("number", type(now))
    end)
  end)

  it("leaves no global behind, on whatever thread", function()
    run(function()
      for i = 1, 50 do
        assert.are.same({ true, nil, i, "function" }, { async(function()
          local before = leftover -- luacheck: ignore
          leftover = i -- luacheck: ignore
          return before, leftover, type(print) -- luacheck: ignore
        end) })
      end
      assert.is_nil(rawget(_G, "leftover"))
    end)
  end)

  it("looks for modules where the caller does at that moment", function()
    local path, cpath = package.path, package.cpath
    run(function()
      local function paths() return package.path, package.cpath end
      assert.are.same({ true, path, cpath }, { async(paths) })
      package.path = path .. ";./changed/?.lua"
      assert.are.same({ true, path .. ";./changed/?.lua", cpath }, { async(paths) })
      package.path = path
      async(function() package.path, package.cpath = "gone", "gone" end)
      assert.are.same({ true, path, cpath }, { async(paths) })
    end)
  end)

  it("may call the module itself", function()
    run(function()
      assert.are.same({ true, true, "inner" }, { async(function()
        return require("copas.async")(function() return "inner" end)
      end) })
    end)
  end)

  it("cannot end the program", function()
    run(function()
      local ok, problem = async(function() os.exit(1) end)
      assert.is_false(ok)
      assert.matches("os.exit: not in a thread of pool 'copas_async'", problem)
    end)
  end)
end)

describe("a future", function()
  it("gives the same values to every get and try", function()
    run(function()
      local future = async.addthread(function() return {}, nil end)
      local _, first = future:get()
      local _, second = future()
      local done, third = future:try()
      assert.is_true(done)
      assert.is_true(first == second and second == third)
      assert.are.equal(3, select("#", future:get()))
      assert.are.equal(3, select("#", future:try()))
    end)
  end)

  it("tries: pending, success, error", function()
    run(function()
      local future, go = gated()
      assert.are.same({ async.PENDING }, { future:try() })
      gate.open_last(go, "through")
      assert.are.same({ true, "came", "through" }, { future:get() })
      assert.are.same({ async.SUCCESS, "came", "through" }, { future:try() })
      local failed = async.addthread(function() error({ 1 }) end)
      failed:get()
      assert.are.same({ async.ERROR, { 1 } }, { failed:try() })
    end)
  end)

  it("tries successfully also for who does not let the loop turn", function()
    run(function()
      local future = async.addthread(function() return 1 end)
      local seen = {}
      while not seen[1] do seen = { future:try() } end
      assert.are.same({ true, 1 }, seen)
    end)
  end)

  in_copas_only("releases every coroutine that waits", function()
    local future, go, n = nil, nil, 0
    local function waiter()
      while not future do copas.pause() end
      assert.are.same({ true, "came", "x" }, { future:get() })
      n = n + 1
    end
    run(function() future, go = gated() end, waiter, waiter, waiter, function()
      while not go do copas.pause() end
      copas.pause()
      gate.open_last(go, "x")
    end)
    assert.are.equal(3, n)
  end)

  it("has a lane, which has a status", function()
    local go = gate.new()
    local waits = async.addthread(function() require("support.gate").pass(go) end)
    local fails = async.addthread(function() error "x" end)
    assert.are.equal("running", waits.lane.status)
    assert.is_nil(waits.lane.join)
    fails:get()
    assert.are.equal("done", fails.lane.status) -- so in copas-async, whose lane catches it
    local dropped, name = gated()
    dropped:cancel()
    os.remove(name)
    assert.are.equal("cancelled", dropped.lane.status)
    gate.open_last(go)
    waits:get()
    assert.are.equal("done", waits.lane.status)
  end)

  it("is cancelled while pending", function()
    run(function()
      local future, go = gated()
      assert.is_true(future:cancel())
      assert.is_false(future:cancel())
      assert.are.same({ async.ERROR, "cancelled" }, { future:try() })
      assert.are.same({ false, "cancelled" }, { future:get() })
      os.remove(go)
    end)
  end)

  it("is not cancelled when the call has ended", function()
    run(function()
      local future = async.addthread(function() return "kept" end)
      future:get()
      assert.is_false(future:cancel())
      assert.are.same({ true, "kept" }, { future:get() })
    end)
  end)

  it("is not cancelled when the call has ended and nobody looked", function()
    run(function()
      local here = gate.new()
      local future = async.addthread(function() return require("support.gate").open(here) end)
      gate.pass(here)
      os.remove(here)
      local cancelled
      repeat cancelled = future:cancel() until true
      -- ended or about to: whichever it was, get says the same
      assert.are.same(cancelled and { false, "cancelled" } or { true }, { future:get() })
    end)
  end)

  in_copas_only("that is cancelled releases who waits in get", function()
    local future, go, n = nil, nil, 0
    local function waiter()
      while not future do copas.pause() end
      assert.are.same({ false, "cancelled" }, { future:get() })
      n = n + 1
    end
    run(function() future, go = gated() end, waiter, waiter, function()
      while not go do copas.pause() end
      copas.pause()
      assert.is_true(future:cancel())
    end)
    os.remove(go)
    assert.are.equal(2, n)
  end)

  it("that is cancelled discards what comes later", function()
    run(function()
      local here, go, out = gate.new(), gate.new(), gate.new()
      local future = async.addthread(function()
        os.execute(("echo > %s; read line < %s; echo > %s"):format(here, go, out))
        return "late"
      end)
      gate.pass(here)
      assert.is_true(future:cancel())
      gate.open_last(go)
      gate.pass(out) -- the command went on
      assert.are.same({ false, "cancelled" }, { future:get() })
      os.remove(here)
      os.remove(out)
    end)
  end)

  it("refuses to be used on something else", function()
    local future = async.addthread(function() end)
    for _, name in ipairs { "get", "try", "cancel" } do
      local ok, problem = pcall(function() future[name]({}) end)
      assert.is_false(ok)
      assert.matches("^test/lua/test_copas_async.lua:%d+: " .. name .. ": called on a table, not on a future", problem)
    end
    future:get()
  end)

  it("that failed and is forgotten is reported", function()
    local seen = {}
    weir.on_unhandled(function(problem) seen[#seen + 1] = problem end)
    run(function()
      local here = gate.new()
      async.addthread(function() require("support.gate").open(here); error("forgotten", 0) end)
      gate.pass(here)
      os.remove(here)
      local cancelled = async.addthread(function() while true do end end)
      cancelled:cancel()
      async(function() end)
    end)
    for _ = 1, 100 do
      async(function() end)
      collectgarbage()
      if seen[1] then break end
    end
    weir.on_unhandled(nil)
    assert.are.same({ "forgotten" }, seen)
  end)
end)

describe("the threads", function()
  it("that are stuck starve nobody", function()
    async.cancel_timeout = math.huge
    run(function()
      local here, go, stuck = gate.new(), {}, {}
      for i = 1, 20 do
        go[i] = gate.new()
        local command = ("echo > %s; read line < %s"):format(here, go[i])
        stuck[i] = async.addthread(function() return os.execute(command) end)
        gate.pass(here)
      end
      for i = 1, 10 do assert.is_true(stuck[i]:cancel()) end
      for i = 1, 100 do assert.are.same({ true, i }, { async(function() return i end) }) end
      assert.is_true(stats().running >= 20)
      for i = 1, 20 do gate.open_last(go[i]) end
      for i = 11, 20 do assert.is_true((stuck[i]:get())) end
      os.remove(here)
    end)
    async.cancel_timeout = 5
  end)

  it("are given up after the cancel_timeout of that moment", function()
    async.cancel_timeout = 0.01
    run(function()
      local here, go = gate.new(), gate.new()
      local future = async.addthread(function() os.execute(("echo > %s; read line < %s"):format(here, go)) end)
      gate.pass(here)
      local before = stats().abandoned
      assert.is_true(future:cancel())
      while stats().abandoned == before do async(function() end) end
      gate.open_last(go)
      os.remove(here)
    end)
    async.cancel_timeout = 5
  end)

  it("serve three thousand concurrent calls, each with its own result", function()
    local right, functions = 0, {}
    for i = 1, 3000 do
      functions[i] = function()
        local ok, value = async(function() return i * 3 end)
        if ok and value == i * 3 then right = right + 1 end
      end
    end
    run((table.unpack or unpack)(functions)) -- luacheck: ignore
    assert.are.equal(3000, right)
  end)
end)

describe("outside of a coroutine", function()
  it("get waits", function()
    assert.are.same({ true, 5 }, { async(function() return 5 end) })
    local future, go = gated()
    assert.are.same({ async.PENDING }, { future:try() })
    gate.open_last(go, "x")
    assert.are.same({ true, "came", "x" }, { future() })
  end)
end)

if not copas then return end

describe("with a Copas that is loaded again", function()
  it("goes on, also with calls that the one before left", function()
    local left, go = gated()
    for i = 1, 5 do
      for name in pairs(package.loaded) do
        if name:match "^copas" or name:match "^socket" then package.loaded[name] = nil end
      end
      local again, result = require "copas", nil
      local async_again = require "copas.async"
      again.addthread(function()
        result = { async_again(function() return i end) }
        if i == 5 then gate.open_last(go, "late") else again.removethread(left) end
        if i == 5 then result[3] = select(3, left:get()) end
        left = left
      end)
      local turns = 0
      while not result do
        again.running = true
        again.step(0.1)
        turns = turns + 1
        assert(turns < 1000, "it was never resumed")
      end
      again.running = false
      assert.are.same({ true, i }, { result[1], result[2] })
      if i == 5 then again.loop(); assert.are.equal("late", result[3]) end
    end
  end)
end)
