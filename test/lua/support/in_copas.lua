-- SPDX-License-Identifier: ISC
--
-- in_copas.lua: Copas 4 for tests, with what it requires and Debian does not package.

for _, name in ipairs { "timerwheel", "copas.semaphore" } do
  package.preload[name] = package.preload[name] or function() return require("support." .. name) end
end

local in_copas = {}

-- Lua 5.1's pcall cannot be suspended in; coxpcall's can.
local protected = pcall
if _VERSION == "Lua 5.1" and not rawget(_G, "jit") then
  local found, coxpcall = pcall(require, "coxpcall")
  protected = found and coxpcall.pcall or nil
end

--- Copas, or nil where there is none that tests can use: without LuaSocket it loads where
-- busted is, and cannot wait.
function in_copas.module()
  if not protected then return nil end
  local found, copas = pcall(require, "copas")
  return found and copas.wakeup and pcall(require, "socket") and copas or nil
end

--- Runs each function as a thread of Copas until none is left. What one raises is raised
-- here; each must come to its end.
function in_copas.run(...)
  local copas, problems, done = require "copas", {}, 0
  for _, f in ipairs { ... } do
    copas.addthread(function()
      local ok, problem = protected(f)
      if ok then done = done + 1 else problems[#problems + 1] = problem end
    end)
  end
  copas.loop()
  if problems[1] then error(problems[1], 0) end
  assert(done == select("#", ...), "a coroutine was never resumed")
end

return in_copas
