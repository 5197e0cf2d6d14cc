-- SPDX-License-Identifier: ISC
--
-- weir.openos.join: waits until threads are complete: dead, or suspended. A wait is in the
-- list `joins` of each thread that it waits for.

local host = require "weir.openos.host"
local scheduler = require "weir.openos.scheduler"

local join = {}

local function is_met(self)
  return self.is_all and self.living == 0 or not self.is_all and next(self.dying) ~= nil
end

--- Called when a thread that `self` waits for is complete.
function join.complete(self, it)
  self.living = self.living - 1
  self.dying[it] = true
  local fiber = self.fiber
  if is_met(self) and self.is_waiting and fiber.state == "waiting" then -- it may have been killed
    self.is_waiting = false
    scheduler.wake(fiber, self)
  end
end

--- Called when a suspended thread goes on.
function join.incomplete(self)
  self.living = self.living + 1
end

local function remove(list, self)
  for i = #list, 1, -1 do
    if list[i] == self then table.remove(list, i) end
  end
end

local function start(threads, is_all)
  local self = { is_all = is_all, living = 0, dying = {}, fiber = scheduler.fiber() }
  for i = 1, #threads do
    local it = threads[i]
    it.joins = it.joins or {}
    table.insert(it.joins, self)
    if it.life == "running" then self.living = self.living + 1 else self.dying[it] = true end
  end
  return self
end

--- Waits for all of the threads, or for any; kills those that it found complete. Returns false
-- if the time passed first.
function join.wait(threads, timeout, is_all, kill)
  if timeout and timeout <= 0 then return false end
  local self = start(threads, is_all)
  local met = is_met(self)
  if not met then
    self.is_waiting = true
    met = scheduler.wait(timeout and host.now() + timeout) == self
    self.is_waiting = false
  end
  for i = 1, #threads do remove(threads[i].joins, self) end
  for i = 1, #threads do
    if self.dying[threads[i]] then kill(threads[i]) end
  end
  return met
end

return join
