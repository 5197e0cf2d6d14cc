-- SPDX-License-Identifier: ISC

--- Futures of jobs: each stands for the answer to one job. They have the methods of
-- `weir.future`, but are none, because no task of a pool stands behind them.
-- @classmod weir.remote.future

local codec = require "weir.remote.codec"
local core = require "weir.remote.core"
local desk = require "weir.remote.desk"

local unpack = table.unpack or unpack -- luacheck: ignore

local future = {}
future.__index = future

-- The outcomes of weir.h and weir_remote.h that are no error of the handler's.
local WORDS = {
  [-5] = "closed", [-6] = "full", [-8] = "cancelled", [-9] = "expired", [-10] = "timeout",
  [1] = "lost", [3] = "unknown",
}
local RAISED = 2

-- ---- errors --------------------------------------------------------------------

--- What a handler raised. Its tostring is the text.
-- @table error
-- @field name the kind of the error: "Codec" for bytes that the worker does not take, else what
--   the worker's language calls it; of Lua "error"
-- @field text what it says
-- @field backtrace of the handler, if its language and program tell one
local failure = {}
failure.__index = failure
function failure:__tostring() return self.text end

-- What stands behind the first empty line is the backtrace.
local function failure_of(name, text)
  local at, after = text:find("\n\n", 1, true)
  return setmetatable({
    name = name,
    text = at and text:sub(1, at - 1) or text,
    backtrace = at and text:sub(after + 1),
  }, failure)
end

local function pack(...) return { n = select("#", ...), ... } end

local function result_of(outcome, a, b)
  if outcome == 0 then
    local result = pack(codec.decode(a, b))
    if result[1] then return result end
    return { n = 2, false, failure_of("Codec", "result: " .. result[2]) }
  end
  if outcome == RAISED then return { n = 2, false, failure_of(a, b) } end
  return { n = 3, false, WORDS[outcome] or "failed", b }
end

-- ---- the object ------------------------------------------------------------------

local function call_back(self)
  local callbacks = self.callbacks
  self.callbacks = {}
  for i = 1, #callbacks do
    local ok, problem = pcall(callbacks[i], self)
    if not ok then io.stderr:write("weir.remote: ", tostring(problem), "\n") end
  end
end

--- For weir.remote: a future, and the function that settles it.
-- @local
function future.new()
  local self = setmetatable({ waiters = {}, callbacks = {} }, future)
  local function settle(outcome, a, b)
    self.result = result_of(outcome, a, b)
    self.job = nil
    call_back(self)
    desk.wake(self.waiters)
  end
  return self, settle
end

local function check(self, method)
  if getmetatable(self) ~= future then
    error(("%s: called on a %s, not on a weir.remote.future (use future:%s())"):format(method, type(self), method), 3)
  end
end

local function check_time(timeout, method)
  if timeout ~= nil and (type(timeout) ~= "number" or timeout ~= timeout) then
    error(("%s: argument 1 (timeout) must be a number of seconds or nil, got %s"):format(method, tostring(timeout)), 3)
  end
end

local function wait(self, timeout)
  return desk.wait(self.waiters, function() return self.result ~= nil end, timeout)
end

--- Waits for the answer. In a coroutine it suspends that coroutine under its loop; outside it
-- blocks the thread. Any number of coroutines may wait.
-- @return true and what the handler returned; or false and what it raised (see error), or one of
--   these words and a sentence: "lost" (nobody can know whether it ran, or its workers died of
--   it), "unknown" (nobody serves this name), "full", "expired", "timeout", "cancelled",
--   "closed"
function future:get()
  check(self, "get")
  if not self.result then wait(self) end
  return unpack(self.result, 1, self.result.n)
end

future.__call = future.get

--- Returns what get would return, or nothing if get would wait.
function future:try()
  check(self, "try")
  if self.result or wait(self, 0) then return unpack(self.result, 1, self.result.n) end
end

--- Waits as get does, but no longer than `timeout` seconds.
-- @tparam ?number timeout nil: no limit
-- @treturn boolean whether the answer is there
function future:wait(timeout)
  check(self, "wait")
  check_time(timeout, "wait")
  return self.result ~= nil or wait(self, timeout)
end

--- Ends the job at once with false, "cancelled", and asks its worker to stop, which may come
-- too late: the job may have run, or may still run.
-- @treturn boolean false if it was over already
function future:cancel()
  check(self, "cancel")
  if self.result or not self.job then return false end
  local cancelled = core.cancel(self.job)
  desk.deliver()
  return cancelled
end

--- Calls fn(future) when the answer is there: at once if it is, else where this state's loop
-- delivers it. An error that fn raises there is written to stderr.
-- @tparam function fn it must not suspend
function future:on_settle(fn)
  check(self, "on_settle")
  if type(fn) ~= "function" then
    error("on_settle: argument 1 must be a function, got " .. type(fn), 2)
  end
  if self.result then return fn(self) end
  self.callbacks[#self.callbacks + 1] = fn
end

--- The job's UUID, which its handler sees.
-- @treturn string
function future:id()
  check(self, "id")
  return self.uuid
end

function future:__tostring()
  return ("weir.remote.future: %s"):format(self.result and "over" or "pending")
end

return future
