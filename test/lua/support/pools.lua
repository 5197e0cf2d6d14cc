-- SPDX-License-Identifier: ISC
--
-- pools.lua: pools of msys for tests, and what keeps their threads busy.

local gate = require "support.gate"
local msys = require "weir.msys"

local pools = {}

--- A name that no pool of the process has.
function pools.fresh_name()
  return "test" .. require("weir").shared.add("test.pools", 1)
end

--- The name of a new pool, open.
function pools.new(settings)
  local name = pools.fresh_name()
  assert(msys.threadpool.configure(name, settings))
  assert(msys.runInPool(name, function() return true end))
  return name
end

--- Occupies a thread of the pool. Two functions: one waits until the thread is inside, the
-- other lets it go.
function pools.occupy(name)
  local inside, go = gate.new(), gate.new()
  msys.spawn(function()
    msys.runInPool(name, function()
      require("support.gate").open(inside)
      require("support.gate").pass(go)
    end)
  end)
  return function() gate.pass(inside) end, function()
    gate.open_last(go)
    os.remove(inside)
  end
end

--- n gates; each is for one thread on either side.
function pools.gates(n)
  local list = {}
  for i = 1, n do list[i] = gate.new() end
  return list
end

function pools.remove(list)
  for _, name in ipairs(list) do os.remove(name) end
end

return pools
