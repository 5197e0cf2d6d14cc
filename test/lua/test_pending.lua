-- SPDX-License-Identifier: ISC
--
-- test_pending.lua: a program that ends while every kind of thing is under way.

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local run = require("support.program").run

-- What is pending, as text: `hold(f)` runs f in a task of a pool of one thread and returns
-- when it is inside.
local BEGIN = [[
  kept = {}
  local function hold(pool, f)
    local here = gate.new()
    kept[#kept + 1] = pool:task { cancellable = true }:run(f, here)
    gate.pass(here)
    os.remove(here)
    return kept[#kept]
  end
  local function never(here)
    local g = require "support.gate"
    local name = g.new()
    local fifo = assert(io.open(name, "r+")) -- both ends, so that nothing ever comes
    os.remove(name)
    g.open(here)
    while true do pcall(fifo.read, fifo, "*l") end
  end
  local function spin(here)
    require("support.gate").open(here)
    while true do end
  end
  local function one(options)
    options = options or {}
    options.threads = 1
    local pool = assert(weir.pool(options))
    kept[#kept + 1] = pool
    return pool
  end
]]

local PENDING = {
  { "a task that runs", [[hold(one(), spin)]] },
  { "a task that waits in C", [[hold(one(), never)]] },
  { "a task that waits in C for a byte, with a lock of the C library's alone", [[hold(one(), function(here)
        local g = require "support.gate"
        local name = g.new()
        local fifo = assert(io.open(name, "r+"))
        os.remove(name)
        g.open(here)
        while true do pcall(fifo.read, fifo, 1) end
      end)]] },
  { "queued tasks", [[local p = one(); hold(p, spin)
      for _ = 1, 10 do kept[#kept + 1] = p:run(function() end) end]] },
  { "tasks whose futures are gone", [[local p = one(); hold(p, spin); for _ = 1, 10 do p:run(error) end]] },
  { "results that nobody read", [[local p = one(); for i = 1, 5 do kept[i] = p:run(function() return {} end) end
      kept[5]:wait()]] },
  { "a cancelled task", [[hold(one { cancel_timeout = 3600 }, never):cancel()]] },
  { "an abandoned task", [[local p = one { cancel_timeout = 0 }
      hold(p, function(here)
        require("support.gate").open(here)
        while true do pcall(string.find, ("a"):rep(300), (".-"):rep(6) .. "b") end
      end):cancel()
      p:run(function() end):get()]] },
  { "a closing pool", [[local p = one(); hold(p, spin); kept[#kept + 1] = p:close_async()]] },
  { "a draining pool", [[local p = one(); hold(p, spin); p:run(spin)
      kept[#kept + 1] = p:close_async { drain = true }]] },
  { "an at_exit that does not return", [[local here = gate.new()
      local p = one { at_exit = function() require("support.gate").open(here); while true do end end }
      kept[#kept + 1] = p:close_async()
      gate.pass(here)
      os.remove(here)]] },
  { "an open whose init does not return", [[local here = gate.new()
      local co = coroutine.create(function()
        weir.pool { threads = 1, init = function() require("support.gate").open(here); while true do end end }
      end)
      local turns = 0
      weir.loop.use { owns = function() return true end, resume = function() end,
        suspend = function() turns = turns + 1; coroutine.yield() end }
      assert(coroutine.resume(co))
      assert(turns == 1)
      weir.loop.use(nil)
      kept[#kept + 1] = co
      gate.pass(here)
      os.remove(here)]] },
  { "a run_in_main call that nobody serves", [[hold(one(), function(here)
        local w = require "weir"
        require("support.gate").open(here)
        w.run_in_main(function() end)
      end)]] },
  { "a run_in_main call that is being served", [[local p = one()
      local function serving()
        p:run(function() require("weir").run_in_main(function() finish() end) end):get()
      end
      function finish() FINISH end
      serving()]] },
  { "a coroutine that waits", [[local p = one(); hold(p, spin)
      weir.loop.use { owns = function() return true end, resume = function() end, suspend = coroutine.yield }
      kept[#kept + 1] = coroutine.wrap(function() kept[2]:get() end)
      kept[#kept]()]] },
  { "a run that waits for space", [[local p = one { queue_limit = 1, on_full = "wait" }
      hold(p, spin)
      p:run(function() end)
      weir.loop.use { owns = function() return true end, resume = function() end, suspend = coroutine.yield }
      kept[#kept + 1] = coroutine.wrap(function() p:run(function() end) end)
      kept[#kept]()]] },
  { "a nested task", [[hold(one(), function(here)
        local w = require "weir"
        own = w.pool { threads = 1 }
        own:run(function(name)
          require("support.gate").open(name)
          while true do end
        end, here):get()
      end)]] },
  { "a watch of a loop", [[package.loaded.copas, package.loaded.cqueues = nil, nil
      if pcall(require, "luv") then
        weir.loop.use(weir.loop.luv)
        hold(one(), spin)
      end]] },
}

local ENDS = {
  { "by itself", "", "exit 0\n" },
  { "by os.exit", "os.exit(3)", "exit 3\n" },
  { "by os.exit that closes the state", "os.exit(3, true)", "exit 3\n" },
  { "by an error", "error 'mistake'", "mistake.*exit 1\n" },
}

describe("a program that ends", function()
  for _, kind in ipairs(PENDING) do
    for _, ending in ipairs(ENDS) do
      it(("%s with %s"):format(ending[1], kind[1]), function()
        local body, inside = kind[2]:gsub("FINISH", ending[2])
        local output = run(BEGIN .. body .. "\n" .. (inside > 0 and "" or ending[2]))
        local expected = inside > 0 and ending[1] == "by an error" and ".-exit 0\n" or ending[3]
        assert.matches("^[^\n]*" .. (ending[1] == "by an error" and ".-" or "") .. expected .. "$", output)
      end)
    end
  end
end)
