-- SPDX-License-Identifier: ISC
--
-- weir.openos.host: the outside world of the machine: a clock, a way to wait, and SIGINT. The
-- scheduler uses nothing else of the outside, so tests replace these functions with a clock of
-- their own.

local loops = require "weir.loop"
local signal = require "weir.signal"

local host = {}

local clock = loops.clock
local booted = clock()

local interrupt -- the catcher of SIGINT, while the machine runs
local is_shared = false
local outside -- {loop =, co =} while the machine is suspended under another loop
local watched -- {fd =, fn =}: the mailbox, while something is to come back
local stops = {} -- functions that end the watches of that loop for the machine

--- Seconds since the module was loaded.
function host.now()
  return clock() - booted
end

--- Whether SIGINT has come since the last call.
function host.interrupted()
  return interrupt ~= nil and interrupt:take()
end

local function take_interrupt()
  interrupt:drain()
  host.wake()
end

local function watch_in(loop, what, fd, fn)
  if not stops[what] and loop.watch then stops[what] = loop.watch(fd, fn) end
end

local function suspend(loop, co, timeout)
  if interrupt then watch_in(loop, interrupt, interrupt:fd(), take_interrupt) end
  if watched then watch_in(loop, watched, watched.fd, watched.fn) end
  outside = { loop = loop, co = co }
  loop.suspend(co, timeout)
  outside = nil
end

local function block(machine, timeout)
  loops.turn(machine, timeout, interrupt and interrupt:fd())
  if interrupt then interrupt:drain() end
end

--- Waits until something has come from outside, no longer than `timeout` seconds (nil: no
-- limit). At the bottom, where no thread is on the C stack, it suspends its coroutine under
-- the loop that the machine runs in.
function host.wait(machine, timeout, at_bottom)
  local co = at_bottom and loops.running()
  local loop = co and loops.of(co) or loops.block
  if loop == loops.block then block(machine, timeout) else suspend(loop, co, timeout) end
end

--- Takes deliveries that have come back, without waiting.
function host.poll(machine)
  if watched then loops.turn(machine, 0) end
end

local function unwatch(what)
  if watched == what then watched = nil end
  if stops[what] then stops[what]() end
  stops[what] = nil
end

--- The machine's watch, as a loop: see weir.loop.
function host.watch(fd, fn)
  local what = { fd = fd, fn = fn }
  watched = what
  return function() unwatch(what) end
end

--- Makes a waiting machine look again. Called from outside.
function host.wake()
  if outside then outside.loop.resume(outside.co) end
end

--- Whether the machine runs under another loop, which must get its turns.
function host.is_shared()
  return is_shared
end

function host.open()
  is_shared = loops.of(loops.running()) ~= loops.block
  interrupt = signal.catch "INT" -- nil in a task, or in a second state: they have none
end

function host.close()
  for what, stop in pairs(stops) do
    stops[what] = nil
    stop()
  end
  if interrupt then interrupt:release() end
  interrupt, outside, is_shared = nil, nil, false
end

return host
