-- SPDX-License-Identifier: ISC

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local core = require "weir.core"
local loops = require "weir.loop"
local signal = require "weir.signal"
local weir = require "weir"

local function send(name)
  io.popen("kill -" .. name .. " $PPID"):close()
end

describe("weir.signal", function()
  it("catches a signal, and puts it back", function()
    local catcher = assert(signal.catch "INT")
    assert.is_false(catcher:take())
    send "INT"
    assert.is_true(core.poll(30, catcher:fd()))
    catcher:drain()
    assert.is_false(core.poll(0, catcher:fd()))
    assert.is_true(catcher:take())
    assert.is_false(catcher:take())
    catcher:release()
    local ok, problem = pcall(function() -- the interpreter's own handler
      send "INT"
      for _ = 1, 1e9 do end
    end)
    assert.is_false(ok)
    assert.matches("interrupted!", tostring(problem))
  end)

  it("has one catcher at a time, until it is released or collected", function()
    local catcher = assert(signal.catch "USR1")
    assert.are.same({ nil, "busy" }, { signal.catch "USR1" })
    catcher:release()
    catcher:release()
    assert(signal.catch "USR1") -- collected
    collectgarbage()
    collectgarbage()
    assert(signal.catch "USR1"):release()
  end)

  it("is no descriptor and is not waited for once it is released", function()
    local catcher = assert(signal.catch "USR1")
    catcher:release()
    local function refuses(call, expected)
      local ok, problem = pcall(call)
      local line = debug.getinfo(call, "S").linedefined
      assert.are.same({ false, ("test/lua/test_signal.lua:%d: %s"):format(line, expected) }, { ok, problem })
    end
    refuses(function() assert(catcher:fd()) end, "fd: the signal was released")
    refuses(function() assert(catcher:wait()) end, "wait: the signal was released")
    refuses(function() assert(catcher:wait(0)) end, "wait: the signal was released")
    catcher:drain()
    assert.is_false(catcher:take())
    assert.are.equal(0, select("#", catcher:release()))
  end)

  it("ends a wait without a loop when it is released", function()
    local pool = assert(weir.pool { threads = 1 })
    local catcher = assert(signal.catch "USR1")
    local release = weir.progress(function() catcher:release() end)
    pool:run(function() release() end)
    assert.are.same({ false, "released" }, { catcher:wait(60) })
    pool:close()
  end)

  it("that came, but was released first, did not come for who waits", function()
    local pool = assert(weir.pool { threads = 1 })
    local catcher = assert(signal.catch "USR1")
    local come = weir.progress(function()
      send "USR1"
      catcher:release()
    end)
    pool:run(function() come() end)
    assert.are.same({ false, "released" }, { catcher:wait(60) })
    pool:close()
  end)

  it("leaves who waits for another catcher of the same signal", function()
    local pool = assert(weir.pool { threads = 1 })
    local first = assert(signal.catch "USR1")
    first:release()
    local second = assert(signal.catch "USR1")
    local come = weir.progress(function()
      first:release()
      send "USR1"
    end)
    pool:run(function() come() end)
    assert.is_true(second:wait(60))
    second:release()
    pool:close()
  end)

  it("says what it does not know", function()
    assert.has_error(function() signal.catch "KILL" end,
      'weir.signal.catch: argument 1 must be one of "HUP", "INT", "TERM", "USR1", "USR2", "WINCH", got "KILL"')
  end)

  it("is waited for without a loop, and let go", function()
    assert.is_false(signal.wait("USR1", 0.01))
    local catcher = assert(signal.catch "USR1")
    assert.are.same({ nil, "busy" }, { signal.wait("USR1", 1) })
    send "USR1"
    assert.is_true(catcher:wait(60))
    assert.is_false(catcher:wait(0))
    catcher:release()
    assert.has_error(function() signal.wait("USR1", -1) end,
      "weir.signal.wait: argument 2 (timeout) must be a number of seconds, 0 or more, got -1")
  end)

  it("ends a turn of a loop that waits for it", function()
    local catcher = assert(signal.catch "USR2")
    send "USR2"
    loops.turn({}, nil, catcher:fd())
    assert.is_true(catcher:take())
    catcher:release()
  end)
end)
