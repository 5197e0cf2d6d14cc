-- SPDX-License-Identifier: ISC
--
-- The functions of weir.worker, against the rows of the description of Lus 1.6.2; a row
-- is quoted above its test.

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local folder = require "support.folder"
local scale = require "support.scale"
local worker = require "weir.worker"

local script = folder.script
local unpack = table.unpack or unpack -- luacheck: ignore

local function raised(f, ...)
  local ok, problem = pcall(f, ...)
  assert.is_false(ok)
  return problem
end

local echo = [[
global worker
while true do
  local m = worker.peek()
  if m == "STOP" then break end
  worker.message(m)
end
]]

-- All that it sends, until it is dead.
local function drain(w)
  local list, n = {}, 0
  while worker.status(w) == "running" do
    n = n + 1
    list[n] = worker.receive(w)
  end
  return list, n
end

after_each(folder.clean)

describe("create", function()
  -- "opaque handle (userdata, prints as `worker: 0x…`)"
  it("gives an opaque handle", function()
    local w = worker.create(script "")
    assert.are.equal("userdata", type(w))
    assert.matches("^worker: 0x%x+$", tostring(w))
    assert.is_nil((worker.receive(w)))
  end)

  -- "`path` string (a number is coerced)"; "Raises: non-string path"
  it("takes a path", function()
    local w = worker.create(12345)
    assert.matches("cannot open 12345", raised(worker.receive, w))
    for _, bad in ipairs { true, print, io.stdout } do
      assert.matches("worker.create: argument 1 must be a path %(a string%), got " ..
        (bad == true and "true" or type(bad)), raised(worker.create, bad))
    end
    assert.matches("worker.create: argument 1 must be a path %(a string%), got nothing", raised(worker.create))
    assert.matches("worker.create: argument 1.path must be a path", raised(worker.create, {}))
  end)

  it("names the caller's line", function()
    local function call()
      local w = worker.create(nil) -- line 65
      return w
    end
    assert.matches("test_worker.lua:%d+: worker.create: argument 1", raised(call))
  end)

  -- "extra values are copied and become the script's `...`";
  -- "Argument count and nil holes are kept, including trailing nils"
  it("passes arguments", function()
    local w = worker.create(script [[
      worker.message(select("#", ...))
      for i = 1, select("#", ...) do worker.message((select(i, ...))) end
    ]], nil, { a = 1 }, "foobar", nil, nil)
    assert.are.equal(5, worker.receive(w))
    assert.is_nil((worker.receive(w)))
    assert.are.same({ a = 1 }, worker.receive(w))
    assert.are.equal("foobar", worker.receive(w))
  end)

  -- "any uncopyable argument"; "attempts to pass any will error before the worker is created"
  it("refuses what cannot be copied", function()
    local w = worker.create(script "")
    local co = coroutine.create(function() end)
    for kind, bad in pairs { ["function"] = function() end, coroutine = co, userdata = w } do
      local problem = raised(worker.create, script "", 1, { x = { bad } })
      assert.matches("worker.create: argument 3.x%[1%]: ", problem)
      assert.matches(kind, problem)
    end
  end)

  -- "A missing file or syntax error does **not** raise here"
  it("does not load the script yet", function()
    local w = worker.create("/nowhere/at/all.lua")
    assert.matches("cannot open /nowhere/at/all.lua: No such file", raised(worker.receive, w))
    w = worker.create(script "x x")
    assert.matches(":1: .*near", raised(worker.receive, w))
    assert.are.equal("dead", worker.status(w))
  end)

  it("skips a first line 'global worker', and keeps the lines' numbers", function()
    local body = "\nworker.message(1)\nerror 'here'\n"
    for _, first in ipairs { "global worker", "#!/usr/bin/env lus\nglobal worker", " global\tworker ; ",
        "global pledge, worker ,print", "global worker\r",
        "\239\187\191global worker", "" } do
      local w = worker.create(script(first .. body))
      assert.are.equal(1, worker.receive(w))
      local line = first:match "\n" and 4 or 3
      assert.matches(":" .. line .. ": here", raised(worker.receive, w))
    end
    for _, first in ipairs { "global workers", "globalworker", "global worker x", "global worker,", "global x, y" } do
      assert.is_false(pcall(worker.receive, worker.create(script(first .. "\nerror 'it was parsed'"))))
    end
  end)

  it("lets scripts find modules where their creator does", function()
    local w = worker.create(script [[worker.message(package.path .. package.cpath)]])
    assert.are.equal(package.path .. package.cpath, worker.receive(w))
  end)
end)

describe("status", function()
  -- "`"running"` or `"dead"`"; "status is `running` even while merely queued for a thread";
  -- "running, blocked in peek/receive: running"
  it("is running until the script has returned", function()
    local w = worker.create(script(echo))
    assert.are.equal("running", worker.status(w))
    worker.send(w, 1)
    assert.are.equal(1, worker.receive(w))
    assert.are.equal("running", worker.status(w))
    worker.send(w, "STOP")
    assert.is_nil((worker.receive(w)))
    assert.are.equal("dead", worker.status(w))
  end)

  -- "Raises: non-handle"
  it("refuses what is no worker", function()
    assert.matches("worker.status: argument 1 must be a worker, got 3", raised(worker.status, 3))
    assert.matches("worker.status: argument 1 must be a worker, got userdata", raised(worker.status, io.stdout))
    assert.matches("worker.status: argument 1 must be a worker, got nothing", raised(worker.status))
  end)

  -- "return values discarded; queued messages stay receivable"
  it("is dead while messages can still be received", function()
    local w = worker.create(script "worker.message(1) worker.message(2) return 3")
    repeat until worker.status(w) == "dead"
    assert.are.equal(1, worker.receive(w))
    assert.are.equal(2, worker.receive(w))
    assert.is_nil((worker.receive(w)))
  end)
end)

describe("receive", function()
  -- "Raises: no argument; non-handle at any position"
  it("wants workers", function()
    local w = worker.create(script "")
    assert.matches("worker.receive: no worker was given", raised(worker.receive))
    assert.matches("worker.receive: argument 2 must be a worker, got nil", raised(worker.receive, w, nil, w))
    assert.matches("worker.receive: argument 3 must be a worker, got \"x\"", raised(worker.receive, w, w, "x"))
  end)

  -- "exactly one value per argument, `nil` where that worker has nothing";
  -- "At most one message per call"; "the same handle twice is allowed"
  it("gives one message of one worker", function()
    local w, idle = worker.create(script "worker.message 'a' worker.message 'b'"), worker.create(script(echo))
    local function results(...) return { n = select("#", ...), ... } end
    assert.are.same({ n = 3, nil, "a", nil }, results(worker.receive(idle, w, idle)))
    local twice = results(worker.receive(w, w))
    assert.are.equal(2, twice.n)
    assert.are.equal("b", twice[1] or twice[2])
    assert.is_true(twice[1] == nil or twice[2] == nil)
    worker.send(idle, "STOP")
    assert.are.same({ n = 3 }, results(worker.receive(idle, w, idle)))
  end)

  -- "With two workers flooding …, the second one's first message was the 100 001st … round-robin
  -- would be better and legal": the search starts after the worker last served
  it("starves nobody", function()
    local list, flood = {}, script "for i = 1, 1000 do worker.message(i) end"
    for i = 1, 3 do list[i] = worker.create(flood) end
    for i = 1, 3 do repeat until worker.status(list[i]) == "dead" end -- and nothing is taken yet
    local left, seen = { 0, 0, 0 }, 0
    repeat
      local got = { worker.receive(unpack(list)) }
      local index
      for i = 1, 3 do if got[i] then index = i end end
      if index then
        left[index] = left[index] + 1
        seen = seen + 1
        if seen == 30 then assert.are.same({ 10, 10, 10 }, left) end
      end
    until not index
    assert.are.equal(3000, seen)
  end)

  -- "FIFO per worker"
  it("keeps a worker's order", function()
    local w = worker.create(script "for i = 1, 10000 do worker.message(i) end")
    for i = 1, 10000 do assert.are.equal(i, (worker.receive(w))) end
    assert.is_nil((worker.receive(w)))
  end)

  -- "If all are dead and drained, return all nils at once"
  it("gives nils when all are dead and drained", function()
    local a, b = worker.create(script ""), worker.create(script "")
    assert.are.equal(2, select("#", worker.receive(a, b)))
    assert.are.equal(2, select("#", worker.receive(a, b)))
    assert.is_nil((worker.receive(a, b)))
  end)

  -- "`nil` or `false` messages are delivered … Receiving nil does not prove death; check status"
  it("delivers nil and false", function()
    local w = worker.create(script "worker.message(nil) worker.message(false) worker.message(true) worker.peek()")
    assert.is_nil((worker.receive(w)))
    assert.is_false((worker.receive(w)))
    assert.is_true((worker.receive(w)))
    assert.are.equal("running", worker.status(w))
    worker.send(w, 0)
    drain(w)
  end)

  it("with a limit of time gives nils when it is over", function()
    local w = worker.create(script(echo))
    assert.are.equal(2, select("#", worker.receive_within(0, w, w)))
    assert.is_nil((worker.receive_within(0.01, w)))
    assert.are.equal("running", worker.status(w))
    worker.send(w, 7)
    assert.are.equal(7, worker.receive_within(60, w))
    worker.send(w, "STOP")
    assert.is_nil((worker.receive_within(math.huge, w)))
    assert.are.equal("dead", worker.status(w))
    for _, bad in ipairs { "1", -1, 0 / 0, w } do
      assert.matches("worker.receive_within: argument 1 must be a number of seconds",
        raised(worker.receive_within, bad, w))
    end
    assert.matches("worker.receive_within: no worker was given", raised(worker.receive_within, 1))
  end)
end)

describe("an error in a worker", function()
  -- "messages first, then the error once, then nil": section 4, 2
  it("comes after its messages, once", function()
    local w = worker.create(script "worker.message(1) worker.message(2) error('bad', 0)")
    assert.are.equal(1, worker.receive(w))
    assert.are.equal(2, worker.receive(w))
    assert.are.equal("bad", raised(worker.receive, w))
    assert.are.equal("dead", worker.status(w))
    assert.is_nil((worker.receive(w)))
  end)

  it("waits until no other argument has a message, and takes none", function()
    local bad, good = worker.create(script "error('bad', 0)"), worker.create(script "worker.message(1)")
    repeat until worker.status(bad) == "dead" and worker.status(good) == "dead"
    assert.are.same({ nil, 1 }, { worker.receive(bad, good) })
    assert.are.equal("bad", raised(worker.receive, good, bad))
    assert.are.equal(2, select("#", worker.receive(good, bad)))
  end)

  -- "non-string error objects become the text "unknown runtime error", numbers become their text"
  it("is text", function()
    assert.are.equal("42", raised(worker.receive, worker.create(script "error(42, 0)")))
    assert.are.equal("unknown runtime error", raised(worker.receive, worker.create(script "error {}")))
    local nothing = select(2, pcall(error)) or "unknown runtime error" -- text already in 5.5
    assert.are.equal(nothing, raised(worker.receive, worker.create(script "error()")))
    assert.are.equal("a\0b", raised(worker.receive, worker.create(script "error('a\\0b', 0)")))
  end)

  it("is the text of an object that has one", function()
    local w = worker.create(script [[
      local E = { __tostring = function(e) return "E: " .. e.text end }
      local function deep() error(setmetatable({ text = "disk full" }, E)) end
      deep()
    ]])
    assert.are.equal("E: disk full", raised(worker.receive, w))
    assert.matches("^E: disk full\nstack traceback:\n.*in.*deep", worker.traceback(w))
    w = worker.create(script "error(setmetatable({}, { __tostring = function() error('no text', 0) end }))")
    assert.are.equal("no text", raised(worker.receive, w))
    w = worker.create(script "error(setmetatable({}, { __tostring = function() return {} end }))")
    assert.are.equal("unknown runtime error", raised(worker.receive, w))
  end)

  it("has a traceback, which is there before the error is asked for and after", function()
    local w = worker.create(script "local function deep() error('bad') end\nworker.message(1)\ndeep()")
    assert.are.equal(1, worker.receive(w))
    repeat until worker.status(w) == "dead"
    local traceback = worker.traceback(w)
    local problem = raised(worker.receive, w)
    assert.matches(":1: bad$", problem)
    assert.are.equal(problem, traceback:match "^(.-)\nstack traceback:\n")
    assert.matches("deep", traceback)
    assert.are.equal(traceback, worker.traceback(w))
  end)

  it("has none while it runs, without an error, and where no script ran", function()
    local running, well = worker.create(script "worker.peek()"), worker.create(script "")
    local missing = worker.create "/nowhere/missing.lua"
    worker.receive(well)
    raised(worker.receive, missing)
    assert.is_nil(worker.traceback(running))
    assert.is_nil(worker.traceback(well))
    assert.is_nil(worker.traceback(missing))
    worker.send(running, nil)
    assert.matches("must be a worker", raised(worker.traceback, 1))
  end)

  it("may be a yield outside a coroutine", function()
    local w = worker.create(script "coroutine.yield()")
    assert.matches("attempt to yield from outside a coroutine", raised(worker.receive, w))
  end)

  it("may be a stack that overflows", function()
    local w = worker.create(script "local function f() return 1 + f() end f()")
    assert.matches("stack overflow", raised(worker.receive, w))
  end)
end)

describe("send", function()
  -- "omitting it raises, `nil` is legal"; "one value, extras ignored"; "nothing"
  it("takes one value", function()
    local w = worker.create(script(echo))
    assert.matches("worker.send: argument 2 is missing", raised(worker.send, w))
    assert.are.equal(0, select("#", worker.send(w, nil)))
    worker.send(w, 1, 2, 3)
    worker.send(w, "STOP")
    assert.is_nil((worker.receive(w)))
    assert.are.equal(1, worker.receive(w))
    assert.is_nil((worker.receive(w)))
    assert.are.equal("dead", worker.status(w))
  end)

  -- "Sending to a dead worker succeeds silently and the message is lost"
  it("loses what a dead worker is sent", function()
    local w = worker.create(script "")
    assert.is_nil((worker.receive(w)))
    assert.are.equal(0, select("#", worker.send(w, { 1 })))
    assert.is_nil((worker.receive(w)))
  end)

  -- "Raises: uncopyable value"
  it("refuses what cannot be copied, and names it", function()
    local w = worker.create(script(echo))
    assert.matches("worker.send: value.f: function", raised(worker.send, w, { f = function() end }))
    assert.matches("worker.send: value: C function", raised(worker.send, w, print))
    assert.matches("worker.send: value: userdata", raised(worker.send, w, w))
    assert.matches("worker.send: value: coroutine", raised(worker.send, w, coroutine.create(function() end)))
    assert.matches("worker.send: value: userdata", raised(worker.send, w, io.stdout))
    assert.matches("worker.send: value.*function", raised(worker.send, w, string))
    local of_globals = raised(worker.send, w, _G) -- the first that pairs gives, which differs
    assert.is_truthy(of_globals:match "worker.send: value.*function" or of_globals:match "worker.send: value.*userdata")
    assert.matches("worker.send: argument 1 must be a worker, got table", raised(worker.send, {}, 1))
    worker.send(w, "STOP")
    assert.is_nil((worker.receive(w))) -- nothing of them was sent
  end)
end)

describe("message and peek", function()
  -- "do not exist outside a worker. Calling them there is a call of a nil field"
  it("do not exist outside a worker", function()
    assert.is_nil(worker.message)
    assert.is_nil(worker.peek)
  end)

  -- "one value; omitting it raises, explicit `nil` is legal"; "uncopyable value"
  it("check their arguments", function()
    local w = worker.create(script [[
      local ok, problem = pcall(worker.message)
      worker.message(problem)
      ok, problem = pcall(worker.message, { { print } })
      worker.message(problem)
      worker.message((select("#", worker.message(nil, 1))))
    ]])
    assert.matches("worker.message: argument 1 is missing", worker.receive(w))
    assert.matches("worker.message: value%[1%]%[1%]: C function", worker.receive(w))
    assert.is_nil((worker.receive(w)))
    assert.are.equal(0, worker.receive(w))
  end)

  -- "oldest inbox message, **removed** (despite the name)"; "stored in the state’s inbox"
  it("peek takes the oldest", function()
    local w = worker.create(script(echo))
    for i = 1, 10 do worker.send(w, i) end
    for i = 1, 10 do assert.are.equal(i, worker.receive(w)) end
    worker.send(w, "STOP")
    drain(w)
  end)
end)

-- "A worker has all six functions, so it can create its own workers and be their parent"
describe("a worker", function()
  it("has all functions, as a global and as a module", function()
    local w = worker.create(script [[
      for _, name in ipairs { "create", "status", "receive", "send", "message", "peek", "receive_within", "close" } do
        worker.message(type(worker[name]))
      end
      worker.message(require "weir.worker" == worker)
    ]])
    for _ = 1, 8 do assert.are.equal("function", worker.receive(w)) end
    assert.is_true((worker.receive(w)))
  end)

  it("may be a parent", function()
    local child = script "worker.message(worker.peek() * 2)"
    local w = worker.create(script [[
      local child = worker.create((...))
      worker.send(child, 21)
      worker.message(worker.receive(child))
    ]], child)
    assert.are.equal(42, worker.receive(w))
  end)

  it("may not end the process", function()
    local w = worker.create(script "os.exit(3)")
    assert.matches("os.exit: not in a worker", raised(worker.receive, w))
  end)
end)

-- 1.2
describe("what crosses", function()
  local w

  local function there_and_back(value)
    worker.send(w, value)
    return (worker.receive(w))
  end

  before_each(function() w = worker.create(script(echo)) end)
  after_each(function()
    worker.send(w, "STOP")
    assert.is_nil((worker.receive(w)))
  end)

  -- "nil, booleans, integers and floats (kept distinct, including inf, nan, -0.0), strings with
  -- any bytes, tables with any copyable key"
  it("is data", function()
    for _, value in ipairs { true, 0, 1, -1, 127, 128, -128, -129, 2 ^ 31, -2 ^ 31, 2 ^ 53, 0.5, math.huge, -math.huge,
        "", "a\0b\255", ("x"):rep(239), ("x"):rep(240), ("x"):rep(241), ("x"):rep(100000) } do
      local back = there_and_back(value)
      assert.are.equal(value, back)
      if math.type then assert.are.equal(math.type(value), math.type(back)) end
    end
    local zero = 0.0
    assert.are.equal(-math.huge, 1 / there_and_back(-zero))
    local nan = there_and_back(0 / 0)
    assert.is_true(nan ~= nan)
    assert.are.same({ [1.5] = "f", [true] = "b", x = { 1, 2, nil, 4 } },
      there_and_back { [1.5] = "f", [true] = "b", x = { 1, 2, nil, 4 } })
    if math.type then
      for _, value in ipairs { math.maxinteger, math.mininteger, 1.0, 128.0 } do
        local back = there_and_back(value)
        assert.are.equal(value, back)
        assert.are.equal(math.type(value), math.type(back))
      end
    end
  end)

  -- "Dropped: metatables"
  it("drops metatables", function()
    assert.is_nil(getmetatable(there_and_back(setmetatable({}, { __index = print }))))
  end)

  -- Ours: identity and cycles are kept ("Two references to one table arrive as two tables" there)
  it("keeps identity and cycles", function()
    local shared = {}
    local value = { shared, shared, {} }
    value.self, value[value] = value, shared
    local back = there_and_back(value)
    assert.is_true(back.self == back and back[1] == back[2] and back[back] == back[1] and back[3] ~= back[1])
  end)

  -- "nesting of 20 or more, or a cycle, **corrupts memory**": section 4, 3
  it("has any depth", function()
    local deep, million = {}, scale(1000000)
    for _ = 1, million do deep = { deep } end
    local back, depth = there_and_back(deep), 0
    while back[1] do back, depth = back[1], depth + 1 end
    assert.are.equal(million, depth)
  end)

  it("is large", function()
    local large = {}
    for i = 1, 100000 do large[i] = i end
    local back = there_and_back(large)
    assert.are.equal(100000, #back)
    assert.are.equal(100000, back[100000])
  end)

  -- "The copy is made inside the call (snapshot)"
  it("is a snapshot", function()
    local value = { 1 }
    worker.send(w, value)
    value[1] = 2
    assert.are.same({ 1 }, (worker.receive(w)))
  end)
end)
