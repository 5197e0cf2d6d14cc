-- SPDX-License-Identifier: ISC
--
-- weir.thread, row by row of what is said about it: calls, states, misuse. The titles
-- quote the rows. test_thread_waits.lua has the waits and the ends.

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local event = require "weir.event"
-- luacheck: read globals os.sleep
local openos = require "support.openos"
local thread = require "weir.thread"

local program, sleeper = openos.program, openos.sleeper

describe("weir.thread", function()
  before_each(function() openos.fake() end)
  after_each(function() openos.fake(false) end)

  describe("create", function()
    it("starts f(...) immediately, until its first blocking point, before create returns", function()
      local log = {}
      program(function()
        local t = thread.create(function(...)
          log[#log + 1] = { n = select("#", ...), ... }
          os.sleep()
          log[#log + 1] = "second"
        end, 1, nil, "x", nil)
        assert.are.same({ { n = 4, 1, nil, "x", nil } }, log)
        assert.are.equal("table", type(t))
      end)
      assert.are.equal("second", log[2])
    end)

    it("non-function raises", function()
      for _, value in ipairs { 1, "x", {}, true } do
        local ok, problem = pcall(thread.create, value)
        assert.is_false(ok)
        assert.matches("thread.create: argument 1 must be a function, got ", problem)
      end
      assert.is_false(pcall(thread.create))
    end)

    it("attaches to the current process: a program ends after its threads", function()
      local ended = false
      program(function() thread.create(function() os.sleep(100) ended = true end) end)
      assert.is_true(ended)
      assert.are.equal(100, openos.uptime())
    end)

    it("works where there is no program, too", function()
      local log = {}
      local t = thread.create(function() log[1] = "started" event.pull "go" log[2] = "gone" end)
      assert.are.same({ "started" }, log)
      event.push "go"
      assert.are.same({ "started", "gone" }, log)
      assert.are.equal("dead", t:status())
    end)
  end)

  describe("current", function()
    it("is the handle of the running thread, also from a coroutine inside it", function()
      program(function()
        local inside, nested
        local t = thread.create(function()
          os.sleep()
          inside = thread.current()
          nested = coroutine.wrap(function() return thread.current() end)()
        end)
        t:join()
        assert.are.equal(t, inside)
        assert.are.equal(t, nested)
      end)
    end)

    it("no value in the main program", function()
      program(function() assert.are.equal(0, select("#", thread.current())) end)
      assert.are.equal(0, select("#", thread.current()))
    end)
  end)

  describe("state", function()
    local function suspended()
      local t = sleeper()
      t:suspend()
      return t
    end

    it("running | suspend: suspended, ok | resume: refused", function()
      program(function()
        local t = sleeper()
        assert.are.equal("running", t:status())
        assert.are.same({ nil, "cannot resume running thread" }, { t:resume() })
        assert.are.same({ true }, { t:suspend() })
        assert.are.equal("suspended", t:status())
      end)
    end)

    it("running | kill: dead | join: waits | own code ends: dead", function()
      program(function()
        local a, b = sleeper(), sleeper()
        assert.are.equal(0, select("#", a:kill()))
        assert.are.equal("dead", a:status())
        assert.are.same({ true }, { b:join() })
        assert.are.equal(1, event.uptime())
        assert.are.equal("dead", b:status())
      end)
    end)

    it("running | parent closes: parent waits for it", function()
      program(function()
        local child
        local parent = thread.create(function() child = sleeper() end)
        assert.are.equal("running", parent:status())
        parent:join()
        assert.are.equal(1, event.uptime())
        assert.are.equal("dead", child:status())
      end)
    end)

    it("suspended | suspend: refused | resume: running, ok", function()
      program(function()
        local t = suspended()
        assert.are.same({ nil, "cannot suspend suspended thread" }, { t:suspend() })
        assert.are.same({ true }, { t:resume() })
        assert.are.equal("running", t:status())
      end)
    end)

    it("suspended | kill: dead | join: dies, success", function()
      program(function()
        local a, b = suspended(), suspended()
        a:kill()
        assert.are.equal("dead", a:status())
        assert.are.same({ true }, { b:join() })
        assert.are.equal("dead", b:status())
        assert.are.equal(0, event.uptime())
      end)
    end)

    it("suspended | parent closes: killed", function()
      local child
      program(function()
        local parent = thread.create(function() child = suspended() end)
        assert.are.same({ "dead", "dead" }, { parent:status(), child:status() })
        child = suspended()
      end)
      assert.are.equal("dead", child:status())
    end)

    it("suspended by itself while the parent closes: killed", function()
      openos.prints("suspends\n", function()
        thread.create(function()
          os.sleep(1)
          print "suspends"
          thread.current():suspend()
          print "never"
        end)
      end)
    end)

    it("dead | suspend, resume: refused | kill: stays dead | join: success at once", function()
      program(function()
        local t = thread.create(function() end)
        assert.are.same({ nil, "cannot suspend dead thread" }, { t:suspend() })
        assert.are.same({ nil, "cannot resume dead thread" }, { t:resume() })
        t:kill()
        assert.are.equal("dead", t:status())
        assert.are.same({ true }, { t:join() })
        assert.are.equal(0, event.uptime())
      end)
    end)

    it("dead | parent closes: ignored", function()
      program(function() thread.create(function() end) end)
      assert.are.equal(0, openos.uptime())
    end)

    it("suspend of the current thread yields at once and stays until another one resumes it", function()
      openos.prints("1\nmain\n2\nend\n", function()
        local t = thread.create(function()
          print(1)
          thread.current():suspend()
          print(2)
        end)
        os.sleep(5)
        event.push "anything"
        print "main"
        t:resume()
        print "end"
      end)
    end)

    it("killing the current thread only marks it: it runs on to its next blocking point", function()
      openos.prints("before\nafter\tdead\ntrue\n", function()
        local t = thread.create(function()
          os.sleep()
          print "before"
          thread.current():kill()
          print("after", thread.current():status())
          os.sleep()
          print "never"
        end)
        print(t:join())
      end)
    end)

    it("a suspended thread ignores signals and timers, and its children stop, too", function()
      openos.prints("", function()
        local child
        local t = thread.create(function()
          event.listen("x", function() print "listener" end)
          event.timer(1, function() print "timer" end, math.huge)
          child = thread.create(function()
            event.listen("x", function() print "child's listener" end)
            event.pull "x"
            print "child"
          end)
          event.pull "x"
          print "thread"
        end)
        t:suspend()
        assert.are.equal("running", child:status())
        event.push "x"
        os.sleep(10)
        t:kill()
        assert.are.equal("dead", child:status())
      end)
    end)

    it("a signal that came meanwhile was missed, one that is pushed later is not", function()
      openos.prints("got\t2\n", function()
        local t = thread.create(function() print("got", select(2, event.pull "x")) end)
        t:suspend()
        event.push("x", 1)
        os.sleep()
        t:resume()
        event.push("x", 2)
      end)
    end)

    it("time passes: a sleep that expired meanwhile ends on resume", function()
      openos.prints("slept\t10\nresumed\n", function()
        local t = thread.create(function() os.sleep(3) print("slept", event.uptime()) end)
        t:suspend()
        os.sleep(10)
        t:resume()
        print "resumed"
      end)
    end)

    it("and one that has not yet goes on", function()
      openos.prints("resumed\nslept\t12\n", function()
        local t = thread.create(function() os.sleep(12) print("slept", event.uptime()) end)
        t:suspend()
        os.sleep(10)
        t:resume()
        print "resumed"
      end)
    end)

    it("timers that fell due catch up, one firing per dispatch round", function()
      local fired = {}
      program(function()
        local t = thread.create(function()
          event.timer(1, function() fired[#fired + 1] = event.uptime() end, 4)
          os.sleep(20)
        end)
        t:suspend()
        os.sleep(3.5)
        t:resume()
        os.sleep()
        local n = #fired
        os.sleep()
        assert.are.equal(n + 1, #fired)
      end)
      assert.are.same({ 3.5, 3.5, 3.5, 4 }, fired)
    end)

    it("a frozen child goes on with its parent, and both are counted", function()
      openos.prints("child\n", function()
        local child
        local t = thread.create(function()
          child = thread.create(function() os.sleep(1) print "child" end)
          os.sleep(100)
        end)
        t:suspend()
        child:suspend()
        os.sleep(5)
        t:resume()
        os.sleep(5)
        assert.are.equal("suspended", child:status())
        child:resume()
        t:kill()
      end)
    end)

    it("killing a thread kills its attached children", function()
      program(function()
        local child
        local t = thread.create(function() child = sleeper() os.sleep(9) end)
        t:kill()
        assert.are.same({ "dead", "dead" }, { t:status(), child:status() })
      end)
    end)
  end)

  describe("attach", function()
    it("nil, 0 and 1: the current process; 2: its parent; the handle", function()
      program(function()
        local t = sleeper():detach()
        local holder = thread.create(function()
          assert.are.equal(t, t:attach())
          assert.are.equal(t, t:attach(0))
          assert.are.equal(t, t:attach(1))
        end)
        assert.are.equal("running", holder:status()) -- for it waits for t
        holder:join()
        local second = sleeper()
        thread.create(function() assert(second:attach(2)) end):join()
        assert.are.equal("running", second:status())
      end)
      assert.are.equal(2, openos.uptime())
    end)

    it("nil, message when there is no such process", function()
      program(function()
        local t = thread.create(function() end)
        assert.are.same({ nil, "thread failed to attach, process not found" }, { t:attach(3) })
        assert.are.equal(t, t:attach(2)) -- init
      end)
    end)

    it("non-number raises", function()
      assert.matches("attach: argument 1 %(level%) must be a number or nil, got \"x\"",
        select(2, pcall(function() thread.create(function() end):attach "x" end)))
    end)

    it("a thread below itself is refused", function()
      program(function()
        local mine, below
        thread.create(function()
          mine = { thread.current():attach() }
          local t = thread.current()
          thread.create(function() below = { t:attach() } end)
        end)
        assert.are.same({ nil, "thread failed to attach, process not found" }, mine)
        assert.are.same({ nil, "thread failed to attach, process not found" }, below)
      end)
    end)

    it("takes over whether it is frozen", function()
      openos.prints("free\n", function()
        local t = thread.create(function() os.sleep(1) print "free" end)
        local frozen = thread.create(function() os.sleep() t:attach() os.sleep(100) end)
        os.sleep()
        frozen:suspend()
        os.sleep(5)
        t:attach()
        t:join()
      end)
    end)
  end)

  describe("detach", function()
    it("reparents to init: the thread outlives the program, the next run carries it on", function()
      local t
      openos.prints("main\n", function()
        t = thread.create(function() os.sleep(5) print "still here" end):detach()
        print "main"
      end)
      assert.are.equal("running", t:status())
      openos.prints("still here\n", function() os.sleep(10) end)
      assert.are.equal("dead", t:status())
    end)

    it("returns the handle every time", function()
      program(function()
        local t = sleeper()
        assert.are.equal(t, t:detach())
        assert.are.equal(t, t:detach())
        t:kill()
        assert.are.equal(t, t:detach())
      end)
    end)

    it("lets a closing parent go", function()
      program(function()
        local child
        local parent = thread.create(function() child = thread.create(thread.sleep, 50) end)
        child:detach()
        assert.are.equal("dead", parent:status())
        child:kill()
      end)
    end)
  end)
end)
