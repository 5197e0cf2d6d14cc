-- SPDX-License-Identifier: ISC
--
-- output.lua: what a program prints, in an interpreter of its own.

local folder = require "support.folder"

local output = {}

--- The text of a file.
function output.slurp(name)
  local file = assert(io.open(name))
  local text = file:read("*a")
  file:close()
  return text
end

local function run(file)
  local out = os.tmpname()
  local command = ("%s timeout %d %s %s >%s 2>&1 </dev/null"):format(folder.leaks(false), folder.seconds,
    os.getenv "WEIR_LUA" or "lua5.4", file, out)
  local a, _, c = os.execute(command)
  local text = output.slurp(out)
  os.remove(out)
  return text, a == true and 0 or c or a
end

--- stdout and stderr of a program's text, and its exit status.
function output.of(program)
  local name = os.tmpname()
  local file = assert(io.open(name, "w"))
  file:write(program)
  file:close()
  local text, status = run(name)
  os.remove(name)
  return text, status
end

--- Likewise of a file.
output.of_file = run

return output
