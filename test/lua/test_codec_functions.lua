-- SPDX-License-Identifier: ISC

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local codec = require "support.codec"
local scale = require "support.scale"
local peer, copy, there = codec.peer, codec.copy, codec.there
local load = loadstring or load -- luacheck: ignore

local function collect() collectgarbage() collectgarbage() end

describe("the codec, of functions,", function()
  it("takes their upvalues along, by value", function()
    local n, t, nothing = 1, { 2 }, nil
    local function f() n = n + 1; t[1] = t[1] + 1; return n, t[1], nothing end
    assert.are.same({ 2, 3 }, { there(f) })
    assert.are.same({ 2, 3 }, { there(f) })
    assert.are.same({ 1, 2 }, { n, t[1] })
  end)

  it("keeps variables that functions share, where the version can", function()
    local n = 0
    local function up() n = n + 1 end
    local function get() return n end
    local up2, get2, t = copy(up, get, { up, get })
    up2()
    assert.are.equal(peer.shares_cells and 1 or 0, get2())
    assert.are.equal(0, get())
    assert.is_true(t[1] == up2 and t[2] == get2)
  end)

  it("keeps shared variables whose value is nil, a table or the function itself", function()
    if not peer.shares_cells then return end
    local a, b
    local function set(x, y) a, b = x, y end
    local function get() return a, b, set end
    local set2, get2 = copy(set, get)
    set2(1, 2)
    assert.are.same({ 1, 2, set2 }, { get2() })
  end)

  it("keeps recursion", function()
    local function factorial(n) return n == 0 and 1 or n * factorial(n - 1) end
    assert.are.equal(120, there(factorial, 5))
    local even, odd
    function even(n) if n == 0 then return true end return odd(n - 1) end
    function odd(n) if n == 0 then return false end return even(n - 1) end
    assert.is_true(there(even, 100))
  end)

  it("brings functions that make functions, and results that are functions", function()
    local function counter(from) return function() from = from + 1; return from end end
    local count = there(counter, 10)
    assert.are.same({ 11, 12 }, { count(), count() })
    local made = there(function(f) return f(20) end, counter)
    assert.are.equal(21, made())
  end)

  it("carries as many upvalues as a function can have", function()
    local most = codec.lua51 and 60 or 255
    local names, sum = {}, {}
    for i = 1, most do names[i] = ("local v%d = %d"):format(i, i) end
    for i = 1, most do sum[i] = "v" .. i end
    local chunk = {}
    for i = 1, most, 150 do -- a function may have 200 variables of its own
      chunk[#chunk + 1] = table.concat(names, "\n", i, math.min(i + 149, most)) .. "\nreturn (function() "
    end
    chunk[#chunk + 1] = "return function() return " .. table.concat(sum, "+") .. " end"
    local f = assert(load(table.concat(chunk) .. (" end)()"):rep(#chunk - 1)))()
    assert.are.equal(most * (most + 1) / 2, there(f))
  end)

  it("binds them to the other side's globals", function()
    rawset(_G, "codec_here", 1)
    local function f() return codec_here, print == _G.print, tostring(1) end -- luacheck: ignore
    local here, same, one = there(f)
    assert.are.same({ nil, true, "1" }, { here, same, one })
    local n = 5
    assert.are.same({ nil, 5 }, { there(function() return codec_here, n end) }) -- luacheck: ignore
    rawset(_G, "codec_here", nil)
  end)

  it("puts a table in the globals' place when it is told to", function()
    local n = 1
    local message = peer.pack(nil, function() x = (x or 0) + 1; return x end, -- luacheck: ignore
      function() return x, n end, _G) -- luacheck: ignore
    for i = 1, 2 do
      local env = { x = 10 * i }
      local _, f, g, globals = peer.unpack(message, env)
      assert.are.same({ 10 * i + 1, 10 * i + 1, env }, { f(), (g()), globals })
      assert.are.same({ 10 * i + 1 }, { env.x })
    end
    assert.is_nil(rawget(_G, "x"))
  end)

  it("takes such a table for the globals on the way back", function()
    local env = setmetatable({}, { __index = _G })
    local f
    if codec.lua51 then f = setfenv(function() return print end, env)
    else f = load("return print", "f", "t", env) end
    local _, g, e = peer.unpack(peer.pack({ globals = env }, f, { env }))
    assert.are.same({ print, _G }, { g(), e[1] })
  end)

  -- Which name the hash order gives first varies with the other keys.
  local function with_aliases(value, module, key, n, f)
    local added = {}
    for i = 1, n do added[#added + 1] = { module, ("alias%d_%d"):format(n, i) } end
    added[#added + 1] = { module, key }
    added[#added + 1] = { _G, key }
    added[#added + 1] = { package.loaded, "weir_test_alias" .. n, module }
    for i = #added, 1, -1 do
      local t, k, v = added[i][1], added[i][2], added[i][3]
      if rawget(t, k) == nil then rawset(t, k, v or value) else table.remove(added, i) end
    end
    local ok, problem = pcall(f)
    for _, at in ipairs(added) do rawset(at[1], at[2], nil) end
    assert.is_true(ok, problem)
  end

  -- What a new state has, by its name there, and where a program might put it too.
  local STOCK = {
    { unpack or table.unpack, table, "unpack" }, -- luacheck: ignore
    { string.len, string, "size" },
    { string.sub, table, "slice" },
    { tostring, string, "of" },
    { math.floor, math, "entier" },
  }

  it("takes C functions by the name that a new state has for them", function()
    for i, case in ipairs(STOCK) do
      local value, module, key = case[1], case[2], case[3]
      for n = 0, 24 do
        with_aliases(value, module, key, n, function()
          local there_too = there(function(f, t) return value == f and f == t.f and f end, value, { f = value })
          assert.are.equal(value, there_too, ("case %d, %d more names"):format(i, n))
        end)
      end
    end
  end)

  it("takes a module's table by the name that a new state has for it", function()
    for n = 0, 24 do
      with_aliases(string.len, string, "size", n, function()
        assert.are.same({ true, string }, { there(function(s) return s == string, s end, string) })
      end)
    end
  end)

  it("prefers another module's name to one that was put into the new state's modules", function()
    local module, keys = package.loaded.string, { "peer_pack", "peer_more" }
    for _, key in ipairs(keys) do module[key] = peer.pack end
    local ok, same = pcall(there, function(f) return f == require("codec_peer").pack end, peer.pack)
    for _, key in ipairs(keys) do module[key] = nil end
    assert.are.same({ true, true }, { ok, same })
  end)

  it("takes what stands in another's place by its own name", function()
    local len = string.len
    string.len = math.abs -- luacheck: ignore
    local ok, result = pcall(there, function(f) return f(-3) end, math.abs)
    string.len = len -- luacheck: ignore
    assert.are.same({ true, 3 }, { ok, result })
  end)

  it("takes along an environment of their own", function()
    if not codec.lua51 then return end
    local f = setfenv(function() x = x + 1; return x end, { x = 5 }) -- luacheck: ignore
    local _, first, second = true, there(function(g) return g(), g() end, f)
    assert.are.same({ 6, 7 }, { first, second })
    assert.are.equal(5, getfenv(f).x)
  end)

  it("keeps names and lines, unless they are stripped", function()
    local function f() error "here" end
    local line = debug.getinfo(f, "S").linedefined
    local _, why = pcall(copy(f))
    assert.is_truthy(why:find("test_codec_functions.lua:" .. line .. ": here", 1, true), why)
    if not codec.has_integers then return end
    local _, stripped = peer.unpack(peer.pack({ strip = true }, f))
    _, why = pcall(stripped)
    assert.is_falsy(why:find("test_codec_functions", 1, true), why)
  end)

  it("keeps those that hold nothing, and gives them afresh", function()
    local function f() return tostring end
    local a, b = copy(f), copy(f)
    assert.are.equal(a, b)
    local function g() return f end
    assert.is_true(copy(g) ~= copy(g))
    if codec.lua51 then setfenv(a, {}) else debug.setupvalue(a, 1, {}) end
    assert.are.equal(tostring, copy(f)())
  end)

  it("keeps apart many that hold nothing", function()
    for round = 1, 2 do
      for i = 1, 200 do assert.are.equal(i, copy(load("return " .. i))(), round) end
    end
  end)

  it("leaves nothing behind of a hundred thousand functions", function()
    collect()
    local before = peer.alive()
    for i = 1, scale(100000) do
      local message = peer.pack(nil, load("return " .. i))
      if i % 1000 == 0 then assert.are.equal(i, (select(2, peer.unpack(message)))()) end
    end
    collect()
    assert.is_true(peer.alive() <= before + 32, peer.alive() - before)
  end)
end)
