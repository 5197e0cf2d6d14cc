-- SPDX-License-Identifier: ISC
--
-- first.lua: blocking work off the scheduler's thread, while sessions go on.

require "weir.msys"

local found = {}

local function count(name, path)
  local status, result = msys.runInPool("IO", function()
    local file, n = assert(io.open(path)), 0
    for _ in file:lines() do n = n + 1 end
    file:close()
    return n
  end)
  found[name] = status and result or "cannot be read"
end

msys.run(function()
  msys.spawn(count, "a file that is not there", "/nowhere")
  count("this file", arg[0])
end)

-- msys.run returns when all sessions have ended and nothing is left to do.
print("lines of this file", found["this file"])
print("lines of a file that is not there", found["a file that is not there"])
