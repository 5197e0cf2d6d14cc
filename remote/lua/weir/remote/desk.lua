-- SPDX-License-Identifier: ISC
--
-- desk.lua: what comes back to this state from farms, and who waits for it, under any loop.
--
-- A loop watches the desk's descriptor while an answer is to come or something serves, so that
-- it ends by itself afterwards. Without a loop a wait blocks the thread, and serves what comes
-- back to the state's pools meanwhile. Waits of this module poll the descriptor as well. While
-- another wait of weir blocks the state, a thread polls it for as long, and tells the state.

local core = require "weir.remote.core"
local loops = require "weir.loop"
local weir = require "weir"

local desk = {}

local ANSWER, REQUEST, STOP, EVENT = 0, 1, 2, 3

local held = {} -- loop -> function that ends its watch
local answers = {} -- number -> function(outcome, a, b)
local numbers = 0
local servers = {} -- request's number -> function that stops it
local holders = 0 -- farms that serve or close
local events = {} -- number -> function(code, sentence)
local listeners = 0
local closers = {} -- waiters, woken at each delivery: the last one of a farm says that it is over
local on_request -- takes a request, returns the function that stops it

local function complain(problem)
  io.stderr:write("weir.remote: ", tostring(problem), "\n")
end

--- Resumes who waits.
function desk.wake(waiters)
  local list = {}
  for waiter in pairs(waiters) do list[#list + 1] = waiter end -- what resumes may wait again
  for i = 1, #list do
    if list[i].loop ~= loops.block then list[i].loop.resume(list[i].co) end
  end
end

-- ---- what has come ------------------------------------------------------------

local take = {
  [ANSWER] = function(number, outcome, a, b)
    local settle = answers[number]
    answers[number] = nil
    settle(outcome, a, b)
  end,
  [REQUEST] = function(number, request)
    servers[number] = on_request(request, number, function() servers[number] = nil end)
  end,
  [STOP] = function(number)
    if servers[number] then servers[number]() end
  end,
  [EVENT] = function(number, code, _, sentence)
    if events[number] then events[number](code, sentence) end
  end,
}

local function take_one(kind, ...)
  if not kind then return false end
  local ok, problem = pcall(take[kind], ...)
  if not ok then complain(problem) end
  return true
end

local poll -- the future of a task that polls; nil: there is none

local function is_idle() return holders == 0 and not core.pending() end

local function let_go()
  if not is_idle() then return end
  if poll then poll:cancel() end
  for loop, stop in pairs(held) do
    held[loop] = nil
    stop()
  end
end

--- Takes what the desk's main has found: whether there was anything.
function desk.take_found()
  local came = take_one(core.take())
  while came and take_one(core.take()) do end
  return came
end

--- Takes what has come, without waiting.
function desk.deliver()
  core.turn()
  desk.take_found()
  desk.wake(closers)
  let_go()
end

-- ---- waiting ------------------------------------------------------------------

-- Whoever holds: the loop watches until nothing is to come.
local function hold(loop)
  if held[loop] or not loop.watch then return end
  held[loop] = loop.watch(core.fd(), desk.deliver) or nil
end

--- Has a loop look after what comes back, even if nobody waits for it.
function desk.look_after()
  hold(loops.to_hold(loops.running()))
end

local pool -- of the thread that polls

-- On that thread. A signal ends it as well.
local function poll_once(fd)
  local there = require "weir.loop"
  there.turn(there.block, nil, fd)
end

local function polled()
  poll = nil
  desk.deliver()
end

local function begin_poll()
  pool = pool or weir.pool_async { name = "remote", lazy = true, threads_max = 1, idle = 1 }
  poll = pool and pool:run(poll_once, core.fd())
  if poll then poll:on_settle(polled) end
end

-- The waits below do not come here, because they turn the loop by themselves.
local before = loops.block.before
loops.before_block(function()
  if before then before() end
  if not poll and not is_idle() then pcall(begin_poll) end
end)

local function block(timeout)
  loops.turn(loops.block, timeout, core.fd())
  desk.deliver()
end

--- Waits until `waiters`, a table of the caller's, is told by desk.wake, and is_over() holds; or
-- until `timeout` seconds have passed. Returns what is_over returned last.
function desk.wait(waiters, is_over, timeout)
  local co = loops.running()
  local loop = loops.of(co)
  local deadline = timeout and loops.clock() + timeout
  local me = { co = co, loop = loop }
  waiters[me] = true
  if not is_over() then desk.deliver() end
  local left = timeout
  while not is_over() and not (left and left <= 0) do
    if loop == loops.block then
      block(left)
    else
      hold(loop)
      loop.suspend(co, left)
    end
    left = deadline and deadline - loops.clock()
  end
  waiters[me] = nil
  return is_over()
end

--- Waits until is_over(), which is asked when something was delivered.
function desk.wait_at_end(is_over, timeout)
  return desk.wait(closers, is_over, timeout)
end

-- ---- who expects something ------------------------------------------------------

--- A number for a job, whose answer goes to settle(outcome, a, b): of outcome 0 content type and
-- bytes, else the error's name and text.
function desk.expect(settle)
  numbers = numbers + 1
  answers[numbers] = settle
  return numbers
end

--- The job was refused.
function desk.forget(number)
  answers[number] = nil
end

--- From now on, until the function that it returns is called, a loop is held.
function desk.hold()
  local holding = true
  holders = holders + 1
  desk.look_after()
  return function()
    if holding then holders = holders - 1 end
    holding = false
    let_go()
  end
end

--- A number for a farm, whose events go to fn(code, sentence), which may be nil.
function desk.hear(fn)
  listeners = listeners + 1
  events[listeners] = fn
  return listeners
end

--- The farm is closed, or was not opened.
function desk.deafen(number)
  events[number] = nil
end

--- Who takes requests: fn(request, number, ended) returns a function that stops it, and calls
-- ended(). The thread that runs it calls core.begin(number).
function desk.on_request(fn)
  on_request = fn
end

return desk
