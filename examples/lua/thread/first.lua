-- SPDX-License-Identifier: ISC
--
-- first.lua: a program, a thread, a signal and a pool.

local weir = require "weir"
local thread = require "weir.thread"
local event = require "weir.event"

local pool = assert(weir.pool { name = "sums", threads = 2 })

-- Runs on one of the pool's threads.
local function sum(n)
  local total = 0
  for i = 1, n do total = total + i end
  return total
end

local code = thread.run(function()
  local worker = thread.create(function()
    local _, n = event.pull "work" -- waits, and blocks no other thread
    local ok, total = pool:run(sum, n):get() -- waits in the same way
    print("sum", ok, total)
  end)
  event.push("work", 1000000)
  print("worker", worker:status())
  thread.waitForAll { worker }
  print("worker", worker:status())
  os.exit(3)
end)
print("exit code", code)
pool:close()
