-- SPDX-License-Identifier: ISC
--
-- relay.lua: one signal goes through ten thousand threads before push returns.

local thread = require "weir.thread"
local event = require "weir.event"

thread.run(function()
  for i = 1, 10000 do
    thread.create(function()
      event.pull("relay", i)
      event.push("relay", i + 1)
    end)
  end
  thread.create(function()
    print("arrived after", select(2, event.pull("relay", 10001)) - 1)
  end)
  event.push("relay", 1)
  print "pushed"
end)
