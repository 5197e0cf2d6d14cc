-- SPDX-License-Identifier: ISC
--
-- Pools whose tasks have globals of their own, and what becomes of metatables.

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local weir = require "weir"

local plain51 = _VERSION == "Lua 5.1"

describe("a task with globals of its own", function()
  local pool
  before_each(function()
    pool = assert(weir.pool {
      threads = 1,
      own_globals = true,
      preload = true,
      init = function() from_init = "init"; return {} end, -- luacheck: ignore
    })
  end)
  after_each(function() pool:close() end)

  -- luacheck: push ignore
  local function get(f, ...)
    local function values(ok, ...)
      assert(ok, ...)
      return { ... }
    end
    return values(pool:run(f, ...):get())
  end

  it("reads the state's, and leaves nothing there", function()
    for _ = 1, 3 do
      assert.are.same({ "init", nil, 5, 5, true }, get(function()
        local before = x
        x = 5
        return from_init, before, x, _G.x, _G.print == print
      end))
    end
  end)

  it("has its own _G", function()
    assert.are.same({ 7, nil }, get(function() _G.y = 7; return y, require("_G").y end))
    assert.are.same({ nil, nil }, get(function() return y, _G.y end))
  end)

  it("shares them with the functions that crossed with it, at any depth", function()
    local function deepest() z = (z or 0) + 1; return z end
    local function deeper() return deepest() + deepest() end
    for _ = 1, 2 do
      assert.are.same({ 3, 2 }, get(function() local sum = deeper(); return sum, z end))
    end
  end)

  it("shares them with what it loads", function()
    for _ = 1, 2 do
      assert.are.same({ nil, 4, 4 }, get(function()
        local load = loadstring or load
        local before = w
        w = 3
        load("w = w + 1")()
        return before, w, load("return w")()
      end))
    end
  end)

  it("shares them with its coroutines", function()
    for _ = 1, 2 do
      assert.are.same({ nil, 6, 6 }, get(function()
        local before = v
        local co = coroutine.wrap(function()
          v = 5
          coroutine.yield();
          (loadstring or load)("v = v + 1")()
          return v
        end)
        co()
        return before, co(), v
      end))
    end
  end)

  it("on 5.1 has them in getfenv, too", function()
    if not plain51 then return end
    for _ = 1, 2 do
      assert.are.same({ nil, 1, true }, get(function()
        local before = u
        getfenv(0).u = 1
        return before, u, getfenv() == _G and getfenv(0) == _G
      end))
    end
  end)

  it("requires modules once, with the state's globals", function()
    package.preload["globals.old"] = nil
    local closed = pool:close()
    assert.is_true(closed)
    package.preload["globals.old"] = function()
      globals_old_loaded = (globals_old_loaded or 0) + 1
      return { count = function() globals_old_loaded = globals_old_loaded + 1; return globals_old_loaded end }
    end
    pool = assert(weir.pool { threads = 1, own_globals = true, preload = true })
    package.preload["globals.old"] = nil
    assert.are.same({ 1, 2, 2 }, get(function()
      local old = require "globals.old"
      return globals_old_loaded, old.count(), globals_old_loaded
    end))
    assert.are.same({ 2, 3 }, get(function() return globals_old_loaded, require("globals.old").count() end))
    assert.is_nil(rawget(_G, "globals_old_loaded"))
  end)

  it("has them again after a require that failed", function()
    assert.are.same({ false, 8, 8 }, get(function()
      local ok = pcall(require, "no.such.module")
      t = 8
      return ok, t, (loadstring or load)("return t")()
    end))
    assert.are.same({ nil }, get(function() return t end))
  end)

  it("has them when it ends by an error, and the next one does not", function()
    assert.is_false((pool:run(function() s = 1; error "failed" end):get()))
    assert.are.same({ nil }, get(function() return s end))
  end)

  it("gives back functions that have the globals of here", function()
    rawset(_G, "globals_here", "here")
    assert.are.same({ "here", _G }, (function(list) return { list[1](), list[2] } end)(
      get(function() r = 1; return function() return globals_here end, _G end)))
    rawset(_G, "globals_here", nil)
  end)

  it("passes them on to a task of its own as what they are there", function()
    assert.are.same({ nil, "inner", 1 }, get(function()
      local inner = require("weir").pool { threads = 1 }
      q = 1
      local ok, there, set = inner:run(function() local before = q; q = "inner"; return before, q end):get()
      assert(ok, there)
      inner:close()
      return there, set, q
    end))
  end)

  it("keeps the library's functions", function()
    assert.are.same({ true, "function", 3 }, get(function()
      return type(string.format) == "function", type(pcall), select("#", 1, 2, 3)
    end))
  end)
  -- luacheck: pop
end)

describe("a pool's metatables", function()
  local class = {}
  class.__index = class
  function class:double() return 2 * self.n end
  local function object(n) return setmetatable({ n = n }, class) end

  it("are refused unless something else is said", function()
    local pool = assert(weir.pool { threads = 1 })
    assert.is_false((pcall(pool.run, pool, function() end, object(1))))
    pool:close()
  end)

  it("are copied, in arguments, upvalues, results and errors", function()
    local pool, up = assert(weir.pool { threads = 1, metatables = "copy" }), object(5)
    local ok, sum, back = pool:run(function(o) return o:double() + up:double(), o end, object(4)):get()
    assert.are.same({ true, 18, 8 }, { ok, sum, back:double() })
    local failed, problem = pool:run(function(o) error(o) end, object(6)):get()
    assert.are.same({ false, 12 }, { failed, problem:double() })
    pool:close()
  end)

  it("are copied for init, too", function()
    local pool = assert(weir.pool {
      threads = 1, metatables = "copy", init = function(o) return o end, args = { object(7) },
    })
    assert.are.same({ true, 14 }, { pool:run(function(o) return o:double() end):get() })
    pool:close()
  end)

  it("are left behind", function()
    local pool = assert(weir.pool { threads = 1, metatables = "drop" })
    local ok, mt, n = pool:run(function(o) return getmetatable(o), o.n end, object(4)):get()
    assert.are.same({ true, nil, 4 }, { ok, mt, n })
    local _, back = pool:run(function() return setmetatable({ 1 }, {}) end):get()
    assert.is_nil(getmetatable(back))
    pool:close()
  end)

  it("are one of three words", function()
    local ok, problem = pcall(weir.pool, { metatables = "keep" })
    assert.is_false(ok)
    assert.matches('weir.pool: options.metatables must be one of "refuse", "copy", "drop", got "keep"',
      problem, 1, true)
    assert.is_false((pcall(weir.pool, { own_globals = 1 })))
  end)
end)
