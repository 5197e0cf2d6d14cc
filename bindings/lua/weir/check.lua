-- SPDX-License-Identifier: ISC
--
-- check.lua: checks arguments. An error gives the argument's name and value, at the line of
-- the public function's caller.

local check = {}

local CALLER = 4 -- fail, the check, the public function, its caller

local function show(value)
  if type(value) == "string" then return ("%q"):format(value) end
  if type(value) == "number" or value == nil then return tostring(value) end
  local ok, text = pcall(tostring, value) -- its own __tostring may raise
  return ("%s (%s)"):format(ok and text or "?", type(value))
end

local function fail(level, where, what, value)
  error(("%s must be %s, got %s"):format(where, what, show(value)), level)
end

local function is_whole(value, low, high)
  return type(value) == "number" and value % 1 == 0 and value >= low and value <= high
end

local function is_list(value)
  return type(value) == "table" and (value.n == nil or is_whole(value.n, 0, 2 ^ 20))
end

-- A kind is a description and a predicate.
local kinds = {
  ["function"] = { "a function", function(v) return type(v) == "function" end },
  string = { "a string", function(v) return type(v) == "string" end },
  table = { "a table", function(v) return type(v) == "table" end },
  boolean = { "a boolean", function(v) return type(v) == "boolean" end },
  list = { "a list", is_list },
  limit = { "a number of seconds, more than 0", function(v) return type(v) == "number" and v > 0 end },
  seconds = { "a number of seconds, 0 or more", function(v) return type(v) == "number" and v >= 0 end },
}
check.kinds = kinds

check.maybe_number = { "a number or nil", function(v) return v == nil or type(v) == "number" and v == v end }
check.percent = { "a number from 0 to 100", function(v) return type(v) == "number" and v >= 0 and v <= 100 end }

--- A kind: whole numbers of a range.
function check.range(low, high)
  return { ("a whole number from %d to %d"):format(low, high), function(v) return is_whole(v, low, high) end }
end

--- A kind: one of some words.
function check.word(...)
  local words, list = {}, { ... }
  for i, word in ipairs(list) do
    words[word] = true
    list[i] = ("%q"):format(word)
  end
  return { "one of " .. table.concat(list, ", "), function(v) return words[v] == true end }
end

--- `value`, called `where`, is of the kind.
function check.is(kind, where, value)
  if not kind[2](value) then fail(CALLER, where, kind[1], value) end
end

--- `given` is a table whose fields are all in `spec` (name -> kind), each of its kind
-- or nil.
function check.options(spec, where, given)
  if type(given) ~= "table" then fail(CALLER, where, "a table", given) end
  for name, value in pairs(given) do
    local kind = spec[name]
    if not kind then
      error(("%s: unknown option %s"):format(where, show(name)), CALLER - 1)
    elseif not kind[2](value) then
      fail(CALLER, where .. "." .. name, kind[1], value)
    end
  end
end

local function refuse_surplus(level, method, first, ...)
  for i = 1, select("#", ...) do
    local value = select(i, ...)
    if value ~= nil then
      error(("%s: takes no argument %d, got %s"):format(method, first + i - 1, show(value)), level)
    end
  end
end

--- There is no argument beyond those that the function takes; `first` is the number of the first
-- surplus argument.
function check.none(method, first, ...)
  refuse_surplus(CALLER, method, first, ...)
end

--- A check for the methods of a class: that they are called on one of its objects, which `is`
-- knows, and, where `first` is given, that there is no surplus argument. `name` stands for an
-- object in the error.
function check.receiver(class, is, name)
  local text = "%s: called on a %s, not on a " .. class .. " (use " .. (name or class) .. ":%s())"
  return function(self, method, first, ...)
    if not is(self) then error(text:format(method, type(self), method), CALLER - 1) end
    refuse_surplus(CALLER, method, first, ...)
  end
end

--- The text of an error value, for code that must not fail.
function check.text(problem)
  local ok, text = pcall(tostring, problem)
  return ok and type(text) == "string" and text or "(error object has an error in its __tostring)"
end

return check
