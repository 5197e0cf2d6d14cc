-- SPDX-License-Identifier: ISC
--
-- work.lua: works: tasks without a future, whose end calls a function. threads/work.c queues
-- them and calls the functions; for what is rare it comes back here and to the work's class.
--
-- A work is a list: what a thread calls, what is called with its results, the pool (nil: not
-- yet). Its metatable is a class that has a function finish(work, future), for one that failed.

local core = require "weir.core"
local mailbox = require "weir.mailbox"

local work = { FN = 1, AFTER = 2, POOL = 3 }

local under_way = {} -- key of the job -> work

local call_all = core.call_works(under_way, function(self, future)
  return getmetatable(self).finish(self, future)
end)

local spare -- for call_all; a function that turns the loop may call for more

-- Calls the functions of all that have come back, in one crossing.
function mailbox.call_works()
  local slot = spare or core.slot()
  spare = nil
  repeat until mailbox.protected(call_all, slot)
  spare = slot
end

--- A function queue(work, ...) for works of the class. What cannot be queued at once, because it
-- is wrong, refused, waits for space, or no loop watches yet, goes to slowly(work, ...).
function work.queue(class, slowly)
  return core.queue(under_way, class, slowly)
end

return work
