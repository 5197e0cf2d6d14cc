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
