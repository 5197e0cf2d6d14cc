-- SPDX-License-Identifier: ISC
--
-- stats.lua: the statistics of a pool: idle, with a full queue, and at the end.

local weir = require "weir"

local NAMES = { "threads", "idle", "running", "queued", "submitted", "ok", "failed", "cancelled", "refused" }

local function show(when, pool)
  local stats = pool:stats()
  print(when)
  for _, name in ipairs(NAMES) do
    if stats[name] > 0 then print("  " .. name, stats[name]) end
  end
end

local pool = assert(weir.pool { name = "stats", threads = 1, queue_limit = 3 })
repeat until pool:stats().idle == 1
show("open", pool)

-- The task runs until this state serves its call, when it waits below.
local first = pool:run(function() return require("weir").run_in_main(function() return "served" end) end)
repeat until pool:stats().running == 1

local futures = { first }
for i = 1, 3 do
  futures[#futures + 1] = pool:run(function(n)
    if n == 2 then error "two" end
    return n
  end, i)
end
print(pool:run(function() end)) -- the queue is full
show("full", pool)

futures[4]:cancel()
weir.all(futures)
for _, future in ipairs(futures) do
  local ok, value = future:get()
  print(ok, (tostring(value):gsub("^.*: ", "")))
end
assert(pool:close())
show("closed", pool)
