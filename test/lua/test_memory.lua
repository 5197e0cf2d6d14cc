-- SPDX-License-Identifier: ISC
--
-- test_memory.lua: the binding without memory: the n-th allocation fails, and all after
-- it, for every n, in each of several scenarios. See support/memory_sweep.lua.

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local program = require "support.program"

local function sweep(name, where)
  local pipe = io.popen(("timeout 1200 %s test/lua/support/memory_sweep.lua %s %s 2>&1"):format(os.getenv "WEIR_LUA",
    name, where))
  local output = pipe:read("*a")
  pipe:close()
  return output
end

-- How many allocations each needs at least, so that a sweep that fails none is noticed.
local scenarios = {
  open = 8, run = 3, task = 3, cancel = 3, call = 3, work = 3, progress = 4, worker = 4, close = 1, close_async = 1,
}

-- A worker that never reads; its mailbox is full from "x" on. A send waits in a coroutine
-- that is dropped, or fails for each number of allocations that succeed before.
local FULL = [[
  local core = assert(package.cpath:match "^(.-)/%?%.so") .. "/weir/core.so"
  local failing = assert(package.loadlib(core, "luaopen_weir_core_failing"))()
  local worker = require "weir.worker"
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  file:write "worker.message 'here' worker.receive(worker.create(...))"
  file:close()
  local waits = path .. ".waits"
  file = assert(io.open(waits, "w"))
  file:write "worker.peek()"
  file:close()
  local w = worker.create({ path = path, limit = 1, on_full = "wait" }, waits)
  assert(worker.receive(w) == "here")
  worker.send(w, "x")
  weir.loop.use {
    owns = function() return true end, suspend = coroutine.yield, resume = function() end,
    watch = function() return function() end end,
  }
  local big = ("z"):rep(250) -- is packed without the state's memory
  local function sends(n) -- 40 times, when so many allocations succeed
    local co
    for _ = 1, 40 do
      co = coroutine.create(worker.send)
      failing.lua(n)
      local ok, why = coroutine.resume(co, w, big)
      failing.lua()
      assert(ok or tostring(why):find "not enough memory", why)
    end
    return coroutine.status(co) == "suspended"
  end
  local function held()
    for _ = 1, 3 do collectgarbage() end
    return failing.alive()
  end
  assert(sends(-1))
  local n, most = 0, 0
  while true do
    local before, pending = held(), weir.loop.pending()
    if sends(n) or weir.loop.pending() > pending then break end -- one that waits holds its message
    n, most = n + 1, math.max(most, held() - before)
  end
  print(n > 1, most < 30 or most)
  os.remove(path)
  os.remove(waits)
  os.exit(0)
]]

-- Each task has a mailbox of its own, and a job in it that could be used again.
local INNER = [[
  local core = assert(package.cpath:match "^(.-)/%?%.so") .. "/weir/core.so"
  local failing = assert(package.loadlib(core, "luaopen_weir_core_failing"))()
  local outer, inner = assert(weir.pool { threads = 1 }), assert(weir.pool { threads = 1 })
  local function held(n)
    for i = 1, n do
      local ok, sum = outer:run(function(p, k)
        local _, two = p:run(function() return 2 end):get()
        return k + two
      end, inner, i):get()
      assert(ok and sum == i + 2, sum)
    end
    for _ = 1, 3 do collectgarbage() end
    return failing.alive()
  end
  held(10)
  local before = held(10)
  local more = held(100) - before
  print(more < 50 or more)
  os.exit(0)
]]

local leaks = rawget(_G, "jit") and os.getenv "WEIR_LUA_VARIANT" == "checked"

describe("without memory", function()
  it("a send to a full worker keeps no message", function()
    if leaks then skip "LuaJIT itself leaks then, and asserts that it does not" end
    assert.are.equal("true\ttrue\nexit 0\n", program.run_failing(FULL))
  end)

  it("a job that is kept for the next task goes with its mailbox", function()
    assert.are.equal("true\nexit 0\n", program.run_failing(INNER))
  end)

  for name, least in pairs(scenarios) do
    for _, where in ipairs { "lua", "own", "everywhere" } do
      it(("%s says so and loses nothing, when %s allocations fail"):format(name, where), function()
        if leaks and where == "lua" then skip "LuaJIT itself leaks then, and asserts that it does not" end
        local output = sweep(name, where)
        local failures = output:match "^ok (%d+)\n$"
        assert(failures, output)
        assert.is_true(tonumber(failures) >= least, output)
      end)
    end
  end
end)
