-- SPDX-License-Identifier: ISC
--
-- pledge, attacked a third time: by a program that has used pools and workers before its pledge, and
-- gives what it has kept of them to the functions of weir.core and weir.lus.core, at the wrong
-- moment. Each must raise, or do what it always does: most sanitizers would tell.

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local folder = require "support.folder"

local BEGIN = [[
  local weir, worker = require "weir", require "weir.worker"
  local core, lus = require "weir.core", require "weir.lus.core"
]]

-- A worker whose mailbox is full, because it waits for another one.
local FULL = [[
  local w = worker.create({ path = "full.lua", limit = 1 })
  assert(worker.receive(w) == "here")
  worker.send(w, "x")
  local kept
  lus.set_suspender(function(op)
    kept = op
    error("stopped", 0)
  end)
  local function wait() return pcall(worker.send, w, { "y" }) end
]]
local SCRIPTS = {
  ["full.lua"] = "local other = worker.create 'waits.lua' worker.message 'here' worker.receive(other)",
  ["waits.lua"] = "worker.peek()",
}

describe("what a program kept from before its pledge", function()
  it("is no list to be told into", function()
    assert.are.equal("done\nexit 0\n", folder.run(BEGIN .. [[
      local pool = weir.pool { threads = 1 }
      local first, second = pool:run(function() return 1 end), pool:run(function() return 2 end)
      core.watch(first)
      core.watch(second)
      worker.pledge("stdio")
      repeat core.dispatch() until core.over(first) and core.over(second)
      for _, wrong in ipairs { 5, true, "list", print } do
        assert(not pcall(core.told, wrong))
        assert(not pcall(core.turn, wrong))
      end
      assert(not pcall(core.told))
      assert(select(2, first:get()) == 1 and select(2, second:get()) == 2)
      print "done"]]))
  end)

  it("tells of no failure before it has failed", function()
    assert.are.equal("done\nexit 0\n", folder.run(BEGIN .. [[
      local pool, mutex = weir.pool { threads = 1 }, weir.mutex()
      mutex:lock()
      local runs = pool:run(function(m) m:lock() m:unlock() return "well" end, mutex)
      local queued = pool:run(function() end)
      worker.pledge("stdio")
      assert(not pcall(core.failure, runs))
      assert(not pcall(core.failure, queued))
      mutex:unlock()
      assert(select(2, runs:get()) == "well")
      assert(not pcall(core.failure, queued))
      print "done"]]))
  end)

  it("is no finalizer of an operation", function()
    assert.are.equal("done\nexit 0\n", folder.run(BEGIN .. FULL .. [[
      local ok, why = coroutine.wrap(wait)()
      assert(not ok and why == "stopped", why)
      worker.pledge("stdio")
      local class = getmetatable(kept)
      if type(class) == "table" then class.__gc(kept) end
      worker.close(w, "now")
      w = nil
      for _ = 1, 3 do collectgarbage() end
      pcall(lus.op_arm, kept)
      pcall(lus.op_try, kept)
      assert(type(class) ~= "table")
      print "done"]], SCRIPTS))
  end)

  it("is an operation that outlives the functions", function()
    assert.are.equal("done\nexit 0\n", folder.run(BEGIN .. FULL .. [[
      coroutine.wrap(wait)()
      local pledge = worker.pledge
      for name in pairs(worker) do worker[name] = nil end
      worker, wait, package.loaded["weir.worker"], package.loaded["weir.lus.actor"] = nil, nil, nil, nil
      pledge("stdio")
      for _ = 1, 3 do collectgarbage() end
      local list = {}
      for i = 1, 1000 do list[i] = { tostring(i) } end
      assert(lus.op_in_main(kept) == true)
      pcall(lus.op_try, kept)
      print "done"]], SCRIPTS))
  end)

  it("is no way to the standard input", function()
    assert.are.equal("done\nexit 0\n", folder.run(BEGIN .. [[
      local signal = require("weir.signal").catch "USR2"
      signal:release()
      worker.pledge("stdio")
      assert(not pcall(signal.fd, signal))
      signal:drain()
      print "done"]]))
  end)
end)
