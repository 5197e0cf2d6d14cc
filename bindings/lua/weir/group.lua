-- SPDX-License-Identifier: ISC
--
-- group.lua: several futures, whose ends are counted as they are told: for a caller that goes on
-- when so many are over, or when one has failed, whichever it is.
--
-- group[i] is the i-th future; `over` of them are over; `failed` is the index of the one that
-- failed first, or nil.

local core = require "weir.core"
local mailbox = require "weir.mailbox"
local wait = require "weir.wait"

local group = {}
group.__index = group

function group.new()
  return setmetatable({ over = 0, first = 1 }, group)
end

local function count(self, index)
  self.over = self.over + 1
  if not self.failed and core.failed(self[index]) then self.failed = index end
  local waiter = self.waiter
  if not waiter or not (self.failed or self.over >= self.enough) then return end
  self.waiter = nil
  waiter.loop.resume(waiter.co)
end

local COUNTS = { resume = function(note) count(note.group, note.index) end } -- in place of a loop

function group:add(future)
  local index, key = #self + 1, core.watch(future)
  self[index] = future
  if not key then return count(self, index) end
  local note = { loop = COUNTS, group = self, index = index }
  note.co = note
  mailbox.expect(key, note)
end

--- Waits until one has failed, or `enough` of them are over.
function group:wait(enough)
  local waiter = wait.place()
  self.enough = enough
  while not self.failed and self.over < enough do
    while core.over(self[self.first]) do self.first = self.first + 1 end
    self.waiter = waiter
    mailbox.hold(waiter.loop)
    waiter.loop.suspend(waiter.co, nil, self[self.first])
  end
  self.waiter = nil
end

--- Cancels those that are not over.
function group:cancel()
  for i = 1, #self do self[i]:cancel() end
end

--- Waits for all: the first result of each; or nil, the error of the one that failed first, and
-- its index, and the others are cancelled.
function group:collect()
  self:wait(#self)
  local results = {}
  for i = self.failed or 1, #self do
    local ok, value = self[i]:get()
    if not ok then
      self:cancel()
      return nil, value, i
    end
    results[i] = value
  end
  return results
end

return group
