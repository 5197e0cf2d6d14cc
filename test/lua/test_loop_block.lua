-- SPDX-License-Identifier: ISC

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local weir = require "weir"

describe("weir.loop", function()
  it("registers a loop, which gets the coroutines that it owns", function()
    local mine, log, ready = {}, {}, {}
    weir.loop.register {
      name = "mine",
      owns = function(co) return mine[co] == true end,
      suspend = function(co) log[#log + 1] = "suspend"; coroutine.yield(co) end,
      resume = function(co) log[#log + 1] = "resume"; ready[#ready + 1] = co end,
    }
    local pool = assert(weir.pool { threads = 1 })
    local value
    local co = coroutine.create(function()
      local _
      _, value = pool:run(function() return "through mine" end):get()
    end)
    mine[co] = true
    assert(coroutine.resume(co))
    -- this thread blocks for something else, and delivers for that coroutine meanwhile
    while #ready == 0 do pool:run(function() end):get() end
    assert(coroutine.resume(ready[1]))
    assert.are.equal("dead", coroutine.status(co))
    assert.are.equal("through mine", value)
    assert.are.same({ "suspend", "resume" }, log)
    pool:close()
  end)

  it("uses the loop that it is told to use", function()
    local asked = 0
    local pool = assert(weir.pool { threads = 1 })
    weir.loop.use {
      owns = function() return false end,
      resume = function() end,
      suspend = function(_, timeout)
        asked = asked + 1
        weir.loop.block.suspend(nil, timeout or 0.001)
      end,
    }
    coroutine.wrap(function()
      assert.are.same({ true, 4 }, { pool:run(function() return 4 end):get() })
    end)()
    assert.is_true(asked > 0)
    weir.loop.use(nil)
    asked = 0
    coroutine.wrap(function() pool:run(function() end):get() end)()
    assert.are.equal(0, asked)
    pool:close()
  end)

  it("blocks in a coroutine that no loop owns", function()
    local pool = assert(weir.pool { threads = 1 })
    local co = coroutine.create(function() return pool:run(function() return 9 end):get() end)
    assert.are.same({ true, true, 9 }, { coroutine.resume(co) })
    assert.are.equal("dead", coroutine.status(co))
    pool:close()
  end)
end)
