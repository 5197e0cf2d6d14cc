-- SPDX-License-Identifier: ISC

--- The threads of OpenOS (OpenComputers 1.7 and 1.8): coroutines over one signal queue.
--
-- Threads are not preemptive. Control moves when a thread pulls a signal, sleeps, joins, waits
-- for a future of a weir pool, or ends. It also moves when a thread creates or resumes another
-- thread, or pushes a signal that others wait for: those run at once. Differences:
--
-- - create, resume and push switch through the scheduler, so the C stack does not grow
--   with the chain. Where the caller cannot be suspended (inside a C function that calls
--   back; on 5.1 also inside pcall, metamethods and iterators) the others run on top of the
--   caller, 100 such calls deep; beyond that they run later
-- - a resumed thread runs before resume returns (the original: at the next pull)
-- - a wait that cannot be suspended runs the machine on top of itself: it ends after the waits
--   that began on top of it, and the 101st raises. When its program ends, a
--   detached thread in such a wait is killed
-- - killing a thread, or its exit or error, also kills its attached children
-- - a suspended thread always misses the signals that come meanwhile
-- - os.exit ends the program and its threads at once; code that catches its error runs on
--   to its next wait, and no further
-- - attaching a thread to itself or to a thread below it is refused
-- - while the machine runs, a yield by a program or thread itself is a pull; a yield by a
--   coroutine that it resumed goes to the resumer
-- - io.read waits on a pool thread. If a thread that waits for a line is killed, the line goes
--   to the next thread that reads in the same way
-- - ^C is the signal `interrupted`; a second ^C before the first was seen goes to the handler
--   that SIGINT had before
-- - futures of weir's pools suspend only the thread that waits for them
--
-- There is one machine (scheduler) per Lua state; call its functions on the state's own thread.
-- @module weir.thread

local check = require "weir.check"
local host = require "weir.openos.host"
local join = require "weir.openos.join"
local process = require "weir.openos.process"
local program = require "weir.openos.program"
local scheduler = require "weir.openos.scheduler"
local event = require "weir.event" -- luacheck: ignore

local thread = {}
program.thread = thread

local handle = {}
handle.__index = handle

local is_function = check.kinds["function"]
local maybe_number = check.maybe_number

local function is_handle(value)
  return getmetatable(value) == handle
end

local check_self = check.receiver("thread", is_handle, "t")

-- ---- the library -------------------------------------------------------------------

local function add(f, ...)
  local arguments = select("#", ...) > 0 and { n = select("#", ...), ... } or nil
  local t = setmetatable({ is_thread = true, fail = process.report }, handle)
  return process.add(t, process.current(), f, arguments)
end

--- Starts a thread, attached to the calling program or thread. Before create returns, the
-- thread runs f(...) until it waits for the first time. Its errors go to event.onError.
-- @tparam function f
-- @param ... its arguments
-- @treturn thread its handle
function thread.create(f, ...)
  check.is(is_function, "thread.create: argument 1", f)
  return scheduler.first(add, f, ...)
end

--- The running thread, also if called in a coroutine inside it.
-- @treturn ?thread nothing in a program
function thread.current()
  local it = scheduler.fiber().process
  if is_handle(it) then return it end
end

local function check_list(list, timeout, name)
  if type(list) ~= "table" then
    error(("%s: argument 1 must be a list of threads, got %s"):format(name, type(list)), 3)
  end
  for i, t in ipairs(list) do
    if not is_handle(t) then
      error(("%s: argument 1[%d] must be a thread, got %s"):format(name, i, type(t)), 3)
    end
  end
  if not maybe_number[2](timeout) then
    error(("%s: argument 2 (timeout) must be a number or nil, got %s"):format(name, tostring(timeout)), 3)
  end
end

local function wait_for(list, timeout, is_all)
  if timeout == math.huge then timeout = nil end
  if join.wait(list, timeout, is_all, process.kill) then return true end
  return nil, "thread join timed out"
end

--- Waits until every thread of a list is complete: it has returned, raised, been killed or
-- suspended. The threads that it found complete are dead afterwards.
-- @tparam {thread,...} list
-- @tparam ?number timeout in seconds; 0 has always passed
-- @treturn ?boolean true; nil if the time passed
-- @treturn ?string then "thread join timed out"
function thread.waitForAll(list, timeout)
  check_list(list, timeout, "thread.waitForAll")
  return wait_for(list, timeout, true)
end

--- Waits until one thread of a list is complete.
-- @tparam {thread,...} list of an empty list no thread is ever complete
-- @tparam ?number timeout in seconds
-- @return as waitForAll
function thread.waitForAny(list, timeout)
  check_list(list, timeout, "thread.waitForAny")
  return wait_for(list, timeout, false)
end

--- Runs a program, and the machine until the program and its attached threads have ended. The
-- next run goes on with detached threads and queued signals. While the machine runs, os.sleep,
-- os.exit, io.read, coroutine.resume and coroutine.wrap are weir's, `require` finds "thread",
-- "event", "computer" (uptime, pullSignal, pushSignal) and "tty" (isAvailable, read, write),
-- and SIGINT is the signal `interrupted`.
-- In a coroutine of Copas, luv or cqueues it suspends that coroutine.
-- @param f a function, or a path
-- @param ... its arguments
-- @treturn number 0; the code given to os.exit; 128 if the program raised: then the message
--   and a traceback are on stderr
-- @function run
thread.run = program.run

--- Sleeps. While the machine runs, this is os.sleep. The thread misses signals that come
-- meanwhile, but its listeners get them.
-- @tparam ?number seconds 0: until the other threads have had their turn
function thread.sleep(seconds)
  check.is(maybe_number, "sleep: argument 1", seconds)
  seconds = seconds or 0
  scheduler.wait(seconds ~= math.huge and host.now() + seconds or nil)
end

--- Ends the calling program with its threads, or the calling thread, by raising an error.
-- While the machine runs, this is os.exit.
-- @param code a number; nil and true mean 0, false 1
-- @function exit
thread.exit = program.exit

-- ---- a thread's handle ---------------------------------------------------------------

--- @treturn string "running" (also while it waits), "suspended" or "dead"
function handle:status()
  check_self(self, "status")
  return self.life
end

--- Resumes a suspended thread. It runs, until it waits, before resume returns.
-- @treturn ?boolean true
-- @treturn ?string "cannot resume <state> thread", after nil
function handle:resume()
  check_self(self, "resume")
  if self.life ~= "suspended" then return nil, ("cannot resume %s thread"):format(self.life) end
  process.resume(self)
  return true
end

--- Suspends a running thread and those attached to it: until it is resumed, none of them runs
-- or gets signals or timers, but time goes on. A thread that suspends itself stops at once.
-- @treturn ?boolean true
-- @treturn ?string "cannot suspend <state> thread", after nil
function handle:suspend()
  check_self(self, "suspend")
  if self.life ~= "running" then return nil, ("cannot suspend %s thread"):format(self.life) end
  process.suspend(self)
  return true
end

--- Ends a thread and those attached to it. A thread that kills itself runs on to its next
-- wait. Does nothing if the thread is dead.
function handle:kill()
  check_self(self, "kill")
  process.kill(self)
end

--- Waits for this thread as waitForAll does.
-- @tparam ?number timeout in seconds
-- @return as thread.waitForAll
function handle:join(timeout)
  check_self(self, "join")
  check.is(maybe_number, "join: argument 1 (timeout)", timeout)
  return wait_for({ self }, timeout, true)
end

local function at_level(level)
  local it = process.current()
  for _ = 2, level do it = it and it.parent end
  return it
end

--- Attaches the thread to a process (a program or a thread), which will not end before it.
-- @tparam ?number level nil, 0 and 1: the calling process; 2: its parent, and so on
-- @treturn ?thread itself
-- @treturn ?string "thread failed to attach, process not found" after nil; also if that
--   process is the thread itself or attached to it
function handle:attach(level)
  check_self(self, "attach")
  check.is(maybe_number, "attach: argument 1 (level)", level)
  local parent = at_level(level or 1)
  if parent and process.attach(self, parent) then return self end
  return nil, "thread failed to attach, process not found"
end

--- Attaches the thread to the init process, which outlives all programs.
-- @treturn thread itself
function handle:detach()
  check_self(self, "detach")
  process.attach(self, process.init)
  return self
end

return thread
