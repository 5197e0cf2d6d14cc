-- SPDX-License-Identifier: ISC
--
-- test_crossing.lua: what cannot cross, wherever it stands; hostile values on a small stack.

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local weir = require "weir"

-- Each is made where it is to be refused; and what the refusal calls it.
local KINDS = {
  coroutine = { make = function() return coroutine.create(function() end) end, is = "coroutine cannot cross" },
  userdata = { make = function() return assert(io.open "/dev/null") end, is = "userdata.- cannot cross" },
  ["C function"] = { make = function() return string.gmatch("x", "x") end, is = "C function cannot cross" },
  metatable = { make = function() return setmetatable({}, {}) end, is = "not registered" },
  future = {
    make = function()
      weir_test_kept = weir_test_kept or require("weir").pool { threads = 1 } -- luacheck: ignore
      return weir_test_kept:run(function() end) -- luacheck: ignore
    end,
    is = "userdata.- cannot cross",
  },
}
if rawget(_G, "jit") then
  KINDS.cdata = { make = function() return require("ffi").new "int[1]" end, is = "cdata cannot cross" }
  KINDS["C function"].make = function() return coroutine.wrap(function() end) end
end

describe("a value that cannot cross", function()
  local pool
  setup(function() pool = assert(weir.pool { threads = 1 }) end)
  teardown(function()
    pool:run(function()
      if weir_test_kept then weir_test_kept:close() end -- luacheck: ignore
    end):get()
    pool:close()
    if weir_test_kept then weir_test_kept:close() end -- luacheck: ignore
    weir_test_kept = nil -- luacheck: ignore
  end)

  for name, kind in pairs(KINDS) do
    it(("(%s) is refused with its place: as argument"):format(name), function()
      local ok, problem = pcall(pool.run, pool, function() end, 1, kind.make())
      assert.is_false(ok)
      assert.matches("run: argument 3.*" .. kind.is, problem)
      ok, problem = pcall(pool.run, pool, function() end, { deep = { kind.make() } })
      assert.is_false(ok)
      assert.matches("run: argument 2%.deep%[1%].*" .. kind.is, problem)
    end)

    it(("(%s) as upvalue"):format(name), function()
      local value, t = kind.make(), { kind.make() }
      local ok, problem = pcall(pool.run, pool, function() return value end)
      assert.is_false(ok)
      assert.matches("run: argument 1 %(upvalue 'value'%).*" .. kind.is, problem)
      ok, problem = pcall(pool.run, pool, function() return t end)
      assert.is_false(ok)
      assert.matches("run: argument 1 %(upvalue 't'%)%[1%].*" .. kind.is, problem)
    end)

    it(("(%s) as key"):format(name), function()
      local ok, problem = pcall(pool.run, pool, function() end, { [kind.make()] = true })
      assert.is_false(ok)
      assert.matches("run: argument 2 %(a key%).*" .. kind.is, problem)
    end)

    it(("(%s) as result"):format(name), function()
      local ok, problem = pool:run(function(make) return 1, make() end, kind.make):get()
      assert.is_false(ok)
      assert.matches("^result 2.*" .. kind.is, problem)
      ok, problem = pool:run(function(make) return { x = make() } end, kind.make):get()
      assert.is_false(ok)
      assert.matches("^result 1%.x.*" .. kind.is, problem)
    end)

    it(("(%s) as error value"):format(name), function()
      local ok, problem = pool:run(function(make) error(make(), 0) end, kind.make):get()
      assert.is_false(ok)
      assert.matches("^error value.*" .. kind.is, problem)
    end)

    it(("(%s) through run_in_main"):format(name), function()
      local ok, problem = pool:run(function(make)
        return require("weir").run_in_main(function() end, make())
      end, kind.make):get()
      assert.is_false(ok)
      assert.matches("argument 2.*" .. kind.is, problem)
      ok, problem = pool:run(function(make) return require("weir").run_in_main(make) end, kind.make):get()
      assert.is_false(ok)
      assert.matches("result 1.*" .. kind.is, problem)
    end)

    it(("(%s) from init, at_exit and their errors"):format(name), function()
      local make = kind.make
      local ok, problem = pcall(weir.pool, { threads = 1, init = function() end, args = { make() } })
      assert.is_false(ok)
      assert.matches("options.args%[1%].*" .. kind.is, problem)
      local own
      own, problem = weir.pool { threads = 1, init = function() error(make(), 0) end }
      assert.is_nil(own)
      assert.matches("^error value.*" .. kind.is, problem)
      own = assert(weir.pool { threads = 1, init = make, at_exit = function(state) error(state, 0) end })
      ok, problem = own:close() -- what init returns stays, and may be anything
      assert.is_nil(ok)
      assert.matches("^error value.*" .. kind.is, problem)
    end)
  end

  it("leaves the pool as it was", function()
    assert.are.same({ true, 1 }, { pool:run(function() return 1 end):get() })
  end)
end)

describe("on a stack of 128 KiB", function()
  it("a task takes and gives whatever can cross", function()
    local pool = assert(weir.pool { threads = 1, stack_size = 128 * 1024 })
    local deep = {}
    for i = 1, 200000 do deep = { deep, i } end
    local f = function() return 0 end
    for _ = 1, 10000 do
      local inner = f
      f = function() return inner end
    end
    local ok, t, g, s = pool:run(function(...) return ... end, deep, f, ("x"):rep(1e7)):get()
    assert.is_true(ok)
    for i = 200000, 1, -1 do
      if t[2] ~= i then error(i) end
      t = t[1]
    end
    assert.are.equal(1e7, #s)
    for _ = 1, 10000 do g = g() end
    assert.are.equal(0, g())
    local problem
    ok, problem = pool:run(function()
      local d = { coroutine.create(function() end) }
      for _ = 1, 200000 do d = { d } end
      return d
    end):get()
    assert.is_false(ok)
    assert.matches("coroutine cannot cross", problem)
    ok, problem = pool:run(function()
      local function recurse() return 1 + recurse() end
      return recurse()
    end):get()
    assert.is_false(ok)
    assert.matches("stack overflow", problem)
    assert.is_true(pool:close())
  end)
end)

describe("a function with several names", function()
  it("crosses by the one that every state has, as upvalue, argument and result", function()
    local pool = assert(weir.pool { threads = 1 })
    local own, len, unpack = package.loaded.string, string.len, rawget(_G, "unpack") or table.unpack
    local had = { rawget(_G, "unpack") or false, table.unpack or false }
    _G.unpack, table.unpack = unpack, unpack -- luacheck: ignore
    local answers = {}
    for n = 1, 20 do
      own["weir_test_" .. n] = len -- by chance one of these comes before it
      package.loaded.weir_test_new = {} -- so that names are looked for anew
      answers[n] = { pool:run(function(f, g)
        return f == len and g == unpack and f(unpack { "abc" }), f, g
      end, len, unpack):get() }
    end
    for n = 1, 20 do own["weir_test_" .. n] = nil end
    package.loaded.weir_test_new = nil
    _G.unpack, table.unpack = had[1] or nil, had[2] or nil -- luacheck: ignore
    pool:close()
    for n = 1, 20 do assert.are.same({ true, 3, len, unpack }, answers[n]) end
  end)
end)

describe("a module that is not found on the other side", function()
  it("is named with who wanted it, and a traceback", function()
    package.loaded["test.only.here"] = { list = {} }
    local list = package.loaded["test.only.here"].list
    local pool = assert(weir.pool { threads = 1 })
    local function fails(pattern, ...)
      local future = pool:run(...)
      local ok, problem = future:get()
      assert.is_false(ok)
      assert.matches(pattern .. "module 'test.only.here' not found", problem)
      assert.matches(pattern .. ".*stack traceback:", future:traceback())
    end
    fails("^argument 1 %(upvalue 'list'%): ", function() return #list end)
    fails("^argument 2: ", function() end, list)
    fails("^argument 3: ", function() end, 1, { { list } })
    local _, problem = weir.pool { threads = 1, init = function() return #list end }
    assert.matches("^options.init %(upvalue 'list'%): module 'test.only.here' not found", problem)
    _, problem = weir.pool { threads = 1, init = function() end, args = { 1, list } }
    assert.matches("^options.args%[2%]: module 'test.only.here' not found", problem)
    assert.are.same({ true, 1 }, { pool:run(function() return 1 end):get() })
    pool:close()
    package.loaded["test.only.here"] = nil
  end)
end)
