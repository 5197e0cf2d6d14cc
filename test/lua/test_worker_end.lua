-- SPDX-License-Identifier: ISC
--
-- How workers end: with their parent, with the process, when nobody holds them. "Exit and
-- collection never hang": section 4, 3 of the description of the systems.

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local gate = require "support.gate"
local folder = require "support.folder"
local worker = require "weir.worker"

local script = folder.script

after_each(folder.clean)

local HEAD = [[
local worker, gate = require "weir.worker", require "support.gate"
local collect = function() for _ = 1, 3 do collectgarbage() end end
local _ = collect, gate
]]

local files = {
  ["waits.lua"] = "worker.message 'here' worker.peek()",
  ["loops.lua"] = "worker.message 'here' while true do end",
  ["blocks.lua"] = "coroutine.wrap(function() worker.message 'here' worker.peek() end)()",
  ["floods.lua"] = "worker.message 'here' while true do worker.message {} end",
  ["ends.lua"] = "worker.message 'here'",
  ["parent.lua"] = [[
    local child = worker.create "waits.lua"
    worker.message(worker.receive(child))
    worker.receive(child)]],
}

local function run(text, more)
  local all = {}
  for name, content in pairs(files) do all[name] = content end
  for name, content in pairs(more or {}) do all[name] = content end
  return folder.run(HEAD .. text, all)
end

-- "a worker blocked in `peek`, or in an endless loop, **hangs exit** forever. Same after an error
-- in main" there
describe("a program ends", function()
  local started = [[
    local list = {}
    for _, name in ipairs { "waits", "blocks", "ends", "parent", "loops" } do
      list[#list + 1] = worker.create(name .. ".lua")
      assert(worker.receive(list[#list]) == "here")
    end
    local floods = worker.create { path = "floods.lua", limit = 100 }
    assert(worker.receive(floods) == "here")
    for i = 1, 50 do list[#list + 1] = worker.create "loops.lua" end -- most are never started
  ]]

  it("while workers wait, loop, flood and are queued", function()
    assert.are.equal("exit 0\n", run(started))
  end)

  it("with os.exit", function()
    assert.are.equal("exit 3\n", run(started .. "os.exit(3)"))
  end)

  it("with os.exit that closes the state", function()
    assert.are.equal("exit 4\n", run(started .. "os.exit(4, true)"))
  end)

  it("with an error of its own", function()
    assert.matches("mistake.*exit 1\n$", run(started .. "error 'mistake'"))
  end)

  it("while a worker of a worker still waits", function()
    assert.are.equal("exit 0\n", run [[assert(worker.receive(worker.create "parent.lua") == "here")]])
  end)
end)

-- "collecting the handle of one finished worker while another waits in `peek` **hangs the
-- collector**; collecting one while another computes stalls until that one ends" there
describe("a handle that is collected", function()
  it("keeps nobody waiting", function()
    assert.are.equal("exit 0\n", run [[
      local waits, loops, ends = worker.create "waits.lua", worker.create "loops.lua", worker.create "ends.lua"
      for _, w in ipairs { waits, loops, ends } do assert(worker.receive(w) == "here") end
      assert(worker.receive(ends) == nil)
      ends = nil
      collect()
      loops = nil
      collect()
      assert(worker.status(waits) == "running")
    ]])
  end)

  -- "Dropping the handle of a running worker does not stop it"
  it("does not stop a worker that runs", function()
    local go, done = gate.new(), gate.new()
    worker.create(script [[
      local go, done = ...
      local gate = require "support.gate"
      gate.pass(go)
      worker.message("to nobody")
      gate.open(done, "it went on")
    ]], go, done)
    collectgarbage()
    collectgarbage()
    gate.open_last(go)
    assert.are.equal("it went on", gate.pass(done))
    os.remove(done)
  end)

  it("lets a worker that waits for its holder know", function()
    for _, how in ipairs { "pcall(worker.peek)", "coroutine.wrap(function() return pcall(worker.peek) end)()" } do
      local done = gate.new()
      worker.send(worker.create(script([[
        local done = ...
        worker.peek()
        local ok, problem = ]] .. how .. [[

        require("support.gate").open(done, problem)
      ]]), done), 1)
      collectgarbage()
      collectgarbage()
      assert.are.equal("worker.peek: nobody holds this worker any more", gate.pass(done))
      os.remove(done)
    end
  end)
end)

-- "nothing tells a worker that its parent ended; `peek` never wakes" there
describe("a parent's end", function()
  it("wakes peek with an error of its own, after what was sent", function()
    local done = gate.new()
    local child = script [[
      local done = ...
      assert(worker.peek() == "first")
      local ok, problem = pcall(worker.peek)
      local again, same = pcall(worker.peek)
      require("support.gate").open(done, tostring(ok or again) .. (problem == same and problem or "other"))
    ]]
    local parent = worker.create(script [[
      KEPT = worker.create(...)
      worker.send(KEPT, "first")
    ]], child, done)
    assert.are.equal("falseworker.peek: the parent has ended", gate.pass(done))
    assert.is_nil((worker.receive(parent)))
    os.remove(done)
  end)

  it("leaves a child running", function()
    local done, go = gate.new(), gate.new()
    local parent = worker.create(script [[KEPT = worker.create(...)]], script [[
      local done, go = ...
      require("support.gate").pass(go)
      worker.message("nobody hears it")
      require("support.gate").open(done, "went on")
    ]], done, go)
    assert.is_nil((worker.receive(parent)))
    gate.open_last(go)
    assert.are.equal("went on", gate.pass(done))
    os.remove(done)
  end)
end)

describe("create", function()
  it("while a state is being closed is refused", function()
    assert.matches("^false\tworker.create: this state is being closed\nexit 0\n$", folder.run([[
      local proxy = newproxy and newproxy(true) or setmetatable({}, { __gc = true })
      local worker -- what comes later is collected first
      getmetatable(proxy).__gc = function() print(pcall(worker.create, "ends.lua")) end
      KEPT = proxy
      worker = require "weir.worker"
    ]], files))
  end)

  it("in a finalizer of a worker that ends is refused", function()
    local w = worker.create(script [[
      local proxy = newproxy and newproxy(true) or setmetatable({}, { __gc = true })
      getmetatable(proxy).__gc = function() worker.message(select(2, pcall(worker.create, "x"))) end
      KEPT = proxy
    ]])
    assert.are.equal("worker.create: this state is being closed", (worker.receive(w)))
    assert.is_nil((worker.receive(w)))
  end)

  -- a worker that creates itself forever
  it("has a limit", function()
    local output = run([[
      local list = {}
      local ok, problem = pcall(function()
        for i = 1, 20000 do list[i] = worker.create "waits.lua" end
      end)
      print(#list, problem)
      list = nil
    ]])
    assert.matches("worker.create: 16384 workers live already", output)
    assert.matches("exit 0\n$", output)
  end)

  it("of oneself, for ever, ends with an error that reaches the first", function()
    local output = run([[
      print(pcall(worker.receive, (worker.create("again.lua", "again.lua"))))
    ]], { ["again.lua"] = [[
      local w = worker.create(..., ...)
      worker.receive(w)
    ]] })
    assert.matches("^false\t.*worker.create: 16384 workers live already", output)
    assert.matches("exit 0\n$", output)
  end)
end)

describe("a worker's finalizers", function()
  it("run before it is dead, and may still send", function()
    local w = worker.create(script [[
      local proxy = newproxy and newproxy(true) or setmetatable({}, { __gc = true })
      getmetatable(proxy).__gc = function() worker.message("last words") end
      KEPT = proxy
    ]])
    assert.are.equal("last words", (worker.receive(w)))
    assert.is_nil((worker.receive(w)))
    assert.are.equal("dead", worker.status(w))
  end)
end)

describe("nothing of one worker", function()
  it("is visible to the next thousand", function()
    local dirty = script [[
      GLOBAL, string.extra, package.loaded.mine = 1, 2, 3
      getmetatable("").__index = { upper = function() return "spoilt" end }
      package.path = "nowhere"
      print = nil
      package.preload.weir_x = function() end
      if debug.sethook then debug.sethook(function() end, "l") end
    ]]
    local clean = script [[
      local seen = {}
      for _, name in ipairs { "GLOBAL" } do seen[#seen + 1] = rawget(_G, name) end
      seen[#seen + 1] = string.extra
      seen[#seen + 1] = package.loaded.mine
      seen[#seen + 1] = ("a"):upper() ~= "A" or nil
      seen[#seen + 1] = package.path == "nowhere" or nil
      seen[#seen + 1] = print == nil or nil
      seen[#seen + 1] = package.preload.weir_x
      seen[#seen + 1] = (debug.gethook and debug.gethook())
      worker.message(#seen)
    ]]
    assert.is_nil((worker.receive(worker.create(dirty))))
    local list = {}
    for i = 1, 1000 do list[i] = worker.create(i % 10 == 0 and dirty or clean) end
    for i = 1, 1000 do
      local v = worker.receive(list[i])
      if i % 10 ~= 0 then assert.are.equal(0, v) else assert.is_nil(v) end
    end
  end)
end)
