-- SPDX-License-Identifier: ISC
--
-- The programs of the documentation of OpenOS' thread library, as they stand there, and
-- what it says that they print. Where that cannot be (a page that forgot a line; a thread
-- that is dead without having printed its last line) the line says so.

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local openos = require "support.openos"

describe("documented example", function()
  before_each(function() openos.fake() end)
  after_each(function() openos.fake(false) end)

  it("1: create", function()
    openos.prints("Main program start\nA\nMain program end\nB\n", [[
      local thread = require("thread")
      print("Main program start")
      thread.create(function(a, b)
        print(a)
        os.sleep()
        print(b)
      end, 'A', 'B')
      print("Main program end")
    ]])
  end)

  it("2: waitForAll", function()
    openos.prints("Main program start\nA\nB\nMain program end\n", [[
      local thread = require("thread")
      print("Main program start")
      local t = thread.create(function(a, b)
        print(a)
        os.sleep()
        print(b)
      end, 'A', 'B')
      thread.waitForAll({t})
      print("Main program end")
    ]])
  end)

  it("3: waitForAny", function() -- B, which the wait is for, is not on the page
    openos.prints("Main program start\nA\nC\nB\nMain program end\nD\n", [[
      local thread = require("thread")
      print("Main program start")
      local t1 = thread.create(function(a, b)
        print(a)
        os.sleep()
        print(b)
      end, 'A', 'B')
      local t2 = thread.create(function(c, d)
        print(c)
        os.sleep()
        os.sleep()
        print(d)
      end, 'C', 'D')
      thread.waitForAny({t1, t2})
      print("Main program end")
    ]])
  end)

  it("4: a thread suspends itself", function()
    openos.prints("start\n", [[
      local thread = require("thread")
      local t -- this example needs an upvalue to t
      t = thread.create(function()
        print("start")
        thread.current():suspend()
        print("after suspend")
        os.sleep()
        print("after sleep")
      end)
    ]])
  end)

  it("5: and is resumed", function()
    openos.prints("start\noutside thread create\nafter suspend\nafter resume\nafter sleep\n", [[
      local thread = require("thread")
      local t -- this example needs an upvalue to t
      t = thread.create(function()
        print("start")
        thread.current():suspend()
        print("after suspend")
        os.sleep()
        print("after sleep")
      end)
      print("outside thread create")
      t:resume()
      print("after resume")
    ]])
  end)

  it("6: kill", function()
    openos.prints("running\nstill running\nbefore kill\nafter kill\n", [[
      local thread = require("thread")
      local t = thread.create(function()
        while true do
          print("running")
          print("still running")
          os.sleep()
          print("after sleep")
        end
        print("unreachable code")
      end)
      print("before kill")
      t:kill()
      print("after kill")
    ]])
  end)

  it("7: status", function()
    openos.prints("before sleep\nrunning\nafter sleep\n", [[
      local thread = require("thread")
      local t = thread.create(function()
        print("before sleep")
        os.sleep()
        print("after sleep")
      end)
      print(t:status())
    ]])
  end)

  it("8: status of a suspended one", function() -- "after sleep" is not on the page, but "dead" is
    openos.prints("before sleep\nsuspended\nsuspended\nafter sleep\nafter resume\ndead\n", [[
      local thread = require("thread")
      local t = thread.create(function()
        print("before sleep")
        os.sleep()
        print("after sleep")
      end)
      t:suspend()
      print(t:status())
      os.sleep(10)
      print(t:status())
      t:resume()
      print("after resume")
      print(t:status())
    ]])
  end)

  it("9: an error in a thread", function()
    openos.prints("p start\nreader start\np end\tdead\n", [[
      local thread = require("thread")
      local tty = require("tty")
      print("p start")
      local reader = thread.create(function()
        print("reader start")
        error("thread abort") -- throws an exception
        print("reader done")
      end)
      print("p end", reader:status())
    ]])
    assert.are.same({ "[thread] program:6: thread abort" }, openos.errors)
  end)

  -- 10, ^c, is in test_thread_interrupt.lua: it needs a process

  it("11: coroutine.yield pulls", function() -- seven values are printed, of which six are nil
    openos.prints("custom_event_a" .. ("\tnil"):rep(6) .. "\ndone\ncustom_event_b\t2\n", [[
      local event = require("event")
      local thread = require("thread")
      thread.create(function()
        a,b,c,d,e,f,g = coroutine.yield()
        print(a,b,c,d,e,f,g)
        print(event.pull())
      end)
      event.push("custom_event_a")
      print("done")
      event.push("custom_event_b", 2)
    ]])
    for name in ("abcdefg"):gmatch "." do _G[name] = nil end
  end)

  it("12: create and detach in one line", function()
    openos.prints("table\n", [[
      local thread = require("thread")
      local detached_thread = thread.create(function() end):detach()
      print(type(detached_thread))
    ]])
  end)
end)
