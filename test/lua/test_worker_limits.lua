-- SPDX-License-Identifier: ISC
--
-- Workers with limits of memory, steps and time, and workers that are closed now.

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local folder = require "support.folder"
local gate = require "support.gate"
local worker = require "weir.worker"

after_each(folder.clean)

local function create(options, text, ...)
  options.path = folder.script(text)
  return worker.create(options, ...)
end

-- What it sends; its error, if it has one, comes last.
local function all(w)
  local list, n = {}, 0
  repeat
    local ok, v = pcall(worker.receive, w)
    n = n + 1
    list[n] = v
  until not ok or v == nil
  return list
end

local function last(w)
  local list = all(w)
  return list[#list]
end

-- Each would go on for ever, and catches what is thrown at it.
local loops = {
  ["a loop"] = "while true do end",
  ["a loop around pcall"] = "while true do pcall(function() while true do end end) end",
  ["xpcall with a handler that loops"] = [[
    while true do xpcall(function() while true do end end, function() while true do end end) end]],
  ["a coroutine"] = "while true do coroutine.wrap(function() while true do end end)() end",
  ["a coroutine that is caught"] = [[
    while true do
      local co = coroutine.create(function() while true do pcall(function() while true do end end) end end)
      coroutine.resume(co)
    end]],
  ["a metamethod"] = [[
    local t = setmetatable({}, { __index = function() while true do end end })
    while true do pcall(function() return t.x end) end]],
  ["a comparison of sort"] = "while true do pcall(table.sort, { 1, 2, 3 }, function() while true do end end) end",
  ["a callback of gsub"] = "while true do pcall(string.gsub, 'x', 'x', function() while true do end end) end",
  ["a variable that is closed"] = [[
    local f = (loadstring or load) [=[
      local x <close> = setmetatable({}, { __close = function() while true do end end })
      while true do end]=] or function() while true do end end
    while true do
      pcall(f)
      pcall(coroutine.wrap(f))
      local co = coroutine.create(f)
      coroutine.resume(co)
      if coroutine.close then pcall(coroutine.close, co) end
    end]],
  ["an error object"] = "error(setmetatable({}, { __tostring = function() while true do end end }))",
}

describe("a limit", function()
  it("of steps or time ends every loop", function()
    for name, text in pairs(loops) do
      assert.matches("its limit of steps is reached", last(create({ steps = 100000 }, text)), name)
      assert.matches("its limit of time is reached", last(create({ time = 0.02 }, text)), name)
    end
  end)

  it("of memory ends what does not stop asking", function()
    for _, text in ipairs {
      "local t = {} while true do pcall(function() t[#t + 1] = ('x'):rep(1000) .. #t end) end",
      "while true do pcall(string.rep, 'x', 100000000) end",
      -- what it asks for and what it has were past the largest number together
      "local f = io.open('/dev/null') while true do pcall(f.read, f, _VERSION == 'Lua 5.1' and error or -1000) "
        .. "pcall(string.rep, 'x', 100000000) end",
      "local t = {} while true do pcall(function() t[#t + 1] = coroutine.create(function() end) end) end",
    } do
      assert.matches("its limit of memory is reached", last(create({ memory = 1000000, steps = 1e8 }, text)), text)
    end
  end)

  it("counts what was sent and nobody has read", function()
    local text = [[
      local list = {}
      for i = 1, 100 do list[i] = i end
      while true do pcall(worker.message, ...) pcall(worker.message, list) end]]
    for _, sent in ipairs { ("x"):rep(100), ("x"):rep(10000) } do
      local w = create({ memory = 1000000 }, text, sent)
      while worker.status(w) == "running" do end
      local list = all(w)
      assert.is_true(#list > 10 and #list < 10000, #list)
      assert.matches("its limit of memory is reached", list[#list])
    end
  end)

  it("is free of what was read", function()
    local w = create({ memory = 300000 }, [[
      for i = 1, 3000 do worker.message(("x"):rep(1000)) worker.peek() end]])
    for _ = 1, 3000 do
      assert.are.equal(1000, #worker.receive(w))
      worker.send(w, true)
    end
    assert.is_nil(worker.receive(w))
  end)

  it("holds for the workers of a worker together", function()
    local child = folder.script "while true do pcall(function() while true do end end) end"
    local list = all(create({ steps = 1000000 }, [[
      local w = worker.create(...)
      worker.message(tostring(select(2, pcall(worker.receive, w))))
      while true do end]], child))
    assert.matches("its limit of steps is reached", list[1])
    assert.matches("its limit of steps is reached", list[#list]) -- it may be the first to find it
    child = folder.script "local t = {} while true do pcall(function() t[#t + 1] = ('x'):rep(1000) .. #t end) end"
    assert.matches("its limit of memory is reached", all(create({ memory = 1000000 }, [[
      worker.message(tostring(select(2, pcall(worker.receive, worker.create { path = ..., memory = 100000000 }))))]],
      child))[1])
  end)

  it("of time ends what reached it on its way into a wait", function()
    assert.matches("its limit of time is reached", last(create({ time = 0.01 }, [[
      local s = ("x"):rep(50000000):upper():lower():upper() -- no hook comes in between
      worker.peek()]])))
  end)

  it("of memory charges its worker nothing for what another had, or was refused", function()
    local child = folder.script "worker.message(#('x'):rep(100000)) pcall(string.rep, 'x', 10000000)"
    assert.are.same({ "all" }, all(create({ memory = 3000000 }, [[
      for _ = 1, 50 do
        local child, ok, v = worker.create(...), nil, nil
        repeat ok, v = pcall(worker.receive, child) until not ok or v == nil
      end
      worker.message "all"]], child)))
  end)

  it("of time does not count waits", function()
    local w = create({ time = 0.3 }, "worker.message(1) worker.peek() worker.message(2)")
    assert.are.equal(1, worker.receive(w))
    local begin = os.time()
    while os.time() - begin < 2 do worker.receive_within(0.1, w) end
    worker.send(w, true)
    assert.are.equal(2, worker.receive(w))
  end)

  it("is no burden where it is not reached", function()
    assert.are.same({ 5050, 10 }, all(create({ steps = 1000000, memory = 10000000, time = 60 }, [[
      local sum = 0
      for i = 1, 100 do sum = sum + i end
      worker.message(sum)
      worker.message(coroutine.wrap(function() return #("x"):rep(10) end)())]])))
  end)

  it("leaves nothing that runs without it", function()
    assert.are.same({ "refused", "refused", "refused", "refused" }, all(create({ steps = 1000000 }, [[
      local function try(f, ...) worker.message(pcall(f, ...) and "done" or "refused") end
      try(setmetatable, {}, { __gc = function() end })
      try(debug.sethook)
      try(function() getmetatable(io.stdout).__gc = function() end end)
      if jit then try(jit.on) else try(newproxy or error, true) end]])))
  end)

  it("is checked", function()
    for _, bad in ipairs { 0, -1, 1.5, "1", true, 0 / 0 } do
      for _, name in ipairs { "memory", "steps" } do
        local ok, problem = pcall(worker.create, { path = "x", [name] = bad })
        assert.is_false(ok)
        assert.matches("worker.create: argument 1." .. name .. " must be a whole number from 1 on", problem)
      end
    end
    assert.matches("argument 1.time must be a number of seconds above 0",
      select(2, pcall(worker.create, { path = "x", time = 0 })))
    assert.matches("limit of memory is reached", last(create({ memory = 1000 }, "worker.message(1)")))
  end)
end)

describe("close now", function()
  local function closed(w)
    worker.close(w, "now")
    assert.are.equal("dead", worker.status(w))
    local ok, problem
    repeat ok, problem = pcall(worker.receive, w) until not ok or problem == nil
    assert.is_false(ok)
    assert.matches("worker: it was closed", problem)
    assert.is_nil(worker.receive(w))
    assert.is_nil(worker.traceback(w))
    worker.close(w, "now")
  end

  it("ends a worker that loops", function()
    closed(create({ steps = 1000000000000 }, "while true do pcall(function() while true do end end) end"))
    local w = create({}, "worker.message(1) while true do pcall(worker.message, 2) end")
    assert.are.equal(1, worker.receive(w))
    closed(w)
  end)

  -- It packs for long after it was let through, and writes when its error has been read. What it
  -- wrote to the file comes when its state is closed.
  it("loses what the worker writes afterwards", function()
    local name = gate.new()
    local ended = assert(io.open(name, "r+"))
    local w = create({}, [[
      local file, list = io.open((...), "r+"), {}
      file:write "\n"
      for i = 1, 200000 do list[i] = {} end
      worker.message(1)
      pcall(worker.message, list)]], name)
    assert.are.equal(1, worker.receive(w))
    closed(w)
    assert.are.equal("", ended:read "*l")
    ended:close()
    os.remove(name)
    assert.is_true(worker.receive(w) == nil)
  end)

  it("ends one that waits", function()
    local w = create({}, "worker.message(1) while true do pcall(worker.peek) end")
    assert.are.equal(1, worker.receive(w))
    closed(w)
    w = create({}, "worker.message(1) coroutine.wrap(function() while true do pcall(worker.peek) end end)()")
    assert.are.equal(1, worker.receive(w))
    closed(w)
  end)

  it("ends one that has not begun", function()
    for _ = 1, 50 do closed(create({}, "while true do pcall(worker.peek) end")) end
  end)

  it("leaves a dead one as it is", function()
    local w = create({}, "worker.message(1)")
    assert.are.equal(1, worker.receive(w))
    assert.is_nil(worker.receive(w))
    worker.close(w, "now")
    assert.is_nil(worker.receive(w))
    w = create({}, "error 'its own'")
    while worker.status(w) == "running" do end
    worker.close(w, "now")
    assert.matches("its own", select(2, pcall(worker.receive, w)))
  end)

  it("lets others have its thread", function()
    local list = {}
    for i = 1, 40 do list[i] = create({}, "worker.message(1) while true do pcall(worker.status, 1) end") end
    for i = 1, 40 do
      assert.are.equal(1, worker.receive(list[i]))
      worker.close(list[i], "now")
    end
  end)

  it("is checked", function()
    local w = create({}, "")
    assert.matches('worker.close: argument 2 must be "now" or nothing, got "later"',
      select(2, pcall(worker.close, w, "later")))
  end)
end)
