-- SPDX-License-Identifier: ISC
--
-- weir.loop.block: no loop: who waits blocks its thread, and what comes back to this
-- state meanwhile is served.

local core = require "weir.core"
local mailbox = require "weir.mailbox"

local block = { name = "block" }

function block.owns()
  return false -- it is what remains
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

function block.resume() end -- nothing of it is ever suspended

return block
