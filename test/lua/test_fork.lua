-- SPDX-License-Identifier: ISC
--
-- test_fork.lua: the child of a program whose threads are at work.

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local program = require "support.program"
local run = program.run

-- A task that no signal stops is in `stuck`; `abandon` cancels such ones until one was
-- inside of it.
local BEGIN = [[
  local folder = assert(package.cpath:match "^(.-)/%?%.so")
  local process = assert(package.loadlib(folder .. "/failing/weir/core.so", "luaopen_weir_core_failing"))()
  local function stuck(here)
    require("support.gate").open(here)
    return (("a"):rep(300)):find((".-"):rep(6) .. "b")
  end
  local function abandon(pool)
    repeat
      local here = gate.new()
      local future = pool:run(stuck, here)
      gate.pass(here)
      os.remove(here)
      future:cancel()
      assert(select(2, pool:run(function() return 5 end):get()) == 5)
    until pool:stats().abandoned > 0
  end
  local pool = assert(weir.pool { threads = 1, cancel_timeout = 0.01 })
  local here = gate.new()
]]

-- The module that can hold a thread stands in for weir's own.
local HELD = [[
  local core = assert(package.cpath:match "^(.-)/%?%.so") .. "/weir/core.so"
  local process = assert(package.loadlib(core, "luaopen_weir_core_failing"))()
  local here = gate.new()
  local pool = assert(weir.pool { threads = 1 })
]]

local function run_held(text) return program.run_failing(HELD .. text) end

-- ThreadSanitizer does not support new threads in the child.
local it_makes_threads = os.getenv "WEIR_LUA_VARIANT" == "tsan" and pending or it

describe("after fork", function()
  it_makes_threads("the child's tasks of before are closed, and it has pools of its own", function()
    assert.are.equal("false\tclosed\nfalse\tclosed\nnil\tan error\ntrue\t7\nexit 0\n", run(BEGIN .. [[
      local running = pool:run(function(name)
        require("support.gate").open(name)
        while true do end
      end, here)
      local queued = pool:run(function() end)
      gate.pass(here)
      os.remove(here)
      local child = process.fork()
      if child == 0 then
        print(running:get())
        print(queued:get())
        local future, why = pool:run(function() end)
        print(future, why and "an error")
        local own = assert(weir.pool { threads = 1 })
        print(own:run(function() return 7 end):get())
        assert(own:close())
        io.stdout:flush()
        os.exit(0)
      end
      assert(process.wait(child) == 0)
      running:cancel()
      assert(select(2, pool:run(function() return 3 end):get()) == 3)
    ]]))
  end)

  it_makes_threads("the child gives up on tasks that do not stop", function()
    assert.are.equal("exit 0\n", run(BEGIN .. [[
      abandon(pool)
      local child = process.fork()
      if child == 0 then
        abandon(assert(weir.pool { threads = 1, cancel_timeout = 0.01 }))
        os.exit(0)
      end
      assert(process.wait(child) == 0)
      abandon(pool)
    ]]))
  end)

  it("the child may cancel what only its parent runs", function()
    assert.are.equal("exit 0\n", run(BEGIN .. [[
      local running = pool:run(function(name)
        require("support.gate").open(name)
        while true do end
      end, here)
      gate.pass(here)
      os.remove(here)
      local child = process.fork()
      if child == 0 then
        running:cancel()
        local ok, why = running:get()
        assert(not ok and (why == "cancelled" or why == "closed"), why)
        pool:close { timeout = 1 }
        os.exit(0)
      end
      assert(process.wait(child) == 0)
      running:cancel()
    ]]))
  end)

  it("the child's state can be closed", function()
    assert.are.equal("exit 0\n", run(BEGIN .. [[
      pool:run(function(name)
        require("support.gate").open(name)
        while true do end
      end, here)
      gate.pass(here)
      os.remove(here)
      local child = process.fork()
      if child == 0 then os.exit(0, true) end
      assert(process.wait(child) == 0)
    ]]))
  end)

  it("the child's state can be closed while a thread of its parent's submits for it", function()
    assert.are.equal("exit 0\n", run_held [[
      local lazy = assert(weir.pool { threads = 1, lazy = true })
      process.hold "pthread_create"
      local posted = pool:run(function(other) return other:post(function() end) end, lazy)
      process.await_held()
      local child = process.fork()
      if child == 0 then os.exit(0, true) end
      local status = process.wait(child)
      process.release()
      assert(status == 0 and select(2, posted:get()) == true)
    ]])
  end)

  it("a task may fork while it is cancelled", function()
    assert.are.equal("exit 0\n", run_held [[
      local forking = pool:run(function(name, path)
        local child_of = assert(package.loadlib(path, "luaopen_weir_core_failing"))()
        child_of.hold "pthread_kill"
        require("support.gate").open(name)
        child_of.await_held()
        local child = child_of.fork_beside_held()
        return child == 0 or child_of.wait(child)
      end, here, core)
      gate.pass(here)
      os.remove(here)
      forking:cancel()
      forking:wait()
    ]])
  end)
end)
