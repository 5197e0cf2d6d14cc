-- SPDX-License-Identifier: ISC
--
-- counter.lua: the counter of Momentum's page on thread.mutex, for states that share no
-- variables: they share values by name. The mutex crosses as a captured variable.

require "weir.msys"

local thread = msys.thread
local counter_lock = thread.mutex()
msys.shareSet("counter", 0)

local function counter_inc()
  counter_lock:lock()
  msys.shareSet("counter", msys.shareGet "counter" + 1)
  counter_lock:unlock()
end

local function counter_get()
  counter_lock:lock()
  local value = msys.shareGet "counter"
  counter_lock:unlock()
  return value
end

msys.run(function()
  for _ = 1, 4 do
    msys.runInPool("CPU", function()
      for _ = 1, 250 do counter_inc() end
    end, true)
  end
  for _ = 1, 10 do counter_inc() end
end)
-- All threads are idle here: the count is right, whichever threads called counter_inc.
print("value is", counter_get())
