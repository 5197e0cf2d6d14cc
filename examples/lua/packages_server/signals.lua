-- SPDX-License-Identifier: ISC
--
-- signals.lua: lets a coroutine of Copas wait for SIGTERM and SIGINT. cqueues has a
-- descriptor for them, and Copas watches any object that looks like a socket.

local copas = require "copas"
local signal = require "cqueues.signal"

--- Blocks both signals; every thread made later inherits that. Returns a function that
-- waits for one of them.
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
