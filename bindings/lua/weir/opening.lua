-- SPDX-License-Identifier: ISC
--
-- opening.lua: what the states of a new pool get of the program that opens it: init with its
-- arguments, and where modules are found.

local core = require "weir.core"

local opening = {}

local NOTHING = {}
local unpack = table.unpack or unpack -- luacheck: ignore

-- The program's own searchers, each at its index; every state has the searchers in C.
local function own_searchers()
  local list = {}
  for i, searcher in ipairs(package.searchers or package.loaders) do
    list[i] = pcall(string.dump, searcher) and searcher
  end
  return list
end

local function open_with(preload, given)
  local args = given.args or NOTHING
  return core.open(given, package.path, package.cpath, preload,
    given.searchers and own_searchers() or false, given.init or false, given.at_exit or false,
    unpack(args, 1, args.n or #args))
end

-- Every task may need weir itself, also if it was not found in package.path.
local function is_ours(name)
  return type(name) == "string" and (name == "weir" or name:find "^weir%.") ~= nil and name ~= "weir.core"
end

local function take_loaders(from, all)
  local taken, sent = {}, {}
  for name, loader in pairs(from) do
    local crosses = (all or is_ours(name))
      and (core.c_function(loader) or pcall(string.dump, loader) and loader)
    if crosses then taken[name], sent[name] = loader, crosses end
  end
  for name in pairs(taken) do from[name] = nil end
  sent["weir.core"] = core.loader
  return taken, sent
end

-- A function found in package.preload would cross by its name, which means nothing on the
-- other side. Therefore the functions are taken out of it while they are packed.
--
-- Returns the handle and a future, false and why an option cannot cross, or nil and a word.
function opening.begin(given)
  local preload, sent = take_loaders(package.preload, given.preload)
  local ok, handle, future = pcall(open_with, sent, given)
  for name, value in pairs(preload) do package.preload[name] = value end
  if not ok then error(handle, 0) end
  return handle, future
end

local PLACES = {
  ["-3"] = "options.preload",
  ["-2"] = "options.searchers",
  ["-1"] = "options.init",
  ["0"] = "options.at_exit",
}

local function name_place(number)
  return PLACES[number] or ("options.args[%s]"):format(number)
end

-- The error of an open, with the option's name for its place.
function opening.name(problem)
  if type(problem) ~= "string" then return problem end
  return (problem:gsub("^setup (%-?%d+)", name_place))
end

return opening
