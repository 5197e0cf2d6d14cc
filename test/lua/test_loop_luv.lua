-- SPDX-License-Identifier: ISC

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local found, uv = pcall(require, "luv")
if not found then return require "support.missing" "luv" end

local plain = _VERSION == "Lua 5.1" and not rawget(_G, "jit")

require "support.loop_tests"("luv", {
  pcall = plain and function(f) f() return true end or pcall,
  catches = not plain,
  run = function(...)
    for _, f in ipairs { ... } do assert(coroutine.resume(coroutine.create(f))) end
    uv.run()
  end,
  pause = function()
    local co, timer = coroutine.running(), uv.new_timer()
    timer:start(1, 0, function()
      timer:close()
      assert(coroutine.resume(co))
    end)
    coroutine.yield()
  end,
})

describe("under luv", function()
  it("a call whose coroutine is collected holds the loop no longer", function()
    local weir = require "weir"
    local pool = assert(weir.pool { threads = 1, cancel_timeout = 0 })
    local collected, timer = false, uv.new_timer()
    assert(coroutine.resume(coroutine.create(function()
      local future = pool:run(function()
        require("weir").run_in_main(function()
          weir_test_in = coroutine.running() -- luacheck: ignore
          coroutine.yield() -- and nobody will resume it
        end)
      end)
      while not _G.weir_test_in do weir.sleep(0.001) end
      assert.is_true(future:cancel())
      while pool:stats().abandoned == 0 do weir.sleep(0.001) end
      pool:close()
      assert.are.equal(1, weir.loop.pending())
      timer:start(1, 1, function() -- when everything else sleeps
        _G.weir_test_in = nil
        collectgarbage()
        collected = weir.loop.pending() == 0 or collected
        if collected then timer:close() end
      end)
    end)))
    uv.run()
    assert.is_true(collected)
  end)
end)
