-- SPDX-License-Identifier: ISC
--
-- weir.thread, row by row of what is said about it: waits, ends, handing over. The titles
-- quote the rows.

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local event = require "weir.event"
-- luacheck: read globals os.sleep
local openos = require "support.openos"
local thread = require "weir.thread"

local is_plain_51 = _VERSION == "Lua 5.1" and not rawget(_G, "jit")

local program, sleeper = openos.program, openos.sleeper

describe("weir.thread", function()
  before_each(function() openos.fake() end)
  after_each(function() openos.fake(false) end)

  describe("waitForAll and waitForAny", function()
    it("block the caller until every thread, or one, is complete: true", function()
      program(function()
        local a, b = thread.create(thread.sleep, 1), thread.create(thread.sleep, 5)
        assert.are.same({ true }, { thread.waitForAny { a, b } })
        assert.are.equal(1, event.uptime())
        assert.are.same({ "dead", "running" }, { a:status(), b:status() })
        assert.are.same({ true }, { thread.waitForAll { a, b } })
        assert.are.equal(5, event.uptime())
      end)
    end)

    it("or nil, \"thread join timed out\"", function()
      program(function()
        local a, b = thread.create(thread.sleep, 1), thread.create(thread.sleep, 50)
        assert.are.same({ nil, "thread join timed out" }, { thread.waitForAll({ a, b }, 7) })
        assert.are.equal(7, event.uptime())
        assert.are.same({ nil, "thread join timed out" }, { thread.waitForAny({ b }, 1) })
        assert.are.equal("running", b:status())
        b:kill()
      end)
    end)

    it("empty list: waitForAll true at once, waitForAny waits until the timeout", function()
      program(function()
        assert.is_true(thread.waitForAll {})
        assert.are.equal(0, event.uptime())
        assert.are.same({ nil, "thread join timed out" }, { thread.waitForAny({}, 3) })
        assert.are.equal(3, event.uptime())
      end)
    end)

    it("non-table list or non-number timeout raises; a non-handle in the list raises", function()
      for _, name in ipairs { "waitForAll", "waitForAny" } do
        local function problem(...) return select(2, pcall(thread[name], ...)) end
        assert.matches("argument 1 must be a list of threads, got number", problem(1))
        assert.matches("argument 1 must be a list of threads, got nil", problem())
        assert.matches("argument 2 %(timeout%) must be a number or nil, got x", problem({}, "x"))
        assert.matches("argument 1%[2%] must be a thread, got table",
          problem { thread.create(function() end), {} })
      end
    end)

    it("timeout 0 always reports a timeout, even for a dead thread", function()
      program(function()
        local t = thread.create(function() end)
        assert.are.same({ nil, "thread join timed out" }, { thread.waitForAll({ t }, 0) })
        assert.are.same({ nil, "thread join timed out" }, { t:join(-1) })
      end)
    end)

    it("each thread found complete is killed when the wait ends, even if the whole wait timed out", function()
      program(function()
        local frozen, busy = sleeper(), thread.create(thread.sleep, 100)
        frozen:suspend()
        assert.is_nil((thread.waitForAll({ frozen, busy }, 2)))
        assert.are.same({ "dead", "running" }, { frozen:status(), busy:status() })
        busy:kill()
      end)
    end)

    it("two joiners of one thread both return", function()
      local n = 0
      program(function()
        local t = sleeper()
        for _ = 1, 2 do thread.create(function() assert(t:join()) n = n + 1 end) end
        assert(t:join())
        n = n + 1
      end)
      assert.are.equal(3, n)
    end)

    it("a caller that waits keeps pulling: its listeners run, signals are consumed", function()
      local heard = {}
      program(function()
        event.listen("noise", function(...) heard[#heard + 1] = table.concat({ ... }, " ") end)
        local t = sleeper()
        event.push("noise", 1)
        t:join()
        assert.is_nil((event.pull(0, "noise")))
      end)
      assert.are.same({ "noise 1" }, heard)
    end)

    it("one that is killed while it joins is not woken by what it joined", function()
      openos.prints("dead\n", function()
        local t = sleeper()
        local joiner = thread.create(function() t:join() print "never" end)
        joiner:kill()
        t:join()
        os.sleep(1)
        print(joiner:status())
      end)
    end)

    it("the same thread may stand in the list twice", function()
      program(function()
        local t = sleeper()
        assert.is_true(thread.waitForAll { t, t })
      end)
    end)

    it("one that is resumed meanwhile is waited for again, and killed at the end", function()
      program(function()
        local a, b = thread.create(thread.sleep, 20), thread.create(thread.sleep, 10)
        thread.create(function()
          os.sleep(1)
          a:suspend()
          os.sleep(1)
          a:resume()
        end)
        assert.is_true(thread.waitForAll { a, b })
        assert.are.equal(20, event.uptime())
      end)
    end)
  end)

  describe("join", function()
    it("self-join waits for the timeout", function()
      program(function()
        local t = thread.create(function()
          local ok, problem = thread.current():join(4)
          assert(ok == nil and problem == "thread join timed out" and event.uptime() == 4)
        end)
        assert.is_true(t:join())
      end)
      assert.are.same({}, openos.errors)
    end)

    it("wrong types raise, and so do calls on no thread", function()
      local t = thread.create(function() end)
      assert.matches("join: argument 1 %(timeout%) must be a number or nil, got \"x\"",
        select(2, pcall(t.join, t, "x")))
      for _, method in ipairs { "status", "suspend", "resume", "kill", "join", "attach", "detach" } do
        assert.matches(method .. ": called on a nil, not on a thread", select(2, pcall(t[method])))
      end
    end)
  end)

  describe("an error", function()
    it("thread dead; nothing raised in the creator; onError gets it with prefix [thread]", function()
      openos.prints("dead\n", function()
        print(thread.create(function() error("oops", 0) end):status())
      end)
      assert.are.same({ "[thread] oops" }, openos.errors)
    end)

    it("table errors: reason, else crashed; a numeric code is a silent exit", function()
      program(function()
        thread.create(function() error { reason = "because" } end)
        thread.create(function() error {} end)
        thread.create(function() error(true) end)
        thread.create(function() error { code = 3, reason = "silent" } end)
      end)
      assert.are.same({ "[thread] because", "[thread] crashed", "[thread] crashed" }, openos.errors)
    end)

    it("kills the children of the thread", function()
      program(function()
        local child
        thread.create(function() child = sleeper() error("x", 0) end)
        assert.are.equal("dead", child:status())
      end)
    end)

    it("in event.onError itself goes to stderr, and nothing else is lost", function()
      local before = event.onError
      local out, code, problems = openos.run(function()
        event.onError = function() error("no log", 0) end
        thread.create(function() error("x", 0) end)
        print "on"
      end)
      event.onError = before
      assert.are.same({ "on\n", 0, "weir.thread: no log\n" }, { out, code, problems })
    end)
  end)

  it("a dying thread pushes thread_exit, visible to any unfiltered pull", function()
    openos.prints("thread_exit\n", function()
      sleeper()
      print(event.pull())
    end)
  end)

  it("dropping a handle has no effect", function()
    openos.prints("here\n", function()
      thread.create(function() os.sleep(1) print "here" end)
      collectgarbage()
      collectgarbage()
    end)
  end)

  describe("handing over", function()
    it("one event relayed through 10,000 threads", function()
      local reached
      program(function()
        for i = 1, 10000 do
          thread.create(function()
            event.pull("^hop" .. i .. "$")
            reached = i
            event.push("hop" .. i + 1)
          end)
        end
        event.push "hop1"
        assert.are.equal(10000, reached)
      end)
    end)

    it("and through 10,000 that wait for one name with a value of their own", function()
      local reached
      program(function()
        for i = 1, 10000 do
          thread.create(function()
            local _, n = event.pull("hop", i)
            reached = n
            event.push("hop", n + 1)
          end)
        end
        event.push("hop", 1)
        assert.are.equal(10000, reached)
      end)
    end)

    it("10,000 threads each created by the previous one", function()
      local deepest, ended = 0, 0
      local function step(n)
        deepest = n
        if n < 10000 then thread.create(step, n + 1) end
        os.sleep(1)
        ended = ended + 1
      end
      program(function()
        thread.create(step, 1)
        assert.are.equal(10000, deepest)
      end)
      assert.are.equal(10000, ended)
    end)

    it("10,000 threads each resumed by the previous one", function()
      local list, n = {}, 0
      program(function()
        for i = 1, 10000 do
          list[i] = thread.create(function()
            thread.current():suspend()
            n = n + 1
            if i < 10000 then list[i + 1]:resume() end
          end)
        end
        list[1]:resume()
        assert.are.equal(10000, n)
      end)
    end)

    it("where the caller cannot yield the target is nested, at depth 100 queued", function()
      local order, at_return = {}, nil
      program(function()
        local function step(n)
          order[#order + 1] = n
          if n < 150 then
            local _ = ("x"):gsub("x", function() thread.create(step, n + 1) end)
          end
        end
        thread.create(step, 1)
        at_return = #order
      end)
      assert.are.equal(150, #order)
      for i = 1, 150 do assert.are.equal(i, order[i]) end
      assert.is_true(at_return >= 50 and at_return <= 101, at_return) -- Lua's own limit may come first
    end)

    it("a wait where nothing can yield turns the machine there", function()
      openos.prints("inside\ta\nother\ninside\tb\nend\nother\n", function()
        thread.create(function() for _ = 1, 2 do os.sleep(1) print "other" end end)
        local _ = ("ab"):gsub(".", function(c) os.sleep(1) print("inside", c) end)
        print "end"
      end)
    end)

    it("and raises where that is the 101st", function()
      local problem
      local function step(n)
        local _ = ("x"):gsub("x", function()
          thread.create(function() if n < 200 then step(n + 1) end end)
          local ok, why = pcall(os.sleep, 1)
          if not ok then problem = why end
        end)
      end
      program(function() step(1) end)
      assert.are.equal("weir.thread: too many waits inside functions that cannot be suspended", problem)
    end)

    it("a killed thread that waits there is unwound", function()
      openos.prints("waits\nkilled\nend\n", function()
        local t = thread.create(function()
          local _ = ("x"):gsub("x", function()
            print "waits"
            event.pull "never"
            print "unreachable"
          end)
          print "unreachable"
        end)
        thread.create(function() t:kill() print "killed" end)
        print "end"
      end)
    end)
  end)

  describe("coroutines of a thread", function()
    it("yield to whoever resumed them, and wait for what the thread waits for", function()
      openos.prints("a\t1\nb\t1\na\t2\nb\t2\n", function()
        for _, name in ipairs { "a", "b" } do
          thread.create(function()
            local next_one = coroutine.wrap(function()
              for i = 1, 2 do
                os.sleep(1)
                coroutine.yield(i)
              end
            end)
            print(name, next_one())
            print(name, next_one())
          end)
        end
      end)
    end)

    it("to any depth, with values and errors in order", function()
      program(function()
        local function nest(n, ...)
          if n == 0 then
            local got = { coroutine.yield(...) }
            local name = event.pull "x"
            return name, got[1], select("#", ...)
          end
          local co = coroutine.create(nest)
          local ok, v = coroutine.resume(co, n - 1, ...)
          assert(ok and coroutine.status(co) == "suspended")
          local answer = coroutine.yield(v)
          return select(2, coroutine.resume(co, answer))
        end
        local co = coroutine.create(nest)
        assert.are.same({ true, 1 }, { coroutine.resume(co, 20, 1, nil) })
        thread.create(function() os.sleep(2) event.push "x" end)
        assert.are.same({ true, "x", "answer", 2 }, { coroutine.resume(co, "answer") })
        local raises = coroutine.wrap(function() os.sleep(1) error("inner", 0) end)
        local ok, problem = pcall(raises)
        assert.is_false(ok)
        assert.matches("inner$", problem)
      end)
    end)

    it("go on where they were resumed by a function that was taken before", function()
      local resume = coroutine.resume
      openos.prints("other\nslept\nend\n", function()
        thread.create(function() os.sleep(1) print "other" end)
        local co = coroutine.create(function() os.sleep(2) print "slept" end)
        assert(resume(co))
        print "end"
      end)
    end)

    it("a hundred threads wait in theirs at once", function()
      local n = 0
      program(function()
        for _ = 1, 300 do
          thread.create(function()
            coroutine.wrap(function() os.sleep(1) n = n + 1 end)()
          end)
        end
      end)
      assert.are.equal(300, n)
    end)

    it("and pcall is no obstacle", function()
      if is_plain_51 then skip "on Lua 5.1 pcall cannot be suspended in" end
      local n = 0
      program(function()
        for _ = 1, 300 do
          thread.create(function()
            pcall(function() os.sleep(1) n = n + 1 end)
          end)
        end
      end)
      assert.are.equal(300, n)
    end)

    it("nor are tail calls", function()
      local n = 0
      program(function()
        for _ = 1, 300 do
          thread.create(function()
            local function wait() return event.pull "go" end
            wait()
            n = n + 1
            return os.sleep(1)
          end)
        end
        event.push "go"
      end)
      assert.are.equal(300, n)
    end)
  end)
end)
