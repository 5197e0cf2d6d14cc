-- SPDX-License-Identifier: ISC
--
-- completion.lua: the five forms of msys.runInPool, and where each part runs.

require "weir.msys"

_OSTLS.thread = "the scheduler's thread"
msys.threadpool.configure("DNS", { concurrency = 1, backlog = 100 })

local function where() return _OSTLS.thread or "a pool's thread" end

msys.run(function()
  print(msys.runInPool("DNS", where))
  print(msys.runInPool("DNS", where, false))
  msys.runInPool("DNS", function() print("3: closure on " .. where()) end, true)
  msys.runInPool("DNS", function() print("4: closure on " .. where()) end,
    function() print("4: completion on " .. where()) end)
  msys.runInPool("DNS", function() print("5: closure on " .. where()) return 42 end,
    function(ok, value) print("5: completion on " .. where(), ok, value) end,
    msys.core.ECTP_COMPLETE_CALLBACK_SCHED)
  print "none of these has begun"
end)
