-- SPDX-License-Identifier: ISC

--- Futures: each stands for the result of one task.
--
-- A future belongs to the state that submitted its task. It keeps its pool alive until it is
-- over. If it is collected before its task has ended, the task goes on. A failure that is
-- never read (by get, try or traceback) is reported to weir.on_unhandled when the collector takes
-- the future, and so is a failure that comes after the future's timeout.
-- @classmod weir.future

local core = require "weir.core"
local mailbox = require "weir.mailbox"
local wait = require "weir.wait"
local check = require "weir.check"

local future = {}
future.__index = future

local for_ever = wait.for_ever
local over, take, watch, is_future = core.over, core.take, core.watch, core.is_future

local check_self = check.receiver("future", is_future)

local function check_timeout(timeout, method, index)
  if timeout ~= nil and (type(timeout) ~= "number" or timeout ~= timeout) then
    error(("%s: argument %d (timeout) must be a number of seconds or nil, got %s"):format(method,
      index, tostring(timeout)), 3)
  end
end

local function check_seconds(timeout, method)
  if timeout ~= nil and not check.kinds.seconds[2](timeout) then
    error(("%s: argument 1 (timeout) must be a number of seconds, 0 or more, or nil, got %s"):format(method,
      tostring(timeout)), 3)
  end
end

--- Waits for the task. In a coroutine it suspends that coroutine under its loop. Outside a
-- coroutine it blocks the thread, and serves this state's run_in_main calls meanwhile. Any
-- number of coroutines may wait. Each call returns the same result, in a copy of its own.
-- get takes no timeout; wait(timeout) does.
-- @return true and what the task returned; or false and its error value, or "closed",
--   "cancelled", "expired", "full" (dropped from a full queue) or "timeout". If the error
--   value cannot cross, a string takes its place: it says why, with the error's text.
function future:get(extra)
  local key, is_held, co = watch(self)
  if extra ~= nil or key == nil then
    if type(extra) == "number" and is_future(self) then
      error(("get: takes no argument 1, got %s (wait takes a timeout)"):format(extra), 2)
    end
    check_self(self, "get", 1, extra)
  end
  if key then for_ever(self, key, is_held, co) end
  return take(self)
end

future.__call = future.get

--- Returns what get would return, or nothing if get would wait.
function future:try(...)
  check_self(self, "try", 1, ...)
  if wait.one(self, 0) then return take(self) end
end

--- Waits as get does, but no longer than `timeout` seconds, and does not read the result.
-- @tparam ?number timeout nil: no limit
-- @treturn boolean whether the task is over
function future:wait(timeout, ...)
  check_self(self, "wait", 2, ...)
  check_timeout(timeout, "wait", 1)
  return wait.one(self, timeout)
end

--- Takes a queued task back, or stops a running one. The future is over at once, with false
-- and "cancelled", and no loop waits for the task any more. A running task is stopped like
-- this:
--
-- - "cancelled" is raised in it before its next instruction, again and again until it is
--   left;
-- - its blocking system calls are interrupted (EINTR), and it waits no more for futures,
--   mutexes or messages;
-- - a command that it has started goes on, and os.execute and io.popen wait for that;
-- - its thread gets a new state (at_exit, init) before the next task, unless the task has asked
--   weir.cancelled() and returns by itself;
-- - a task that does not stop is abandoned, see cancel_timeout of weir.pool.
-- @tparam ?number timeout seconds until the task is abandoned (math.huge: never); nil: the
--   pool's cancel_timeout
-- @treturn boolean false if the future was over already
function future:cancel(timeout, ...)
  check_self(self, "cancel", 2, ...)
  check_seconds(timeout, "cancel")
  local cancelled = core.cancel(self, timeout)
  if cancelled then mailbox.cancelled(core.key(self)) end
  return cancelled
end

local function call(self)
  mailbox.protected(self.fn, self.future)
end

local RESUMES = { resume = call }

--- Calls fn(future) when the future is over: at once if it is, otherwise where this state's
-- loop delivers results. An error that fn raises there goes to weir.on_unhandled.
-- @tparam function fn it must not suspend
function future:on_settle(fn, ...)
  local key = watch(self)
  if key == nil or ... ~= nil then check_self(self, "on_settle", 2, ...) end
  if type(fn) ~= "function" then
    error("on_settle: argument 1 must be a function, got " .. type(fn), 2)
  end
  if not key then return fn(self) end
  local waiter = { fn = fn, future = self, loop = RESUMES }
  waiter.co = waiter
  mailbox.expect(key, waiter)
end

--- Where the task failed: the traceback of its own thread, with the task's label as last line.
-- @treturn ?string nil if it did not fail, or has not failed yet
function future:traceback(...)
  check_self(self, "traceback", 1, ...)
  return core.traceback(self)
end

function future:__tostring()
  return ("weir.future: %s"):format(over(self) and "over" or "pending")
end

for name, value in pairs(future) do
  core.future[name], core.kept_future[name] = value, value
end

local function check_list(list, name)
  if type(list) ~= "table" then
    error(("%s: argument 1 must be a list of futures, got %s"):format(name, type(list)), 3)
  end
  for i = 1, #list do
    if not is_future(list[i]) then
      error(("%s: argument 1[%d] must be a future, got %s"):format(name, i, type(list[i])), 3)
    end
  end
end

local several = {}

--- Waits until every future of the list is over, also if some have failed. Does not read the
-- results. pool:map waits for calls of one function, and ends as soon as one has failed.
-- @tparam {future,...} list
-- @tparam ?number timeout in seconds
-- @treturn boolean false if the time passed first
-- @function weir.all
function several.all(list, timeout, ...)
  check.none("weir.all", 3, ...)
  check_list(list, "weir.all")
  check_timeout(timeout, "weir.all", 2)
  local deadline = timeout and core.clock() + timeout
  for i = 1, #list do
    if not wait.one(list[i], deadline and deadline - core.clock()) then return false end
  end
  return true
end

--- Waits until one future of the list is over. Does not read the results.
-- @tparam {future,...} list of one or more
-- @tparam ?number timeout in seconds
-- @treturn ?number the index of the first future in the list that is over; nil if the time
--   passed first
-- @treturn ?future that future
-- @function weir.any
function several.any(list, timeout, ...)
  check.none("weir.any", 3, ...)
  check_list(list, "weir.any")
  check_timeout(timeout, "weir.any", 2)
  if #list == 0 then error("weir.any: argument 1 is an empty list", 2) end
  local index = wait.any(list, timeout)
  return index, list[index]
end

return several
