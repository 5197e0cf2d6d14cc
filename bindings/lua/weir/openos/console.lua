-- SPDX-License-Identifier: ISC
--
-- weir.openos.console: a terminal's input, read on a pool thread, so that the other threads go
-- on. The input that a killed reader has asked for still comes; it goes to the next reader
-- that asks in the same way.

local scheduler = require "weir.openos.scheduler"
local weir = require "weir"

local console = {}

local real_read = io.read
local pool
local asked = {} -- formats -> {fiber =, future =}, the last that asked for these

local function key_of(...)
  local formats = { ... }
  for i = 1, select("#", ...) do formats[i] = tostring(formats[i]) end
  return table.concat(formats, " ")
end

local function ask(...)
  pool = pool or assert(weir.pool { name = "stdin", threads = 1 })
  return pool:run(function(...) return require("weir.input").read(...) end, ...)
end

local function given(key, mine, ok, ...)
  if asked[key] == mine then asked[key] = nil end
  if ok then return ... end
  local problem = ...
  error(problem, 3)
end

--- Replaces io.read while the machine runs: suspends the calling thread.
function console.read(...)
  if not scheduler.is_in_fiber() or io.input() ~= io.stdin then return real_read(...) end
  local key = key_of(...)
  local mine = asked[key]
  if not mine or mine.fiber.state ~= "dead" then
    mine = { future = ask(...) }
    asked[key] = mine
  end
  mine.fiber = scheduler.fiber()
  return given(key, mine, mine.future:get())
end

console.tty = {
  isAvailable = function() return true end,
  read = function(...) return console.read(...) end,
  write = function(...) return io.write(...) end,
}

return console
