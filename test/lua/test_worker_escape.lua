-- SPDX-License-Identifier: ISC
--
-- pledge, attacked: by code that has read the source of weir and wants out.

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local folder = require "support.folder"
local worker = require "weir.worker"

after_each(folder.clean)

-- What the script sends, as a list; its error, if it has one, comes last.
local function run(text, ...)
  local w, list, n = worker.create(folder.script(text), ...), {}, 0
  repeat
    local ok, v = pcall(worker.receive, w)
    n = n + 1
    list[n] = v
  until not ok or worker.status(w) == "dead" and v == nil
  return list
end

describe("a finalizer", function()
  it("refuses what is not of its class, in every state", function()
    local list = run [[
      local core = require "weir.core"
      require "weir"
      local finalizers, objects = {}, { false, 1, "x", {}, io.stdout, print, coroutine.create(function() end) }
      objects[#objects + 1] = core.owner_new "owner"
      objects[#objects + 1] = core.mutex_new(1)
      objects[#objects + 1] = core.pack(1)
      for _, class in pairs(core) do
        if type(class) == "table" and rawget(class, "__gc") then finalizers[#finalizers + 1] = class.__gc end
      end
      local passed, refused = 0, 0
      for _, finalize in ipairs(finalizers) do
        if not pcall(finalize) and not pcall(finalize, nil) then refused = refused + 1 end
        for _, object in ipairs(objects) do
          if pcall(finalize, object) then passed = passed + 1 end
        end
      end
      worker.message(#finalizers > 5 and refused == #finalizers)
      worker.message(passed) -- each object by its own class
      worker.message(core.mutex_new(1) ~= nil)]]
    assert.are.same({ true, 3, true }, list)
  end)

  it("of an object may be called twice", function()
    assert.are.same({ true }, run [[
      local core = require "weir.core"
      require "weir"
      local packed = core.pack(1)
      core.packed.__gc(packed)
      core.packed.__gc(packed)
      worker.message(not pcall(core.packed.unpack, packed))]])
  end)
end)

-- LuaJIT's lexer opens the FFI library at a literal of its own; no other Lua reads one.
describe("the FFI library", function()
  local reads_literals = (loadstring or load) "return 1LL" ~= nil -- luacheck: ignore
  local jit_it = reads_literals and it or function() end

  local LITERALS = [[
    local found = {}
    for _, text in ipairs { "1LL", "1ULL", "2i", "0x1LL" } do
      local f = (loadstring or load)("return " .. text)
      local value = f and f()
      if value then
        found[#found + 1] = package.loaded.ffi or package.preload.ffi and select(2, pcall(package.preload.ffi))
        for _, index in ipairs { "x", 0, -1, "C", "cdef" } do
          local ok, part = pcall(function() return value[index] end)
          if ok and type(part) ~= "number" then found[#found + 1] = part or "nil" end
        end
        if getmetatable(value) ~= "ffi" then found[#found + 1] = getmetatable(value) end
      end
    end
    for i, v in ipairs(found) do
      if not tostring(v):find("denied", 1, true) then worker.message(tostring(v)) end
    end
    worker.message((pcall(require, "ffi")))]]

  it("is empty for a literal after a pledge", function()
    assert.are.same({ false }, run("pledge('load', 'fs:read')" .. LITERALS))
    assert.are.same({ false }, run("pledge('load', 'seal')" .. LITERALS))
  end)

  jit_it("is open when the script has a literal, which then cannot pledge", function()
    assert.matches('module "ffi" is foreign code', run [[
      pledge("~all", "seal")
      worker.message(1LL)]][1])
  end)

  it("is empty in a worker of a restricted state", function()
    local child = folder.script(LITERALS)
    assert.are.same({ false }, run([[
      pledge("load", "fs:read")
      local w = worker.create(...)
      repeat
        local value = worker.receive(w)
        worker.message(value)
      until value == nil]], child))
  end)

  jit_it("keeps a state that has opened it from pledging", function()
    for _, opened in ipairs { "require 'ffi'", "local ffi = package.preload.ffi() package.loaded.ffi = nil",
      "local x = 1LL package.loaded.ffi = nil", "local x = 1LL package.loaded.ffi = {}" } do
      assert.matches('module "ffi" is foreign code',
        run(opened .. " worker.message(select(2, pcall(pledge, '~exec')))")[1])
    end
  end)

  jit_it("goes with string.buffer, which gives pointers", function()
    local list = run [[
      pledge("load", "fs:read")
      worker.message(select(2, pcall(require, "string.buffer")))
      worker.message(select(2, pcall(package.preload["string.buffer"])))]]
    assert.matches('permission "all" denied for string.buffer', list[1])
    assert.matches('string.buffer: permission "all" denied', list[2])
    assert.matches("module .string.buffer. is foreign code", run [[
      require "string.buffer" package.loaded["string.buffer"] = nil
      worker.message(select(2, pcall(pledge, "~exec")))]][1])
  end)
end)

describe("os.remove and os.rename", function()
  it("act on a link itself", function()
    local place = folder.script ""
    os.remove(place)
    local make = "mkdir -p %s/in/deep && cd %s/in && echo kept > file && ln -s file a && ln -s file b && ln -s /etc out"
    os.execute(make:format(place, place))
    local list = run([[
      local base = ...
      pledge("load", "fs=" .. base .. "/*")
      worker.message(os.remove(base .. "/a"))
      worker.message(os.rename(base .. "/b", base .. "/moved"))
      worker.message(io.open(base .. "/file"):read "*l")
      worker.message(io.open(base .. "/moved"):read "*l")
      worker.message((os.remove(base .. "/out"))) -- the link is in the folder
      worker.message((pcall(os.remove, base .. "/deep/..")))
      worker.message((pcall(os.remove, base .. "/deep/../../outside")))
      worker.message((pcall(os.rename, base .. "/file", base .. "/../file")))]], place .. "/in")
    os.execute("rm -r " .. place)
    assert.are.same({ true, true, "kept", "kept", true, false, false, false }, list)
  end)
end)

describe("what states share", function()
  it("is closed to a restricted state, also through functions taken before", function()
    require("weir").shared.set("worker escape", "kept")
    local list = run [[
      local core, gift = require "weir.core", {}
      require "weir"
      local mutex, packed, owner = core.mutex_new(1), core.pack(1), core.owner_new "owner"
      core.mutex_lock(mutex, owner, 0)
      package.loaded["out.gift"] = gift
      pledge("load", "fs")
      local calls = { { core.metrics }, { core.watcher, 1 }, { core.slice, "label", print },
        { core.shared_get, "worker escape" }, { core.shared_version, "worker escape" },
        { core.shared_set, "worker escape", { gift } }, { core.shared_add, "worker escape", 1 }, { core.mutex_new, 1 },
        { core.mutex_lock, mutex, owner, 0 }, { core.mutex_trylock, mutex, owner }, { core.mutex_holder, mutex },
        { core.pack, gift }, { packed.unpack, packed }, { core.progress_new },
        { core.open, {} }, { core.job }, { core.run }, { core.submit }, { core.post }, { core.catch, 2 },
        { core.append, "/dev/null", "" }, { core.await_input }, { core.keep_sigpipe }, { core.resize } }
      for _, call in ipairs(calls) do
        local ok, problem = pcall(call[1], call[2], call[3], call[4])
        worker.message(not ok and problem:match 'permission "all" denied' or tostring(problem))
      end
      worker.message(core.mutex_unlock(mutex, owner)) -- what it held it can give back]]
    assert.are.equal("kept", require("weir").shared.get "worker escape")
    require("weir").shared.set("worker escape", nil)
    assert.are.equal(25, #list)
    for i = 1, 24 do assert.are.equal('permission "all" denied', list[i], i) end
    assert.is_true(list[25])
  end)

  it("carries no module's name out of a worker", function()
    assert.matches("nil", tostring(run([[
      local gift = { "data" }
      package.loaded["out.gift"] = gift
      worker.message { gift }]])[2]))
  end)
end)

describe("what the process has once", function()
  it("needs a right of its own", function()
    local list = run [[
      local out, inp = io.stdout, io.stdin
      local calls = {
        stdio = { { print }, { io.write, "" }, { io.read, 0 }, { io.lines }, { io.flush },
          { function() io.close() end }, { out.write, out, "" },
          { inp.read, inp, 0 }, { inp.lines, inp }, { out.seek, out }, { out.flush, out }, { out.close, out },
          { out.setvbuf, out, "no" }, { io.close, io.stderr } },
        locale = { { os.setlocale, "C" } } }
      pledge("load", "exit")
      for right, functions in pairs(calls) do
        for _, call in ipairs(functions) do
          local ok, problem = pcall(call[1], call[2], call[3])
          if ok or not problem:find('permission "' .. right .. '" denied', 1, true) then worker.message(problem) end
        end
      end
      worker.message(os.setlocale())
      worker.message(io.type(io.stdout))]]
    assert.are.equal(2, #list)
    assert.are.equal("file", list[2])
    assert.are.same({ true, true, "C" }, run [[
      worker.message((pledge("stdio", "locale")))
      worker.message((pcall(io.stdout.write, io.stdout, "")))
      worker.message((os.setlocale("C")))]])
  end)

  it("is not needed for a file that is none of it", function()
    local path = folder.script "line"
    assert.are.same({ "line", "line" }, run([[
      pledge("fs:read=" .. ...)
      worker.message(io.open(...):read "*a")
      io.input(...)
      worker.message(io.read "*a")]], path))
  end)
end)

-- A finalizer may resume the main chunk while the message that this waits for is being read. The
-- operation was freed under the one who tried it.
describe("the main chunk, resumed while it waits,", function()
  it("harms nobody but its worker", function()
    local w = worker.create(folder.script [[
      local co = coroutine.running()
      local turn = 0
      local function finalize()
        turn = turn + 1
        pcall(coroutine.resume, co, select(turn % 3 + 1, true, 1))
        collectgarbage()
      end
      local function plant()
        if newproxy then getmetatable(newproxy(true)).__gc = finalize else setmetatable({}, { __gc = finalize }) end
      end
      collectgarbage()
      for _ = 1, 50 do
        for _ = 1, 20 do plant() end
        pcall(worker.peek)
      end]])
    local big = {}
    for i = 1, 20000 do big[i] = { i } end
    for _ = 1, 50 do worker.send(w, big) end
    repeat until not pcall(worker.receive, w) or worker.status(w) == "dead"
    assert.are.equal("dead", worker.status(w))
  end)

  it("ends with an error when it is over", function()
    local w = worker.create(folder.script [[
      local co = coroutine.running()
      local function finalize() pcall(coroutine.resume, co, true, 1) end
      if newproxy then getmetatable(newproxy(true)).__gc = finalize else setmetatable({}, { __gc = finalize }) end
      worker.peek()]])
    local big = {}
    for i = 1, 200000 do big[i] = { i } end
    worker.send(w, big)
    local ok, problem = pcall(worker.receive, w)
    assert.is_true(ok or problem:find "resumed while it waited" ~= nil, problem)
  end)
end)

-- On 5.1 whatever was given as an environment was taken for a table.
describe("load with an environment", function()
  it("takes tables alone, where that is not any value", function()
    local path = folder.script "return 1"
    local list = run([[
      local path = ...
      pledge("load", "fs:read=" .. path)
      for _, f in ipairs { function(env) return load("return 1", "x", "t", env) end,
        function(env) return loadfile(path, "t", env) end } do
        for _, env in ipairs { 5, "x", true, print, io.stdout } do
          local ok, g = pcall(f, env)
          worker.message(ok and g() == 1 or not ok)
        end
      end]], path)
    assert.are.equal(10, #list)
    for _, v in ipairs(list) do assert.is_true(v) end
  end)
end)

-- A module that a restricted state had written itself was required by who got a value of it.
describe("a value of a restricted state", function()
  it("makes nobody load code", function()
    local output = folder.run([[
      local weir, worker = require "weir", require "weir.worker"
      package.path = "./?.lua;" .. package.path
      local pool = weir.pool { threads = 1 }
      local gift = { "data" }
      package.loaded["gift"] = gift
      local function task()
        local weir = require "weir"
        local results = {}
        for i, give in ipairs {
          function() return { deep = package.loaded["gift"] } end,
          function() return function() end end,
          function() error(package.loaded["gift"], 0) end,
          function() return string.format, 5, { "data" } end } do
          results[i] = tostring(select(2, pcall(weir.run_in_main, give)))
        end
        return results
      end
      local future = pool:run(task)
      worker.pledge("fs", "stdio", "load")
      for _, result in ipairs(select(2, future:get())) do print(result) end
      print(io.open "owned")
    ]], { ["gift.lua"] = "io.open('owned', 'w'):close() return {}" })
    assert.matches("result 1: module 'gift' is not loaded here", output, 1, true)
    assert.matches("result 1: function of a restricted state cannot cross", output, 1, true)
    assert.matches("error value: module 'gift' is not loaded here", output, 1, true)
    assert.matches("\nfunction: ", output)
    assert.matches("owned: No such file", output)
  end)
end)
