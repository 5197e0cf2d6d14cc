-- SPDX-License-Identifier: ISC
--
-- Each state draws random numbers of its own: the threads of a pool, and workers.

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local folder = require "support.folder"
local gate = require "support.gate"
local weir = require "weir"
local worker = require "weir.worker"

-- A text that two sequences do not share by chance.
local function draw()
  local numbers = {}
  for i = 1, 4 do numbers[i] = math.random(1, 2 ^ 30) end
  return table.concat(numbers, " ")
end

local function are_apart(list)
  local seen = {}
  for _, text in ipairs(list) do
    assert.is_nil(seen[text], "drawn twice: " .. text)
    seen[text] = true
  end
end

after_each(folder.clean)

describe("random numbers", function()
  it("are others on each thread of a pool", function()
    local pool = weir.pool { threads = 4 }
    local doors, tasks, got = {}, {}, {}
    for i = 1, 4 do -- each waits until all have a thread
      doors[i] = gate.new()
      tasks[i] = pool:run(function(door, f)
        require("support.gate").pass(door)
        return f()
      end, doors[i], draw)
    end
    for i = 1, 4 do gate.open_last(doors[i]) end
    for i = 1, 4 do got[i] = select(2, assert(tasks[i]:get())) end
    are_apart(got)
    pool:close()
  end)

  it("are others in each pool, one after the other, and not those of the program", function()
    local got = { draw() }
    for i = 2, 20 do
      local pool = weir.pool { threads = 1 }
      got[i] = select(2, assert(pool:run(draw):get()))
      pool:close()
    end
    are_apart(got)
  end)

  it("are others in the state that follows one in which a task was stopped", function()
    local pool = weir.pool { threads = 1 }
    local _, before = assert(pool:run(draw):get())
    local here = gate.new()
    local stopped = pool:task({ cancellable = true }):run(function(door)
      require("support.gate").open(door)
      while true do end -- luacheck: ignore
    end, here)
    gate.pass(here)
    stopped:cancel()
    os.remove(here)
    are_apart { before, (select(2, assert(pool:run(draw):get()))) }
    pool:close()
  end)

  it("are others in each worker", function()
    local path = folder.script [[
      local numbers = {}
      for i = 1, 4 do numbers[i] = math.random(1, 2 ^ 30) end
      worker.message(table.concat(numbers, " "))
    ]]
    local got = {}
    for i = 1, 20 do got[i] = worker.receive(worker.create(path)) end
    are_apart(got)
  end)

  it("leave the program's own sequence where it was", function()
    if _VERSION:match "5.[123]$" and not rawget(_G, "jit") then skip "all states draw from one" end
    math.randomseed(42)
    local expected = draw()
    math.randomseed(42)
    local pool = weir.pool { threads = 1 }
    pool:run(draw):get()
    assert.are.equal(expected, draw())
    pool:close()
  end)
end)
