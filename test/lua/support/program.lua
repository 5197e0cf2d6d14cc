-- SPDX-License-Identifier: ISC
--
-- program.lua: runs a program under the interpreter of the tests.

local folder = require "support.folder"

local program = {}

local interpreter = os.getenv "WEIR_LUA"
local seconds = folder.seconds

--- Its output, both streams, and "exit N" as the last line. One that hangs is ended
-- with 124. `weir` and `gate` are required already. Only of one that ends in order,
-- with its pools closed, can a sanitizer tell what it leaks. `before` is of the shell.
function program.run(text, in_order, before)
  local name = os.tmpname()
  local file = assert(io.open(name, "w"))
  file:write('local weir, gate = require "weir", require "support.gate"\n', text)
  file:close()
  local leaks = folder.leaks(in_order)
  local command = ("%s %s timeout %d %s %s 2>&1; echo exit $?"):format(before or "", leaks, seconds, interpreter, name)
  local pipe = io.popen(command)
  local output = pipe:read("*a")
  pipe:close()
  os.remove(name)
  return (output:gsub(name:gsub("%p", "%%%0"), "program"))
end

--- The same, not in order, where weir is the module whose allocations can fail and whose
-- threads can be held (see failing_core.c).
function program.run_failing(text, before)
  local path = assert(os.getenv("LUA_CPATH"):match "^(.-)/%?%.so") .. "/failing/?.so"
  local set = { before or "", "LUA_CPATH=" .. path }
  for minor = 2, 5 do set[#set + 1] = ("LUA_CPATH_5_%d=%s"):format(minor, path) end
  return program.run(text, false, table.concat(set, " "))
end

return program
