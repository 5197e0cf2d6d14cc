-- SPDX-License-Identifier: ISC
--
-- signals.lua: SIGTERM and SIGINT as something that a coroutine of Copas waits for:
-- cqueues has a descriptor for them, and Copas watches what looks like a socket.

local copas = require "copas"
local signal = require "cqueues.signal"

--- Blocks the two, which every thread made later inherits, and returns a function that
-- waits for one.
return function()
  signal.block(signal.SIGTERM, signal.SIGINT)
  local listener = signal.listen(signal.SIGTERM, signal.SIGINT)
  local source = {
    getfd = function() return listener:pollfd() end,
    dirty = function() return false end,
    settimeout = function() return true end,
    close = function() return true end,
    receive = function()
      local number = listener:wait(0)
      if number then return number end
      return nil, "timeout"
    end,
  }
  return function() return copas.receive(source) end
end
