-- SPDX-License-Identifier: ISC
--
-- handle.lua: runs a handler on a pool's thread. Its answer is a few values that cross back:
-- "reply", content type, bytes; "fail", name, text; "retry"; or "unbegun".

local codec = require "weir.remote.codec"
local core = require "weir.remote.core"

local handle = { RETRY = setmetatable({}, { __tostring = function() return "weir.remote.retry" end }) }

-- handle.request: of the handler that runs now

local function traced(problem)
  if problem == handle.RETRY then return problem end
  local text = type(problem) == "table" and getmetatable(problem) == nil and problem.text or problem
  local name = type(problem) == "table" and problem.name
  local ok, shown = pcall(tostring, text)
  return {
    name = type(name) == "string" and name or "error",
    text = (ok and type(shown) == "string" and shown or "?") .. "\n\n" .. debug.traceback("", 2):gsub("^%s+", ""),
  }
end

local function answer(what, ok, ...)
  if ok then
    local content_type, bytes = codec[what]("result", ...)
    if content_type then return "reply", content_type, bytes end
    return "fail", "Codec", bytes
  end
  local problem = ...
  if problem == handle.RETRY then return "retry" end
  if type(problem) ~= "table" then return "fail", "error", tostring(problem) end
  return "fail", problem.name, problem.text
end

local unpack = table.unpack or unpack -- luacheck: ignore

-- 5.1's xpcall passes no arguments.
local function call(has_state, state, handler, n, values)
  if has_state then return handler(state, unpack(values, 2, n)) end
  return handler(unpack(values, 2, n))
end

--- handler(state, arguments...) or, in a pool without a state, handler(arguments...). number: of
-- the request, which begins here.
function handle.run(has_state, state, handler, what, request, content_type, bytes, number)
  if not core.begin(number) then return "unbegun" end
  local function decode(...) return select("#", ...), { ... } end
  local n, values = decode(codec.decode(content_type, bytes))
  if not values[1] then return "fail", "Codec", "argument: " .. values[2] end
  handle.request = request
  local function ended(...)
    handle.request = nil
    return answer(what, ...)
  end
  return ended(xpcall(function() return call(has_state, state, handler, n, values) end, traced))
end

return handle
