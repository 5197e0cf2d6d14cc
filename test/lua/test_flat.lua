-- SPDX-License-Identifier: ISC
--
-- test_flat.lua: memory stays flat over many calls and many distinct closures. The first
-- fifth warms up; after that neither the state's memory nor the process's may grow by
-- more than what the allocators keep. WEIR_FLAT=full: a million calls, 100,000 functions.

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local weir = require "weir"

local FULL = os.getenv "WEIR_FLAT" == "full"
local CALLS, FUNCTIONS = FULL and 1e6 or 30000, FULL and 1e5 or 5000
-- A sanitizer, or valgrind, keeps what was freed.
local KEEPS = { asan = true, tsan = true, memcheck = true }
local STATE_KIB, PROCESS_KIB = 256, KEEPS[os.getenv "WEIR_LUA_VARIANT"] and math.huge or 4096
local load = loadstring or load -- luacheck: ignore

local function resident_kib()
  local file = assert(io.open "/proc/self/statm")
  local _, pages = file:read("*n", "*n")
  file:close()
  return pages * 4
end

local function memory()
  collectgarbage()
  collectgarbage()
  return collectgarbage "count", resident_kib()
end

-- call(i) for i = 1 to n, 100 in flight; each result is checked by it.
local function stays_flat(n, start, check)
  local pool = assert(weir.pool { threads = 2 })
  local function series(first, last)
    for i = first, last, 100 do
      local futures = {}
      for k = i, math.min(i + 99, last) do futures[k] = start(pool, k) end
      for k, future in pairs(futures) do check(k, future:get()) end
    end
  end
  local warm = math.floor(n / 5)
  series(1, warm)
  local state, process = memory()
  series(warm + 1, n)
  local state_after, process_after = memory()
  pool:close()
  assert.is_true(state_after - state < STATE_KIB, ("the state grew by %.0f KiB"):format(state_after - state))
  assert.is_true(process_after - process < PROCESS_KIB,
    ("the process grew by %.0f KiB"):format(process_after - process))
end

describe("memory is flat", function()
  it("over many calls", function()
    local function describe_it(i, text) return i, { text, n = i } end
    stays_flat(CALLS, function(pool, i) return pool:run(describe_it, i, "text " .. i) end, function(i, ok, n, t)
      assert(ok and n == i and t.n == i and t[1] == "text " .. i)
    end)
  end)

  it("over many functions, no two with the same bytes", function()
    stays_flat(FUNCTIONS, function(pool, i)
      return pool:run(assert(load(("return function(x) return x + %d end"):format(i)))(), 1)
    end, function(i, ok, value) assert(ok and value == i + 1) end)
  end)

  it("over many closures with variables of their own", function()
    stays_flat(FUNCTIONS, function(pool, i)
      local mine = { i }
      return pool:run(function() return mine[1] end)
    end, function(i, ok, value) assert(ok and value == i) end)
  end)

  it("in the state of an idle worker: a call of plain values leaves no garbage", function()
    local pool = assert(weir.pool { threads = 1 })
    local add = assert(load "return function(a, b) return a + b end")() -- with the globals alone
    local function work(n)
      for i = 1, n do assert.equal(i + 1, select(2, pool:run(add, i, 1):get())) end
      return select(2, pool:run(collectgarbage, "count"):get())
    end
    work(200) -- the functions are kept from the first time on, and LuaJIT compiles them
    local before = work(1)
    assert.equal(before, work(200))
    pool:close()
  end)
end)
