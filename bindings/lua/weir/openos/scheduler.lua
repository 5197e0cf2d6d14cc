-- SPDX-License-Identifier: ISC
--
-- weir.openos.scheduler: fibers, and the order in which they run.
--
-- A fiber is a coroutine that the machine runs: a program, a thread, a listener's or a
-- timer's call. It is
--
--   ready     in `urgent` or in `ready`; or is_held, if it may not run when its turn comes
--   running   runs, or is somewhere below on the C stack (then is_nested: it waits)
--   waiting   until a signal, a time, or a call of wake
--   dead
--
-- It runs only while its process is not frozen and it is not is_covered (a listener of its
-- process runs). The loop below is a trampoline. A fiber may make others ready that must run
-- first (create, resume, push). It puts itself and them on the stack `urgent` and yields, so
-- the C stack does not grow. A fiber that cannot yield runs them in a loop of its own, on top
-- of the C stack, up to LIMIT such loops; beyond that they run later. A fiber that cannot
-- yield and waits runs a whole machine there.
--
-- When nothing is ready, a round begins: it takes what came from outside, one signal, and all
-- timers that are due.

local heaps = require "weir.heap"
local host = require "weir.openos.host"
local layer = require "weir.openos.layer"
local signals = require "weir.openos.signals"

local scheduler = {}

local heap = heaps.new()
scheduler.heap = heap

local unpack = table.unpack or unpack -- luacheck: ignore
local resume, status, MARK = layer.resume, layer.status, layer.MARK

local LIMIT = 100 -- loops on top of each other
local EXIT = setmetatable({ reason = "terminated" }, { __tostring = function() return "terminated" end })
scheduler.EXIT = EXIT

local root -- code outside of all fibers; its process is init
local current
local urgent, top = {}, 0
local ready, first, last = {}, 1, 0
local zero, n_zero = {}, 0 -- the fibers that wait for the end of the round
local depth, turning = 0, 0
local nested_woke = false -- a fiber on the C stack may go on
local to_urgent = false -- whether fibers that become ready go to `urgent`
local is_done, done_what = function() return false end, nil -- the run's end

--- The scheduler calls on.ended(fiber, ok, value), on.yielded(fiber, ...) (a program's own
-- yield), on.signal(signal), on.interrupt(), on.due(timer), and on.cut_off(fiber), which must
-- kill a fiber because its run has ended.
local on = {}
scheduler.on = on

function scheduler.fiber()
  return current
end

function scheduler.is_in_fiber()
  return current ~= root
end

function scheduler.is_turning()
  return turning > 0
end

function scheduler.start(process)
  root = { process = process, state = "running", since = 0 }
  current = root
end

-- ---- ready ---------------------------------------------------------------------

local function enqueue(fiber)
  if to_urgent then
    top = top + 1
    urgent[top] = fiber
  else
    last = last + 1
    ready[last] = fiber
  end
end

local function may_run(fiber)
  return fiber.process.frozen == 0 and not fiber.is_covered
end

local function end_wait(fiber)
  signals.leave(fiber)
  if fiber.place then heap:remove(fiber) end
  fiber.deadline, fiber.filter, fiber.is_due = nil, nil, nil
end

--- Ends a fiber's wait, with the signal or nil.
function scheduler.wake(fiber, result)
  end_wait(fiber)
  fiber.state, fiber.result = "ready", result
  if fiber.is_nested then nested_woke = true else enqueue(fiber) end
end
local wake = scheduler.wake

--- Calls fn(...); the fibers that it makes ready run before all others.
function scheduler.at_once(fn, ...)
  local before = to_urgent
  to_urgent = true
  fn(...)
  to_urgent = before
  host.wake()
end

function scheduler.wake_first(fiber, result)
  scheduler.at_once(wake, fiber, result)
end

--- Makes a fiber ready that has not run yet; it gets the values in `arguments`.
function scheduler.add(fiber, f, arguments)
  fiber.co = layer.create(f)
  fiber.state, fiber.is_raw, fiber.result = "ready", true, arguments
  enqueue(fiber)
end

--- Adds a fiber that runs before all others.
function scheduler.add_first(fiber, f, arguments)
  scheduler.at_once(scheduler.add, fiber, f, arguments)
end

--- Lets a fiber run again that was kept from running.
function scheduler.release(fiber)
  if fiber.is_held then
    fiber.is_held = nil
    if fiber.is_nested then nested_woke = true else enqueue(fiber) end
  elseif fiber.state == "waiting" then
    signals.look(fiber)
    local kept = signals.recall(fiber, fiber.list, fiber.filter)
    if kept or fiber.is_due then wake(fiber, kept) end
  end
end

function scheduler.kill(fiber)
  if fiber.state == "waiting" then end_wait(fiber) end
  fiber.state = "dead"
end

--- Ends a fiber whose request in a yield has failed.
function scheduler.fail(fiber, problem)
  fiber.state = "dead"
  on.ended(fiber, false, problem)
end

-- ---- running one ----------------------------------------------------------------

local function came_back(fiber, before, result, ok, what, ...)
  current = before
  if status(fiber.co) == "dead" then
    if fiber.state ~= "dead" then
      fiber.state = "dead"
      on.ended(fiber, ok, what)
    end
  elseif not ok then -- the C stack is full: the fiber has not been resumed
    fiber.state, fiber.result, fiber.is_raw = "ready", result, result ~= nil
    last = last + 1
    ready[last] = fiber
  elseif what ~= MARK and fiber.state ~= "dead" then
    on.yielded(fiber, what, ...)
  end
end

local function run(fiber)
  local before, result = current, nil
  current, fiber.state, fiber.base = fiber, "running", nil
  fiber.inner = fiber.inner or fiber.co
  if fiber.is_raw then
    result = fiber.result
    fiber.is_raw, fiber.result = nil, nil
  end
  if result then
    came_back(fiber, before, result, resume(fiber.co, unpack(result, 1, result.n)))
  else
    came_back(fiber, before, nil, resume(fiber.co))
  end
end

local function run_if_ready(fiber)
  if not fiber or fiber.state ~= "ready" or fiber.is_nested then return end
  if may_run(fiber) then run(fiber) else fiber.is_held = true end
end

local function run_top()
  local fiber = urgent[top]
  urgent[top] = nil
  top = top - 1
  run_if_ready(fiber)
end

local function run_first()
  local fiber = ready[first]
  ready[first] = nil
  first = first + 1
  if first > last then first, last = 1, 0 end
  run_if_ready(fiber)
end

-- ---- rounds ---------------------------------------------------------------------

local due = {}

local function expire(fiber)
  if fiber.state ~= "waiting" or not fiber.is_due then return end
  if signals.is_behind(fiber) then
    n_zero = n_zero + 1
    zero[n_zero] = fiber
  elseif may_run(fiber) then
    wake(fiber, nil)
  end -- otherwise it wakes when it may run
end

local function take_due()
  local now, n = host.now(), 0
  local entry = heap:pop(now)
  while entry do
    n = n + 1
    due[n], entry.is_due = entry, true
    entry = heap:pop(now)
  end
  for i = 1, n do
    entry, due[i] = due[i], false
    if entry.callback then on.due(entry) else expire(entry) end
  end
end

local function take_zero()
  local list, n = zero, n_zero
  if n == 0 then return end
  zero, n_zero = {}, 0
  for i = 1, n do expire(list[i]) end
end

local function time_left()
  if top > 0 or first <= last or n_zero > 0 or nested_woke or not signals.is_empty() then return 0 end
  local time = heap:due()
  if not time or time == math.huge then return nil end
  return math.max(time - host.now(), 0)
end

local function round()
  nested_woke = false
  host.poll(scheduler.loop)
  if not signals.is_full() and host.interrupted() then on.interrupt() end
  if not signals.is_empty() then signals.pop(on.signal) end
  take_zero()
  if heap:due() then take_due() end
  local left = time_left()
  if left ~= 0 or depth == 0 and host.is_shared() then host.wait(scheduler.loop, left, depth == 0) end
end

local function turn()
  if top > 0 then
    run_top()
  elseif first <= last then
    run_first()
  else
    round()
  end
end

-- ---- loops on top of a fiber ------------------------------------------------------

local function enter(fiber)
  depth, turning = depth + 1, turning + 1
  return current, to_urgent, layer.enter_loop(), fiber
end

local function leave_loop(before, sink, level)
  depth, turning = depth - 1, turning - 1
  current, to_urgent = before, sink
  layer.leave_loop(level)
end

local function is_too_deep()
  return depth >= LIMIT or depth >= LIMIT / 4 and not layer.has_room()
end

-- Runs the fibers above fiber.base on the stack.
local function run_above(fiber)
  local base = fiber.base
  urgent[base] = false
  if is_too_deep() then
    for i = top, base + 1, -1 do
      last = last + 1
      ready[last], urgent[i] = urgent[i], nil
    end
    top = base
  else
    local before, sink, level = enter(fiber)
    to_urgent = false
    while top > base do run_top() end
    leave_loop(before, sink, level)
  end
  if top == base then urgent[base], top = nil, base - 1 end
  fiber.base = nil
end

local function wait_here(fiber)
  if is_too_deep() then
    if fiber.state == "waiting" then end_wait(fiber) end
    fiber.state, fiber.is_held = "running", nil
    error("weir.thread: too many waits inside functions that cannot be suspended", 0)
  end
  fiber.is_nested = true
  local before, sink, level = enter(fiber)
  current, to_urgent = root, false
  while not (fiber.state == "dead" or fiber.state == "ready" and may_run(fiber)) do
    if fiber ~= root and is_done(done_what) then on.cut_off(fiber) else turn() end
  end
  leave_loop(before, sink, level)
  fiber.is_nested = nil
end

--- Leaves the running fiber until its next turn; layer calls it as well.
function scheduler.pass(fiber)
  if layer.leave(fiber) then return end
  if fiber.base then
    run_above(fiber)
  elseif fiber.state ~= "dead" then
    wait_here(fiber)
  end
  if fiber.state == "dead" then error(EXIT, 0) end
  fiber.state = "running"
end
local pass = scheduler.pass

local function check_alive(fiber)
  if fiber.state == "dead" then
    layer.leave(fiber) -- for ever
    error(EXIT, 0)
  end
end

-- ---- waiting ----------------------------------------------------------------------

--- Makes the fiber wait for a signal of `list` (see signals.enter) that filter(signal) accepts,
-- no longer than until `deadline` (nil: no limit; a deadline that has passed: until the end of
-- this round).
function scheduler.begin_wait(fiber, deadline, list, filter)
  fiber.state, fiber.filter = "waiting", filter
  signals.enter(fiber, list)
  if not deadline then return end
  if deadline > host.now() then
    heap:add(fiber, deadline)
  else
    n_zero = n_zero + 1
    zero[n_zero], fiber.is_due = fiber, true
  end
end

--- Begins the wait of a fiber that has yielded; a kept signal may end it at once.
function scheduler.begin_pull(fiber, deadline, list, filter)
  local kept = signals.recall(fiber, list, filter)
  scheduler.begin_wait(fiber, deadline, list, filter)
  if kept then wake(fiber, kept) end
end

--- Makes the running fiber wait; returns the signal, or nil. See begin_wait.
function scheduler.wait(deadline, list, filter)
  local fiber = current
  check_alive(fiber)
  local kept = signals.recall(fiber, list, filter)
  if kept then return kept end
  scheduler.begin_wait(fiber, deadline, list, filter)
  pass(fiber)
  local result = fiber.result
  fiber.result = nil
  return result
end

--- Calls prepare(...), runs the fibers that it makes ready, then returns prepare's result.
function scheduler.first(prepare, ...)
  local fiber, sink = current, to_urgent
  check_alive(fiber)
  if fiber == root and turning > 0 then -- from outside, while the machine waits or delivers
    local result = prepare(...)
    host.wake()
    return result
  end
  local base = top + 1
  urgent[base], top = fiber, base
  to_urgent = true
  local result = prepare(...)
  to_urgent = sink
  if top == base then
    urgent[top], top = nil, base - 1
    return result
  end
  for i = 1, (top - base) / 2 do
    urgent[base + i], urgent[top + 1 - i] = urgent[top + 1 - i], urgent[base + i]
  end
  fiber.base, fiber.state = base, "ready"
  pass(fiber)
  return result
end

--- Stops the running fiber here until it is released.
function scheduler.stop()
  local fiber = current
  check_alive(fiber)
  fiber.state, fiber.is_held = "ready", true
  pass(fiber)
end

--- Runs the machine until until_when(what). Only one such run at a time.
function scheduler.turn_until(until_when, what)
  local level = layer.enter_loop()
  local is_done_before, what_before = is_done, done_what
  turning, is_done, done_what = turning + 1, until_when, what
  while not until_when(what) do turn() end
  turning, is_done, done_what = turning - 1, is_done_before, what_before
  layer.leave_loop(level)
end

--- Resets the scheduler after an error inside turn_until.
function scheduler.reset()
  current, to_urgent, depth, turning = root, false, 0, 0
  is_done, done_what = function() return false end, nil
end

return scheduler
