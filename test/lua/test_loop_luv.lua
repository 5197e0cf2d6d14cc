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
