-- SPDX-License-Identifier: ISC
--
-- wait.lua: suspends whoever calls until something is over, under whatever loop.

local core = require "weir.core"
local block = require "weir.loop.block"
local loops = require "weir.loop"
local mailbox = require "weir.mailbox"

local wait = {}

local clock = core.clock

-- Until is_ready(what) or the time has passed; returns what is_ready did.
local function suspend(waiter, is_ready, what, timeout, future)
  local deadline = timeout and clock() + timeout
  local left, ready = timeout, is_ready(what)
  if not ready and waiter.loop == block then -- what is here already counts, also with 0
    block.suspend(nil, 0)
    ready = is_ready(what)
  end
  while not ready and not (left and left <= 0) do
    mailbox.hold(waiter.loop)
    waiter.loop.suspend(waiter.co, left, future)
    left = deadline and deadline - clock()
    ready = is_ready(what)
  end
  return ready
end

local function new_waiter()
  local co = loops.running()
  return { co = co, loop = loops.of(co) }
end

--- Until the future is over: true; false when `timeout` seconds have passed.
function wait.one(future, timeout)
  if core.over(future) then return true end
  local waiter, key = new_waiter(), core.key(future)
  core.watch(future)
  mailbox.expect(key, waiter)
  local over = suspend(waiter, core.over, future, timeout, future)
  mailbox.forget(key, waiter)
  return over
end

local function first_over(futures)
  for i = 1, #futures do
    if core.over(futures[i]) then return i end
  end
end

--- Until one of the futures is over: its index; nil when the time has passed.
function wait.any(futures, timeout)
  local waiter = new_waiter()
  for i = 1, #futures do
    core.watch(futures[i])
    mailbox.expect(core.key(futures[i]), waiter)
  end
  local index = suspend(waiter, first_over, futures, timeout, futures[1])
  for i = 1, #futures do
    mailbox.forget(core.key(futures[i]), waiter)
  end
  return index
end

local RETRY = 0.01 -- when a queue is full of what others submitted, nobody tells us of space

--- Until attempt() returns something other than nil, "full"; it is tried again after
-- each job of this state that ends. Who came first is tried first.
function wait.for_space(attempt)
  local result, problem = attempt()
  while not result and problem == "full" do
    local waiter = new_waiter()
    core.tell_all(true)
    mailbox.expect("space", waiter)
    mailbox.hold(waiter.loop)
    waiter.loop.suspend(waiter.co, RETRY)
    mailbox.forget("space", waiter)
    result, problem = attempt()
  end
  if not mailbox.is_expected("space") then core.tell_all(false) end
  return result, problem
end

return wait
