-- SPDX-License-Identifier: ISC

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local core = require "weir.core"
local loops = require "weir.loop"
local signal = require "weir.signal"

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

  it("says what it does not know", function()
    assert.has_error(function() signal.catch "KILL" end,
      'weir.signal.catch: argument 1 must be one of "HUP", "INT", "TERM", "USR1", "USR2", "WINCH", got "KILL"')
  end)

  it("ends a turn of a loop that waits for it", function()
    local catcher = assert(signal.catch "USR2")
    send "USR2"
    loops.turn({}, nil, catcher:fd())
    assert.is_true(catcher:take())
    catcher:release()
  end)
end)
