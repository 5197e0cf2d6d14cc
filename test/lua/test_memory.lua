-- SPDX-License-Identifier: ISC
--
-- test_memory.lua: the binding while requests are refused: memory of this state, of a pool's, of C,
-- threads, descriptors; from the n-th on, for every n, in each of several scenarios. See
-- support/memory_sweep.lua.
--
-- An ordinary run refuses all memory of this side after the n-th request, and what else there is as
-- WEIR_SEED chooses: one kind and row for each scenario. WEIR_SWEEP has all of them done (make sweep).

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local program = require "support.program"

local function sweep(name, where, row)
  local command = ("timeout 1200 %s test/lua/support/memory_sweep.lua %s %s %d 2>&1"):format(os.getenv "WEIR_LUA",
    name, where, row)
  local pipe = io.popen(command)
  local output = pipe:read("*a")
  pipe:close()
  return output
end

-- How many attempts fail at least in each when all memory is refused, so that a sweep that refuses
-- nothing is noticed.
local scenarios = {
  { "open", 8 }, { "run", 3 }, { "task", 3 }, { "cancel", 3 }, { "call", 3 }, { "work", 3 }, { "progress", 4 },
  { "worker", 4 }, { "close", 1 }, { "close_async", 1 }, { "mutex", 3 }, { "shared", 2 }, { "packed", 3 },
  { "signal", 1 }, { "stream", 3 }, { "full", 3 }, { "elastic", 3 }, { "family", 1 },
}

local others = {} -- kinds and rows that an ordinary run takes one of
for _, where in ipairs { "lua", "own", "everywhere", "there", "threads", "descriptors" } do
  for _, row in ipairs { -1, 1, 2 } do
    local any = #where > 5 and where ~= "everywhere" or where == "there"
    if row > 0 or any then others[#others + 1] = { where, row } end
  end
end

local seed = tonumber(os.getenv "WEIR_SEED") or os.time() % 100000
local function choose(scenario)
  if os.getenv "WEIR_SWEEP" then return 1, #others end
  local i = (seed * 31 + scenario * 7) % #others + 1
  return i, i
end

-- Before the text of a worker goes into the file.
local BEGIN = [[
  local core = assert(package.cpath:match "^(.-)/%?%.so") .. "/weir/core.so"
  local failing = assert(package.loadlib(core, "luaopen_weir_core_failing"))()
  local worker = require "weir.worker"
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
]]

-- A worker that never reads; its mailbox is full from "x" on. A send waits in a coroutine
-- that is dropped, or fails for each number of allocations that succeed before.
local FULL = BEGIN .. [[
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

-- Workers that end with a failure which nobody has read, and which the function for such cannot be told.
local UNTOLD = BEGIN .. [[
  file:write "local weir, core = require 'weir', require 'weir.core' local pool = weir.pool { threads = 1 }"
  file:write "future = pool:run(function() error 'failed' end) future:wait() core.on_unhandled(error) pool:close()"
  file:close()
  local function held(n)
    for _ = 1, n do assert(worker.receive(worker.create(path)) == nil) end
    for _ = 1, 3 do collectgarbage() end
    return failing.alive()
  end
  held(10)
  local before = held(10)
  local more = held(40) - before
  os.remove(path)
  print(more < 20 or more)
  os.exit(0)
]]

local leaks = rawget(_G, "jit") and os.getenv "WEIR_LUA_VARIANT" == "checked"

describe("without memory", function()
  it("a send to a full worker keeps no message", function()
    if leaks then skip "LuaJIT itself leaks then, and asserts that it does not" end
    assert.are.equal("true\ttrue\nexit 0\n", program.run_failing(FULL))
  end)

  it("a failure goes with its state, also where nobody can be told of it", function()
    assert.are.equal("true\nexit 0\n", program.run_failing(UNTOLD))
  end)

  it("a job that is kept for the next task goes with its mailbox", function()
    assert.are.equal("true\nexit 0\n", program.run_failing(INNER))
  end)

  local function attempts(name, where, row)
    if leaks and where == "lua" then skip "LuaJIT itself leaks then, and asserts that it does not" end
    local output = sweep(name, where, row)
    local failures, refused = output:match "^ok (%d+) (%d+)\n$"
    assert(failures, ("WEIR_SEED=%d: %s"):format(seed, output))
    if os.getenv "WEIR_SWEEP" then io.stderr:write(("faults injected: %d (%s, %s, row %d)\n"):format(refused, name,
      where, row)) end
    return tonumber(failures), tonumber(refused)
  end

  for i, scenario in ipairs(scenarios) do
    local name, least = scenario[1], scenario[2]
    for _, where in ipairs { "lua", "own", "everywhere" } do
      it(("%s says so and loses nothing, when %s allocations fail"):format(name, where), function()
        local failures, refused = attempts(name, where, -1)
        assert.is_true(failures >= (where == "lua" and least or 0) and refused >= failures, failures)
      end)
    end
    local first, last = choose(i)
    for k = first, last do
      local where, row = others[k][1], others[k][2]
      it(("%s loses nothing, when requests (%s) are refused in rows of %d"):format(name, where, row), function()
        attempts(name, where, row)
      end)
    end
  end
end)
