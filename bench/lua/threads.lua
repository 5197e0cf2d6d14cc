-- SPDX-License-Identifier: ISC
--
-- threads.lua: what weir.thread costs, with few threads and with many. Run it as
--    lua bench/lua/threads.lua
-- with the paths that tools/lua sets. Prints name, how many, value, unit.

local thread = require "weir.thread"
local event = require "weir.event"

local FEW, MANY = 1000, 100000
local REPEATS = 3

local now = event.uptime

local function median(list)
  table.sort(list)
  return list[math.floor((#list + 1) / 2)]
end

-- The median of some runs, each a program of its own that returns its figure by `give`.
local function measure(program, ...)
  local figures = {}
  for i = 1, REPEATS do
    collectgarbage()
    collectgarbage()
    thread.run(program, function(figure) figures[i] = figure end, ...)
  end
  return median(figures)
end

local function row(name, n, value, unit)
  print(("%-44s %7d %14.2f %s"):format(name, n, value, unit))
end

local function kill_all(list)
  for i = #list, 1, -1 do list[i]:kill() end
end

local SWITCHES, SWITCHERS = 400000, 10

-- Ten threads sleep(0) in turn; n others sleep.
local function switch(give, n)
  local sleepers = {}
  for i = 1, n do sleepers[i] = thread.create(thread.sleep, 1e6 + i % 1000) end
  local list = {}
  local before = now()
  for i = 1, SWITCHERS do
    list[i] = thread.create(function()
      for _ = 1, SWITCHES / SWITCHERS do thread.sleep() end
    end)
  end
  thread.waitForAll(list)
  give(SWITCHES / (now() - before))
  kill_all(sleepers)
end

-- All n sleep for a while, again and again, at times that differ.
local function sleep(give, n)
  local list, wakes, wanted = {}, 0, math.max(400000, 4 * n)
  for i = 1, n do
    list[i] = thread.create(function()
      event.pull "go"
      for k = 1, math.huge do
        thread.sleep(((i * 7919 + k * 104729) % 1000) * 1e-6)
        wakes = wakes + 1
        if wakes == wanted then event.push "enough" end
      end
    end)
  end
  event.push "go"
  local from, before = wakes, now()
  event.pull "enough"
  give((wakes - from) / (now() - before))
  kill_all(list)
end

-- One signal goes back and forth between two threads; n others wait for others.
local function signal(give, n)
  local others, rounds = {}, 50000
  for i = 1, n do others[i] = thread.create(event.pull, "other" .. i % 100) end
  local a = thread.create(function() for _ = 1, rounds do event.pull "ping" event.push "pong" end end)
  local before = now()
  local b = thread.create(function() for _ = 1, rounds do event.push "ping" end end)
  thread.waitForAll { a, b }
  give(rounds / (now() - before))
  kill_all(others)
end

-- n threads are made, sleep once, and end: the last one's end ends it.
local function finish(give, n)
  local left = n
  local before = now()
  for _ = 1, n do
    thread.create(function()
      thread.sleep()
      left = left - 1
    end)
  end
  repeat thread.sleep() until left == 0
  give((now() - before) / n * 1e6)
end

local function memory(give, n)
  local function kib()
    collectgarbage()
    collectgarbage()
    return collectgarbage "count"
  end
  local list = {}
  for i = 1, n do list[i] = false end
  local before = kib()
  for i = 1, n do
    list[i] = coroutine.create(function() coroutine.yield() end)
    coroutine.resume(list[i])
  end
  local bare = kib() - before
  for i = 1, n do list[i] = false end
  before = kib()
  for i = 1, n do list[i] = thread.create(function() thread.sleep(1e6) end) end
  local ours = kib() - before
  kill_all(list)
  give((ours - bare) / n)
end

print(_VERSION, rawget(_G, "jit") and jit.version or "") -- luacheck: globals jit
local function pair(name, program, unit, limit)
  local few, many = measure(program, FEW), measure(program, MANY)
  row(name, FEW, few, unit)
  row(name, MANY, many, unit)
  row("  many to few", MANY, many / few, "(" .. limit .. ")")
end
pair("ten threads switch, n others sleep", switch, "switches/s", "1/3 and more")
pair("n threads sleep and wake", sleep, "wakes/s", "1/3 and more")
pair("a signal between two, n wait for others", signal, "signals/s", "1/3 and more")
pair("a thread is made, sleeps and ends", finish, "us each", "up to 3")
row("memory above a bare coroutine", MANY, measure(memory, MANY), "KiB each (up to 2.5)")
