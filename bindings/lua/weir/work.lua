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

-- Calls the functions of all that have come back, in one crossing. Raises if it could not begin,
-- because the stack ends here: then all are still there.
function mailbox.call_works()
  local slot = spare or core.slot()
  spare = nil
  repeat
    under_way[0] = true -- call_all takes it away
    local ok = mailbox.protected(call_all, slot)
    if not ok and under_way[0] then error("weir: the functions of works cannot be called here", 0) end
    if not ok then slot = core.slot() end
  until ok
  spare = slot
end

--- A function queue(work, ...) for works of the class. What cannot be queued at once, because it
-- is wrong, refused, waits for space, or no loop watches yet, goes to slowly(work, ...).
function work.queue(class, slowly)
  if not rawget(_G, "jit") then return core.queue(under_way, class, slowly) end
  local at_once = core.queue(under_way, class, function() end)
  return function(...) -- where C cannot be suspended, and a function under pcall can
    if at_once(...) then return true end
    local queued, problem = slowly(...)
    if queued then return queued end
    return queued, problem
  end
end

return work
