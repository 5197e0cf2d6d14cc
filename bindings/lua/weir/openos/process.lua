-- SPDX-License-Identifier: ISC
--
-- weir.openos.process: the tree of processes. Each program and each thread is a process;
-- init is above all of them. One table is a thread's handle, its process and its first fiber.
--
--   life          "running", "suspended" or "dead"
--   parent, newest, older, younger   the tree; children by age
--   frozen        how many of it and those above are suspended: it runs when 0
--   fiber         the topmost of its fibers
--   is_closing    its function has returned, and it waits for its children, newest first
--   joins         the waits for it to be complete, see join
--   seen, unseen  numbers of signals: those up to `seen` were offered to it, except for the
--                 ranges of unseen {from, to, from, to...}
--   keeps         signals that it did not hear are kept for its next pull
--
-- A thread that ends normally waits for its children. A thread that raises, exits or is
-- killed also ends them.

local check = require "weir.check"
local join = require "weir.openos.join"
local registrations = require "weir.openos.registrations"
local scheduler = require "weir.openos.scheduler"
local signals = require "weir.openos.signals"

local process = {}

local init = { life = "running", frozen = 0, seen = 0, is_program = true }
process.init = init
scheduler.start(init)

--- The process of the running fiber; if it is dead already, the first live one above it.
function process.current()
  local it = scheduler.fiber().process
  while it.life == "dead" do it = it.parent or init end
  return it
end

-- ---- the tree ---------------------------------------------------------------------

local function link(it, parent)
  local older = parent.newest
  it.parent, it.older, parent.newest = parent, older, it
  if older then older.younger = it end
end

local function unlink(it)
  local older, younger = it.older, it.younger
  if older then older.younger = younger end
  if younger then younger.older = older else it.parent.newest = older end
  it.older, it.younger = nil, nil
end

-- Calls visit(process, ...) for `it` and all processes below, newest first. visit may remove
-- processes below its argument.
local function walk(it, visit, ...)
  local stack, n = { it }, 1
  while n > 0 do
    local here = stack[n]
    stack[n], n = nil, n - 1
    local child = here.newest
    local from = n + 1
    while child do
      n = n + 1
      stack[n] = child
      child = child.older
    end
    for i = from, (from + n - 1) / 2 do stack[i], stack[n + from - i] = stack[n + from - i], stack[i] end
    visit(here, ...)
  end
end

-- ---- freezing ---------------------------------------------------------------------

local function each_fiber(it, visit)
  local fiber = it.fiber
  while fiber do
    local below = fiber.below
    visit(fiber)
    fiber = below
  end
end

local function release(fiber)
  if not fiber.is_covered then scheduler.release(fiber) end
end

local function change_frozen(it, by)
  local before = it.frozen
  it.frozen = before + by
  if before == 0 then
    each_fiber(it, signals.freeze)
  elseif it.frozen == 0 then
    signals.thaw(it)
    each_fiber(it, release)
    registrations.thaw(it)
  end
end

local function freeze(it, by)
  if by ~= 0 then walk(it, change_frozen, by) end
end

-- ---- the end ----------------------------------------------------------------------

local function tell_joins(it, change)
  for _, waiting in ipairs(it.joins or {}) do change(waiting, it) end
end

local function bury(it)
  if it.life == "dead" then return end
  if it.life == "running" then tell_joins(it, join.complete) end
  it.life, it.is_closing = "dead", nil
  signals.forget(it)
  each_fiber(it, scheduler.kill)
  registrations.remove_all(it)
  if it.is_thread then process.push("thread_exit") end
end

local close

-- Goes on with closing processes, from a parent upwards, whose newest child is complete.
local function look_closing(it)
  while it and it.is_closing do it = close(it) end
end

-- Kills `it` and all processes below, and returns its parent.
local function take_out(it)
  local parent = it.parent
  if it.newest then walk(it, bury) else bury(it) end
  unlink(it)
  it.newest, it.fiber = nil, nil
  return parent
end

function process.kill(it)
  if it.life ~= "dead" then look_closing(take_out(it)) end
end

-- Goes on closing `it`: returns its parent if it has ended.
function close(it)
  local child = it.newest
  while child and child.life ~= "running" do
    take_out(child)
    child = it.newest
  end
  if not child then return take_out(it) end
end

local function begin_close(it)
  if it.newest then
    it.is_closing = true
    scheduler.begin_wait(it, nil, nil) -- its listeners go on
  end
  look_closing(it.newest and it or take_out(it))
end

-- As OpenOS does it; but an object that has a text gives that, not "crashed".
local function text_of(problem)
  local class = getmetatable(problem)
  local has_text = type(problem) == "string" or type(class) == "table" and rawget(class, "__tostring") ~= nil
  return has_text and check.text(problem) or "crashed"
end

local function reason_of(problem)
  if type(problem) ~= "table" then return text_of(problem) end
  if tonumber(rawget(problem, "code")) then return nil end
  local reason = rawget(problem, "reason")
  return type(reason) == "string" and reason or text_of(problem)
end

--- Reports a thread's error: see event.onError.
function process.report(it, problem)
  local reason = reason_of(problem)
  if reason then registrations.failed("[thread] " .. reason, debug.traceback(it.co, reason)) end
end

function scheduler.on.ended(fiber, ok, value)
  local it = fiber.process
  if fiber.series then
    registrations.ended(fiber, ok, value)
  elseif ok then
    begin_close(it)
  else
    it.fail(it, value)
    process.kill(it)
  end
end

function scheduler.on.cut_off(fiber)
  process.kill(fiber.process)
end

--- Ends the running process: at once for all others; its own code ends by an error.
function process.exit(code)
  local it = scheduler.fiber().process
  it.code = code
  process.kill(it)
  error(scheduler.EXIT, 0)
end

-- ---- making -----------------------------------------------------------------------

--- Adds a process, which calls f, below parent.
function process.add(it, parent, f, arguments)
  it.life, it.state, it.process, it.fiber = "running", "ready", it, it
  it.frozen, it.since = parent.frozen, 0
  signals.begin(it)
  link(it, parent)
  scheduler.add(it, f, arguments)
  return it
end

local function print_failure(_, problem)
  io.stderr:write("weir.thread: ", check.text(problem), "\n")
end

local function add_hidden(f, arguments, fail)
  return process.add({ fail = fail or print_failure }, init, f, arguments)
end

--- Runs f(argument) as a thread without a handle, if possible before spawn returns; calls
-- fail(it, problem) if it raises.
function process.spawn(f, argument, fail)
  scheduler.first(add_hidden, f, { n = 1, argument }, fail)
end

--- Runs f before all others, once the running fiber waits.
function process.add_first(f)
  scheduler.at_once(add_hidden, f)
end

local function is_below(it, above)
  while it and it ~= above do it = it.parent end
  return it ~= nil
end

--- Puts `it` below another parent; false if that parent is below `it`.
function process.attach(it, parent)
  if is_below(parent, it) then return false end
  local before = it.parent
  if before == parent or it.life == "dead" then return true end
  unlink(it)
  link(it, parent)
  freeze(it, parent.frozen - before.frozen)
  look_closing(before)
  return true
end

function process.suspend(it)
  it.life = "suspended"
  freeze(it, 1)
  tell_joins(it, join.complete)
  if it.parent.newest == it then look_closing(it.parent) end
  if scheduler.fiber().process == it then scheduler.stop() end
end

local function thaw(it)
  it.life = "running"
  tell_joins(it, join.incomplete)
  freeze(it, -1)
end

--- Resumes `it`, which runs before resume returns.
function process.resume(it)
  scheduler.first(thaw, it)
end

-- ---- signals ----------------------------------------------------------------------

function scheduler.on.signal(signal)
  registrations.call(signal)
  signals.offer(signal, scheduler.wake)
end

--- Pushes a signal, and makes the fibers ready that wait for it. False if none does and the
-- queue is full, so that the signal is lost.
function process.push(...)
  local signal = signals.push(...)
  scheduler.on.signal(signal)
  return signal.is_queued or signal.is_taken or false
end

return process
