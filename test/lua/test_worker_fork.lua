-- SPDX-License-Identifier: ISC
--
-- A program that forks while it has workers: these stay with the parent. "Never hang or
-- crash": what the child has of them is what had come, and it may have its own.

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local folder = require "support.folder"

local HEAD = [[
local core = assert(package.cpath:match "^(.-)/%?%.so") .. "/failing/weir/core.so"
local process = assert(package.loadlib(core, "luaopen_weir_core_failing"))()
local worker = require "weir.worker"
local function in_child(f, ...)
  io.stdout:flush()
  local child = process.fork()
  if child ~= 0 then
    local status = process.wait(child)
    if status ~= 0 then print("the child's status", status) os.exit(1) end
    return
  end
  f(...)
  io.stdout:flush()
  os.exit(0, true)
end
]]

local files = {
  ["echo.lua"] = "while true do worker.message(worker.peek()) end",
  ["floods.lua"] = "while true do worker.message(1) end",
  ["empty.lua"] = "",
}

local function run(text, more)
  local all = {}
  for name, content in pairs(files) do all[name] = content end
  for name, content in pairs(more or {}) do all[name] = content end
  return folder.run(HEAD .. text, all)
end

-- AddressSanitizer leaves its own allocator's locks as they were when another thread was
-- in it (so a child hangs in malloc); ThreadSanitizer supports no new threads in the child,
-- nor 64 locks at a time.
local variant = os.getenv "WEIR_LUA_VARIANT"
local it_forks_beside_busy = variant == "asan" and pending or it
local it_makes_threads = variant == "tsan" and pending or it_forks_beside_busy

describe("after fork", function()
  it("the child receives what had come, and finds its parent's workers dead", function()
    assert.are.equal("there\t1\ndead\nnil\nnil\tnil\nhere\t2\nexit 0\n", run([[
      local w = worker.create "echo.lua"
      worker.send(w, 0)
      assert(worker.receive(w) == 0)
      local late = worker.create { path = "late.lua" }
      assert(worker.receive(late) == "sent")
      in_child(function()
        print("there", worker.receive(late))
        print(worker.status(w))
        print(worker.receive(w))
        worker.send(w, 2)
        worker.close(w)
        print(worker.receive(w, late))
        w, late = nil
        collectgarbage()
      end)
      worker.send(w, 2)
      print("here", worker.receive(w))
    ]], { ["late.lua"] = "worker.message 'sent' worker.message(1) worker.peek()" }))
  end)

  it_makes_threads("the child has workers of its own", function()
    assert.are.equal("7\n16384 workers live already\nexit 0\n", run [[
      local list = {}
      for i = 1, 10 do list[i] = worker.create "echo.lua" end
      in_child(function()
        local own = worker.create "echo.lua"
        worker.send(own, 7)
        print(worker.receive(own))
        local _, problem = pcall(function()
          for i = 1, 20000 do list[#list + 1] = worker.create "echo.lua" end
        end)
        print(problem:match "16384 .*")
      end)
    ]])
  end)

  for how, text in pairs { ["os.exit"] = "os.exit(0)", ["os.exit that closes the state"] = "os.exit(0, true)",
                           ["an error"] = "process.fork = nil error 'x'" } do
    it_forks_beside_busy("the child may end with " .. how, function()
      assert.matches("here\t5\nexit 0\n$", run([[
        local w, flood = worker.create "echo.lua", worker.create "floods.lua"
        worker.receive(flood)
        local child = process.fork()
        if child == 0 then ]] .. text .. [[ end
        process.wait(child)
        worker.send(w, 5)
        print("here", worker.receive(w))
      ]]))
    end)
  end

  it("a coroutine of the child that waits for a worker of the parent goes on", function()
    assert.are.equal("nil\nchild\n5\nexit 0\n", run [[
      local thread = require "weir.thread"
      local w = worker.create "echo.lua"
      thread.run(function()
        local t = require("thread").create(function() print(worker.receive(w)) end)
        io.stdout:flush()
        local child = process.fork()
        if child == 0 then
          t:join()
          print "child"
          io.stdout:flush()
          return
        end
        assert(process.wait(child) == 0)
        worker.send(w, 5)
        t:join()
      end)
    ]])
  end)

  it_makes_threads("whatever its parent's threads were in, the child waits for none of them", function()
    assert.are.equal("exit 0\n", run [[
      local weir = require "weir"
      local pool = assert(weir.pool { threads = 1 })
      local floods = {} -- the first is shared: its messages are under locks
      for i = 1, 3 do floods[i] = worker.create { path = "floods.lua", limit = i > 1 and 10 or nil } end
      local reads = pool:run(function(w) for i = 1, 1e9 do require("weir.worker").receive(w) end end, floods[1])
      for _ = 1, 200 do
        local list = {}
        for k = 1, 10 do list[k] = worker.create "empty.lua" end
        worker.receive(floods[1], floods[2], floods[3])
        in_child(function()
          for k = 1, 3 do
            for _ = 1, 20 do worker.receive(floods[k]) end
            worker.send(floods[k], 1)
            worker.close(floods[k])
          end
          for k = 1, 10 do assert(worker.receive(list[k]) == nil and worker.status(list[k]) == "dead") end
          while worker.receive_within(1, floods[2], list[1]) do end
        end)
      end
      reads:cancel()
      os.exit(0)
    ]])
  end)

  it_makes_threads("a worker that has forked goes on, alone, and may have workers", function()
    assert.are.equal("message\tok\npeek\tworker.peek: the parent is in another process\n" ..
                     "its child\tdead\nanother\t9\nparent\t3\nexit 0\n", run([[
      local w = worker.create("forks.lua", core)
      worker.send(w, 3)
      print("parent", worker.receive(w))
    ]], { ["forks.lua"] = [[
      local process = assert(package.loadlib((...), "luaopen_weir_core_failing"))()
      local child = worker.create "echo.lua"
      local id = process.fork()
      if id ~= 0 then
        assert(process.wait(id) == 0)
        return worker.message(worker.peek())
      end
      print("message", pcall(worker.message, 1) and "ok")
      local ok, problem
      repeat ok, problem = pcall(worker.peek) until not ok
      print("peek", problem)
      print("its child", worker.status(child))
      local another = worker.create "echo.lua"
      worker.send(another, 9)
      print("another", worker.receive(another))
    ]] }))
  end)

  it("what fails in a worker that has forked is said, and the child's exit code", function()
    assert.are.equal("weir.worker: forks.lua:3: mistake\nthe child\t1\nexit 0\n", run([[
      print("the child", worker.receive(worker.create("forks.lua", core)))
    ]], { ["forks.lua"] = [[
      local process = assert(package.loadlib((...), "luaopen_weir_core_failing"))()
      local id = process.fork()
      if id == 0 then error "mistake" end
      worker.message(process.wait(id))
    ]] }))
  end)
end)
