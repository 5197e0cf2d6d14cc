-- SPDX-License-Identifier: ISC

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local gate = require "support.gate"
local pools = require "support.pool"
local weir = require "weir"

local with_pool = pools.with

describe("init and at_exit", function()
  it("give each thread a state that every task gets first", function()
    with_pool({
      threads = 2,
      init = function(a, b) return { a, b, n = 0 } end,
      args = { "x", nil, n = 2 },
    }, function(pool)
      local _, a, b, given = pool:run(function(state, v)
        state.n = state.n + 1
        return state[1], state[2], v
      end, 7):get()
      assert.are.same({ "x", nil, 7 }, { a, b, given })
    end)
  end)

  it("run once per thread, at_exit with what init made", function()
    local out = gate.new()
    local pool = assert(weir.pool {
      threads = 1,
      init = function(name) return { name = name } end,
      args = { out },
      at_exit = function(state) require("support.gate").open(state.name, "bye") end,
    })
    pool:close_async()
    assert.are.equal("bye", gate.pass(out))
    assert.is_true(pool:close())
    os.remove(out)
  end)

  it("share the upvalues that they shared", function()
    local out, shared = gate.new(), 0
    local pool = assert(weir.pool {
      threads = 1,
      init = function() shared = shared + 5 end,
      at_exit = function() require("support.gate").open(out, tostring(shared)) end,
    })
    pool:close_async()
    local line = gate.pass(out)
    -- 5.1 itself has no way to make closures share
    local shares = _VERSION ~= "Lua 5.1" or rawget(_G, "jit")
    assert.are.equal(shares and "5" or "0", line)
    assert.is_true(pool:close())
    os.remove(out)
  end)

  it("give a nil state when init returns nothing", function()
    with_pool({ threads = 1, init = function() end }, function(pool)
      assert.are.same({ true, 2 }, { pool:run(function(...) return select("#", ...) end, 1):get() })
    end)
  end)

  it("fails the open with the message that it returns after nil", function()
    local function fail() return nil, "no database" end
    assert.are.same({ nil, "no database" }, { weir.pool { threads = 2, init = fail } })
    assert.are.same({ nil, { 7 } }, { weir.pool { threads = 1, init = function() return nil, { 7 } end } })
    for _, init in ipairs { function() return nil end, function() return false, "no" end, function() end } do
      assert(weir.pool { threads = 1, init = init }):close()
    end
  end)

  it("of which init raises fail the open with its error", function()
    local pool, problem = weir.pool { threads = 2, init = function() error({ code = 7 }) end }
    assert.is_nil(pool)
    assert.are.same({ code = 7 }, problem)
    pool, problem = weir.pool { threads = 1, init = function() error("no database", 0) end }
    assert.are.same({ nil, "no database" }, { pool, problem })
    pool, problem = weir.pool { threads = 1, init = function() error() end }
    assert.is_nil(pool)
    assert.are.same({ pcall(error) }, { false, problem }) -- nil, but not so in 5.5
  end)

  it("of which at_exit raises are told by close, once", function()
    local pool = assert(weir.pool { threads = 2, at_exit = function() error("cannot leave", 0) end })
    assert.are.same({ nil, "cannot leave" }, { pool:close() })
    assert.is_true(pool:close())
  end)

  it("of which at_exit raises are told by close_async's future", function()
    local pool = assert(weir.pool { threads = 1, at_exit = function() error { 1 } end })
    assert.are.same({ false, { 1 } }, { pool:close_async():get() })
  end)

  it("may use weir themselves", function()
    with_pool({
      threads = 1,
      init = function()
        local here = require "weir"
        local own = assert(here.pool { threads = 1 })
        local ok, value = own:run(function() return "made" end):get()
        return { own = own, value = ok and value }
      end,
      at_exit = function(state) state.own:close() end,
    }, function(pool)
      assert.are.same({ true, "made", "again" }, { pool:run(function(state)
        return state.value, (select(2, state.own:run(function() return "again" end):get()))
      end):get() })
    end)
  end)
end)
