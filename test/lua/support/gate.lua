-- SPDX-License-Identifier: ISC
--
-- gate.lua: order between threads, without a clock. A gate is a FIFO: pass waits until
-- somebody opens it, open waits until somebody wants to pass. Tasks require this, too.

local gate = {}

--- A new gate's name, a string.
function gate.new()
  local name = os.tmpname()
  os.remove(name)
  assert(os.execute("mkfifo " .. name))
  return name
end

-- Opened for both, so that the end of who opened the gate before is not taken for a line:
-- he may have written and not closed yet.
function gate.pass(name)
  local file = assert(io.open(name, "r+"))
  local line = file:read("*l")
  file:close()
  return line
end

function gate.open(name, line)
  local file = assert(io.open(name, "w"))
  file:write(line or "", "\n")
  file:close()
end

--- Open, once: the name is free again afterwards.
function gate.open_last(name, line)
  gate.open(name, line)
  os.remove(name)
end

return gate
