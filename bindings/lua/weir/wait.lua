-- SPDX-License-Identifier: ISC
--
-- wait.lua: suspends whoever calls until something is over, under whatever loop.

local core = require "weir.core"
local block = require "weir.loop.block"
local loops = require "weir.loop"
local mailbox = require "weir.mailbox"

local wait = {}

local clock, over, watch = core.clock, core.over, core.watch
local running, loop_of = loops.running, loops.of
local expect, forget, hold = mailbox.expect, mailbox.forget, mailbox.hold
local held, waiting = mailbox.held, mailbox.waiting

local function take_what_is_here(loop)
  if loop == block then block.suspend(nil, 0) else mailbox.poll(loop) end
end

-- Until is_ready(what) or the time has passed; returns what is_ready did.
local function suspend(waiter, is_ready, what, timeout, future)
  local loop, co = waiter.loop, waiter.co
  local deadline = timeout and clock() + timeout
  local left, ready = timeout, nil
  if timeout and (loop == block or timeout <= 0) then -- what is here already counts
    take_what_is_here(loop)
    ready = is_ready(what)
  end
  while not ready and not (left and left <= 0) do
    hold(loop)
    loop.suspend(co, left, future)
    left = deadline and deadline - clock()
    ready = is_ready(what)
  end
  return ready
end

-- A coroutine waits once at a time, so it needs no more than one.
local waiters = setmetatable({}, { __mode = "k" })
local main_waiter = { loop = block } -- nobody has to be resumed for it

local function waiter_of(co)
  local waiter = co and waiters[co]
  -- The loop that has just let it go on still dispatches, and none inside that.
  if waiter and waiter.loop == mailbox.turning and not loops.is_told then return waiter end
  if not co then return main_waiter end
  local loop = loop_of(co)
  if waiter and waiter.loop == loop then return waiter end
  waiter = { co = co, loop = loop }
  waiters[co] = waiter
  return waiter
end

--- Until the future, which is not over yet, is. `key` and `is_held` are what watch said of
-- it. What every call comes through.
function wait.for_ever(future, key, is_held)
  local co = running()
  local waiter = waiter_of(co)
  local loop = waiter.loop
  if waiting[key] then expect(key, waiter) else waiting[key] = waiter end
  repeat
    local turning = mailbox.turning
    is_held = is_held and held[loop] and not loop.instance and (not turning or turning == loop)
    if loop.watch and not is_held then hold(loop) end
    is_held = false -- it may end while this waits
    loop.suspend(co, nil, future)
  until over(future)
  if waiting[key] then forget(key, waiter) end
end

--- Until the future is over: true; false when `timeout` seconds have passed.
function wait.one(future, timeout)
  local key = watch(future)
  if not key then return true end
  local waiter = waiter_of(running())
  expect(key, waiter)
  local is_over = suspend(waiter, over, future, timeout, future)
  forget(key, waiter)
  return is_over
end

local function first_over(futures)
  for i = 1, #futures do
    if over(futures[i]) then return i end
  end
end

-- The one by which to tell whether the wait could ever end: this pool's tasks may all be
-- stuck, of others nobody knows.
local function deciding(futures)
  for i = 1, #futures do
    if not core.is_own(futures[i]) then return futures[i] end
  end
  return futures[1]
end

--- Until one of the futures is over: its index; nil when the time has passed.
function wait.any(futures, timeout)
  local index = first_over(futures)
  if index then return index end
  local waiter = waiter_of(running())
  for i = 1, #futures do
    expect(watch(futures[i]), waiter)
  end
  index = suspend(waiter, first_over, futures, timeout, deciding(futures))
  for i = 1, #futures do
    forget(core.key(futures[i]), waiter)
  end
  return index
end

--- Until the turn at a mutex has come: true; false when its owner has ended.
function wait.signal(turn)
  local key = watch(turn)
  if key then
    local waiter = waiter_of(running())
    expect(key, waiter)
    suspend(waiter, over, turn)
    forget(key, waiter)
  end
  return (core.take(turn))
end

--- Suspends for that long.
function wait.seconds(seconds)
  local waiter, deadline = waiter_of(running()), clock() + seconds
  local left = seconds
  repeat
    waiter.loop.suspend(waiter.co, left)
    left = deadline - clock()
  until left <= 0
end

--- Who waits here and under what: a new {co =, loop =}.
function wait.place()
  local co = running()
  return { co = co, loop = loop_of(co) }
end

return wait
