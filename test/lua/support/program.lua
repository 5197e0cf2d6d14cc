-- SPDX-License-Identifier: ISC
--
-- program.lua: runs a program under the interpreter of the tests.

local program = {}

local interpreter = os.getenv "WEIR_LUA"

--- Its output, both streams, and "exit N" as the last line. One that hangs is ended
-- with 124. `weir` and `gate` are required already.
function program.run(text)
  local name = os.tmpname()
  local file = assert(io.open(name, "w"))
  file:write('local weir, gate = require "weir", require "support.gate"\n', text)
  file:close()
  local pipe = io.popen(("timeout 30 %s %s 2>&1; echo exit $?"):format(interpreter, name))
  local output = pipe:read("*a")
  pipe:close()
  os.remove(name)
  return (output:gsub(name:gsub("%p", "%%%0"), "program"))
end

return program
