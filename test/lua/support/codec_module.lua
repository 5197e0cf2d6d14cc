-- SPDX-License-Identifier: ISC
--
-- codec_module.lua: a module with a state of its own, for tests of what crosses by name.

local M = { counters = {}, class = {} }
M.class.__index = M.class

local count = 0

function M.count()
  count = count + 1
  return count
end

function M.counters.get() return count end

function M.class.new(name) return setmetatable({ name = name }, M.class) end

function M.class:hello() return "hello " .. self.name end

return M
