-- SPDX-License-Identifier: ISC
--
-- test_many.lua: many concurrent calls under each loop, each result checked: none wrong,
-- none lost. WEIR_MANY=20x3000 makes that many runs of so many calls; 1x1000 is the default.

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local runs, calls = (os.getenv "WEIR_MANY" or "1x1000"):match "^(%d+)x(%d+)$"
runs, calls = assert(tonumber(runs), "WEIR_MANY must be RUNSxCALLS"), tonumber(calls)
local is_full = os.getenv "WEIR_MANY" ~= nil

local weir = require "weir"

for _, name in ipairs { "timerwheel", "copas.semaphore" } do -- Debian packages neither
  package.preload[name] = package.preload[name] or function() return require("support." .. name) end
end

-- Each starts the functions as coroutines and returns when nothing is left to do.
local drives = {}

function drives.block(functions)
  for i = 1, #functions do functions[i]() end
end

function drives.copas(functions)
  local copas = require "copas"
  if not copas.wakeup then error "Copas is older than 4" end
  for i = 1, #functions do copas.addthread(functions[i]) end
  copas.loop()
end

function drives.luv(functions)
  local uv = require "luv"
  for i = 1, #functions do assert(coroutine.resume(coroutine.create(functions[i]))) end
  uv.run()
end

function drives.cqueues(functions)
  local controller = require("cqueues").new()
  for i = 1, #functions do controller:wrap(functions[i]) end
  assert(controller:loop())
end

-- What a call brings back depends on which it is, in several ways.
local function work(i, text, t)
  for _ = 1, i % 7 * 100 do end
  if i % 11 == 0 then error({ i }, 0) end
  return i * 3, text .. i, { t[1] + 1, i }
end

local function is_right(i, ok, a, b, c)
  if i % 11 == 0 then return not ok and type(a) == "table" and a[1] == i end
  return ok and a == i * 3 and b == "call " .. i and c[1] == i + 1 and c[2] == i
end

-- right, wrong and lost of one run
local function run(drive, pool)
  local right, wrong, functions = 0, 0, {}
  for i = 1, calls do
    functions[i] = function()
      if is_right(i, pool:run(work, i, "call ", { i }):get()) then right = right + 1 else wrong = wrong + 1 end
    end
  end
  drive(functions)
  return right, wrong, calls - right - wrong
end

-- Submitted together, so that without a loop, too, they are under way at once.
local function run_blocking(_, pool)
  local right, wrong, futures = 0, 0, {}
  for i = 1, calls do futures[i] = pool:run(work, i, "call ", { i }) end
  for i = 1, calls do
    if is_right(i, futures[i]:get()) then right = right + 1 else wrong = wrong + 1 end
  end
  return right, wrong, calls - right - wrong
end

local function all(name)
  local total = { 0, 0, 0 }
  for _ = 1, runs do
    local pool = assert(weir.pool { threads = 4 })
    local counts = { (name == "block" and run_blocking or run)(drives[name], pool) }
    for i = 1, 3 do total[i] = total[i] + counts[i] end
    local s = pool:stats()
    assert.are.same({ calls, 0 }, { s.ok + s.failed, s.queued })
    assert.is_true(pool:close())
  end
  if is_full then
    print(("%s under %s: %d calls right, %d wrong, %d lost"):format(os.getenv "WEIR_LUA" or _VERSION, name,
      total[1], total[2], total[3]))
  end
  assert.are.same({ runs * calls, 0, 0 }, total)
end

describe("of many concurrent calls", function()
  for _, name in ipairs { "block", "luv", "cqueues", "copas" } do
    it("none is wrong and none is lost under " .. name, function()
      if name ~= "block" and not pcall(require, name) then skip(name .. " is not here") end
      if name == "copas" and not require("support.in_copas").module() then skip "Copas 4 is not here" end
      if name == "luv" then weir.loop.use(weir.loop.luv) end -- others may be loaded by other tests
      local ok, problem = pcall(all, name)
      weir.loop.use(nil)
      if not ok then error(problem, 0) end
    end)
  end
end)
