-- SPDX-License-Identifier: ISC

--- Values by name, the same for every state of the process. set copies a value in, get copies
-- it out; the module weir says what can be copied. Handles (of pools, mutexes, weir.progress)
-- that are stored here live as long as the process, or until they are replaced.
-- @module weir.shared

local check = require "weir.check"
local core = require "weir.core"

local shared = {}

local kinds = check.kinds
local number = { "a number", function(v) return type(v) == "number" end }

local function refused(name, problem, level)
  error(("weir.shared.%s: %s"):format(name, problem), level + 1)
end

--- The value of that name.
-- @tparam string key any bytes
-- @return nil if there is none
function shared.get(key, ...)
  check.none("weir.shared.get", 2, ...)
  check.is(kinds.string, "weir.shared.get: argument 1", key)
  return (core.shared_get(key))
end

--- Sets the value of that name.
-- @tparam string key
-- @param value nil removes it. Raises if it cannot cross
function shared.set(key, value, ...)
  check.none("weir.shared.set", 3, ...)
  check.is(kinds.string, "weir.shared.set: argument 1", key)
  local ok, problem = core.shared_set(key, value)
  if ok == nil then refused("set", problem, 2) end
end

--- Replaces the value by fn(value). If the value was changed meanwhile, it calls fn again with
-- the new value.
-- @tparam string key
-- @tparam function fn it must not suspend
-- @return the new value
function shared.update(key, fn, ...)
  check.none("weir.shared.update", 3, ...)
  check.is(kinds.string, "weir.shared.update: argument 1", key)
  check.is(kinds["function"], "weir.shared.update: argument 2", fn)
  while true do
    local value, version = core.shared_get(key)
    local new = fn(value)
    local ok, problem = core.shared_set(key, new, version)
    if ok == nil then refused("update", problem, 2) end
    if ok then return new end
  end
end

--- The value of that name. If there is none, it becomes make().
-- @tparam string key
-- @tparam function make must not return nil. Its result is dropped if another value was set
--   first
-- @return the value, the same for every caller
function shared.once(key, make, ...)
  check.none("weir.shared.once", 3, ...)
  check.is(kinds.string, "weir.shared.once: argument 1", key)
  check.is(kinds["function"], "weir.shared.once: argument 2", make)
  local value = core.shared_get(key)
  while value == nil do
    local made = make()
    if made == nil then error("weir.shared.once: argument 2 returned nil", 2) end
    local ok, problem = core.shared_set(key, made, 0)
    if ok == nil then refused("once", problem, 2) end
    value = core.shared_get(key)
  end
  return value
end

--- Adds to a number in one atomic step. A missing value counts as 0. Integers stay integers.
-- @tparam string key
-- @tparam number n
-- @treturn ?number the sum; nil if the value is no number
-- @treturn ?string then why
function shared.add(key, n, ...)
  check.none("weir.shared.add", 3, ...)
  check.is(kinds.string, "weir.shared.add: argument 1", key)
  check.is(number, "weir.shared.add: argument 2", n)
  local sum = core.shared_add(key, n)
  if sum == nil then return nil, ("weir.shared.add: %q is no number"):format(key) end
  return sum
end

--- A number that differs after each change of the value: a cheap way to see whether it has
-- changed.
-- @tparam string key
-- @treturn number
function shared.version(key, ...)
  check.none("weir.shared.version", 2, ...)
  check.is(kinds.string, "weir.shared.version: argument 1", key)
  return core.shared_version(key)
end

return shared
