-- SPDX-License-Identifier: ISC
--
-- Workers that wait: parked, blocked, under loops; limits of queues; handles elsewhere.
-- Section 4 of the description of the systems, its first four requirements.

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local gate = require "support.gate"
local folder = require "support.folder"
local scale = require "support.scale"
local weir = require "weir"
local worker = require "weir.worker"

local script = folder.script

after_each(folder.clean)

-- 1: "Any number of workers beyond the core count, all waiting, must start and be answered;
-- nested waiting workers must resolve."
describe("workers that wait", function()
  it("in the main chunk, ten thousand of them, are all answered", function()
    local list, n = {}, scale(10000)
    local path = script [[
      local mine = ...
      worker.message(worker.peek() + mine)
      worker.message(worker.peek() + mine)
    ]]
    for i = 1, n do list[i] = worker.create(path, i) end
    for i = 1, n do worker.send(list[i], 1000) end
    for i = n, 1, -1 do assert.are.equal(i + 1000, (worker.receive(list[i]))) end
    for i = 1, n do worker.send(list[i], 2000) end
    for i = 1, n do assert.are.equal(i + 2000, (worker.receive(list[i]))) end
    for i = 1, n do assert.is_nil((worker.receive(list[i]))) end
  end)

  it("for workers of their own, nested, resolve", function()
    local nest = script [[
      local depth, me = ...
      if depth == 0 then return worker.message(0) end
      local child = worker.create(me, depth - 1, me)
      worker.message(worker.receive(child) + 1)
    ]]
    for _, depth in ipairs { 3, 200 } do
      assert.are.equal(depth, (worker.receive(worker.create(nest, depth, nest))))
    end
  end)

  -- Where it cannot yield (some of these, by version) it blocks, and a spare starts.
  local places = {
    pcall = "pcall(function() f(worker.peek()) end)",
    xpcall = "xpcall(function() f(worker.peek()) end, print)",
    coroutine = "coroutine.wrap(function() f(worker.peek()) end)()",
    ["a coroutine's yield"] = [[
      for v in coroutine.wrap(function() coroutine.yield(worker.peek()) end) do f(v) end]],
    ["table.sort"] = [[
      local v table.sort({ 1, 2 }, function(a, b) v = v or worker.peek() return a < b end) f(v)]],
    ["string.gsub"] = "('x'):gsub('x', function() f(worker.peek()) end)",
    ["a metamethod"] = "local t = setmetatable({}, { __index = function() return worker.peek() end }) f(t.x)",
    ["an operator"] = "local t = setmetatable({}, { __add = function() return worker.peek() end }) f(t + 1)",
    ["an iterator"] = "for v in function(_, last) if not last then return (worker.peek()) end end do f(v) end",
    ["a function that is called by a field"] = "local t = { [1] = function() f(worker.peek()) end } t[1]()",
    ["a tail call"] = "local function g() return worker.peek() end f((g()))",
    ["the end"] = "local function g() local function h() return worker.peek() end return h() end f((g()))",
    load = "(loadstring or load)('f(worker.peek())')()",
    dofile = "dofile((...))",
    ["a method"] = "local o = { m = function(self) f(worker.peek()) end } o:m()",
    tostring = "tostring(setmetatable({}, { __tostring = function() f(worker.peek()) return '' end }))",
  }
  for name, text in pairs(places) do
    it("inside " .. name .. " are answered", function()
      local path = script("f = function(v) worker.message(v) end\n" .. text)
      local inner = script "f(worker.peek())"
      local list = {}
      for i = 1, 20 do list[i] = worker.create(path, inner) end
      for i = 1, 20 do worker.send(list[i], i) end
      for i = 1, 20 do assert.are.equal(i, (worker.receive(list[i]))) end
      for i = 1, 20 do assert.is_nil((worker.receive(list[i]))) end
    end)
  end

  it("blocked, past the spares, are told that they would deadlock", function()
    local path = script [[
      coroutine.wrap(function()
        local ok, problem = pcall(worker.peek)
        worker.message(problem)
      end)()
    ]]
    local first = worker.create(path)
    local most = 300
    local list = { first }
    for i = 2, most do list[i] = worker.create(path) end
    local told = 0
    local got = { worker.receive((table.unpack or unpack)(list)) } -- luacheck: ignore
    for i = 1, most do
      if got[i] then
        local n, total = got[i]:match "^would deadlock: pool 'worker', (%d+) of (%d+) threads wait$"
        assert.is_true(tonumber(n) > 256 and n == total)
        told = told + 1
      end
    end
    assert.are.equal(1, told)
    for i = 1, most do worker.send(list[i], "end") end
    for i = 1, most do
      local v = worker.receive(list[i])
      assert.is_true(v == nil or v == "end" or v:match "^would deadlock" ~= nil)
    end
  end)
end)

-- 4: "returns as soon as one has something, one result per argument, no starvation"
describe("receive of many", function()
  it("returns as soon as one has something", function()
    local here, idle = gate.new(), {}
    local path = script "worker.peek()"
    for i = 1, 50 do idle[i] = worker.create(path) end
    local w = worker.create(script "require('support.gate').pass((...)) worker.message('now')", here)
    idle[51] = w
    gate.open_last(here)
    local got = { worker.receive((table.unpack or unpack)(idle)) } -- luacheck: ignore
    assert.are.equal("now", got[51])
    for i = 1, 50 do worker.send(idle[i], 0) end
    for i = 1, 51 do assert.is_nil((worker.receive(idle[i]))) end
  end)

  it("works in a worker, parked", function()
    local child = script "worker.message(worker.peek() * 10)"
    local w = worker.create(script [[
      local path, list = (...), {}
      for i = 1, 5 do list[i] = worker.create(path) end
      local unpack, sum = table.unpack or unpack, 0
      worker.send(list[4], 4)
      local got = { worker.receive(unpack(list)) }
      worker.message(got[4])
      for i = 1, 5 do worker.send(list[i], i) end
      for _ = 1, 4 do
        got = { worker.receive(unpack(list)) }
        for i = 1, 5 do sum = sum + (got[i] or 0) end
      end
      worker.message(sum)
    ]], child)
    assert.are.equal(40, (worker.receive(w)))
    assert.are.equal(110, (worker.receive(w)))
    assert.is_nil((worker.receive(w)))
  end)

  it("throws in a worker what its child raised", function()
    local w = worker.create(script [[
      local child = worker.create((...))
      worker.message(select(2, pcall(worker.receive, child)))
      child = worker.create((...))
      worker.receive(child)
    ]], script "worker.peek_is_nil()")
    assert.matches("peek_is_nil", worker.receive(w))
    local ok, problem = pcall(worker.receive, w)
    assert.is_false(ok)
    assert.matches("peek_is_nil", problem)
  end)

  it("with a limit of time works in a worker", function()
    local w = worker.create(script [[
      local child = worker.create((...))
      worker.message(worker.receive_within(0.01, child))
      worker.send(child, 5)
      worker.message(worker.receive_within(60, child))
    ]], script "worker.message(worker.peek())")
    assert.is_nil((worker.receive(w)))
    assert.are.equal(5, (worker.receive(w)))
  end)

  local function count_threads()
    local file = io.open "/proc/self/status"
    local n = file and file:read("*a"):match "Threads:%s*(%d+)" or 0
    if file then file:close() end
    return tonumber(n)
  end

  it("with a limit of time, of a thousand workers, leaves the threads to others", function()
    local waits, list, n = script "worker.message(worker.peek())", {}, 1000
    local path = script [[
      local waits, now = ..., require("weir.core").clock
      local child = worker.create(waits)
      local before = now()
      local nothing = worker.receive_within(0.2, child)
      worker.message { nothing = nothing == nil, took = now() - before }
      worker.send(child, "x")
      worker.message(worker.receive_within(3600, child))
    ]]
    worker.receive(worker.create(script "")) -- the threads are there
    local before = count_threads()
    for i = 1, n do list[i] = worker.create(path, waits) end
    for i = 1, n do
      local told = worker.receive(list[i])
      assert.is_true(told.nothing)
      assert.is_true(told.took >= 0.2, told.took)
    end
    assert.is_true(count_threads() <= before + 1, "one keeps the time") -- spares stay for 10 s
    for i = 1, n do assert.are.equal("x", (worker.receive(list[i]))) end
  end)
end)

describe("a queue with a limit", function()
  it("has its sender wait", function()
    local sum, n = 0, 10000
    local w = worker.create({ path = script [[
      for i = 1, (...) do worker.message(worker.peek()) end
      for i = 1, (...) do worker.message(i) end
    ]], limit = 3 }, n)
    for i = 1, n do
      worker.send(w, i)
      if i > 3 then sum = sum + worker.receive(w) end
    end
    for _ = 1, 3 do sum = sum + worker.receive(w) end
    assert.are.equal(n * (n + 1) / 2, sum)
    for i = 1, n do assert.are.equal(i, (worker.receive(w))) end
    assert.is_nil((worker.receive(w)))
  end)

  it("lets nothing wait for a reader that is no more", function()
    local w = worker.create { path = script "worker.peek() worker.peek()", limit = 1 }
    for i = 1, 1000 do worker.send(w, i) end
    assert.is_nil((worker.receive(w)))
    local here = gate.new()
    w = worker.create({ path = script [[
      for i = 1, 100 do worker.message(i) end
      require("support.gate").open((...))
    ]], limit = 1 }, here)
    assert.are.equal(1, (worker.receive(w)))
    w = nil -- luacheck: ignore
    collectgarbage()
    collectgarbage()
    gate.pass(here)
    os.remove(here)
  end)

  it("may refuse", function()
    local here = gate.new()
    local w = worker.create({ path = script [[
      require("support.gate").pass((...))
      local sum = 0
      repeat
        local v = worker.peek()
        sum = sum + v
      until v == 0
      repeat until worker.message(sum)
      repeat until worker.message(0) == nil
    ]], limit = 2, on_full = "refuse" }, here)
    assert.are.same({ true }, { worker.send(w, 1) })
    assert.are.same({ true }, { worker.send(w, 2) })
    local ok, why = worker.send(w, 4)
    assert.is_nil(ok)
    assert.are.equal("full", why)
    gate.open_last(here)
    repeat until worker.send(w, 0)
    assert.are.equal(3, (worker.receive(w)))
    repeat until worker.receive(w) == nil
    assert.is_true((worker.send(w, 1)))
  end)

  it("wants a number", function()
    for _, bad in ipairs { 0, -1, 1.5, "2", true } do
      local ok, problem = pcall(worker.create, { path = "x", limit = bad })
      assert.is_false(ok)
      assert.matches("worker.create: argument 1.limit must be a whole number from 1 on, got ", problem)
    end
    assert.matches("argument 1.on_full must be \"wait\" or \"refuse\", got \"drop\"",
      select(2, pcall(worker.create, { path = "x", limit = 1, on_full = "drop" })))
    assert.matches("argument 1: unknown option \"limits\"", select(2, pcall(worker.create, { path = "x", limits = 1 })))
  end)
end)

describe("messages faster than they are read", function()
  it("are all there", function()
    local n = 300000
    local w = worker.create(script "for i = 1, (...) do worker.message(i) end", n)
    repeat until worker.status(w) == "dead"
    for i = 1, n do
      local v = worker.receive(w)
      if v ~= i then assert.are.equal(i, v) end
    end
    assert.is_nil((worker.receive(w)))
    w = worker.create(script [[
      local sum = 0
      for i = 1, (...) do sum = sum + worker.peek() end
      worker.message(sum)
    ]], n)
    for i = 1, n do worker.send(w, i) end
    assert.are.equal(n * (n + 1) / 2, (worker.receive(w)))
  end)
end)

describe("close", function()
  it("ends a worker's peek, when it has read what was there", function()
    local w = worker.create(script [[
      worker.message(worker.peek())
      local ok, problem = pcall(worker.peek)
      worker.message(problem)
      worker.peek()
    ]])
    worker.send(w, 1)
    worker.close(w)
    assert.are.equal(1, (worker.receive(w)))
    assert.are.equal("worker.peek: the worker was closed", (worker.receive(w)))
    assert.matches("the worker was closed", select(2, pcall(worker.receive, w)))
    assert.are.equal("dead", worker.status(w))
    worker.close(w)
    assert.matches("worker.close: argument 1 must be a worker", select(2, pcall(worker.close)))
  end)
end)

describe("a handle in a task of a pool", function()
  it("may be used there", function()
    local pool = assert(weir.pool { threads = 3 })
    local w = worker.create(script [[
      for _ = 1, 300 do worker.message(worker.peek()) end
    ]])
    local futures = {}
    for i = 1, 3 do
      futures[i] = pool:run(function(v)
        local there, sum = require "weir.worker", 0
        for k = 1, 100 do
          there.send(v, k)
          sum = sum + there.receive(v)
        end
        return sum
      end, w)
    end
    local sum = 0
    for i = 1, 3 do
      local ok, part = futures[i]:get()
      assert.is_true(ok, part)
      sum = sum + part
    end
    assert.are.equal(3 * 5050, sum)
    assert.is_nil((worker.receive(w)))
    pool:close()
  end)
end)

describe("weir in a worker", function()
  it("has pools and futures, and waits between them", function()
    local w = worker.create(script [[
      local weir = require "weir"
      local pool = weir.pool { threads = 2 }
      for _ = 1, 3 do
        local future = pool:run(function(n) return n * 2 end, worker.peek())
        local _, v = future:get()
        worker.message(v)
      end
      local future = pool:run(function(n) return n * 2 end, 100)
      worker.message(worker.peek())
      worker.message(select(2, future:get()))
      pool:close()
    ]])
    for i = 1, 3 do
      worker.send(w, i)
      assert.are.equal(i * 2, (worker.receive(w)))
    end
    worker.send(w, "still there")
    assert.are.equal("still there", (worker.receive(w)))
    assert.are.equal(200, (worker.receive(w)))
    assert.is_nil((worker.receive(w)))
  end)

  it("lets other workers run while it waits for a future", function()
    local list, gates = {}, {}
    local path = script [[
      local weir = require "weir"
      local pool = weir.pool { threads = 1 }
      local future = pool:run(function(g) return require("support.gate").pass(g) end, (...))
      worker.message "waits"
      worker.message(select(2, future:get()))
    ]]
    for i = 1, 40 do
      gates[i] = gate.new()
      list[i] = worker.create(path, gates[i])
    end
    for i = 1, 40 do assert.are.equal("waits", (worker.receive(list[i]))) end
    for i = 1, 40 do gate.open_last(gates[i], "opened") end
    for i = 1, 40 do assert.are.equal("opened", (worker.receive(list[i]))) end
  end)
end)

-- "Inside a loop only the coroutine suspends": in workers, too
describe("a loop in a worker", function()
  local function two_wait(drive)
    return ([[
      local child = worker.create((...))
      local weir = require "weir"
      local log, pause = {}, nil
      local function first()
        log[#log + 1] = "a"
        local v = worker.receive(child)
        log[#log + 1] = v
      end
      local function second()
        while not log[1] do pause() end
        log[#log + 1] = "b"
        worker.send(child, "answer")
      end
      %s
      worker.message(table.concat(log, " "))
      worker.message(worker.peek()) -- and parks again
    ]]):format(drive)
  end

  local drives = {
    cqueues = [[
      local cqueues = require "cqueues"
      local q = cqueues.new()
      pause = function() cqueues.sleep(0.001) end
      q:wrap(first) q:wrap(second) assert(q:loop())]],
    luv = [[local uv = require "luv"
      coroutine.wrap(first)() coroutine.wrap(second)() uv.run()]],
    copas = [[
      for _, name in ipairs { "timerwheel", "copas.semaphore" } do
        package.preload[name] = function() return require("support." .. name) end
      end
      local copas = require "copas"
      pause = function() copas.pause(0.001) end
      copas.addthread(first) copas.addthread(second) copas.loop()]],
  }
  for name, drive in pairs(drives) do
    local there = pcall(require, name)
    if name == "copas" then there = require("support.in_copas").module() end
    if not there then
      it(name .. " suspends the coroutine", function() skip(name .. " is not here") end)
    else
      it(name .. " suspends the coroutine", function()
        local w = worker.create(script(two_wait(drive)), script "worker.message(worker.peek())")
        assert.are.equal("a b answer", (worker.receive(w)))
        worker.send(w, "more")
        assert.are.equal("more", (worker.receive(w)))
        assert.is_nil((worker.receive(w)))
      end)
    end
  end
end)

describe("a handle", function()
  it("enters a pool that was opened before weir.worker was found by a searcher", function()
    local path = script "worker.peek()"
    assert.are.equal("true userdata\nexit 0\n", require("support.program").run(([[
      local folder = package.cpath:match "^(.-)/%%?%%.so"
      package.cpath = ""
      table.insert(package.searchers or package.loaders, 1, function(name)
        local file = folder .. "/" .. name:gsub("%%.", "/") .. ".so"
        return package.loadlib(file, "luaopen_" .. name:gsub("%%.", "_"))
      end)
      local pool = assert(weir.pool { threads = 1 })
      local worker = require "weir.worker"
      print(pool:run(function(x) return type(x) end, worker.create(%q)):get())
      pool:close()
      os.exit(0)
    ]]):format(path)):gsub("\t", " "))
  end)
end)
