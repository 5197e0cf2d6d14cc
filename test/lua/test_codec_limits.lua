-- SPDX-License-Identifier: ISC

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local codec = require "support.codec"
local scale = require "support.scale"
local peer, copy, refusal = codec.peer, codec.copy, codec.refusal
require "support.codec_module" -- so that it is found without package.path

local SMALL = 128 -- KiB of stack
local MILLION = scale(1000000)

local function collect()
  if codec.luajit then require("jit").flush() end -- traces hold what they were compiled for
  collectgarbage()
  collectgarbage()
end

-- Something of everything, as the text of a function so that every state can make it.
local EVERYTHING = [[
  local peer = require "codec_peer"
  local shared, cycle, n = { 1 }, {}, 0
  cycle.cycle, cycle[cycle] = cycle, shared
  local function up() n = n + 1; return n, up end
  local deep, top = {}, { 1 }
  for i = 1, 18 do deep = { key = deep, i } end
  top.down, deep.up = deep, top
  return 1, -5, 300, 2^40, 0.5, "text", ("long"):rep(100), true, false, nil, peer.light(), peer.handle(1), print,
    string, _G, shared, { shared, shared, x = { y = {} }, nil, nil, 7 }, cycle, up, function() return n, shared end,
    top, function(x) return x end, require("support.codec_module").class.new("me")
]]

describe("the codec, at its limits,", function()
  it("copies a million nested tables", function()
    local t = {}
    for i = 1, MILLION do t = { t, i } end
    t = copy(t)
    for i = MILLION, 1, -1 do
      if t[2] ~= i then error(i) end
      t = t[1]
    end
    assert.is_nil(next(t))
  end)

  it("copies a hundred thousand functions in each other's upvalues", function()
    local f = function() return nil, 0 end
    for i = 1, MILLION / 10 do
      local inner = f
      f = function() return inner, i end
    end
    f = copy(f)
    for i = MILLION / 10, 1, -1 do
      local inner, k = f()
      if k ~= i then error(i) end
      f = inner
    end
  end)

  it("copies ten million entries", function()
    local t = {}
    for i = 1, 10 * MILLION do t[i] = i end
    local c = copy(t)
    for i = 1, 10 * MILLION do
      if c[i] ~= i then error(i) end
    end
    assert.is_nil(c[10 * MILLION + 1])
  end)

  it("copies a string of a hundred million bytes", function()
    local s = ("0123456789"):rep(10 * MILLION)
    assert.is_true(copy(s) == s)
  end)

  it("copies a table of a million keys", function()
    local t = {}
    for i = 1, MILLION do t["k" .. i] = i end
    local c, n = copy(t), 0
    for k, v in pairs(c) do
      if t[k] ~= v then error(k) end
      n = n + 1
    end
    assert.are.equal(MILLION, n)
  end)

  it("needs little of the C stack for any of that", function()
    peer.threads(1, SMALL, [[
      local peer = require "codec_peer"
      local t, f = {}, function() end
      for i = 1, 300000 do t = { t } end
      for i = 1, 10000 do local g = f; f = function() return g end end
      t[2], t[3] = f, ("x"):rep(10000000)
      local _, copy = peer.unpack(assert(peer.pack(nil, t)))
      assert(#copy[3] == 10000000)
      t[2] = nil
      t[4] = { coroutine.create(function() end) }
      for i = 1, 300000 do t = { t } end
      local _, why = peer.pack(nil, t)
      assert(why:find("coroutine", 1, true), why)
      assert(require("support.codec_module"))
      assert(peer.unpack(peer.pack(nil, require("support.codec_module"), string.format)))
    ]])
  end)

  it("says so when there are too many values", function()
    local t, unpack = {}, table.unpack or unpack
    for i = 1, 5000 do t[i] = i end
    local message, why = peer.pack(nil, unpack(t)) -- 5.1 has room for 8,000 on its stack
    assert.are.equal(codec.lua51 and "too many values" or nil, why)
    assert.are_not.equal(codec.lua51, message ~= nil)
  end)

  it("leaves the collector as it was", function()
    if _VERSION == "Lua 5.1" then return end -- cannot be asked there
    local large = {}
    for i = 1, 100000 do large[i] = i end
    local message = peer.pack(nil, large)
    local size = #message:bytes()
    for _, cut in ipairs { 0, 1 } do
      message:cut(size - cut)
      for _, running in ipairs { true, false } do
        collectgarbage(running and "restart" or "stop")
        local ok = peer.unpack(message)
        local still = collectgarbage "isrunning"
        collectgarbage "restart"
        assert.is_true(still == running)
        assert.are.equal(cut == 0, ok or false)
      end
    end
  end)

  it("uses the memory of a large message again", function()
    if (os.getenv "WEIR_LUA_VARIANT" or "") ~= "" then return end -- has its own ways with memory
    local function faults()
      local file = assert(io.open "/proc/self/stat")
      local text = file:read "*a"
      file:close()
      return tonumber(text:match "%) %S+ %S+ %S+ %S+ %S+ %S+ %S+ (%d+)")
    end
    local s = ("x"):rep(8000000)
    local function rounds(n)
      for _ = 1, n do
        peer.pack(nil, s)
        collectgarbage()
      end
      return faults()
    end
    rounds(3)
    local before = faults()
    assert.is_true(rounds(20) - before < 40) -- a page of 2 MiB each would be four a round
  end)

  it("survives a finalizer that changes what is being copied", function()
    local big = {}
    for i = 1, 1000 do big[i] = { i } end
    local function disturb()
      local proxy = newproxy and newproxy(true) -- luacheck: ignore
      local mt = proxy and getmetatable(proxy) or {}
      mt.__gc = function()
        for i = 1, 1000 do big[i], big["k" .. i] = nil, i end
      end
      return proxy or setmetatable({}, mt)
    end
    for _ = 1, 20 do
      disturb()
      local message, why = peer.pack(nil, big)
      assert.is_true(message ~= nil or type(why) == "string")
      if message then assert.is_true(peer.unpack(message)) end
      for i = 1, 1000 do big[i], big["k" .. i] = { i }, nil end
    end
  end)
end)

describe("the codec, of malformed bytes,", function()
  local path, cpath = package.path, package.cpath
  before_each(function() package.path, package.cpath = "", "" end) -- names are bytes: find nothing
  after_each(function() package.path, package.cpath = path, cpath end)

  local function sample()
    local other = peer.open()
    assert(other:run(("package.path, package.cpath = %q, %q"):format(path, cpath) .. EVERYTHING))
    local message = assert(other:give())
    other:close()
    return message, #message:bytes()
  end

  it("refuses them when they end too soon or too late", function()
    local message, size = sample()
    for length = 0, size - 1 do
      message:cut(length)
      assert.are.same({ n = 2, nil, "malformed message" }, { n = 2, peer.unpack(message) })
    end
    message:cut(size + 1)
    message:poke(size + 1, 0)
    assert.are.same({ n = 2, nil, "malformed message" }, { n = 2, peer.unpack(message) })
  end)

  it("reads or refuses whatever stands in any one of them", function()
    local message, size = sample()
    local refused = 0
    for i = 1, size do
      local old = message:poke(i, 0)
      for k = 0, 50 do
        message:poke(i, k < 30 and k or (k * 37 + i) % 256) -- every tag, and others
        local ok, why = peer.unpack(message)
        if not ok then
          refused = refused + 1
          if type(why) ~= "string" then error(why) end
        end
      end
      message:poke(i, old)
    end
    assert.is_true(peer.unpack(message))
    assert.is_true(refused > 1000, refused)
  end)

  -- WEIR_FUZZ says how many; from 100000 on every byte takes every value before. WEIR_SEED
  -- repeats a run.
  local rounds = tonumber(os.getenv "WEIR_FUZZ") or 5000
  local seed = tonumber(os.getenv "WEIR_SEED") or os.time()

  if rounds >= 100000 then
    it("reads or refuses every value of every byte", function()
      local message, size = sample()
      for i = 1, size do
        local old = message:poke(i, 0)
        for k = 0, 255 do
          message:poke(i, k)
          local ok, why = peer.unpack(message)
          assert(ok or type(why) == "string", i)
        end
        message:poke(i, old)
      end
      assert.is_true(peer.unpack(message))
    end)
  end

  local function word(n)
    local bytes = {}
    for i = 1, 4 do
      bytes[i] = n % 256
      n = math.floor(n / 256)
    end
    return bytes
  end

  local WORDS = { word(0), word(1), word(255), word(2 ^ 31 - 1), word(2 ^ 31), word(2 ^ 32 - 1) }

  -- What stands at `place` afterwards: one byte, a number of four, or what stands elsewhere.
  local function mutation(bytes, place)
    local kind = math.random(4)
    if kind <= 2 then return { math.random(0, 255) } end
    if kind == 3 then return WORDS[math.random(#WORDS)] end
    local from, copied = math.random(#bytes), {}
    for i = 1, math.random(16) do copied[i] = bytes:byte(from + i) or place % 256 end
    return copied
  end

  it("reads or refuses random ones", function()
    local message, size = sample()
    local bytes = message:bytes()
    math.randomseed(seed)
    for round = 1, rounds do
      local changed = {}
      for _ = 1, math.random(8) do
        local place = math.random(size)
        for i, byte in ipairs(mutation(bytes, place)) do
          if place + i - 1 <= size then
            message:poke(place + i - 1, byte)
            changed[place + i - 1] = true
          end
        end
      end
      if math.random(10) == 1 then message:cut(math.random(0, size)) end
      local ok, why = peer.unpack(message)
      assert(ok or type(why) == "string", ("seed %d, round %d"):format(seed, round))
      message:cut(size)
      for place in pairs(changed) do message:poke(place, bytes:byte(place)) end
    end
    assert.is_true(peer.unpack(message))
  end)
end)

describe("the codec, without memory,", function()
  -- attempt(n) for n = 0, 1, ... until it succeeds: its result, and how many failed.
  local function sweep(attempt)
    local n = 0
    while true do
      local result, why = attempt(n)
      if result then return result, n end
      assert.is_truthy(why:find("not enough memory", 1, true), why)
      n = n + 1
    end
  end

  local function give(fail)
    return sweep(function(n)
      local from = peer.open()
      assert(from:run(EVERYTHING))
      local message, why = fail(from, n)
      assert(message or from:give()) -- nothing is broken
      from:close()
      return message, why
    end)
  end

  local function give_and_take()
    local message, failures = give(function(from, n) return from:give(n) end)
    return failures + select(2, sweep(function(n)
      local to = peer.open()
      assert(to:run "require 'support.codec_module'") -- 5.1 does not load twice what failed once
      local ok, why = to:take(message, n)
      assert(to:take(message))
      to:close()
      return ok, why
    end))
  end

  it("says so for every allocation of the state that fails, and leaks none", function()
    if codec.luajit and os.getenv "WEIR_LUA_VARIANT" == "checked" then
      skip "LuaJIT itself leaks then, and asserts that it does not"
    end
    collect()
    local before, handles = peer.alive(), peer.handles()
    local failures = coroutine.wrap(give_and_take)() -- on a stack that goes with it
    collect()
    assert.is_true(failures > 20, failures)
    assert.are.same({ before, handles }, { peer.alive(), peer.handles() })
  end)

  it("says so for every allocation of its own that fails, and leaks none", function()
    collect()
    local before, handles = peer.alive(), peer.handles()
    local failures = coroutine.wrap(function()
      return (select(2, give(function(from, n)
        peer.fail_after(n)
        local message, why = from:give()
        peer.fail_after()
        return message, why
      end)))
    end)()
    collect()
    assert.is_true(failures > 8, failures)
    assert.are.same({ before, handles }, { peer.alive(), peer.handles() })
  end)

  it("holds nothing after a refusal", function()
    collect()
    local before, handles = peer.alive(), peer.handles()
    for _ = 1, 100 do
      refusal(nil, peer.handle(1), function() return before end, { coroutine.create(function() end) })
    end
    collect()
    assert.is_true(peer.alive() <= before + 2, peer.alive() - before)
    assert.are.equal(handles, peer.handles())
  end)
end)

describe("the codec, on several threads,", function()
  it("shares messages, bytecode and handles", function()
    collect()
    local handles = peer.handles()
    local message = peer.pack(nil, { function(x) return x + 1 end, peer.handle(3), { "text" } })
    peer.threads(4, 256, [[
      local peer, t = require "codec_peer", ...
      assert(t[1](1) == 2 and t[2]:number() == 3 and t[3][1] == "text")
      local up = 0
      for i = 1, 300 do
        local f = (loadstring or load)("return " .. i % 7)
        local ok, g, h, c = peer.unpack(assert(peer.pack(nil, f, t[2], function() up = up + 1; return up end)))
        assert(ok and g() == i % 7 and h:number() == 3 and c() == 1)
      end
    ]], message)
    message = nil -- luacheck: ignore
    collect()
    assert.are.equal(handles, peer.handles())
  end)
end)
