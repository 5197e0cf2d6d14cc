-- SPDX-License-Identifier: ISC
--
-- weir.event, row by row of what is said about it. The titles quote the rows.

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local event = require "weir.event"
-- luacheck: read globals os.sleep
local openos = require "support.openos"
local thread = require "weir.thread"

local program, problem_of = openos.runs, openos.problem_of

describe("weir.event", function()
  before_each(openos.fresh)
  after_each(function() openos.fake(false) end)

  describe("push(name, ...)", function()
    it("appends to the global signal queue, returns true; delivered later", function()
      program(function()
        assert.is_true(event.push("a", 1, nil, "x", nil))
        assert.is_true(event.push "b")
        local got = { n = select("#", event.pull()) }
        assert.are.equal(5, got.n)
        assert.are.same({ "b" }, { event.pull() })
      end)
    end)

    it("wrong types raise", function()
      for _, value in ipairs { 1, {}, true } do
        assert.matches("event.push: argument 1 %(name%) must be a string, got ", problem_of(event.push, value))
      end
    end)

    it("is carried on by the next run", function()
      program(function() event.push("kept", 1) end)
      event.push("kept", 2)
      program(function()
        assert.are.same({ "kept", 1 }, { event.pull() })
        assert.are.same({ "kept", 2 }, { event.pull() })
      end)
    end)

    it("runs the threads that wait for it before it returns, and those that they wake", function()
      openos.prints("a\nb\npushed\n", function()
        thread.create(function() event.pull "^a$" print "a" event.push "b" end)
        thread.create(function() event.pull "^b$" print "b" end)
        event.push "a"
        print "pushed"
      end)
    end)
  end)

  describe("pull([timeout,] [name pattern,] [filter...])", function()
    it("waits for the next matching signal; returns it, or no values on timeout", function()
      program(function()
        thread.create(function() os.sleep(2) event.push("x", 5) end)
        assert.are.equal(0, select("#", event.pull(1, "x")))
        assert.are.equal(1, event.uptime())
        assert.are.same({ "x", 5 }, { event.pull "x" })
        assert.are.equal(2, event.uptime())
      end)
    end)

    it("name is a Lua pattern", function()
      program(function()
        for _, name in ipairs { "key_down", "key_up", "touch", "a.b", "drag" } do event.push(name) end
        assert.are.equal("key_down", event.pull "key")
        assert.are.equal("key_up", event.pull "^key_up$")
        assert.are.equal("a.b", event.pull "^%a%.")
        assert.are.equal("drag", event.pull(0, "d.a[g]"))
        assert.is_nil((event.pull(0, "touch"))) -- consumed by the others
      end)
    end)

    it("a nil filter matches anything; filters compare with equality", function()
      program(function()
        local t = {}
        event.push("x", 1, 2)
        event.push("x", 3, 2)
        event.push("x", 3, t)
        event.push("x", "3", 4)
        assert.are.same({ "x", 3, 2 }, { event.pull("x", 3, 2) })
        assert.are.same({ "x", 3, t }, { event.pull(nil, "x", nil, t) })
        assert.are.same({ "x", "3", 4 }, { event.pull(nil, nil, nil, 4) })
      end)
    end)

    it("filters of threads that wait for one name, each its own", function()
      local got = {}
      program(function()
        for i = 1, 10 do
          thread.create(function() table.insert(got, (select(2, event.pull("x", i)))) end)
        end
        thread.create(function() table.insert(got, (select(3, event.pull("x", nil, "y")))) end)
        thread.create(function() assert(event.pull(5, "x", 0 / 0) == nil) end)
        for _, i in ipairs { 7, 3, 7, 12 } do event.push("x", i) end
        event.push("x", 3, "y")
        for i = 1, 10 do event.push("x", i) end
      end)
      assert.are.same({ 7, 3, "y", 1, 2, 4, 5, 6, 8, 9, 10 }, got)
      assert.are.same({}, openos.errors)
    end)

    it("wrong types raise", function()
      assert.matches("event.pull: argument 1 must be a number, a string or nil, got table",
        problem_of(event.pull, {}))
      assert.matches("event.pull: argument 2 must be a string or nil, got number", problem_of(event.pull, 1, 2))
      assert.matches("event.pull: argument 1 must be", problem_of(event.pull, 0 / 0))
      assert.matches('event.pull: "%[a" is no pattern: ', problem_of(event.pull, "[a"))
      assert.matches("test_event.lua:%d+: ", problem_of(function() local _ = event.pull {} end))
    end)

    it("looks at all that is queued before its time is up", function()
      program(function()
        for i = 1, 5 do event.push("noise", i) end
        event.push "x"
        assert.are.equal("x", event.pull(0, "x"))
        assert.are.equal(0, select("#", event.pull(0)))
        assert.are.equal(0, event.uptime())
      end)
    end)

    it("without a timeout, and with math.huge, waits for ever", function()
      program(function()
        thread.create(function() os.sleep(1e6) event.push "x" end)
        assert.are.equal("x", event.pull(math.huge, "x"))
      end)
    end)
  end)

  describe("pullMultiple([timeout,] names...)", function()
    it("any of several patterns", function()
      program(function()
        for _, name in ipairs { "a", "b", "c", "d" } do event.push(name) end
        assert.are.equal("b", event.pullMultiple("d", "^b"))
        assert.are.equal("d", event.pullMultiple(1, "d", nil, "b"))
        assert.are.equal(0, select("#", event.pullMultiple(2, "x", "y")))
        assert.are.equal(2, event.uptime())
        event.push "z"
        assert.are.equal("z", event.pullMultiple())
      end)
    end)

    it("wrong types raise", function()
      assert.matches("event.pullMultiple: argument 2 must be a string or nil, got number",
        problem_of(event.pullMultiple, "a", 1))
      assert.matches("event.pullMultiple: argument 3 must be a string or nil, got table",
        problem_of(event.pullMultiple, 1, "a", {}))
      assert.matches("event.pullMultiple: \"%%\" is no pattern", problem_of(event.pullMultiple, "%"))
    end)
  end)

  describe("pullFiltered([timeout,] fn)", function()
    it("predicate", function()
      program(function()
        for i = 1, 9 do event.push("n", i) end
        assert.are.same({ "n", 4 }, { event.pullFiltered(function(_, n) return n % 4 == 0 end) })
        assert.are.equal(0, select("#", event.pullFiltered(3, function() return false end)))
        assert.are.equal(3, event.uptime())
        event.push "any"
        assert.are.equal("any", event.pullFiltered(1))
      end)
    end)

    it("whose errors are the caller's", function()
      program(function()
        event.push "x"
        if _VERSION == "Lua 5.1" and not rawget(_G, "jit") then return end
        assert.are.equal("mine", problem_of(event.pullFiltered, function() error("mine", 0) end))
      end)
    end)

    it("wrong types raise", function()
      assert.matches("event.pullFiltered: argument 1 %(timeout%) must be a number or nil",
        problem_of(event.pullFiltered, "x"))
      assert.matches("event.pullFiltered: argument 2 must be a function", problem_of(event.pullFiltered, 1, "x"))
    end)
  end)

  describe("os.sleep([s])", function()
    it("default 0; pulls at least once, dispatching while it waits", function()
      local n = 0
      program(function()
        event.listen("x", function() n = n + 1 end)
        event.push "x"
        os.sleep()
        assert.are.equal(1, n)
      end)
    end)

    it("negative returns after one pull", function()
      program(function()
        event.push "a"
        event.push "b"
        os.sleep(-5)
        assert.are.equal("b", event.pull(0))
        assert.are.equal(0, event.uptime())
      end)
    end)

    it("wrong types raise", function()
      assert.matches("sleep: argument 1 must be a number or nil", problem_of(thread.sleep, "x"))
    end)
  end)

  describe("coroutine.yield(...) directly in a thread", function()
    it("same as event.pull(...) with these arguments", function()
      openos.prints("x\t1\n0\tvalues\nmain\n", function()
        local function count(...) print(select("#", ...), "values") end
        thread.create(function()
          print(coroutine.yield("x", 1))
          count(coroutine.yield(1, "x"))
          event.push "go"
        end)
        event.push("x", 2)
        event.push("x", 1)
        coroutine.yield "go" -- in the program, too
        print "main"
      end)
    end)

    it("and its misuse is the thread's error", function()
      program(function() thread.create(function() coroutine.yield {} end) end)
      assert.are.equal(1, #openos.errors)
      assert.matches("^%[thread%] .*event.pull: argument 1 must be", openos.errors[1])
    end)

    it("inside a coroutine created by the thread it is an ordinary yield", function()
      openos.prints("1\t2\n", function()
        thread.create(function()
          print(coroutine.wrap(function() coroutine.yield(1, 2) end)())
        end)
      end)
    end)
  end)

  describe("registrations and signals", function()
    it("every process and every thread owns its table; none can see or cancel another's", function()
      local n = 0
      program(function()
        local function f() n = n + 1 end
        event.listen("x", f)
        thread.create(function()
          assert(not event.ignore("x", f))
          assert(event.listen("x", f) == 1)
          os.sleep(5)
        end)
        event.push "x"
        os.sleep(1)
        assert.are.equal(2, n)
      end)
      assert.are.same({}, openos.errors)
    end)

    it("one pushed signal is seen by every running thread and by the main program, each once", function()
      local seen = {}
      program(function()
        for i = 1, 3 do
          thread.create(function()
            if i == 3 then event.push "ping" end -- by one of them
            while event.pull(1, "ping") do seen[#seen + 1] = i end
          end)
        end
        assert.are.equal("ping", event.pull "ping")
        assert.is_nil((event.pull(2, "ping")))
      end)
      table.sort(seen)
      assert.are.same({ 1, 2, 3 }, seen)
    end)

    it("a thread not pulling at dispatch misses the signal", function()
      program(function()
        local got
        thread.create(function()
          event.pull "a"
          got = event.pull(1, "b")
        end)
        event.push "b"
        event.push "a"
        os.sleep(5)
        assert.is_nil(got)
      end)
    end)

    it("a thread sees what is still queued when it begins to wait", function()
      program(function()
        event.push "early"
        local got
        thread.create(function() got = event.pull(1, "early") end)
        os.sleep(1)
        assert.are.equal("early", got)
      end)
    end)

    it("signals come in the order in which they were pushed", function()
      local got = {}
      program(function()
        local t = thread.create(function()
          for i = 1, 100 do event.push("n", i) end
          for i = 1, 100 do got[i] = select(2, event.pull "n") end
        end)
        t:join()
      end)
      for i = 1, 100 do assert.are.equal(i, got[i]) end
    end)
  end)

  describe("onError", function()
    local function contents(name)
      local file = io.open(name)
      local text = file and file:read "*a"
      if file then file:close() end
      return text
    end

    local default = event.onError
    local path

    before_each(function()
      path = os.tmpname()
      os.remove(path)
      event.onError, event.logPath = default, path
    end)
    after_each(function()
      os.execute("rm -rf " .. path)
      event.logPath = nil
    end)

    local function stderr_of(message)
      local lines, before = {}, io.stderr
      io.stderr = { write = function(_, ...) lines[#lines + 1] = table.concat { ... } end } -- luacheck: ignore
      event.onError(message)
      io.stderr = before -- luacheck: ignore
      return table.concat(lines)
    end

    it("appends one line to the log, made for this user alone", function()
      event.onError "one"
      event.onError { }
      event.onError "two"
      assert.matches("^one\ntable: [^\n]*\ntwo\n$", contents(path))
      local pipe = io.popen("ls -l " .. path)
      assert.matches("^%-rw%-%-%-%-%-%-%-", pipe:read "*l")
      pipe:close()
    end)

    it("is called with the errors of threads", function()
      assert.are.equal(0, thread.run(function() thread.create(function() error("gone", 0) end) end))
      assert.are.equal("[thread] gone\n", contents(path))
    end)

    it("follows no link, and fills nobody else's file: then stderr", function()
      local target = os.tmpname()
      os.execute(("ln -s %s %s"):format(target, path))
      assert.matches("^weir.event: .*: kept\n$", stderr_of "kept")
      os.execute(("rm %s && ln %s %s"):format(path, target, path))
      assert.are.equal(("weir.event: %s: has other names: kept\n"):format(path), stderr_of "kept")
      assert.are.equal("", contents(target))
      os.execute(("rm %s && mkfifo %s"):format(path, path))
      assert.matches("^weir.event: .*: kept\n$", stderr_of "kept")
      os.execute(("rm %s && mkdir %s"):format(path, path))
      assert.matches("^weir.event: .*: kept\n$", stderr_of "kept")
      os.remove(target)
    end)

    it("not another user's file", function()
      os.execute("touch " .. path)
      if os.execute("chown 1 " .. path .. " 2>/dev/null") ~= 0 then
        local pipe = io.popen("stat -c %u " .. path)
        local owner = pipe:read "*n"
        pipe:close()
        if owner ~= 1 then skip "only root can give files away" end
      end
      assert.are.equal(("weir.event: %s: another user's file: kept\n"):format(path), stderr_of "kept")
      assert.are.equal("", contents(path))
    end)
  end)
end)
