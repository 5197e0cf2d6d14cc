-- SPDX-License-Identifier: ISC

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local codec = require "support.codec"
local peer, copy, there, refusal = codec.peer, codec.copy, codec.there, codec.refusal

local function same_number(a, b)
  if a ~= a then return b ~= b end
  return a == b and 1 / a == 1 / b and tostring(a) == tostring(b)
end

describe("the codec, of plain values,", function()
  it("keeps nils in their places", function()
    assert.are.equal(0, select("#", copy()))
    assert.are.equal(3, select("#", copy(nil, nil, nil)))
    assert.are.equal(4, select("#", copy(nil, false, true, nil)))
    assert.are.same({ false, true }, { select(2, copy(nil, false, true)) })
  end)

  it("keeps every number as it is", function()
    local numbers = { 0, -0.0, 1, -1, 127, 128, -128, -129, 0.5, 1 / 0, -1 / 0, 0 / 0, 2 ^ 31, -2 ^ 31, 2 ^ 31 - 1,
      -2 ^ 31 - 1, 2 ^ 53, 2 ^ 63, 1e308, 5e-324, math.maxinteger or 1, math.mininteger or 1, 2147483647, 2147483648 }
    for _, number in ipairs(numbers) do
      assert.is_true(same_number(number, copy(number)), tostring(number))
      assert.is_true(same_number(number, copy({ number })[1]), tostring(number))
    end
  end)

  it("keeps integers and floats apart", function()
    if not codec.has_integers then return end
    assert.are.same({ "integer", "float" }, { math.type(copy(3)), math.type(copy(3.0)) })
    local keys = copy { [2 ^ 53] = 1, [1.5] = 2 }
    assert.are.same({ 1, 2 }, { keys[2 ^ 53], keys[1.5] })
  end)

  it("keeps strings with any bytes, at any length", function()
    local bytes = {}
    for i = 0, 255 do bytes[#bytes + 1] = string.char(i) end
    local all = table.concat(bytes)
    for _, length in ipairs { 0, 1, 40, 41, 254, 255, 256, 257, 65535, 65536, 1000003 } do
      local s = all:rep(math.floor(length / 256) + 1):sub(1, length)
      assert.is_true(copy(s) == s and copy({ [s] = s })[s] == s, length)
    end
  end)

  it("sends a long string once", function()
    local s = ("long"):rep(1000)
    local message = peer.pack(nil, s, { s, s, [s] = s })
    assert.is_true(#message:bytes() < 1.1 * #s)
    local _, first, t = peer.unpack(message)
    assert.is_true(first == s and t[1] == s and t[2] == s and t[s] == s)
  end)

  it("keeps light userdata", function()
    assert.are.equal(peer.light(), copy(peer.light()))
    assert.are.equal(peer.light(), there(function(p) return p end, peer.light()))
  end)

  it("gives thousands of values", function()
    local t = {}
    for i = 1, 3000 do t[i] = i end
    local unpack = table.unpack or unpack
    assert.are.equal(3000, select("#", copy(unpack(t))))
    assert.are.equal(2999, (select(2999, copy(unpack(t)))))
  end)
end)

describe("the codec, of tables,", function()
  it("keeps sequences, pairs and both in one", function()
    local t = copy { 10, 20, 30, x = 1, [true] = 2, [-1] = 3, [0] = 4, [1.5] = 5, [2 ^ 40] = 6, y = { { {} } } }
    assert.are.same({ 10, 20, 30, x = 1, [true] = 2, [-1] = 3, [0] = 4, [1.5] = 5, [2 ^ 40] = 6, y = { { {} } } }, t)
    assert.are.equal(3, #t)
  end)

  it("keeps a sequence that was built backwards", function()
    local t = {}
    for i = 100, 1, -1 do t[i] = i end
    assert.are.same(t, copy(t))
    assert.are.equal(100, #copy(t))
  end)

  it("keeps the length of a sequence with holes", function()
    local holes = { 1, nil, 3, nil, nil, 6 }
    local t = copy(holes)
    if _VERSION < "Lua 5.5" then assert.are.equal(#holes, #t) end -- there it may be any border
    assert.are.same({ 1, 3, 6 }, { t[1], t[3], t[6] })
  end)

  it("takes little room for keys that are far apart", function()
    local t = {}
    for i = 0, 30 do t[2 ^ i] = i end
    local message = peer.pack(nil, t)
    assert.is_true(#message:bytes() < 1000)
    assert.are.same(t, (select(2, peer.unpack(message))))
  end)

  it("keeps one table one table, in all the values together", function()
    local t = { 1 }
    local a, b, c = copy(t, { t, t = t }, t)
    assert.is_true(a == c and a == b[1] and a == b.t and a ~= t)
  end)

  it("keeps references to tables at every depth, from every depth", function()
    for depth = 1, 40 do -- the contents of the first sixteen come with the table, others later
      local tables, t = {}, { bottom = true }
      for i = 1, depth do
        tables[i] = t
        t = { below = t, i, again = tables[1] }
      end
      tables[1].top, tables[1].all = t, tables
      local c = copy(t)
      local at, all = c, nil
      for i = depth, 1, -1 do
        assert.is_true(at[1] == i and at ~= t)
        all = all or at.again.all
        at = at.below
        assert.is_true(at == all[i] and c.again == all[1] and all[1].top == c)
      end
      assert.is_true(at.bottom and at == all[1])
    end
  end)

  it("keeps keys, however many tables have them", function()
    local keys = { "", "x", ("k"):rep(254), ("k"):rep(255), ("k"):rep(256), ("k"):rep(300) }
    for i = 1, 100 do keys[#keys + 1] = "key " .. i end
    local list = {}
    for n = 1, 5 do
      list[n] = {}
      for i, key in ipairs(keys) do list[n][key] = n * i end
    end
    assert.are.same(list, copy(list))
    local y = ("y"):rep(100)
    assert.is_true(#peer.pack(nil, { { [y] = 1 }, { [y] = 2 }, { [y] = 3 }, { [y] = 4 } }):bytes() < 300)
  end)

  it("keeps cycles, through keys too", function()
    local t = { name = "t" }
    t.self, t[t] = t, { up = t }
    local c = copy(t)
    assert.is_true(c.self == c and c[c].up == c and c ~= t and c.name == "t")
  end)

  it("changes nothing where the table comes from", function()
    local t = { 1, x = { 2 } }
    there(function(a) a[1], a.x[1] = 10, 20 end, t)
    assert.are.same({ 1, x = { 2 } }, t)
  end)
end)

describe("the codec, of what has a name,", function()
  local module = require "support.codec_module"

  it("makes the globals the other side's", function()
    assert.are.equal(_G, copy(_G))
    assert.is_true(there(function(g) return g == _G and g.print == print and g.only_here == nil end, _G))
  end)

  it("requires a module on the other side", function()
    module.count()
    assert.are.equal(module, copy(module))
    local function f(m) return m.count(), m == require "support.codec_module" end
    assert.are.same({ 1, true }, { there(f, module) })
  end)

  it("finds what stands in a module, by its path", function()
    assert.are.equal(module.counters.get, copy(module.counters.get))
    assert.are.equal(string.format, copy { string.format }[1])
    local get, counters = module.counters.get, module.counters
    assert.are.same({ 0, true }, { there(function() return get(), counters.get == get end) })
    assert.are.equal(io.stdout, copy(io.stdout))
  end)

  it("finds modules that come later, and forgets those that go", function()
    copy {}
    local late = { f = function() end }
    package.loaded["codec.late"] = late
    assert.are.equal(late, copy(late))
    assert.are.equal(late.f, copy(late.f))
    package.loaded["codec.late"] = nil
    assert.are_not.equal(late, copy(late))
  end)

  it("copies what a module has no more", function()
    local old = { f = { 1 }, g = { 2 } }
    package.loaded["codec.old"] = old
    assert.are.equal(old.f, copy(old.f))
    local f = old.f
    old.f = nil
    assert.are_not.equal(f, copy(f))
    assert.are.equal(old.g, copy(old.g))
    package.loaded["codec.old"] = nil
  end)

  it("says which module cannot be had over there", function()
    package.loaded["codec.missing"] = { part = {} }
    local message = peer.pack(nil, package.loaded["codec.missing"].part)
    package.loaded["codec.missing"] = nil
    local other = peer.open()
    local ok, why = other:take(message)
    assert.is_nil(ok)
    assert.is_truthy(why:find("module 'codec.missing' not found", 1, true), why)
    package.loaded["codec.missing"] = {}
    ok, why = peer.unpack(message)
    package.loaded["codec.missing"] = nil
    assert.is_nil(ok)
    assert.are.equal("argument 1: 'codec.missing' has no 'part' in this state", why)
  end)

  it("copies a script's own globals, and finds its C functions", function()
    rawset(_G, "codec_global", { f = function() return 42 end })
    local global = rawget(_G, "codec_global")
    assert.are.equal(42, there(function(g) return g.f() end, global))
    rawset(_G, "codec_global", nil)
    assert.are.equal(print, copy(print))
  end)
end)

describe("the codec, of metatables,", function()
  it("finds one in a module", function()
    local object = require("support.codec_module").class.new("you")
    assert.are.equal(getmetatable(object), getmetatable(copy(object)))
    assert.are.equal("hello you", there(function(o) return o:hello() end, object))
  end)

  it("finds a registered one by its name, and functions in it", function()
    local point = {}
    point.__index = point
    function point.x(self) return self[1] end
    peer.register("codec point", point)
    local p = setmetatable({ 7 }, point)
    local a, b = copy(p, setmetatable({ 8 }, point))
    assert.is_true(getmetatable(a) == point and getmetatable(b) == point and a:x() == 7)
    assert.is_true(copy(point) == point and copy(point.x) == point.x)
    local other = peer.open()
    local ok, why = other:take(peer.pack(nil, p))
    assert.is_nil(ok)
    assert.are.equal("argument 1: 'codec point' is not registered in this state (see weir.register)", why)
    assert(other:run [[
      metatable = {}
      require("codec_peer").register("codec point", metatable)
      return function(p) return p[1], getmetatable(p) == metatable, p end]])
    assert(other:take(peer.pack(nil, p)))
    assert(other:call())
    local _, x, same, back = peer.unpack(other:give())
    assert.are.same({ 7, true, point }, { x, same, getmetatable(back) })
  end)

  it("refuses to register a second name or metatable", function()
    local t = {}
    peer.register("codec one", t)
    peer.register("codec one", t)
    local function failure(...) return select(2, pcall(peer.register, ...)) end
    assert.is_truthy(failure("codec one", {}):find("'codec one' is another metatable's name", 1, true))
    assert.is_truthy(failure("codec two", t):find("it is registered as 'codec one'", 1, true))
    assert.is_truthy(failure(1, t):find("#1"))
    assert.is_truthy(failure("codec three"):find("#2"))
  end)

  it("refuses any other, and says where", function()
    assert.are.equal("argument 2.p (its metatable): not registered (see weir.register)",
      refusal(nil, 1, { p = setmetatable({}, {}) }))
    assert.are.equal("argument 1 (its metatable): not registered (see weir.register)",
      refusal(nil, setmetatable({}, { __metatable = "locked" })))
  end)

  it("copies any other when told to, once per message", function()
    local mt = { __index = { x = 1 } }
    local message = peer.pack({ metatables = codec.COPY }, setmetatable({}, mt), setmetatable({}, mt))
    local _, a, b = peer.unpack(message)
    assert.is_true(a.x == 1 and getmetatable(a) == getmetatable(b) and getmetatable(a) ~= mt)
  end)

  it("drops them when told to", function()
    local _, t = peer.unpack(peer.pack({ metatables = codec.DROP }, setmetatable({ 1 }, {})))
    assert.are.same({ 1 }, t)
    assert.is_nil(getmetatable(t))
  end)

  it("calls none of their methods", function()
    local function never() error "called" end
    local mt = { __index = never, __newindex = never, __pairs = never, __len = never, __eq = never, __call = never }
    local _, t = peer.unpack(peer.pack({ metatables = codec.COPY }, setmetatable({ 1, x = 2 }, mt)))
    assert.are.same({ 1, 2 }, { rawget(t, 1), rawget(t, "x") })
  end)
end)

describe("the codec, of handles,", function()
  local function collect() collectgarbage() collectgarbage() end

  it("brings what they point to, one handle for one handle", function()
    local h = peer.handle(5)
    local a, b = copy(h, { h })
    assert.is_true(a == b[1] and a ~= h and a:number() == 5)
    h:close()
    assert.are.equal(5, a:number())
    assert.are.equal(6, there(function(handle) return handle:number() end, peer.handle(6)))
  end)

  it("counts those in messages", function()
    collect()
    local before = peer.handles()
    local message = peer.pack(nil, peer.handle(1), { peer.handle(2) })
    collect()
    assert.are.equal(before + 2, peer.handles())
    assert.are.equal(2, (select(3, peer.unpack(message)))[1]:number())
    message = nil -- luacheck: ignore
    collect()
    assert.are.equal(before, peer.handles())
  end)

  it("refuses a closed one, and holds none then", function()
    collect()
    local before = peer.handles()
    local h = peer.handle(1)
    h:close()
    assert.are.equal("argument 2.h: the handle was closed", refusal(nil, peer.handle(2), { h = h }))
    collect()
    assert.are.equal(before, peer.handles())
  end)
end)

describe("the codec, of anything else,", function()
  it("names what it is and where it is", function()
    local why = "userdata" .. (_VERSION > "Lua 5.2" and " (FILE*)" or "") .. " cannot cross to another thread"
    local file = io.tmpfile()
    local function f() return file end
    assert.are.equal("argument 1: " .. why, refusal(nil, file))
    assert.are.equal("argument 2.conn: " .. why, refusal(nil, 1, { conn = file }))
    assert.are.equal("argument 1[2]['a b'][true]: " .. why, refusal(nil, { 1, { ["a b"] = { [true] = file } } }))
    assert.are.equal("argument 1.t (a key): " .. why, refusal(nil, { t = { [file] = 1 } }))
    assert.are.equal("argument 1 (upvalue 'file'): " .. why, refusal(nil, f))
    assert.are.equal("argument 1[table].f (upvalue 'file'): " .. why, refusal(nil, { [{}] = { f = f } }))
    assert.are.equal("result 4: " .. why, refusal({ what = "result", number = 3 }, 1, file))
    assert.are.equal("error.file: " .. why, refusal({ what = "error", number = 0 }, { file = file }))
  end)

  it("tells the last steps of a long way", function()
    local t = { x = coroutine.create(function() end) }
    for _ = 1, 1000 do t = { next = t } end
    assert.are.equal("argument 2[...]" .. (".next"):rep(7) .. ".x: coroutine cannot cross to another thread",
      refusal(nil, 1, t))
  end)

  it("refuses C functions that no module has", function()
    assert.are.equal("argument 1: C function cannot cross to another thread", refusal(nil, peer.nameless()))
    assert.are.equal("argument 1[1]: C function cannot cross to another thread", refusal(nil, { (("x"):gmatch(".")) }))
  end)

  it("refuses LuaJIT's own types", function()
    if not codec.luajit then return end
    assert.are.equal("argument 1: cdata cannot cross to another thread", refusal(nil, require("ffi").new("int[2]")))
  end)
end)
