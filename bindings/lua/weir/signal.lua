-- SPDX-License-Identifier: ISC

--- Signals of the process, as descriptors that a loop can wait for.
-- @module weir.signal

local check = require "weir.check"
local core = require "weir.core"

local held = core.signal_held

local signal = {}

local name_kind = check.word("HUP", "INT", "TERM", "USR1", "USR2", "WINCH")

--- Replaces the handler of a signal, until the result is released or collected. A signal that
-- comes before take has seen the last one goes to the handler that was there before: so a second
-- ^C ends a program that does not look at the first. (timeout of coreutils sends each signal
-- twice, timeout --foreground once.)
-- @tparam string name "HUP", "INT", "TERM", "USR1", "USR2" or "WINCH"
-- @treturn ?weir.signal nil if a state of the process catches that signal already, or the system
--   refuses
-- @treturn ?string then "busy", or what the system said
function signal.catch(name, ...)
  check.none("weir.signal.catch", 2, ...)
  check.is(name_kind, "weir.signal.catch: argument 1", name)
  local catcher, problem = core.catch(core.signals[name])
  return catcher, problem
end

--- Catches a signal, waits for it as signal:wait does, and lets it go.
--
--    weir.signal.wait "TERM" -- then close the pools, and end
-- @tparam string name as for catch
-- @tparam ?number timeout seconds
-- @treturn ?boolean true; false after the timeout; nil if the signal is caught already
-- @treturn ?string then why
function signal.wait(name, timeout, ...)
  check.none("weir.signal.wait", 3, ...)
  check.is(name_kind, "weir.signal.wait: argument 1", name)
  if timeout ~= nil then check.is(check.kinds.seconds, "weir.signal.wait: argument 2 (timeout)", timeout) end
  local catcher, problem = core.catch(core.signals[name])
  if not catcher then return nil, problem end
  local came = catcher:wait(timeout)
  catcher:release()
  return came
end

--- In a task: commands that this thread starts from now on keep the program's SIGPIPE, as
-- commands of the main thread do. Without this call they get the default SIGPIPE.
function signal.keep_pipe(...)
  check.none("weir.signal.keep_pipe", 1, ...)
  core.keep_sigpipe()
end

-- On a thread of its own, so that every loop can wait for it. Other signals end a poll as well.
local function poll(fd)
  local core_there = require "weir.core"
  repeat local readable = core_there.poll(-1, fd) until readable
end

local waiting -- the pool of those threads: one for each signal that is waited for

local function waiters()
  waiting = waiting or assert(require("weir.pool").new_async {
    name = "signal", lazy = true, threads_max = 6, idle = 1,
  })
  return waiting
end

--- What catch returns.
-- @type signal

local catcher = {}
catcher.__index = catcher

-- catcher -> {future =, n =}: the poll that its waiters share, and their number. release cancels it
-- after the catcher let its signal go: so a waiter that goes on finds it released, also if the
-- signal came first.
local polls = setmetatable({}, { __mode = "k" })

local function poll_of(self)
  polls[self] = polls[self] or { future = assert(waiters():run(poll, self:fd())), n = 0 }
  return polls[self]
end

-- Suspends until the descriptor is readable or the catcher released: true; or false after the timeout.
local function await(self, timeout)
  local mine = poll_of(self)
  mine.n = mine.n + 1
  local is_over = mine.future:wait(timeout)
  mine.n = mine.n - 1
  if polls[self] == mine and (is_over or mine.n == 0) then polls[self] = nil end
  if not is_over and mine.n == 0 then mine.future:cancel() end
  return is_over
end

--- Waits for the signal as future:get waits, under every loop or none, and takes it. If several
-- coroutines wait, one of them takes it. Its loop does not end while a coroutine waits. Raises if
-- the signal was released before.
-- @tparam ?number timeout seconds; nil: without an end
-- @treturn boolean false if it has not come by then, or was released meanwhile
-- @treturn ?string then "released", or nil after the timeout
-- @function signal:wait
function catcher:wait(timeout, ...)
  check.none("wait", 2, ...)
  if timeout ~= nil then check.is(check.kinds.seconds, "wait: argument 1 (timeout)", timeout) end
  if not held(self) then error("wait: the signal was released", 2) end
  local deadline = timeout and core.clock() + timeout
  local came
  repeat
    self:drain()
    if self:take() then return true end
    came = await(self, deadline and math.max(0, deadline - core.clock()))
    if not held(self) then return false, "released" end
  until not came
  return self:take()
end

--- A descriptor that is readable once the signal has come. Raises if the signal was released.
-- @function signal:fd
catcher.fd = core.signal_fd

--- Makes the descriptor unreadable again; call it before take.
-- @function signal:drain
catcher.drain = core.signal_drain

--- Whether the signal has come since the last take; false once it is released.
-- @function signal:take
catcher.take = core.signal_take

--- Restores the handler that was there before, and ends every wait. A signal that has come and
-- that nobody has taken is dropped. Does nothing if it was released before.
--
-- The handler that lua sets for INT only asks for an error, which is raised when Lua runs next:
-- under luv, in the next callback. There wait once more for the second ^C instead, and release
-- when the pools are closed.
-- @function signal:release
function catcher:release(...)
  check.none("release", 1, ...)
  core.signal_release(self)
  local mine = polls[self]
  polls[self] = nil
  if mine then mine.future:cancel() end -- luv resumes the waiters in here
end

for name, value in pairs(catcher) do core.signal[name] = value end

return signal
