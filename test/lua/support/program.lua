-- SPDX-License-Identifier: ISC
--
-- program.lua: runs a program under the interpreter of the tests.

local program = {}

local interpreter = os.getenv "WEIR_LUA"
local seconds = os.getenv "WEIR_LUA_VARIANT" == "" and 60 or 600

--- Its output, both streams, and "exit N" as the last line. One that hangs is ended
-- with 124. `weir` and `gate` are required already. Only of one that ends in order,
-- with its pools closed, can a sanitizer tell what it leaks.
function program.run(text, in_order)
  local name = os.tmpname()
  local file = assert(io.open(name, "w"))
  file:write('local weir, gate = require "weir", require "support.gate"\n', text)
  file:close()
  local leaks = ('ASAN_OPTIONS=detect_leaks=%d TSAN_OPTIONS="$TSAN_OPTIONS report_thread_leaks=%d"'):gsub("%%d",
    in_order and "1" or "0")
  local pipe = io.popen(("%s timeout %d %s %s 2>&1; echo exit $?"):format(leaks, seconds, interpreter, name))
  local output = pipe:read("*a")
  pipe:close()
  os.remove(name)
  return (output:gsub(name:gsub("%p", "%%%0"), "program"))
end

return program
