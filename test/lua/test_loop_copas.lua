-- SPDX-License-Identifier: ISC

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

for _, name in ipairs { "timerwheel", "copas.semaphore" } do -- Debian packages neither
  package.preload[name] = function() return require("support." .. name) end
end
local found, copas = pcall(require, "copas")
if not found or not copas.wakeup or not pcall(require, "socket") then return require "support.missing" "Copas 4" end

local is_plain51 = _VERSION == "Lua 5.1" and not rawget(_G, "jit")
if is_plain51 and not pcall(require, "coxpcall") then return require "support.missing" "coxpcall" end

require "support.loop_tests"("Copas", {
  pcall = is_plain51 and require("coxpcall").pcall or pcall,
  catches = true,
  run = function(...)
    for _, f in ipairs { ... } do copas.addthread(f) end
    copas.loop()
  end,
  pause = function() copas.pause(0.001) end,
})

describe("under a Copas that is loaded again", function()
  it("goes on what was submitted under the one before", function()
    local gate, weir = require "support.gate", require "weir"
    local pool, go = assert(weir.pool { threads = 1 }), gate.new()
    local future = pool:run(function(g) require("support.gate").pass(g) return 5 end, go) -- held by the one before
    for name in pairs(package.loaded) do
      if name:match "^copas" then package.loaded[name] = nil end
    end
    copas = require "copas"
    local in_time, result
    copas.addthread(function()
      local other = pool:run(function() return 6 end)
      gate.open_last(go)
      in_time, result = future:wait(20), { future:get() }
      result[3] = select(2, other:get())
    end)
    copas.loop()
    assert.are.same({ true, { true, 5, 6 } }, { in_time, result })
    pool:close()
  end)
end)

describe("under a Copas that lets others go on before it waits", function()
  local random = math.random
  after_each(function() rawset(math, "random", random) end)

  -- It does so by chance, one time in ten; here always. What it then forgot it looks at
  -- again after two minutes.
  it("lets the loop end when a cancel leaves nothing to wait for", function()
    local gate, weir = require "support.gate", require "weir"
    local pool, here, go = assert(weir.pool { threads = 1 }), gate.new(), gate.new()
    local clock = weir.loop.clock
    local began = clock()
    rawset(math, "random", function() return 100 end)
    copas.addthread(function()
      local future = pool:run(function(...)
        local g = require "support.gate"
        g.open((...))
        g.pass((select(2, ...)))
      end, here, go)
      gate.pass(here)
      copas.addthread(function() future:cancel() end)
      assert.are.same({ false, "cancelled" }, { future:get() })
    end)
    copas.loop()
    assert.is_true(clock() - began < 100)
    os.remove(here)
    os.remove(go)
    pool:close()
  end)
end)
