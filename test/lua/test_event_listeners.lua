-- SPDX-License-Identifier: ISC
--
-- The listeners and timers of weir.event, as test_event.lua.

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local event = require "weir.event"
-- luacheck: read globals os.sleep
local openos = require "support.openos"
local thread = require "weir.thread"

local program, problem_of = openos.runs, openos.problem_of

describe("weir.event", function()
  before_each(openos.fresh)
  after_each(function() openos.fake(false) end)

  describe("listen(name, fn)", function()
    it("exact name; callback gets the whole signal", function()
      local got = {}
      program(function()
        event.listen("key", function(...) got[#got + 1] = table.concat({ ... }, " ") end)
        event.push("key", 1, 2)
        event.push("key_down", 1)
        event.push("key", 3)
        os.sleep(1)
      end)
      assert.are.same({ "key 1 2", "key 3" }, got)
    end)

    it("id number, or false if the same pair exists; ids start at 1 in each", function()
      program(function()
        local function f() end
        assert.are.equal(1, event.listen("a", f))
        assert.is_false(event.listen("a", f))
        assert.are.equal(2, event.listen("b", f))
        assert.are.equal(3, event.listen("a", function() end))
        assert.are.equal(4, event.timer(1, f))
        assert.is_true(event.cancel(2))
        assert.are.equal(2, event.listen("c", f))
        thread.create(function()
          assert.are.equal(1, event.listen("a", f))
          assert.are.equal(2, event.timer(1, f))
        end)
      end)
      assert.are.same({}, openos.errors)
    end)

    it("returning false unregisters", function()
      local n = 0
      program(function()
        event.listen("x", function() n = n + 1 return n < 3 end)
        for _ = 1, 5 do event.push "x" end
        os.sleep(1)
      end)
      assert.are.equal(3, n)
    end)

    it("wrong types raise", function()
      assert.matches("event.listen: argument 1 %(name%) must be a string, got nil", problem_of(event.listen))
      assert.matches("event.listen: argument 2 %(callback%) must be a function, got 1",
        problem_of(event.listen, "x", 1))
    end)

    it("a thread's listeners run when it waits, before it gets the signal itself", function()
      openos.prints("listener\nthread\npushed\n", function()
        thread.create(function()
          event.listen("x", function() print "listener" end)
          event.pull "x"
          print "thread"
        end)
        event.push "x"
        print "pushed"
      end)
    end)

    it("a listener that suspends itself holds up its own thread", function()
      openos.prints("listener\npushed\nother\nlistener ends\t1\nthread\nend\n", function()
        thread.create(function()
          event.listen("x", function()
            print "listener"
            print("listener ends", select(2, event.pull "y"))
            return false
          end)
          event.pull "x"
          print "thread"
        end)
        event.push "x"
        print "pushed"
        thread.create(function() print "other" end)
        event.push("y", 1)
        print "end"
      end)
    end)

    it("a listener's thread is the one that registered it", function()
      local inside
      program(function()
        local t = thread.create(function()
          event.listen("x", function() inside = thread.current() end)
          os.sleep(1)
        end)
        event.push "x"
        assert.are.equal(t, inside)
        event.listen("y", function() inside = select("#", thread.current()) end)
        event.push "y"
        os.sleep(1)
        assert.are.equal(0, inside)
      end)
    end)
  end)

  describe("ignore(name, fn)", function()
    it("true/false", function()
      program(function()
        local function f() error "still there" end
        event.listen("x", f)
        assert.is_false(event.ignore("y", f))
        assert.is_false(event.ignore("x", function() end))
        assert.is_true(event.ignore("x", f))
        assert.is_false(event.ignore("x", f))
        event.push "x"
        os.sleep(1)
      end)
      assert.are.same({}, openos.errors)
    end)

    it("wrong types raise", function()
      assert.matches("event.ignore: argument 1", problem_of(event.ignore))
      assert.matches("event.ignore: argument 2", problem_of(event.ignore, "x"))
    end)
  end)

  describe("timer(interval, fn[, times])", function()
    local function times_of(...)
      local fired = {}
      local arguments = { ... }
      program(function()
        event.timer(arguments[1], function() fired[#fired + 1] = event.uptime() return arguments[3] end, arguments[2])
        os.sleep(4.5)
      end)
      return fired
    end

    it("default once", function() assert.are.same({ 1 }, times_of(1)) end)
    it("as often as it says", function() assert.are.same({ 2, 4 }, times_of(2, 5)) end)
    it("math.huge repeats", function() assert.are.same({ 1, 2, 3, 4 }, times_of(1, math.huge)) end)
    it("returning false ends it", function() assert.are.same({ 1 }, times_of(1, math.huge, false)) end)

    it("wrong types raise", function()
      assert.matches("event.timer: argument 1 %(interval%) must be a number", problem_of(event.timer, "x"))
      assert.matches("event.timer: argument 2 %(callback%) must be a function", problem_of(event.timer, 1))
      assert.matches("event.timer: argument 3 %(times%) must be a number or nil",
        problem_of(event.timer, 1, print, "x"))
    end)

    it("of a thread dies with it", function()
      program(function()
        thread.create(function() event.timer(1, function() error "fired" end) end)
        os.sleep(5)
      end)
      assert.are.same({}, openos.errors)
    end)
  end)

  describe("cancel(id)", function()
    it("true/false, only for ids of the calling thread", function()
      local fired = false
      program(function()
        local id = event.timer(1, function() fired = true end)
        thread.create(function() assert(not event.cancel(id)) end)
        os.sleep(1)
        assert.is_true(fired)
        assert.is_false(event.cancel(id))
        id = event.timer(1, function() error "fired" end)
        assert.is_true(event.cancel(id))
        os.sleep(2)
      end)
      assert.are.same({}, openos.errors)
    end)

    it("wrong types raise", function()
      assert.matches("event.cancel: argument 1 %(id%) must be a number", problem_of(event.cancel, "lowest"))
    end)
  end)

  it("dispatch survives callbacks that register, cancel and pull", function()
    local log = {}
    program(function()
      local second
      event.listen("x", function()
        log[#log + 1] = "first"
        event.cancel(second)
        event.listen("x", function() log[#log + 1] = "late" end)
        event.timer(0, function() log[#log + 1] = "timer" end)
        os.sleep(1)
        log[#log + 1] = "first ends"
        return false
      end)
      second = event.listen("x", function() log[#log + 1] = "second" end)
      event.push "x"
      os.sleep(0)
      event.push "x"
      os.sleep(0)
    end)
    assert.are.same({ "first", "timer", "first ends", "late" }, log)
  end)

  it("errors in listeners and timers go to onError and do not stop dispatch", function()
    local n = 0
    program(function()
      event.listen("x", function() error("listener", 0) end)
      event.listen("x", function() n = n + 1 end)
      event.timer(1, function() error("timer", 0) end, 2)
      event.push "x"
      event.push "x"
      os.sleep(3)
    end)
    assert.are.equal(2, n)
    assert.are.same({ "listener", "listener", "timer", "timer" }, openos.errors)
  end)

  it("onError gets an object's text, and where it was raised", function()
    local E = { __tostring = function(e) return "E: " .. e.text end }
    local broken = setmetatable({}, { __tostring = function() error "no text" end })
    local got, before = {}, event.onError
    event.onError = function(message, traceback) got[#got + 1] = { tostring(message), traceback } end -- luacheck: ignore
    local code = thread.run(function()
      local function deep() error(setmetatable({ text = "disk full" }, E)) end
      thread.create(function() deep() end)
      thread.create(function() error(broken) end)
      event.listen("x", function() deep() end)
      event.push "x"
      os.sleep(1)
    end)
    event.onError = before
    assert.are.equal(0, code)
    assert.are.equal("[thread] E: disk full", got[1][1])
    assert.are.equal("[thread] (error object has an error in its __tostring)", got[2][1])
    assert.are.equal("E: disk full", got[3][1])
    assert.matches("^E: disk full\nstack traceback:\n.*deep", got[1][2])
    assert.matches("^E: disk full\nstack traceback:\n.*deep", got[3][2])
  end)
end)
