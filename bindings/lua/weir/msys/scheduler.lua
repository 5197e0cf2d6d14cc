-- SPDX-License-Identifier: ISC
--
-- weir.msys.scheduler: sessions as coroutines, timers, and what comes back to this state.
--
-- DESIGN. A session is READY (in the queue), RUNNING (current), WAITING (its loop.resume
-- or its deadline makes it READY, whichever is first) or ended. Only `resume` runs a session;
-- meanwhile the global _TLS is the session's. A yield that is no wait of weir's lets the other
-- sessions go first. The asynchronous calls of a session start when it has yielded or ended
-- (scheduler.on_leave). One turn resumes the sessions that were ready when it began, then
-- takes what has come back. It blocks only if no session is ready.

local check = require "weir.check"
local heaps = require "weir.heap"
local loops = require "weir.loop"
local weir = require "weir"
local yieldable = require "weir.yieldable"

local scheduler = {}

local loop = { name = "msys", main_waits = true }
scheduler.loop = loop

local clock = loops.clock
local globals = _G
local sessions = setmetatable({}, { __mode = "k" }) -- coroutine -> session
local ready, first, last = {}, 1, 0
local due = heaps.new() -- waiting sessions with a deadline, and timers
local alive, made = 0, 0
local current
local turning = false

--- The running session, or nil in the main program.
function scheduler.current() return current end

function scheduler.is_turning() return turning end

-- ---- sessions -----------------------------------------------------------------

local function make_ready(session)
  if session.queued then return end
  session.queued = true
  last = last + 1
  ready[last] = session
end

-- An error in a function that the scheduler calls must not end the scheduler.
local function report(co, problem)
  weir.report(problem, debug.traceback(co, check.text(problem)))
end

local function ended(session, ok, ...)
  alive = alive - 1
  sessions[session.co] = nil
  if session.owner then session.owner:release() end
  if session.ended then
    session.ended(ok, ...)
  elseif not ok then
    report(session.co, ...)
  end
  if not ok and coroutine.close then coroutine.close(session.co) end
end

local function after(session, outer, outer_tls, ...)
  session.tls = rawget(globals, "_TLS")
  current = outer
  rawset(globals, "_TLS", outer_tls)
  scheduler.on_leave(session)
  if coroutine.status(session.co) == "dead" then
    ended(session, ...)
  elseif not session.waiting then
    make_ready(session)
  end
end

local unpack = table.unpack or unpack -- luacheck: ignore

-- A session's arguments, once.
local function arguments_of(session)
  local arguments = session.arguments
  session.arguments = nil
  if arguments then return unpack(arguments, 1, arguments.n) end
end

local function resume(session)
  local outer, outer_tls = current, rawget(globals, "_TLS")
  session.queued = false
  current = session
  rawset(globals, "_TLS", session.tls)
  return after(session, outer, outer_tls, coroutine.resume(session.co, arguments_of(session)))
end

--- Starts fn(...) as a session, at the next turn.
-- @tparam table options ended(ok, ...): called when it has ended, instead of a report;
--   tls: the table that is its _TLS; label: its name in messages
function scheduler.spawn(options, fn, ...)
  made = made + 1
  local session = {
    tls = options.tls or {}, ended = options.ended, label = options.label or "session " .. made, deferred = {},
    co = coroutine.create(fn), arguments = { n = select("#", ...), ... },
  }
  sessions[session.co] = session
  alive = alive + 1
  make_ready(session)
  return session
end

-- ---- as a loop of weir --------------------------------------------------------

function loop.owns(co)
  return current ~= nil and current.co == co and yieldable()
end

--- The coroutine of the running session, if it can be suspended here.
function scheduler.suspendable()
  local co = loops.running()
  return co and loops.of(co) == loop and co
end

function loop.suspend(_, timeout)
  local session = current
  if timeout then due:add(session, clock() + timeout) end
  session.waiting = true
  coroutine.yield()
  session.waiting = false
  due:remove(session)
end

function loop.resume(co)
  local session = sessions[co]
  if session and session.waiting then make_ready(session) end
end

function loop.call(done, fn, ...)
  scheduler.spawn({ ended = done }, fn, ...)
end

--- The owner of what the running session locks, also in coroutines of its own.
function loop.owner()
  if not current then return nil end
  current.owner = current.owner or weir.owner(current.label)
  return current.owner
end

-- ---- timers -------------------------------------------------------------------

-- The heap must not keep a timer alive, because a collected timer stops.
local weak = { __mode = "v" }

function scheduler.start_timer(timer, at)
  timer.entry = timer.entry or setmetatable({ timer = timer }, weak)
  due:remove(timer.entry)
  due:add(timer.entry, at)
end

function scheduler.stop_timer(timer)
  if timer.entry then due:remove(timer.entry) end
end

local function fire(entry)
  if entry.co then return make_ready(entry) end
  if entry.timer then entry.timer:fire() end
end

-- ---- turning ------------------------------------------------------------------

local function resume_ready()
  for _ = first, last do
    local session = ready[first]
    ready[first] = nil
    first = first + 1
    resume(session)
  end
end

local function fire_due()
  if not due:due() then return end
  local now = clock()
  local entry = due:pop(now)
  while entry do
    fire(entry)
    entry = due:pop(now)
  end
end

local LONG = 1 -- seconds that are worth a collection

local function next_due()
  local soonest = due:first()
  while soonest and soonest.timer == nil and not soonest.co do -- its timer was collected
    due:remove(soonest)
    soonest = due:first()
  end
  return due:due()
end

-- Before the state sleeps only for timers, collects those that nobody holds any more.
local function left()
  local at = next_due()
  if at and at - clock() > LONG and alive == 0 and loops.pending() == 0 then
    collectgarbage()
    at = next_due()
  end
  return at and math.max(0, at - clock())
end

-- Returns false if nothing is left that could happen.
local function turn()
  fire_due()
  resume_ready()
  if first <= last then
    loops.turn(loop, 0)
    return true
  end
  local timeout = left()
  if not timeout and loops.pending() == 0 then return false end
  loops.turn(loop, timeout)
  return true
end

local function check_nobody_waits()
  if alive == 0 then return end
  local labels = {}
  for co, session in pairs(sessions) do
    labels[#labels + 1] = session.label
    sessions[co] = nil
    if session.owner then session.owner:release() end
  end
  alive = 0
  table.sort(labels)
  error("msys.run: nothing is left that could end the wait of " .. table.concat(labels, ", "), 0)
end

local function turn_until_idle()
  scheduler.on_leave(scheduler.main)
  repeat until not turn()
  check_nobody_waits()
end

--- Runs until all is idle. Raises an error of the scheduler's own, not one of a session.
function scheduler.run()
  turning = true
  local ok, problem = pcall(turn_until_idle)
  turning = false
  if not ok then error(problem, 0) end
end

--- The calls that the main program has deferred are kept here; a session keeps its own.
scheduler.main = { deferred = {}, label = "the main program" }

function scheduler.on_leave() end

loops.register(loop)

return scheduler
