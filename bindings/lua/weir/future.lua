-- SPDX-License-Identifier: ISC

--- Futures: what becomes of a task.
--
-- A future belongs to the state that submitted its task. It keeps its pool until it
-- is over. When it is collected before its task has ended, the task goes on. A failure
-- that is never read (by get, try or traceback) is reported to weir.on_unhandled, and so is
-- one that comes after the future's timeout.
-- @classmod weir.future

local core = require "weir.core"
local mailbox = require "weir.mailbox"
local wait = require "weir.wait"
local checks = require "weir.check"

local future = {}
future.__index = future

local for_ever = wait.for_ever
local over, take, watch, is_future = core.over, core.take, core.watch, core.is_future

local function check(self, method)
  if not is_future(self) then
    error(("%s: called on a %s, not on a future (use future:%s())"):format(method, type(self),
      method), 3)
  end
end

local function check_timeout(timeout, method, index)
  if timeout ~= nil and (type(timeout) ~= "number" or timeout ~= timeout) then
    error(("%s: argument %d (timeout) must be a number of seconds or nil, got %s"):format(method,
      index, tostring(timeout)), 3)
  end
end

local function check_seconds(timeout, method)
  if timeout ~= nil and not checks.kinds.seconds[2](timeout) then
    error(("%s: argument 1 (timeout) must be a number of seconds, 0 or more, or nil, got %s"):format(method,
      tostring(timeout)), 3)
  end
end

--- Waits for the task: suspends this coroutine under the loop that it runs in; blocks
-- the thread outside a coroutine, and serves this state's run_in_main calls meanwhile.
-- Each call returns a copy of its own, and says what the first said. Any number of
-- coroutines may wait. No argument: wait(timeout) is what ends by itself.
-- @return true and what the task returned; or false and its error value, or "closed",
--   "cancelled", "expired", "full" (dropped from a full queue) or "timeout". An error value
--   that cannot cross is a string instead that says why, with its text.
function future:get(extra)
  local key, is_held = watch(self)
  if extra ~= nil or key == nil then
    check(self, "get")
    checks.none("get", 1, extra)
  end
  if key then for_ever(self, key, is_held) end
  return take(self)
end

future.__call = future.get

--- What get would return, or nothing while it would wait.
function future:try(...)
  check(self, "try")
  checks.none("try", 1, ...)
  if wait.one(self, 0) then return take(self) end
end

--- Waits as get does, no longer than `timeout` seconds, and reads nothing.
-- @tparam ?number timeout nil: no limit
-- @treturn boolean whether the task is over
function future:wait(timeout, ...)
  check(self, "wait")
  checks.none("wait", 2, ...)
  check_timeout(timeout, "wait", 1)
  return wait.one(self, timeout)
end

--- Takes a queued task back; stops a running one: "cancelled" is raised in it before its
-- next instruction, again and again until it is left, blocking system calls are
-- interrupted (EINTR), and its thread gets a new state (at_exit, init) before the next
-- task. It does not wait any more for futures, mutexes or messages. One that does not stop
-- is abandoned, see cancel_timeout of weir.pool. A command that it has started goes on, and
-- os.execute and io.popen wait for it. The future is over at once, with false and
-- "cancelled", and no loop turns for the task any more.
-- @tparam ?number timeout seconds until it is abandoned (math.huge: never); nil: the
--   pool's cancel_timeout
-- @treturn boolean false when it was over already
function future:cancel(timeout, ...)
  check(self, "cancel")
  checks.none("cancel", 2, ...)
  check_seconds(timeout, "cancel")
  local cancelled = core.cancel(self, timeout)
  if cancelled then mailbox.cancelled(core.key(self)) end
  return cancelled
end

local function call(self)
  local ok, problem = pcall(self.fn, self.future)
  if not ok then mailbox.report(problem) end
end

local RESUMES = { resume = call }

--- Calls fn(future) when the task is over: at once if it is, else where this state takes
-- what comes back. What fn raises then goes to weir.on_unhandled.
-- @tparam function fn it must not suspend
function future:on_settle(fn, ...)
  check(self, "on_settle")
  checks.none("on_settle", 2, ...)
  if type(fn) ~= "function" then
    error("on_settle: argument 1 must be a function, got " .. type(fn), 2)
  end
  local key = watch(self)
  if not key then return fn(self) end
  mailbox.expect(key, { co = { fn = fn, future = self }, loop = RESUMES })
end

--- Where the task failed, on its own thread.
-- @treturn ?string nil when it did not fail, or not yet
function future:traceback(...)
  check(self, "traceback")
  checks.none("traceback", 1, ...)
  return core.traceback(self)
end

function future:__tostring()
  return ("weir.future: %s"):format(over(self) and "over" or "pending")
end

for name, value in pairs(future) do
  core.future[name] = value
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

--- Waits until every future of the list is over. Reads none of them.
-- @tparam {future,...} list
-- @tparam ?number timeout in seconds
-- @treturn boolean false when the time passed first
-- @function weir.all
function several.all(list, timeout, ...)
  checks.none("weir.all", 3, ...)
  check_list(list, "weir.all")
  check_timeout(timeout, "weir.all", 2)
  local deadline = timeout and core.clock() + timeout
  for i = 1, #list do
    if not wait.one(list[i], deadline and deadline - core.clock()) then return false end
  end
  return true
end

--- Waits until one future of the list is over. Reads none of them.
-- @tparam {future,...} list of one or more
-- @tparam ?number timeout in seconds
-- @treturn ?number the index of the first in the list that is over; nil when the time
--   passed first
-- @treturn ?future it
-- @function weir.any
function several.any(list, timeout, ...)
  checks.none("weir.any", 3, ...)
  check_list(list, "weir.any")
  check_timeout(timeout, "weir.any", 2)
  if #list == 0 then error("weir.any: argument 1 is an empty list", 2) end
  local index = wait.any(list, timeout)
  return index, list[index]
end

return several
