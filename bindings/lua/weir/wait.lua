-- SPDX-License-Identifier: ISC
--
-- wait.lua: suspends the caller until something is over, under any loop.

local core = require "weir.core"
local block = require "weir.loop.block"
local loops = require "weir.loop"
local mailbox = require "weir.mailbox"

local wait = {}

local clock, over, watch = core.clock, core.over, core.watch
local running, loop_of = loops.running, loops.of
local expect, forget, hold = mailbox.expect, mailbox.forget, mailbox.hold
local waiting = mailbox.waiting
local is_51, loaded = _VERSION == "Lua 5.1", package.loaded -- or LuaJIT

local function take_what_is_here(loop)
  if loop == block then block.suspend(nil, 0) else mailbox.poll(loop) end
end

-- Waits until is_ready(what) or until the time has passed; returns what is_ready returned.
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

-- A coroutine is in one wait at a time, so it needs only one waiter.
local waiters = setmetatable({}, { __mode = "k" })
local main_waiter = { loop = block } -- there is no coroutine to resume

local function waiter_of(co)
  if not co then return main_waiter end
  local waiter = waiters[co]
  if waiter and mailbox.is_still(waiter.loop, co) then return waiter end
  local loop = loop_of(co)
  if waiter and waiter.loop == loop then return waiter end
  waiter = { co = co, loop = loop }
  waiters[co] = waiter
  return waiter
end

--- Waits until a future is over that is not over yet, in the coroutine co. `key`, `is_held` and
-- `co` are the results of watch(future). Every call passes here, so it is kept fast.
function wait.for_ever(future, key, is_held, co)
  if is_51 and loaded.coxpcall then co = running() end
  local waiter = co and waiters[co]
  local loop = waiter and waiter.loop
  local is_sure = loop and is_held and loop == mailbox.sure
  if not is_sure then
    waiter = waiter_of(co)
    loop = waiter.loop
  end
  if waiting[key] then expect(key, waiter) else waiting[key] = waiter end
  repeat
    if not is_sure and loop.watch then hold(loop, is_held) end
    is_sure, is_held = false, false -- the watch may end while this waits
    loop.suspend(co, nil, future)
  until not waiting[key] or over(future) -- whoever wakes it, takes it out
  if waiting[key] then forget(key, waiter) end
end

--- Waits until the future is over: true; or false if `timeout` seconds have passed.
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

-- The future by which the core tells whether the wait can ever end. A future of another pool
-- decides if there is one, because only the tasks of this pool are known to be stuck.
local function deciding(futures)
  for i = 1, #futures do
    if not core.is_own(futures[i]) then return futures[i] end
  end
  return futures[1]
end

--- Waits until one of the futures is over: its index; or nil if the time has passed.
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

--- Waits for a turn at a mutex: true; or false if its owner has ended.
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

--- Suspends for so many seconds.
function wait.seconds(seconds)
  local waiter, deadline = waiter_of(running()), clock() + seconds
  local left = seconds
  repeat
    waiter.loop.suspend(waiter.co, left)
    left = deadline - clock()
  until left <= 0
end

--- A new waiter for the caller: {co =, loop =}.
function wait.place()
  local co = running()
  return { co = co, loop = loop_of(co) }
end

return wait
