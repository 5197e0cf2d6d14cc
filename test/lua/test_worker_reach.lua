-- SPDX-License-Identifier: ISC
--
-- pledge, by what there is: every C function that a worker's state can reach stands on a list.

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local folder = require "support.folder"
local reachable = require "support.reachable"
local worker = require "weir.worker"

after_each(folder.clean)

local function names_of(before)
  local w = worker.create(folder.script(before .. [[
    local names = {}
    for name in pairs(require "support.walk"()) do names[#names + 1] = name end
    worker.message(names)]]))
  return worker.receive(w)
end

local function judged(name)
  for _, class in pairs { "guarded", "language", "harmless", "worker", "registry" } do
    if reachable[class][name] then return class end
  end
  local core = name:match "^registry%._LOADED%.weir%.core%.(.*)"
    or name:match "^registry%._LOADED%.weir%.lus%.core%.(.*)"
  if core then return reachable.asks[core] and "asks" or reachable.own[core] and "own" end
  local method = name:match "^registry%.weir%.(.*)"
  return method and reachable.own_methods[method] and "own"
end

local function unjudged(names)
  local list = {}
  for _, name in ipairs(names) do
    if not judged(name) then list[#list + 1] = name end
  end
  return table.concat(list, " ")
end

describe("a worker's state", function()
  it("reaches only C functions that were judged", function()
    local names = names_of ""
    assert.is_true(#names > 120, #names)
    assert.are.equal("", unjudged(names))
  end)

  it("reaches only judged ones when it has loaded weir", function()
    local names = names_of 'require "weir" require "weir.msys" require "weir.thread" require "weir.lus.actor"'
    assert.is_true(#names > 200, #names)
    assert.are.equal("", unjudged(names))
  end)

  -- Calls each with what would do the least, were it allowed.
  it("has guards that ask", function()
    local w = worker.create(folder.script [[
      local guarded, asks = ...
      require "weir"
      require "weir.lus.actor"
      local functions, standard = require "support.walk"(), io.stdout
      pledge "~all"
      local function denies(f, ...)
        local ok, problem = pcall(f, ...)
        return tostring(problem):find("denied", 1, true) ~= nil
      end
      for name, f in pairs(functions) do
        local core = name:match "^registry%._LOADED%.weir%.core%.(.*)"
        if (guarded[name] or core and asks[core]) and not denies(f, "x", "w") and not denies(f, standard)
          and not denies(f) then
          worker.message(name)
        end
      end
      worker.message "done"]], reachable.guarded, reachable.asks)
    assert.are.equal("done", worker.receive(w))
  end)
end)

-- A guard knows its function by a slot that the functions of all states share. Two functions of
-- one library may look for the same slot, and with so many some do.
describe("a guard", function()
  it("runs its own function, whatever stands in the slot that it looked for", function()
    assert.are.equal("true\t0\nexit 0\n", folder.run [[
      local function outcome(f)
        local _, value = pcall(f, 0.5, 2, 3)
        return type(value) == "number" and value or type(value)
      end
      local originals, random = {}, { random = true, randomseed = true }
      for _, library in ipairs { math, string, table } do
        for name, f in pairs(library) do
          if type(f) == "function" and not random[name] then
            originals[#originals + 1] = f
            debug["of_" .. #originals] = f
          end
        end
      end
      require "weir.worker"
      local wrong = 0
      for i, f in ipairs(originals) do
        local guard = debug["of_" .. i]
        if guard == f or outcome(guard) ~= outcome(f) then wrong = wrong + 1 end
      end
      print(#originals > 40, wrong)]])
  end)
end)
