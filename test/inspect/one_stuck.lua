-- SPDX-License-Identifier: ISC
--
-- As one_stuck.c.

local weir = require "weir"

local stuck = arg[1] == "stuck"
local pool = assert(weir.pool { name = "db", threads = 2 })
assert(weir.watch { task = 2, loop = 20 })

local function wait() io.read() end

assert(pool:task { label = "quick" }:run(function() end):get())
local import = stuck and pool:task { label = "import" }:run(wait)
while (pool:stats().oldest_running > 0) ~= stuck do weir.sleep(0.001) end
weir.slice("look", function()
  print(("snapshot: %d running"):format(pool:stats().running))
  for _, task in ipairs(pool:running()) do print(("snapshot: %s on %d"):format(task.label, task.thread)) end
end)
print "ready"
io.stdout:flush()
if stuck then assert(import:get()) else wait() end
weir.watch()
pool:close()
