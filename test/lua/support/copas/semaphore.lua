-- SPDX-License-Identifier: ISC
--
-- semaphore.lua: what copas.loop requires of the module copas.semaphore, which Debian's
-- package leaves out: coroutines that wait until it is destroyed.

local copas = require "copas"

local semaphore = {}
semaphore.__index = semaphore

function semaphore.new()
  return setmetatable({ waiting = {}, destroyed = false }, semaphore)
end

function semaphore:take()
  if self.destroyed then return nil, "destroyed" end
  self.waiting[#self.waiting + 1] = coroutine.running()
  copas.pauseforever()
  return nil, "destroyed"
end

function semaphore:destroy()
  self.destroyed = true
  for _, co in ipairs(self.waiting) do copas.wakeup(co) end
  self.waiting = {}
  return true
end

return semaphore
