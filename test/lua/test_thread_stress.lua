-- SPDX-License-Identifier: ISC
--
-- Threads that do anything to each other, at random, on the test's clock. Every run must
-- end with all attached threads dead, and raise nothing but what the threads raise.
-- WEIR_SEED=N repeats one.

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local event = require "weir.event"
-- luacheck: read globals os.sleep
local openos = require "support.openos"
local thread = require "weir.thread"

local random = math.random
local NAMES = { "a", "b", "c", "d" }
local STEPS, THREADS = 5000, 200

local threads, steps, act

local function name() return NAMES[random(4)] end

local function with_any(f)
  return function()
    if #threads > 0 then f(threads[random(#threads)]) end
  end
end

local function create()
  if #threads < THREADS then threads[#threads + 1] = thread.create(act, random(6)) end
end

local doings = {
  create, create,
  function() os.sleep(random(0, 3)) end,
  function() event.push(name(), random(3)) end,
  function() event.pull(random(0, 3), name()) end,
  function() event.pull(random(3), name(), random(3)) end,
  function() event.pullMultiple(random(2), "a", "c") end,
  function() coroutine.yield(random(2), name()) end,
  function() coroutine.wrap(function() act(random(2)) coroutine.yield(1) end)() end,
  function()
    local left = random(3)
    event.listen(name(), function() left = left - 1 act(random(2)) return left > 0 end)
  end,
  function() event.timer(random(0, 2), function() act(random(2)) end, random(3)) end,
  function() event.cancel(random(3)) end,
  with_any(function(t) t:suspend() end),
  with_any(function(t) t:resume() end),
  with_any(function(t) if random(4) == 1 then t:kill() end end),
  with_any(function(t) t:join(random(0, 2)) end),
  with_any(function(t) thread.waitForAny({ t, threads[1] }, random(3)) end),
  with_any(function(t) t:attach(random(0, 3)) end),
  with_any(function(t) t:detach() end),
  function() if random(20) == 1 then os.exit(random(5)) end end,
  function() if random(10) == 1 then error("mine", 0) end end,
}

function act(n)
  for _ = 1, n do
    steps = steps + 1
    if steps > STEPS then return end
    doings[random(#doings)]()
  end
end

local function program()
  for _ = 1, 20 do threads[#threads + 1] = thread.create(act, random(30)) end
  act(40)
end

describe("threads at random", function()
  before_each(function() openos.fake() end)
  after_each(function() openos.fake(false) end)

  it("end, and lose nothing but themselves", function()
    local seed = tonumber(os.getenv "WEIR_SEED") or os.time()
    for i = seed, seed + 4 do
      math.randomseed(i)
      threads, steps = {}, 0
      local ok, problem = pcall(openos.run, program)
      assert(ok, ("WEIR_SEED=%d: %s"):format(i, tostring(problem)))
      for _, message in ipairs(openos.errors) do
        assert(message:find "mine$", ("WEIR_SEED=%d: %s"):format(i, message))
      end
      for _, t in ipairs(threads) do t:kill() end -- the detached ones
      for _, t in ipairs(threads) do assert.are.equal("dead", t:status()) end
      openos.prints("", function() os.sleep(1) end) -- and the machine goes on
    end
  end)
end)
