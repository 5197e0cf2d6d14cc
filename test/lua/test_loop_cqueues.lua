-- SPDX-License-Identifier: ISC

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local found, cqueues = pcall(require, "cqueues")
if not found then return require "support.missing" "cqueues" end

local plain = _VERSION == "Lua 5.1" and not rawget(_G, "jit")

require "support.loop_tests"("cqueues", {
  pcall = plain and function(f) f() return true end or pcall,
  catches = not plain,
  run = function(...)
    local controller = cqueues.new()
    for _, f in ipairs { ... } do controller:wrap(f) end
    assert(controller:loop())
  end,
  pause = function() cqueues.sleep(0.001) end,
})
