-- SPDX-License-Identifier: ISC

--- Lines of a log that several threads write, and that do not mix.
--
--    local log = require("weir.log").to("app.log", "db")
--    log("opened %s", path)
--    pool:run(function(id) log("row %d", id) end, 7) -- crosses as any function does
--
-- A line is `2026-11-30 09:53:05 db: opened app.db`. It is written at once, by one call of the
-- system. A text of several lines stays together.
-- @module weir.log

local check = require "weir.check"
local core = require "weir.core"

local log = {}

local kinds = check.kinds

local function line(name, text, ...)
  if select("#", ...) > 0 then text = text:format(...) end
  return ("%s %s%s\n"):format(os.date "%Y-%m-%d %H:%M:%S", name and name .. ": " or "", text)
end

--- A function that writes lines. Its arguments are those of string.format, or a single text. It
-- returns true, or nil and why: a log that fails stops nothing.
-- @tparam ?string file to whose end the lines go; it is made with mode 0600, and must be a
--   regular file of this user with a single name. nil: stderr
-- @tparam ?string name stands at the beginning of each line
-- @treturn function
function log.to(file, name, ...)
  check.none("weir.log.to", 3, ...)
  if file ~= nil then check.is(kinds.string, "weir.log.to: argument 1 (file)", file) end
  if name ~= nil then check.is(kinds.string, "weir.log.to: argument 2 (name)", name) end
  return function(text, ...)
    if type(text) ~= "string" then error("log: argument 1 must be a string, got " .. type(text), 2) end
    if file then return core.append(file, line(name, text, ...)) end
    return io.stderr:write(line(name, text, ...)) and true
  end
end

return log
