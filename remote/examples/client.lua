-- SPDX-License-Identifier: ISC
--
-- client.lua URL: has workers run jobs, and prints each answer when it comes. SIGTERM cancels the
-- rest, so that no worker goes on for nobody. The queue must be there: weir-remote-setup URL shout

local remote = require "weir.remote"
local signal = require "weir.signal"

local term = assert(signal.catch "TERM")
local farm = assert(remote.open { url = arg[1] })
local words = { "one", "two", "three" }
local left, futures = #words, {}

local function show(future)
  print(future:get()) -- it has its answer, so this does not wait
  left = left - 1
  if left == 0 then term:release() end -- ends the wait below
end

local timed = farm:task { timeout = 300 } -- after it a queue drops the job, also a cancelled one
for i, word in ipairs(words) do
  futures[i] = assert(timed:run("shout", word, 1))
  futures[i]:on_settle(show)
end
print "waiting"
io.stdout:flush()

if left > 0 and term:wait() then -- answers come meanwhile
  for _, future in ipairs(futures) do future:cancel() end
end
farm:close()
