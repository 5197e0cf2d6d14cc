-- SPDX-License-Identifier: ISC
--
-- suspend.lua: a thread that suspends itself, and one that another thread suspends.

local thread = require "weir.thread"
local event = require "weir.event"

thread.run(function()
  local own = thread.create(function()
    print "first half"
    thread.current():suspend()
    print "second half"
  end)
  own:resume()
  print("resumed", own:status())

  local other = thread.create(function()
    print("heard", event.pull "news")
  end)
  other:suspend()
  event.push("news", 1) -- is missed
  other:resume()
  event.push("news", 2)
  print(other:resume())
end)
