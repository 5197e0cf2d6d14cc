-- SPDX-License-Identifier: ISC
--
-- progress.lua: two tasks report their progress. The function that they call changes a table
-- of the program, which the tasks never see, because weir.progress runs it in the program.

local weir = require "weir"

local done = {} -- name -> parts
local progress = weir.progress(function(name)
  done[name] = (done[name] or 0) + 1
  return done[name]
end)

local function count_to(limit, name)
  local heard
  for n = 1, limit do
    if n % (limit / 4) == 0 then heard = progress(name) end -- waits for its turn
  end
  return heard
end

local pool = assert(weir.pool { name = "counters", threads = 2 })
local futures = { pool:run(count_to, 4000000, "long"), pool:run(count_to, 400, "short") }
for _, future in ipairs(futures) do
  local _, heard = assert(future:get()) -- and calls the function meanwhile
  print("the last call returned " .. heard)
end
print(("long: %d of 4, short: %d of 4"):format(done.long, done.short))
assert(pool:close())
