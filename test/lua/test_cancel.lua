-- SPDX-License-Identifier: ISC

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local gate = require "support.gate"
local weir = require "weir"

-- ThreadSanitizer holds the signal back while nothing but the interpreter runs: the loop
-- would burn for the rest of the suite.
local it_burns = os.getenv "WEIR_LUA_VARIANT" == "tsan" and pending or it

-- Runs f(here) in a pool of one thread, cancels it when it has opened the gate, and
-- shows that the thread serves again.
local function stops(f)
  local pool = assert(weir.pool { threads = 1, cancel_timeout = math.huge })
  local here = gate.new()
  local future = pool:task { cancellable = true }:run(f, here)
  gate.pass(here)
  os.remove(here)
  assert.is_true(future:cancel())
  assert.are.same({ false, "cancelled" }, { future:get() })
  assert.are.same({ true, "next" }, { pool:run(function() return "next" end):get() })
  assert.is_true(pool:close())
  local s = pool:stats()
  assert.are.same({ 2, 1, 1, 0 }, { s.submitted, s.ok, s.cancelled, s.abandoned })
end

describe("cancel stops a task", function()
  it_burns("that never ends", function()
    stops(function(here)
      require("support.gate").open(here)
      while true do end
    end)
  end)

  it_burns("that calls everything protected", function()
    stops(function(here)
      require("support.gate").open(here)
      while true do pcall(function() while true do end end) end
    end)
  end)

  it_burns("that runs in a coroutine", function()
    stops(function(here)
      local co = coroutine.create(function()
        require("support.gate").open(here)
        while true do pcall(function() while true do end end) end
      end)
      while true do coroutine.resume(co) end
    end)
  end)

  it_burns("that runs in a wrapped coroutine inside another", function()
    stops(function(here)
      coroutine.wrap(function()
        pcall(coroutine.wrap(function()
          require("support.gate").open(here)
          while true do end
        end))
        while true do end
      end)()
    end)
  end)

  it("that waits in a system call", function()
    stops(function(here)
      local g = require "support.gate"
      local never = g.new()
      g.open(here)
      while true do pcall(g.pass, never) end
    end)
  end)

  it("and runs at_exit and init before the next one", function()
    local pool = assert(weir.pool {
      threads = 1,
      cancel_timeout = math.huge,
      init = function() n = (n or 0) + 1; return { n = n } end, -- luacheck: ignore
      at_exit = function(state) if state.out then require("support.gate").open(state.out, "left") end end,
    })
    local here, out = gate.new(), gate.new()
    local future = pool:task { cancellable = true }:run(function(state, name, leaves)
      mark, state.out = "dirty", leaves -- luacheck: ignore
      require("support.gate").open(name)
      while true do local _ = {} end -- allocates: there ThreadSanitizer lets the signal in
    end, here, out)
    gate.pass(here)
    future:cancel()
    assert.are.equal("left", gate.pass(out))
    assert.are.same({ true, 1, nil, nil }, { pool:run(function(state) return state.n, mark, state.out end):get() }) -- luacheck: ignore
    pool:close()
    os.remove(here)
    os.remove(out)
  end)

  it("but keeps the state of one that has asked and returns", function()
    local pool = assert(weir.pool {
      threads = 1,
      cancel_timeout = math.huge,
      init = function() return { tasks = 0 } end,
      at_exit = function(state) assert(state.tasks == 2) end,
    })
    local here = gate.new()
    local future = pool:run(function(state, name)
      local w = require "weir"
      state.tasks = state.tasks + 1
      w.cancelled()
      require("support.gate").open(name)
      repeat local _ = {} until w.cancelled()
    end, here)
    gate.pass(here)
    future:cancel()
    assert.are.same({ true, 2 }, { pool:run(function(state)
      state.tasks = state.tasks + 1
      return state.tasks
    end):get() })
    assert.is_true(pool:close())
    os.remove(here)
  end)

  it("and tells the next one if init fails then, and tries again with the one after it", function()
    local flag, here = os.tmpname(), gate.new()
    local pool = assert(weir.pool {
      threads = 1,
      cancel_timeout = math.huge,
      init = function(name)
        local file = io.open(name) or error("no server", 0)
        file:close()
        return "there"
      end,
      args = { flag },
    })
    local future = pool:task { cancellable = true }:run(function(_, name)
      require("support.gate").open(name)
      while true do local _ = {} end
    end, here)
    gate.pass(here)
    os.remove(flag)
    future:cancel()
    assert.are.same({ false, "init failed: no server" }, { pool:run(function() end):get() })
    io.open(flag, "w"):close()
    assert.are.same({ true, "there" }, { pool:run(function(state) return state end):get() })
    assert.is_true(pool:close())
    os.remove(flag)
    os.remove(here)
  end)

  it("and no other", function()
    local pool = assert(weir.pool { threads = 1, cancel_timeout = math.huge })
    for _ = 1, 50 do
      local here = gate.new()
      local future = pool:task { cancellable = true }:run(function(name)
        require("support.gate").open(name)
        for _ = 1, 100 do end -- is left or stopped, as it comes
      end, here)
      local following = pool:run(function()
        local sum = 0
        for i = 1, 20000 do sum = sum + i end
        return sum, require("weir").cancelled()
      end)
      gate.pass(here)
      future:cancel()
      assert.are.same({ true, 200010000, false }, { following:get() })
      os.remove(here)
    end
    pool:close()
  end)
end)

describe("a task that cannot be stopped", function()
  it("is abandoned, its thread replaced, and close does not wait for it", function()
    local pool = assert(weir.pool {
      threads = 1,
      cancel_timeout = 0.01,
      init = function() return {} end,
      at_exit = function(state) if state.out then require("support.gate").open(state.out, "left") end end,
    })
    local here, leave, out = gate.new(), gate.new(), gate.new()
    local future = pool:run(function(state, a, b, c)
      state.out = c
      os.execute(("echo > %s; read line < %s"):format(a, b))
    end, here, leave, out)
    gate.pass(here)
    assert.is_true(future:cancel())
    assert.are.same({ false, "cancelled" }, { future:get() })
    assert.are.same({ true, "next" }, { pool:run(function() return "next" end):get() })
    assert.is_true(pool:close())
    local s = pool:stats()
    assert.are.same({ 1, 1, 1, 1 }, { s.ok, s.cancelled, s.abandoned, s.lost })
    gate.open_last(leave)
    assert.are.equal("left", gate.pass(out)) -- it wakes, and gives back its own state
    os.remove(here)
    os.remove(out)
  end)

  it("is abandoned when the one who cancels says", function()
    local pool = assert(weir.pool { threads = 1, cancel_timeout = math.huge })
    local here, leave = gate.new(), gate.new()
    local future = pool:run(function(a, b) os.execute(("echo > %s; read line < %s"):format(a, b)) end, here, leave)
    gate.pass(here)
    assert.is_true(future:cancel(0.01))
    assert.are.same({ true, "next" }, { pool:run(function() return "next" end):get() })
    while pool:stats().abandoned == 0 do weir.sleep(0.001) end -- its replacement may be first
    gate.open_last(leave)
    os.remove(here)
    pool:close()
  end)

  it("is waited for where it is never to be abandoned", function()
    local pool = assert(weir.pool { threads = 1, cancel_timeout = math.huge })
    local here = gate.new()
    local future = pool:run(function(name)
      require("support.gate").open(name)
      return (("a"):rep(150)):find((".-"):rep(3) .. "b")
    end, here)
    gate.pass(here)
    future:cancel()
    assert.is_true(pool:close()) -- waits: it was not abandoned
    assert.are.equal(0, pool:stats().abandoned)
    os.remove(here)
  end)
end)
