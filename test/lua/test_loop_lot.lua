-- SPDX-License-Identifier: ISC
--
-- test_loop_lot.lua: many ends that a loop takes at once.

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local folder = require "support.folder"

-- A loop that the test turns by hand; `made.resume` may be replaced.
local BEGIN = [[
  local weir, gate = require "weir", require "support.gate"
  local made, watched, suspended = {}, nil, {}
  function made.owns() return true end
  function made.suspend(co)
    suspended[co] = true
    coroutine.yield()
    suspended[co] = nil
  end
  function made.resume(co)
    if suspended[co] then assert(coroutine.resume(co)) end
  end
  function made.watch(_, fn)
    watched = fn
    return function() watched = nil end
  end
  weir.loop.use(made)
  local pool = assert(weir.pool_async { threads = 1 })
  local here = gate.new()
  pool:run(gate.pass, here) -- the others wait behind it
  local function start(n, f)
    for i = 1, n do
      assert(coroutine.resume(coroutine.create(f), i, pool:run(function(k) return k end, i)))
    end
    local done = gate.new()
    pool:run(gate.open, done)
    gate.open(here)
    gate.pass(done) -- what ran before it has been told
  end
]]

local function run(text)
  return folder.run(BEGIN .. text)
end

describe("many ends at once", function()
  it("wake everybody who waits, also those who wait anew meanwhile", function()
    assert.are.equal("300\t300\nexit 0\n", run [[
      local first, second = 0, 0
      start(300, function(i, future)
        local ok, value = future:get()
        first = first + (ok and value == i and 1 or 0)
        ok, value = pool:run(function(k) return -k end, i):get() -- with a key that was just told
        second = second + (ok and value == -i and 1 or 0)
      end)
      while second < 300 do weir.loop.turn(made, 60) end
      print(first, second)]])
  end)

  it("go on after an error of the loop", function()
    assert.are.equal("false\n9\nexit 0\n", run [[
      local woken, resume, calls = 0, made.resume, 0
      function made.resume(co)
        calls = calls + 1
        if calls == 3 then error "no" end
        resume(co)
      end
      start(10, function(_, future)
        future:get()
        woken = woken + 1
      end)
      print((pcall(weir.loop.turn, made, 60)))
      weir.loop.turn(made, 0)
      print(woken)]])
  end)

  it("may be taken by who is woken", function()
    assert.are.equal("10\nexit 0\n", run [[
      local woken = 0
      start(10, function(i, future)
        future:get()
        woken = woken + 1
        if i == 1 then weir.loop.turn(made, 0) end -- inside a delivery
      end)
      while woken < 10 do weir.loop.turn(made, 60) end
      print(woken)]])
  end)

  it("are not slept on by who is woken and blocks", function()
    assert.are.equal("true\t10\nexit 0\n", run [[
      local open, woken, passed = gate.new(), 0, nil
      start(10, function(i, future)
        future:get()
        woken = woken + 1
        if i == 1 then
          weir.loop.use(nil)
          passed = pool:run(gate.pass, open):get()
        elseif i == 2 then
          gate.open(open)
        end
      end)
      weir.loop.turn(made, 60)
      print(passed, woken)]])
  end)
end)
