-- SPDX-License-Identifier: ISC
--
-- timerwheel.lua: what Copas 4 requires of the module timerwheel, which Debian does not
-- package: timers that step() fires. A list is enough for tests.

local wheel = {}
wheel.__index = wheel

function wheel.new(options)
  return setmetatable({ now = options.now, failed = options.err_handler, timers = {}, last = 0, n = 0 }, wheel)
end

function wheel:set(delay, callback, argument)
  self.last, self.n = self.last + 1, self.n + 1
  self.timers[self.last] = { at = self.now() + delay, callback = callback, argument = argument }
  return self.last
end

function wheel:cancel(id)
  if not self.timers[id] then return nil, "not found" end
  self.timers[id], self.n = nil, self.n - 1
  return true
end

function wheel:count()
  return self.n
end

function wheel:step()
  local due, now = {}, self.now()
  for id, timer in pairs(self.timers) do
    if timer.at <= now then due[#due + 1] = id end
  end
  for _, id in ipairs(due) do
    local timer = self.timers[id]
    if timer then
      self:cancel(id)
      local ok, problem = pcall(timer.callback, timer.argument)
      if not ok then self.failed(problem) end
    end
  end
end

return wheel
