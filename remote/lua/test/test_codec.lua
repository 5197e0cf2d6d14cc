-- SPDX-License-Identifier: ISC

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local codec = require "weir.remote.codec"
local unpack = table.unpack or unpack -- luacheck: ignore

local function round(...)
  local content_type, bytes = codec.encode("argument", ...)
  assert.equal("application/vnd.msgpack", content_type)
  return codec.decode(content_type, bytes)
end

local function refused(text, content_type, bytes)
  local ok, problem = codec.decode(content_type, bytes)
  assert.is_false(ok)
  assert.matches(text, problem, 1, true)
end

describe("the codec", function()
  it("writes the bytes of the specification", function()
    local function is(bytes, ...)
      local _, got = codec.encode("argument", ...)
      assert.equal(bytes, got)
    end
    is "\144"
    is("\145\204\200", 200)
    is("\146\165a.png\001", "a.png", 1)
    is("\146\192\192", nil, nil)
    is("\145\203\063\248\0\0\0\0\0\0", 1.5)
    is("\145\129\161a\001", { a = 1 })
  end)

  it("reads what it has written", function()
    for _, n in ipairs { 0, 1, 15, 16, 31, 32, 150 } do
      local list = {}
      for i = 1, n do list[i] = i end
      assert.same({ true, list }, { round(list) })
      assert.same({ true, unpack(list) }, { round(unpack(list)) })
    end
    for _, n in ipairs { 0, 31, 32, 255, 256, 65535, 65536 } do
      assert.same({ true, ("x"):rep(n), ("\255"):rep(n) }, { round(("x"):rep(n), ("\255"):rep(n)) })
    end
    assert.same({ true, { a = { b = { 1, 2 } }, [7] = "x" } }, { round { a = { b = { 1, 2 } }, [7] = "x" } })
    for power = 0, 52 do
      assert.same({ true, 2 ^ power, -2 ^ power }, { round(2 ^ power, -2 ^ power) })
    end
  end)

  if math.type then
    it("tells integers and floats apart", function()
      local _, a, b, c, d = round(3, 3.0, math.maxinteger, math.mininteger)
      assert.same({ "integer", "float" }, { math.type(a), math.type(b) })
      assert.same({ math.maxinteger, math.mininteger }, { c, d })
    end)
  end

  it("writes valid UTF-8 as a string and the rest as binary", function()
    local function tag(text)
      local _, bytes = codec.encode("argument", text)
      return bytes:byte(2)
    end
    for _, text in ipairs { "a", "\195\169", "\226\130\172", "\240\159\166\138" } do
      assert.equal(0xa0 + #text, tag(text))
    end
    for _, text in ipairs { "\195", "\192\128", "\237\160\128", "\244\144\128\128", "\255" } do
      assert.equal(0xc4, tag(text))
    end
  end)

  it("refuses what is no array of values", function()
    local msgpack = codec.MSGPACK
    refused("MessagePack", msgpack, "")
    refused("MessagePack", msgpack, "\1")
    refused("MessagePack", msgpack, "\146\1")
    refused("MessagePack", msgpack, "\145\1\1")
    refused("extension", msgpack, "\145\212\1\1")
    refused("more than", msgpack, "\220\001\000" .. ("\1"):rep(256))
    refused("text/plain", "text/plain", "\144")
    refused("MessagePack", msgpack, ("\145"):rep(1000000))
  end)

  it("does no harm with random bytes", function()
    local _, whole = codec.encode("argument", "text", { 1, { a = 2.5 } }, true, -300)
    local seed = tonumber(os.getenv "WEIR_SEED") or os.time()
    print("WEIR_SEED=" .. seed)
    math.randomseed(seed)
    for _ = 1, 5000 do
      local at, byte = math.random(#whole), math.random(0, 255)
      codec.decode(codec.MSGPACK, whole:sub(1, at - 1) .. string.char(byte) .. whole:sub(at + 1))
    end
  end)

  it("takes bytes as they are", function()
    assert.same({ codec.BYTES, "\0x" }, { codec.bytes("argument", "\0x") })
    assert.same({ true, "\0x" }, { codec.decode(codec.BYTES, "\0x") })
    assert.is_nil((codec.bytes("argument", 1)))
    assert.is_nil((codec.bytes("argument", "a", "b")))
  end)
end)
