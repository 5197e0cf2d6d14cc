-- SPDX-License-Identifier: ISC
--
-- pool.lua: pools for tests: one that is closed after its use, one whose thread is busy.

local gate = require "support.gate"
local weir = require "weir"

local pool = {}

--- Calls body(pool), and closes it.
function pool.with(options, body)
  local opened = assert(weir.pool(options))
  body(opened)
  assert.is_true(opened:close())
end

--- Fills n threads of the pool at once; a function that lets them go and waits until they
-- have ended.
function pool.fill(opened, n)
  local here, leave, futures = {}, {}, {}
  for i = 1, n do
    here[i], leave[i] = gate.new(), gate.new()
    futures[i] = opened:run(function(...)
      local a, b = select(-2, ...) -- after a state
      local g = require "support.gate"
      g.open(a)
      g.pass(b)
    end, here[i], leave[i])
  end
  for i = 1, n do gate.pass(here[i]); os.remove(here[i]) end
  return function()
    for i = 1, n do gate.open_last(leave[i]) end
    assert(weir.all(futures))
  end
end

--- A pool of one thread that is inside a task, the task's future, and the gate that lets it
-- go.
function pool.busy(options)
  options.threads = 1
  local opened = assert(weir.pool(options))
  local here, leave = gate.new(), gate.new()
  local future = opened:run(function(...)
    local a, b = select(-2, ...)
    local g = require "support.gate"
    g.open(a)
    g.pass(b)
    return "left"
  end, here, leave)
  gate.pass(here)
  os.remove(here)
  return opened, future, leave
end

return pool
