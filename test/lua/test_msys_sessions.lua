-- SPDX-License-Identifier: ISC
--
-- test_msys_sessions.lua: the scheduler, its sessions and timers, validate phases.

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local msys = require "weir.msys"
local output = require "support.output"
local scheduler = require "weir.msys.scheduler"
local weir = require "weir"

local lua51 = _VERSION == "Lua 5.1" and not rawget(_G, "jit")

describe("msys.run", function()
  it("runs a function with its arguments and returns what it does", function()
    assert.are.same({ 1, nil, 3 }, { msys.run(function(...) return ... end, 1, nil, 3) })
  end)

  it("turns until all is idle: sessions, timers, calls", function()
    local log = {}
    local timer
    msys.run(function()
      msys.spawn(function(name) msys.sleep(0.002) table.insert(log, name) end, "a session")
      timer = msys.timer.after(0.004, function() table.insert(log, "a timer") end)
      msys.runInPool("CPU", function() end, function() table.insert(log, "a completion") end,
        msys.core.ECTP_COMPLETE_CALLBACK_SCHED)
    end)
    table.sort(log)
    assert.are.same({ "a completion", "a session", "a timer" }, log)
    assert.is_false(timer:stop())
  end)

  it("may be called any number of times, and closes no pool", function()
    local before = msys.threadpool.stat("CPU").num_threads
    for i = 1, 20 do
      assert.are.equal(i, msys.run(function() return select(2, msys.runInPool("CPU", function() return i end)) end))
    end
    assert.is_true(msys.threadpool.stat("CPU").num_threads >= math.max(1, before))
  end)

  it("raises the error of its session, when all the rest is done", function()
    local done = false
    local problem = { code = 5 }
    local ok, why = pcall(msys.run, function()
      msys.spawn(function() msys.sleep(0.001) done = true end)
      error(problem)
    end)
    assert.are.same({ false, true }, { ok, done })
    assert.are.equal(problem, why)
  end)

  it("goes on after an error", function()
    pcall(msys.run, function() error "x" end)
    assert.are.equal(1, msys.run(function() return 1 end))
  end)

  it("inside itself is an error", function()
    msys.run(function()
      local ok, why = pcall(function() msys.run(function() end) end)
      assert.is_false(ok)
      assert.matches("^test/lua/test_msys_sessions.lua:%d+: msys.run: it turns already; use msys.spawn", why)
    end)
  end)

  it("ends with an error where nothing could end a wait", function()
    local ok, why = pcall(msys.run, function()
      local loop = require("weir.msys.scheduler").loop
      loop.suspend(coroutine.running())
    end)
    assert.is_false(ok)
    assert.matches("^msys.run: nothing is left that could end the wait of session %d+$", why)
    assert.are.equal(1, msys.run(function() return 1 end))
  end)

  it("checks its arguments", function()
    for name, call in pairs { run = function() msys.run(5) end, spawn = function() msys.spawn "x" end } do
      local ok, why = pcall(call)
      assert.is_false(ok)
      assert.matches("^test/lua/test_msys_sessions.lua:%d+: msys." .. name .. ": argument 1 must be a function", why)
    end
  end)
end)

describe("a session", function()
  it("that another one spawned and that fails is reported, with its traceback", function()
    local told = {}
    weir.on_unhandled(function(...) told = { ... } end)
    msys.run(function() msys.spawn(function() msys.sleep(0) error "in a session" end) end)
    weir.on_unhandled(nil)
    assert.matches("test_msys_sessions.lua:%d+: in a session$", told[1])
    assert.matches("in a session\nstack traceback:", told[2])
  end)

  it("may be spawned before msys.run, which runs it", function()
    local ran
    msys.spawn(function(x) ran = x end, 7)
    assert.is_nil(ran)
    msys.run(function() end)
    assert.are.equal(7, ran)
  end)

  it("lets the others go first by a plain yield", function()
    local log = {}
    msys.run(function()
      msys.spawn(function() table.insert(log, "b") end)
      table.insert(log, "a")
      coroutine.yield()
      table.insert(log, "c")
    end)
    assert.are.same({ "a", "b", "c" }, log)
  end)

  it("waits for what others do without stopping them, ten thousand at once", function()
    local n = 0
    msys.run(function()
      for i = 1, 10000 do
        msys.spawn(function()
          msys.sleep(0.001 * (i % 3))
          n = n + 1
        end)
      end
    end)
    assert.are.equal(10000, n)
  end)

  it("blocks where it cannot be suspended", function()
    msys.run(function()
      local list = { 3, 1, 2 }
      table.sort(list, function(a, b)
        local _, less = msys.runInPool("CPU", function() return a < b end)
        return less
      end)
      assert.are.same({ 1, 2, 3 }, list)
      local co = coroutine.wrap(function() return msys.runInPool("CPU", function() return "in a coroutine" end) end)
      assert.are.same({ true, "in a coroutine" }, { co() })
      assert.are.same({ "a-b" }, { (("a.b"):gsub("%.", function()
        msys.sleep(0)
        return select(2, msys.runInPool("IO", function() return "-" end))
      end)) })
      assert.are.same({ true, true, 1 }, { pcall(msys.runInPool, "CPU", function() return 1 end) })
    end)
  end)

  it("is suspended inside pcall where Lua can", function()
    if lua51 then return end
    local log = {}
    msys.run(function()
      msys.spawn(function() table.insert(log, "another") end)
      pcall(function() msys.sleep(0.001) end)
      table.insert(log, "the session")
    end)
    assert.are.same({ "another", "the session" }, log)
  end)

  it("serves weir.run_in_main of pool closures, and may be suspended in it", function()
    msys.run(function()
      _G.test_here = "the scheduler's"
      local ok, value = msys.runInPool("CPU", function()
        return require("weir").run_in_main(function()
          msys.sleep(0.001)
          return test_here -- luacheck: ignore
        end)
      end)
      assert.are.same({ true, "the scheduler's" }, { ok, value })
      local failed, why = msys.runInPool("CPU", function()
        require("weir").run_in_main(function()
          msys.sleep(0.001)
          error("late", 0)
        end)
      end)
      assert.are.same({ false, "late" }, { failed, why })
      _G.test_here = nil
    end)
  end)
end)

describe("msys.runInInst", function()
  it("runs a closure of a pool's thread in the scheduler", function()
    msys.run(function()
      _OSTLS.here = "scheduler"
      assert.are.same({ true, true, "scheduler", nil, 3 }, { msys.runInPool("IO", function()
        return msys.runInInst(0, function() return _OSTLS.here, nil, 3 end)
      end) })
      assert.are.same({ true, false, "no" }, { msys.runInPool("IO", function()
        return msys.runInInst(0, function() error("no", 0) end)
      end) })
      _OSTLS.here = nil
    end)
  end)

  it("runs another session from one", function()
    msys.run(function()
      assert.are.same({ true, 1, nil }, { msys.runInInst(0, function() msys.sleep(0) return 1, nil end) })
      assert.are.same({ false, "no" }, { msys.runInInst(0, function() error("no", 0) end) })
    end)
    assert.are.same({ true, 2 }, { msys.runInInst(0, function() return 2 end) })
  end)

  it("knows one instance", function()
    local ok, why = pcall(function() msys.runInInst(1, print) end)
    assert.is_false(ok)
    assert.matches("test_msys_sessions.lua:%d+: msys.runInInst: argument 1: there is no instance 1, only 0", why)
  end)
end)

describe("a session that fails", function()
  it("is reported with its text and traceback, and the scheduler goes on", function()
    local told, over = {}, nil
    weir.on_unhandled(function(problem, traceback) told[#told + 1] = { problem, traceback } end)
    local broken = setmetatable({}, { __tostring = function() error "no text" end })
    msys.run(function()
      msys.spawn(function() error(setmetatable({}, { __tostring = function() return "E: disk full" end })) end)
      msys.spawn(function() error(broken) end)
      msys.sleep(0)
      over = true
    end)
    weir.on_unhandled(nil)
    assert.is_true(over)
    assert.matches("^E: disk full\nstack traceback:", told[1][2])
    assert.are.equal(broken, told[2][1])
    assert.matches("^%(error object has an error in its __tostring%)\nstack traceback:", told[2][2])
  end)
end)

describe("msys.sleep", function()
  it("takes fractions and `suspends only the session`", function()
    local turns, over, began = 0, false, weir.loop.clock()
    msys.run(function()
      msys.spawn(function()
        repeat
          msys.sleep(0)
          turns = turns + 1
        until over
      end)
      repeat msys.sleep(0.006) until turns > 1 -- the other goes on meanwhile
      over = true
    end)
    assert.is_true(weir.loop.clock() - began >= 0.006)
  end)

  it("`on a pool thread … blocks that thread`", function()
    local ok, took = msys.runInPool("CPU", function()
      local clock = require("weir").loop.clock
      local began = clock()
      msys.sleep(0.005)
      return clock() - began
    end)
    assert.is_true(ok and took >= 0.005)
  end)

  it("checks its argument", function()
    for _, value in ipairs { -1, "x", {} } do
      local ok, why = pcall(function() msys.sleep(value) end)
      assert.is_false(ok)
      assert.matches("^test/lua/test_msys_sessions.lua:%d+: msys.sleep: argument 1 must be a number of seconds", why)
    end
  end)
end)

describe("msys.timer", function()
  it("after: fires once, in the order of time", function()
    local log, timers, began = {}, {}, weir.loop.clock()
    msys.run(function()
      for i, t in ipairs { 0.006, 0.002, 0.004 } do
        timers[i] = msys.timer.after(60, function() table.insert(log, t) end)
        scheduler.start_timer(timers[i], began + t) -- counted from one moment for all
      end
    end)
    assert.are.same({ 0.002, 0.004, 0.006 }, log)
    assert.are.equal(3, #timers)
  end)

  it("every: fires until it is stopped", function()
    local n, timer = 0, nil
    msys.run(function()
      timer = msys.timer.every(0.001, function()
        n = n + 1
        if n == 3 then timer:stop() end
      end)
    end)
    assert.are.equal(3, n)
  end)

  it("at: fires at a time of os.time", function()
    local fired, timer
    msys.run(function() timer = msys.timer.at(os.time() - 10, function() fired = true end, "late") end)
    assert.is_true(fired)
    assert.are.equal("late", timer:name())
  end)

  it("has `stop start name`", function()
    local n = 0
    local timer = msys.timer.after(60, function() n = n + 1 end, "mine")
    assert.are.equal("mine", timer:name())
    assert.are.equal("msys.timer: mine", tostring(timer))
    assert.is_true(timer:stop())
    assert.is_false(timer:stop())
    msys.run(function() end) -- has nothing to wait for
    assert.are.equal(0, n)
    timer = msys.timer.after(0.001, function() n = n + 1 end)
    msys.run(function() end)
    timer:start()
    msys.run(function() end)
    assert.are.equal(2, n)
    assert.is_nil(timer:name())
  end)

  it("`a collected timer is stopped`", function()
    local n = 0
    msys.timer.after(0, function() n = n + 1 end)
    msys.timer.every(3600, function() end)
    collectgarbage()
    collectgarbage()
    msys.run(function() end)
    assert.are.equal(0, n)
  end)

  it("is let go before a long wait for nothing else", function()
    msys.run(function() msys.timer.every(3600, function() end) end) -- else an hour
  end)

  it("calls back in the scheduler, where a session may be suspended and runInPool works", function()
    local got, timer
    msys.run(function()
      timer = msys.timer.after(0, function()
        msys.sleep(0)
        got = { msys.runInPool("CPU", function() return "from a timer" end) }
      end)
    end)
    assert.are.same({ true, "from a timer" }, got)
    assert.is_not_nil(timer)
  end)

  it("reports a callback that fails, and goes on", function()
    local told, n, timer = {}, 0, nil
    weir.on_unhandled(function(problem) table.insert(told, problem) end)
    msys.run(function()
      timer = msys.timer.every(0.001, function()
        n = n + 1
        if n == 2 then timer:stop() end
        error("tick", 0)
      end)
    end)
    weir.on_unhandled(nil)
    assert.are.same({ "tick", "tick" }, told)
  end)

  it("checks its arguments", function()
    for _, case in ipairs {
      { "after: argument 1 must be a number of seconds", function() msys.timer.after("x", print) end },
      { "every: argument 2 must be a function, got nil", function() msys.timer.every(1) end },
      { "at: argument 3 %(name%) must be a string or nil, got number", function() msys.timer.at(1, print, 5) end },
    } do
      local ok, why = pcall(case[2])
      assert.is_false(ok)
      assert.matches("^test/lua/test_msys_sessions.lua:%d+: msys.timer." .. case[1], why)
    end
  end)
end)

describe("registerModule", function()
  it("calls phases `as mod:phase(…, vctx)`, with `self` a table of the session", function()
    local text = output.of [[
      require "weir.msys"
      local mod = { word = "shared" }
      function mod:helper() return self.n end
      function mod:validate_connect(msg, ac, vctx)
        self.n = (self.n or 0) + 1
        self.fn = function() return "any Lua value" end
        print("connect", msg.id, ac.id, vctx.id, self.word)
        msys.sleep(0)
        return msys.core.VALIDATE_CONT
      end
      function mod:validate_data(msg, ac, vctx)
        print("data", msg.id, self:helper(), self.fn())
      end
      function mod:validate_dealloc() print("dealloc", self.n) end
      msys.registerModule("mod", mod)
      msys.run(function()
        for i = 1, 2 do msys.validate { msg = { id = i }, ac = { id = "ac" }, vctx = { id = "v" } } end
      end)
      print(mod.n)]]
    local one = "connect\t%d\tac\tv\tshared\ndata\t%d\t1\tany Lua value\ndealloc\t1\n"
    assert.are.equal(one:format(1, 1) .. one:format(2, 2) .. "nil\n", text)
  end)

  it("stops a phase at VALIDATE_DONE and repeats it at VALIDATE_AGAIN", function()
    local text = output.of [[
      require "weir.msys"
      local core = require "msys.core"
      msys.registerModule("first", {
        validate_data = function(self)
          self.n = (self.n or 0) + 1
          print("first", self.n)
          return self.n < 3 and core.VALIDATE_AGAIN or core.VALIDATE_CONT
        end,
        validate_mailfrom = function() print "first mailfrom" return core.VALIDATE_DONE end,
      })
      msys.registerModule("second", {
        validate_data = function() print "second" end,
        validate_mailfrom = function() print "second mailfrom" end,
      })
      msys.run(msys.validate)]]
    assert.are.equal("first mailfrom\nfirst\t1\nfirst\t2\nfirst\t3\nsecond\n", text)
  end)

  it("starts what a phase deferred at its end", function()
    local text = output.of [[
      require "weir.msys"
      msys.runInPool("CPU", function() end)
      local mod = {}
      function mod:validate_connect()
        msys.runInPool("CPU", function() msys.shareSet("begun", true) end, true)
        print("in connect", msys.shareGet "begun")
      end
      function mod:validate_data()
        while not msys.shareGet "begun" do end
        print "begun before data"
      end
      msys.registerModule("mod", mod)
      msys.run(msys.validate)]]
    assert.are.equal("in connect\tnil\nbegun before data\n", text)
  end)

  it("checks its arguments", function()
    for _, case in ipairs {
      { "registerModule: argument 1 must be a string, got nil", function() msys.registerModule() end },
      { "registerModule: argument 2 must be a table, got 5", function() msys.registerModule("m", 5) end },
      { "validate: options: unknown option \"message\"", function() msys.validate { message = 1 } end },
    } do
      local ok, why = pcall(case[2])
      assert.is_false(ok)
      assert.matches("^test/lua/test_msys_sessions.lua:%d+: msys." .. case[1], why)
    end
  end)
end)
