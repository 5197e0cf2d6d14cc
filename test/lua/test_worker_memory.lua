-- SPDX-License-Identifier: ISC
--
-- The memory of a worker's state: see lus/arena.c. What happens without any stands in
-- test_memory.lua.

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local folder = require "support.folder"
local worker = require "weir.worker"

local script = folder.script

after_each(folder.clean)

describe("a worker's memory", function()
  -- Sizes on both sides of every border: strings, arrays and hashes that grow and shrink,
  -- coroutines whose stacks do. Each is looked at again before it is let go.
  local churn = [[
    local seed, rounds = ...
    local function random(n)
      seed = (seed * 16807) % 2147483647
      return seed % n + 1
    end
    local function make(n)
      local thing = { n = n, text = n .. ("x"):rep(n), list = {}, hash = {} }
      for i = 1, n % 70 do thing.list[i], thing.hash["k" .. i] = i, i end
      for i = n % 40 + 1, n % 70 do thing.list[i], thing.hash["k" .. i] = nil, nil end
      thing.next = coroutine.wrap(function()
        local function deep(k) if k > 0 then return 1 + deep(k - 1) end coroutine.yield(n) return 0 end
        return deep(n % 200)
      end)
      assert(thing.next() == n)
      return thing
    end
    local function check(thing)
      local n = thing.n
      assert(thing.text == n .. ("x"):rep(n))
      assert(#thing.list == math.min(n % 40, n % 70))
      for i = 1, #thing.list do assert(thing.list[i] == i and thing.hash["k" .. i] == i) end
      assert(thing.next() == n % 200)
    end
    local kept = {}
    for i = 1, rounds do
      local k = random(100)
      if kept[k] then check(kept[k]) end
      kept[k] = make(random(1500))
      if i % 1000 == 0 then collectgarbage() end
    end
    for _, thing in pairs(kept) do check(thing) end
    worker.message "ok"]]

  it("holds what is small, large, and was the other before", function()
    local path, list = script(churn), {}
    for i = 1, 4 do list[i] = worker.create(path, i, 3000) end
    for i = 1, 4 do assert.are.equal("ok", (worker.receive(list[i]))) end
  end)
end)

if _VERSION < "Lua 5.4" then return end -- there is no warn

describe("warn in a worker", function()
  it("is off until it is turned on, and writes to stderr", function()
    local output = folder.run([[
      local worker = require "weir.worker"
      local w = worker.create "warns.lua"
      while worker.receive(w) do end]], { ["warns.lua"] = [[
      warn "unseen"
      warn "@on"
      warn("a", "@off", "b")
      warn "@unknown"
      warn "@off"
      warn "unseen"
      worker.message(true)]] })
    assert.are.equal("Lua warning: a@offb\nexit 0\n", output)
  end)
end)
