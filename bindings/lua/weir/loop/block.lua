-- SPDX-License-Identifier: ISC
--
-- weir.loop.block: no loop. A wait blocks the thread, and serves what comes back to this state
-- meanwhile.

local core = require "weir.core"
local mailbox = require "weir.mailbox"

local block = { name = "block" }

function block.owns()
  return false -- loops.of falls back to it
end

function block.suspend(_, timeout, future, for_space)
  if block.before and timeout ~= 0 then block.before() end
  local n, problem = core.wait(timeout, future, for_space)
  if not n then error(problem, 0) end
  mailbox.deliver(block)
  if n == 0 and not timeout and core.pending() == 0 and not (future and core.over(future)) then
    error("weir: nothing is left that could end this wait", 0)
  end
end

function block.resume() end -- it never suspends a coroutine

return block
