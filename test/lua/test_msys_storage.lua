-- SPDX-License-Identifier: ISC
--
-- test_msys_storage.lua: what sessions and pool closures keep, share and read.

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local gate = require "support.gate"
local msys = require "weir.msys"

describe("storage", function()
  it("`_TLS | session | private to one session, survives suspension`", function()
    local seen = {}
    _TLS.x = "main's"
    msys.run(function()
      for i = 1, 3 do
        msys.spawn(function()
          assert.is_nil(_TLS.x)
          _TLS.x = i
          msys.sleep(0)
          msys.runInPool("CPU", function() end)
          seen[i] = _TLS.x
        end)
      end
    end)
    assert.are.same({ 1, 2, 3 }, seen)
    assert.are.equal("main's", _TLS.x)
    _TLS.x = nil
  end)

  it("in a pool closure is `the caller's session values`, without what cannot cross", function()
    msys.run(function()
      _TLS.name, _TLS.co = "session", coroutine.create(function() end)
      local ok, name, co = msys.runInPool("CPU", function()
        local got, thread = _TLS.name, _TLS.co
        _TLS.name = "changed"
        return got, type(thread)
      end)
      assert.are.same({ true, "session", "nil" }, { ok, name, co })
      assert.are.equal("session", _TLS.name)
    end)
  end)

  it("of one call is not seen by the next", function()
    msys.run(function()
      msys.runInPool("SpoolIn", function() _TLS.left = 1 end)
      assert.are.same({ true, nil }, { msys.runInPool("SpoolIn", function() return _TLS.left end) })
    end)
  end)

  it("`_OSTLS | OS thread | each OS thread its own table`, seen by any code that runs there", function()
    msys.run(function()
      _OSTLS.x = "scheduler"
      msys.runInPool("SpoolIn", function() _OSTLS.x = "pool" end)
      msys.spawn(function() assert.are.equal("scheduler", _OSTLS.x) end)
      assert.are.same({ true, "pool" }, { msys.runInPool("SpoolIn", function() return _OSTLS.x end) })
      assert.are.equal("scheduler", _OSTLS.x)
      _OSTLS.x = nil
      msys.runInPool("SpoolIn", function() _OSTLS.x = nil end)
    end)
  end)
end)

describe("msys.shareSet and shareGet", function()
  it("share `number, string, boolean, nil`", function()
    for _, value in ipairs { 1, -0.5, "s\0", true, false } do
      msys.shareSet("test.v", value)
      assert.are.equal(value, msys.shareGet "test.v")
      assert.are.same({ true, value }, { msys.runInPool("IO", function() return msys.shareGet "test.v" end) })
    end
    msys.runInPool("IO", function() msys.shareSet("test.v", "there") end)
    assert.are.equal("there", msys.shareGet "test.v")
    msys.shareUnset "test.v"
    assert.is_nil(msys.shareGet "test.v")
    msys.shareSet("test.v", 1)
    msys.shareSet("test.v", nil)
    assert.is_nil(msys.shareGet "test.v")
  end)

  it("check their arguments", function()
    for _, case in ipairs {
      { "shareSet: argument 2 must be a number, a string, a boolean or nil, got table",
        function() msys.shareSet("k", {}) end },
      { "shareSet: argument 1 must be a string, got nil", function() msys.shareSet() end },
      { "shareGet: argument 1 must be a string, got 5", function() msys.shareGet(5) end },
      { "shareUnset: argument 1 must be a string, got nil", function() msys.shareUnset() end },
    } do
      local ok, why = pcall(case[2])
      assert.is_false(ok)
      assert.matches("^test/lua/test_msys_storage.lua:%d+: msys." .. case[1]:gsub("table", "table.*"), why)
    end
  end)
end)

describe("msys.readfile", function()
  it("gives `contents, or nil plus reason`", function()
    local name = os.tmpname()
    local file = assert(io.open(name, "wb"))
    file:write("a\0b\n")
    file:close()
    local function check()
      assert.are.equal("a\0b\n", (msys.readfile(name)))
      local contents, why = msys.readfile "/nowhere/at all"
      assert.is_nil(contents)
      assert.matches("/nowhere/at all", why)
    end
    check()
    msys.run(check)
    assert.are.same({ true, "a\0b\n" }, { msys.runInPool("CPU", function() return (msys.readfile(name)) end) })
    os.remove(name)
  end)

  it("`suspends the session where possible`", function()
    local name, log = gate.new(), {}
    msys.run(function()
      msys.readfile "/dev/null"
      msys.spawn(function()
        table.insert(log, "another session")
        gate.open_last(name, "contents")
      end)
      table.insert(log, (msys.readfile(name)))
    end)
    assert.are.same({ "another session", "contents\n" }, log)
  end)

  it("checks its argument", function()
    local ok, why = pcall(function() msys.readfile() end)
    assert.is_false(ok)
    assert.matches("^test/lua/test_msys_storage.lua:%d+: msys.readfile: argument 1 must be a string, got nil", why)
  end)
end)
