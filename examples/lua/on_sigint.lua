-- SPDX-License-Identifier: ISC
--
-- on_sigint.lua SECONDS: three jobs of so many seconds on luv. The first ^C lets them finish, and
-- the loop ends by itself; a second one ends the program at once.

local seconds = assert(tonumber(arg[1]), "usage: on_sigint.lua SECONDS")

local signal = require "weir.signal"
local uv = require "luv"
local weir = require "weir"

local function job(time) weir.sleep(time) end -- on a thread of the pool

io.stdout:setvbuf "line"
local done = 0

coroutine.wrap(function()
  local pool = assert(weir.pool { name = "jobs", threads = 1 })
  local int = assert(signal.catch "INT") -- before anybody is told that we serve
  for _ = 1, 3 do
    coroutine.wrap(function()
      if assert(pool:run(job, seconds)):get() then done = done + 1 end
    end)()
  end
  print "serving"
  int:wait()
  print "stopping"
  coroutine.wrap(function()
    if int:wait() then os.exit(130) end -- false once it is released
  end)()
  print("closed", pool:close { drain = true })
  int:release()
end)()
uv.run()
print(done .. " jobs are done")
