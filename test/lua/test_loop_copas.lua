-- SPDX-License-Identifier: ISC

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

for _, name in ipairs { "timerwheel", "copas.semaphore" } do -- Debian packages neither
  package.preload[name] = function() return require("support." .. name) end
end
local found, copas = pcall(require, "copas")
if not found or not copas.wakeup or not pcall(require, "socket") then return require "support.missing" "Copas 4" end

require "support.loop_tests"("Copas", {
  pcall = _VERSION == "Lua 5.1" and not rawget(_G, "jit") and require("coxpcall").pcall or pcall,
  catches = true,
  run = function(...)
    for _, f in ipairs { ... } do copas.addthread(f) end
    copas.loop()
  end,
  pause = function() copas.pause(0.001) end,
})
