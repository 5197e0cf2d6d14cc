-- SPDX-License-Identifier: ISC
--
-- walk.lua: every C function that a state can reach, also with the debug library: from its
-- globals, package.loaded and package.preload, the searchers, metatables, upvalues, environments,
-- the stacks of coroutines, and the registry.
--
--    local functions = require "support.walk"() -- name -> function

local debug, type, pairs, ipairs, tostring = debug, type, pairs, ipairs, tostring
local getfenv = getfenv

local function shown(key)
  local kind = type(key)
  if kind == "string" or kind == "number" or kind == "boolean" then return tostring(key) end
  return "<" .. kind .. ">"
end

-- Names first, in their order, so that a name does not change from run to run.
local function sorted(t)
  local keys = {}
  for key in next, t do keys[#keys + 1] = key end
  table.sort(keys, function(a, b)
    if type(a) ~= type(b) then return type(a) < type(b) end
    if type(a) == "string" or type(a) == "number" then return a < b end
    return false
  end)
  return keys
end

return function()
  local found, seen, queue = {}, {}, {}

  local function add(name, value)
    local kind = type(value)
    if kind ~= "table" and kind ~= "function" and kind ~= "userdata" and kind ~= "thread" or seen[value] then return end
    seen[value] = true
    queue[#queue + 1] = { name, value }
  end

  local follow = {}

  function follow.table(name, t)
    for _, key in ipairs(sorted(t)) do
      local below = name == "" and shown(key) or name .. "." .. shown(key)
      add(below, key)
      add(below, rawget(t, key))
    end
  end

  follow["function"] = function(name, f)
    if debug.getinfo(f, "S").what == "C" then found[name] = f end
    for i = 1, math.huge do
      local upvalue, value = debug.getupvalue(f, i)
      if not upvalue then break end
      add(name .. "^", value)
    end
    if getfenv then add(name .. ".env", debug.getfenv(f)) end
  end

  function follow.userdata(name, u)
    local ok, value = pcall(debug.getuservalue or debug.getfenv, u)
    if ok then add(name .. ".user", value) end
  end

  function follow.thread(name, co)
    for level = 0, math.huge do
      local info = debug.getinfo(co, level, "f")
      if not info then break end
      add(name .. ".called", info.func)
      for i = 1, math.huge do
        local variable, value = debug.getlocal(co, level, i)
        if not variable then break end
        add(name .. ".local", value)
      end
    end
    add(name .. ".hook", (debug.gethook(co)))
  end

  seen[found], seen[seen], seen[queue], seen[follow] = true, true, true, true
  seen[add] = true
  local own = package.loaded["support.walk"]
  if own then seen[own] = true end
  add("", _G)
  add("string:", debug.getmetatable "")
  add("file:", debug.getmetatable(io.stdout))
  for name, value in pairs { ["nil:"] = false, ["boolean:"] = true, ["number:"] = 0, ["function:"] = print } do
    add(name, debug.getmetatable(value or nil))
  end
  add("thread:", debug.getmetatable(coroutine.create(function() end)))
  add("registry", debug.getregistry())
  local at = 0
  while at < #queue do
    at = at + 1
    local name, value = queue[at][1], queue[at][2]
    follow[type(value)](name, value)
    if type(value) == "table" or type(value) == "userdata" then
      add((name:gsub(":$", "")) .. ":meta", debug.getmetatable(value))
    end
  end
  return found
end
