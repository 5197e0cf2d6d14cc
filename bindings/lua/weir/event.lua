-- SPDX-License-Identifier: ISC

--- The event library of OpenOS (OpenComputers 1.7 and 1.8): signals, listeners, timers.
--
-- The calls are those of `require "event"` there. Differences:
--
-- - push runs the threads that wait for the signal before it returns (as the page of the
--   thread library prints; the original leaves them to the next pull). The program, and
--   every other thread that has not seen it yet, gets it at its own next pull
-- - therefore a thread may see a signal that it waits for before older ones that are queued
--   for it
-- - pull's timeout counts from the call; the original begins anew with every other signal
-- - a listener that another listener of the same signal removed is not called any more
-- - a listener or timer that calls os.exit ends its program or thread; one that suspends
--   itself blocks the process that it belongs to, as in the original
-- - up to 256 signals that come while a thread or program waits for a future, or for anything
--   else of weir's, are kept for its next pull; a sleep and a join miss signals, as in the
--   original
-- - the queue has 256 places. When all are taken, threads that wait for the signal and its
--   listeners still get it; threads that would see it later, and the program, do not. push
--   returns false if there is neither a waiting thread nor a listener
-- - filters compare without metamethods
-- - an error object that has a text (__tostring) is that text, not "crashed"; onError also
--   gets the traceback
-- - other OS threads may call push, from a task of a weir pool
-- - the log is written without following a link, and into no other user's file
--
-- All functions but push belong to the Lua state that runs the machine: see weir.thread.
-- @module weir.event

local append = require "weir.append"
local check = require "weir.check"
local host = require "weir.openos.host"
local process = require "weir.openos.process"
local registrations = require "weir.openos.registrations"
local scheduler = require "weir.openos.scheduler"
local signals = require "weir.openos.signals"
local weir = require "weir"

local event = {}

local unpack = table.unpack or unpack -- luacheck: ignore

local is_function = check.kinds["function"]
local is_string = check.kinds.string
local is_number = { "a number", function(v) return type(v) == "number" and v == v end }
local maybe_number = check.maybe_number

--- The log of event.onError: nil means event.log in TMPDIR, or in /tmp.
event.logPath = nil

-- ---- push ------------------------------------------------------------------------

local function push_elsewhere(...)
  return require("weir.event").push(...)
end

--- Appends a signal to the queue. Threads that wait for it run before push returns. In a
-- task of a pool, where no machine runs, it pushes the signal in the state that submitted the
-- task, as weir.run_in_main calls a function there.
-- @tparam string name
-- @param ... any values; copied from a task
-- @treturn boolean true; false if 256 signals are queued, and this one has neither a waiting
--   thread nor a listener: it is lost
function event.push(name, ...)
  check.is(is_string, "event.push: argument 1 (name)", name)
  if weir.in_task() and not scheduler.is_turning() then return weir.run_in_main(push_elsewhere, name, ...) end
  return scheduler.first(process.push, name, ...)
end

-- ---- pull ------------------------------------------------------------------------

local function deadline_of(timeout)
  return timeout and timeout ~= math.huge and host.now() + timeout or nil
end

local function fail(name, index, what, value)
  error(("%s: argument %d must be %s, got %s"):format(name, index, what, type(value)), 4)
end

-- Accepts a signal if each filters[i] that is given is its value i + 1.
local function filter_of(...)
  local n = select("#", ...)
  local filters, is_needed = { ... }, false
  for i = 1, n do is_needed = is_needed or filters[i] ~= nil end
  return is_needed and function(signal)
    for i = 1, n do
      if filters[i] ~= nil and not rawequal(filters[i], signal[i + 1]) then return false end
    end
    return true
  end or nil
end

local function list_of(where, name, value)
  local ok, list = pcall(signals.list, name, value)
  if not ok then error(("%s: %q is no pattern: %s"):format(where, name, list), 4) end
  return list
end

-- -> deadline, list, filter: the arguments of scheduler.wait
local function wanted(timeout, name, ...)
  if type(timeout) == "string" then return nil, list_of("event.pull", timeout, name), filter_of(name, ...) end
  if not maybe_number[2](timeout) then fail("event.pull", 1, "a number, a string or nil", timeout) end
  if name ~= nil and type(name) ~= "string" then fail("event.pull", 2, "a string or nil", name) end
  return deadline_of(timeout), list_of("event.pull", name, (...)), filter_of(...)
end

local function values(signal)
  if signal then return unpack(signal, 1, signal.n) end
end

--- Waits for a signal: event.pull([timeout,] [name,] filter...).
-- @tparam ?number timeout in seconds; nil: no limit
-- @tparam ?string name a Lua pattern that must match anywhere in the name; nil: any signal
-- @param ... the values that the signal must have; nil: any value
-- @return the signal's name and values; nothing if the time has passed
function event.pull(...)
  local deadline, list, filter = wanted(...)
  return values(scheduler.wait(deadline, list, filter))
end

-- A program or thread itself has called coroutine.yield.
function scheduler.on.yielded(fiber, ...)
  local ok, deadline, list, filter = pcall(wanted, ...)
  if ok then
    fiber.is_raw = true
    scheduler.begin_pull(fiber, deadline, list, filter)
  else
    scheduler.fail(fiber, deadline)
  end
end

-- [timeout,] ... -> timeout, n, {...}
local function split(...)
  if type((...)) == "number" then return ..., select("#", ...) - 1, { select(2, ...) }, 1 end
  return nil, select("#", ...), { ... }, 0
end

local function matches_one(names, n)
  return function(signal)
    for i = 1, n do
      if names[i] and signal[1]:find(names[i]) then return true end
    end
    return false
  end
end

--- Waits for one of several signals: event.pullMultiple([timeout,] names...).
-- @tparam ?number timeout in seconds
-- @tparam string ... names, as of pull; none: any signal
-- @return as pull
function event.pullMultiple(...)
  local timeout, n, names, skipped = split(...)
  if not maybe_number[2](timeout) then fail("event.pullMultiple", 1, "a number, not NaN", timeout) end
  for i = 1, n do
    if names[i] ~= nil and type(names[i]) ~= "string" then
      error(("event.pullMultiple: argument %d must be a string or nil, got %s"):format(i + skipped,
        type(names[i])), 2)
    end
    if names[i] then list_of("event.pullMultiple", names[i]) end
  end
  return values(scheduler.wait(deadline_of(timeout), signals.list(), n > 0 and matches_one(names, n) or nil))
end

local function pull_filtered(deadline, accepts)
  while true do
    local signal = scheduler.wait(deadline, signals.list())
    if not signal or not accepts or accepts(values(signal)) then return values(signal) end
  end
end

--- Waits for a signal for which accepts(name, ...) returns true:
-- event.pullFiltered([timeout,] accepts).
-- @tparam ?number timeout in seconds
-- @tparam ?function accepts called by the waiting thread or program, which gets its errors
-- @return as pull
function event.pullFiltered(timeout, accepts)
  if type(timeout) == "function" then timeout, accepts = nil, timeout end
  check.is(maybe_number, "event.pullFiltered: argument 1 (timeout)", timeout)
  if accepts ~= nil then check.is(is_function, "event.pullFiltered: argument 2", accepts) end
  return pull_filtered(deadline_of(timeout), accepts)
end

-- ---- listeners and timers ----------------------------------------------------------

local function is_same(entry, name, callback)
  return entry.name == name and entry.callback == callback
end

--- Has callback(name, ...) called for every signal of that name, while this thread or
-- program waits for anything. A callback that returns false is removed.
-- @tparam string name the exact name
-- @tparam function callback its errors go to event.onError
-- @return a number, the registration's id, valid in this thread or program; false if the
--   same is registered already
function event.listen(name, callback)
  check.is(is_string, "event.listen: argument 1 (name)", name)
  check.is(is_function, "event.listen: argument 2 (callback)", callback)
  local here = process.current()
  if registrations.find(here, is_same, name, callback) then return false end
  return registrations.add(here, { name = name, callback = callback })
end

--- Removes a listener of this thread or program.
-- @tparam string name
-- @tparam function callback
-- @treturn boolean whether there was one
function event.ignore(name, callback)
  check.is(is_string, "event.ignore: argument 1 (name)", name)
  check.is(is_function, "event.ignore: argument 2 (callback)", callback)
  local entry = registrations.find(process.current(), is_same, name, callback)
  if entry then registrations.remove(entry) end
  return entry ~= nil
end

--- Has callback() called after `interval` seconds, while this thread or program waits.
-- @tparam number interval
-- @tparam function callback if it returns false, the timer ends; its errors go to
--   event.onError
-- @tparam ?number times how often it is called, by default 1; math.huge: for ever
-- @treturn number the registration's id, valid in this thread or program
function event.timer(interval, callback, times)
  check.is(is_number, "event.timer: argument 1 (interval)", interval)
  check.is(is_function, "event.timer: argument 2 (callback)", callback)
  check.is(maybe_number, "event.timer: argument 3 (times)", times)
  return registrations.add(process.current(), { interval = interval, callback = callback, times = times or 1 })
end

--- Removes a timer or a listener of this thread or program.
-- @tparam number id
-- @treturn boolean whether there was one
function event.cancel(id)
  check.is(is_number, "event.cancel: argument 1 (id)", id)
  local all = process.current().registrations
  local entry = all and all[id]
  if entry then registrations.remove(entry) end
  return entry ~= nil
end

-- ---- errors ------------------------------------------------------------------------

--- Handles an error in a thread ("[thread] " and the message), a listener or a timer: writes a
-- line to the log, event.logPath, or to stderr if the log cannot be written. A program may
-- set this field to a function of its own.
-- @param message
-- @tparam ?string traceback of the error; the log has none
function event.onError(message, traceback) -- luacheck: ignore traceback
  local path = event.logPath or (os.getenv "TMPDIR" or "/tmp") .. "/event.log"
  local text = check.text(message)
  local ok, why = append(path, text)
  if not ok then io.stderr:write(("weir.event: %s: %s: %s\n"):format(path, why, text)) end
end

-- Runs as a thread of its own, because the program may have set it.
function registrations.failed(message, traceback)
  process.add_first(function()
    event.onError(message, traceback)
  end)
end

--- Seconds since the module was loaded, on a clock that never jumps. All timeouts here use
-- this clock. OpenOS has it as computer.uptime.
-- @treturn number
function event.uptime()
  return host.now()
end

function scheduler.on.interrupt()
  process.push("interrupted", host.now())
end

return event
