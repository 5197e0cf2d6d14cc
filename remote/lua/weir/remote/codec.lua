-- SPDX-License-Identifier: ISC
--
-- codec.lua: arguments and results as bytes, by the library MessagePack. All values of a call
-- are one array, whose holes are nil. Each text that says why something is refused begins with
-- its place.

local messagepack = require "MessagePack"

local codec = { MSGPACK = "application/vnd.msgpack", BYTES = "application/octet-stream" }

local packers = messagepack.packers
local unpack = table.unpack or unpack -- luacheck: ignore
local math_type = math.type
local utf8 = rawget(_G, "utf8")
local DEEPEST = 100 -- tables in tables: more is taken for a circle

local function refuse(place, text, ...)
  error({ place = place, text = text:format(...) }, 0)
end

-- ---- writing ------------------------------------------------------------------

local TAILS = { -- what begins a sequence of UTF-8, and what follows
  "^[\194-\223][\128-\191]()", "^\224[\160-\191][\128-\191]()", "^\237[\128-\159][\128-\191]()",
  "^[\225-\236\238\239][\128-\191][\128-\191]()", "^\240[\144-\191][\128-\191][\128-\191]()",
  "^\244[\128-\143][\128-\191][\128-\191]()", "^[\241-\243][\128-\191][\128-\191][\128-\191]()",
}

local function after_sequence(text, at)
  for i = 1, #TAILS do
    local after = text:match(TAILS[i], at)
    if after then return after end
  end
end

local function is_utf8(text)
  local at = text:find "[\128-\255]"
  if at and utf8 then return utf8.len(text) ~= nil and not text:find "\237[\160-\191]" end
  while at do
    local after = after_sequence(text, at)
    if not after then return false end
    at = text:find("[\128-\255]", after)
  end
  return true
end

local function is_integer(number)
  if math_type then return math_type(number) == "integer" end
  return number % 1 == 0 and number > -2 ^ 53 and number < 2 ^ 53
end

-- Returns the length if the keys are 1 to n, else nil and the number of keys.
local function shape(value)
  local n, last = 0, 0
  for key in pairs(value) do
    n = n + 1
    if type(key) == "number" and key % 1 == 0 and key > last then last = key end
  end
  if last == n then return n end
  for i = 1, n do
    if value[i] == nil then return nil, n end
  end
  return n
end

local write

-- The library writes a table with its elements. They are written here, so that a place can be
-- told. It writes a header alone for a map without keys, and an array's differs by its tag.
local function array_header(buffer, n)
  local header = {}
  packers.map(header, {}, n)
  local tag = header[1]:byte()
  buffer[#buffer + 1] = string.char(tag < 0xde and tag + 0x10 or tag - 2) .. header[1]:sub(2)
end

local function list(buffer, value, n, place, depth)
  array_header(buffer, n)
  for i = 1, n do write(buffer, value[i], ("%s[%d]"):format(place, i), depth) end
end

local function map(buffer, value, n, place, depth)
  packers.map(buffer, {}, n)
  for key, element in pairs(value) do
    if type(key) ~= "string" and type(key) ~= "number" then
      refuse(place, "a key is a %s, which cannot cross", type(key))
    end
    write(buffer, key, place .. "'s key", depth)
    write(buffer, element, ("%s[%q]"):format(place, key), depth)
  end
end

local writers = { ["nil"] = packers["nil"], boolean = packers.boolean }

function writers.number(buffer, value)
  if not is_integer(value) then return packers.double(buffer, value) end
  return packers.unsigned(buffer, value)
end

function writers.string(buffer, value)
  return (is_utf8(value) and packers._string or packers.binary)(buffer, value)
end

function writers.table(buffer, value, place, depth)
  if depth == DEEPEST then refuse(place, "tables are nested more than %d deep", DEEPEST) end
  if getmetatable(value) then refuse(place, "a table with a metatable cannot cross") end
  local length, n = shape(value)
  if length then return list(buffer, value, length, place, depth + 1) end
  return map(buffer, value, n, place, depth + 1)
end

function write(buffer, value, place, depth)
  local writer = writers[type(value)]
  if not writer then refuse(place, "a %s cannot cross", type(value)) end
  writer(buffer, value, place, depth)
end

local function write_all(what, n, ...)
  local buffer, values = {}, { ... }
  array_header(buffer, n)
  for i = 1, n do write(buffer, values[i], ("%s %d"):format(what, i), 0) end
  return table.concat(buffer)
end

local function why(problem)
  if type(problem) == "table" and problem.place then return problem.place .. ": " .. problem.text end
  return tostring(problem)
end

--- The values as bytes: content type and bytes, or nil and why not. `what` is "argument" or
-- "result".
function codec.encode(what, ...)
  local ok, bytes = pcall(write_all, what, select("#", ...), ...)
  if ok then return codec.MSGPACK, bytes end
  return nil, why(bytes)
end

--- The same for one string of bytes.
function codec.bytes(what, ...)
  local n, bytes = select("#", ...), ...
  if n == 1 and type(bytes) == "string" then return codec.BYTES, bytes end
  return nil, ("%s: bytes are one string, not %d values of which the first is a %s"):format(what, n, type(bytes))
end

-- ---- reading ------------------------------------------------------------------

-- How many values the array has, whose last ones may be nil.
local function count(bytes)
  local tag, a, b, c, d = bytes:byte(1, 5)
  if tag and tag >= 0x90 and tag <= 0x9f then return tag - 0x90 end
  if tag == 0xdc and b then return a * 256 + b end
  if tag == 0xdd and d then return ((a * 256 + b) * 256 + c) * 256 + d end
  error("it is no array of values", 0)
end

local function refuse_extension(tag)
  error(("it has an extension (%d)"):format(tag), 0)
end

local function read(bytes)
  return messagepack.unpack(bytes), count(bytes)
end

-- The library would read an extension as nil.
local function read_strictly(bytes)
  local before = messagepack.build_ext
  messagepack.build_ext = refuse_extension
  local ok, values, n = pcall(read, bytes)
  messagepack.build_ext = before
  if ok then return values, n end
  error(values, 0)
end

local MOST = 200 -- values that a function is given

local function values_of(bytes)
  local ok, values, n = pcall(read_strictly, bytes)
  if not ok then return false, "the bytes are not MessagePack: " .. tostring(values):gsub("^.-:%d+: ", "") end
  if n > MOST then return false, ("there are %d values, more than %d"):format(n, MOST) end
  return true, unpack(values, 1, n)
end

--- What the bytes are: true and the values; or false and why not.
function codec.decode(content_type, bytes)
  if content_type == codec.BYTES then return true, bytes end
  if content_type == codec.MSGPACK then return values_of(bytes) end
  return false, ("the content type is %s, and %s or %s is expected"):format(tostring(content_type),
    codec.MSGPACK, codec.BYTES)
end

return codec
