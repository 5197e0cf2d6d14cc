-- SPDX-License-Identifier: ISC
--
-- on_cqueues.lua: a task reports its progress in a cqueues controller. run_in_main runs a
-- function in the state that submitted the task, as a coroutine of its loop, and waits.

local cqueues = require "cqueues"
local weir = require "weir"

local function primes(limit)
  local is_composite, found = {}, 0
  for n = 2, limit do
    if not is_composite[n] then
      found = found + 1
      for multiple = n * n, limit, n do is_composite[multiple] = true end
    end
    if n % (limit / 4) == 0 then
      require("weir").run_in_main(function(part) print(("%d of 4 done"):format(part)) end, n / (limit / 4))
    end
  end
  return found
end

local controller = cqueues.new()
controller:wrap(function()
  local pool = assert(weir.pool { name = "primes", threads = 1 })
  local _, found = assert(pool:run(primes, 1000000):get())
  print(found .. " primes below a million")

  local patient = pool:task { timeout = 0.05 }
  local _, problem = patient:run(function() while true do end end):get()
  print("one that never ends: " .. problem)
  assert(pool:close())
end)
assert(controller:loop())
print "the loop has ended"
