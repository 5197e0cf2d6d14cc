-- SPDX-License-Identifier: ISC

--- msys.timer.after, at and every.
-- @module weir.msys.timer

local check = require "weir.check"
local calls = require "weir.msys.calls"
local loops = require "weir.loop"
local scheduler = require "weir.msys.scheduler"

local module = {}

local timer = {}
timer.__index = timer

local clock = loops.clock

-- Momentum counts seconds of the wall clock. Within one second that makes no difference.
local function from_epoch(time)
  return clock() + math.max(0, time - os.time())
end

-- Called by the scheduler. The next time of a repeated timer counts from the last one, unless
-- it has passed already.
function timer:fire()
  self.armed = false
  if self.period then self:arm(math.max(self.at + self.period, clock())) end
  scheduler.spawn({ label = self.label }, self.fn)
end

function timer:arm(at)
  self.at, self.armed = at, true
  scheduler.start_timer(self, at)
end

--- Starts the timer anew: its time counts from now.
function timer:start()
  self:arm(self.time and from_epoch(self.time) or clock() + self.delay)
end

--- Stops the timer. A callback that is due in this turn still runs.
-- @treturn boolean whether the timer was to fire
function timer:stop()
  local armed = self.armed
  self.armed = false
  scheduler.stop_timer(self)
  return armed
end

--- @treturn ?string the timer's name
function timer:name()
  return self.given_name
end

function timer:__tostring()
  return ("msys.timer: %s"):format(self.given_name or "unnamed")
end

local function new(where, fields, fn, name)
  if calls.is_worker() then error(where .. ": only on the scheduler's thread, not on a pool's", 3) end
  if type(fn) ~= "function" then error(("%s: argument 2 must be a function, got %s"):format(where, type(fn)), 3) end
  if name ~= nil and type(name) ~= "string" then
    error(("%s: argument 3 (name) must be a string or nil, got %s"):format(where, type(name)), 3)
  end
  fields.fn, fields.given_name = fn, name
  fields.label = name and ("timer '%s'"):format(name) or "a timer"
  local self = setmetatable(fields, timer)
  self:start()
  return self
end

--- Calls f() once, after so many seconds. A collected timer stops.
function module.after(seconds, f, name)
  check.is(check.kinds.seconds, "msys.timer.after: argument 1", seconds)
  return (new("msys.timer.after", { delay = seconds }, f, name))
end

--- Calls f() once, at a time as os.time gives it.
function module.at(time, f, name)
  check.is(check.kinds.seconds, "msys.timer.at: argument 1", time)
  return (new("msys.timer.at", { time = time }, f, name))
end

--- Calls f() every so many seconds.
function module.every(seconds, f, name)
  check.is(check.kinds.seconds, "msys.timer.every: argument 1", seconds)
  return (new("msys.timer.every", { delay = seconds, period = seconds }, f, name))
end

return module
