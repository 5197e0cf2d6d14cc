-- SPDX-License-Identifier: ISC
--
-- weir.thread.run: what a program finds, how it ends, what is restored; and the machine
-- among weir's other things: pools, other loops, a terminal.

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local event = require "weir.event"
local folder = require "support.folder"
local gate = require "support.gate"
local host = require "weir.openos.host"
-- luacheck: read globals os.sleep
local openos = require "support.openos"
local thread = require "weir.thread"
local weir = require "weir"

local interpreter = os.getenv "WEIR_LUA"
local is_plain_51 = _VERSION == "Lua 5.1" and not rawget(_G, "jit")

local function file_of(text)
  local name = os.tmpname()
  local file = assert(io.open(name, "w"))
  file:write(text)
  file:close()
  return name
end

describe("thread.run", function()
  before_each(function() openos.fake() end)
  after_each(function() openos.fake(false) end)

  it("takes a function and its arguments, and returns the exit code", function()
    local got
    assert.are.equal(0, thread.run(function(...) got = { n = select("#", ...), ... } return 5 end, 1, nil, "x"))
    assert.are.same({ n = 3, 1, nil, "x" }, got)
  end)

  it("takes a path; the program has its own globals, and finds the libraries", function()
    local name = file_of [[
      local event, thread, computer, tty = require "event", require "thread", require "computer", require "tty"
      weir_test_seen = { ..., computer.uptime() == event.uptime(), type(tty), type(thread.create) }
      computer.pushSignal("sent", 1)
      local pulled = { computer.pullSignal(1) }
      assert(pulled[1] == "sent" and pulled[2] == 1)
      assert(computer.pullSignal(1) == nil)
      os.exit(4)
    ]]
    local _, code, problems = openos.run(function() end)
    assert.are.same({ 0, "" }, { code, problems })
    assert.are.equal(4, thread.run(name, "argument"))
    os.remove(name)
    assert.are.same({ "argument", true, "table", "function" }, _G.weir_test_seen)
    _G.weir_test_seen = nil
  end)

  it("says what it cannot run, at the caller's line", function()
    local _, problem = pcall(function() thread.run(12) end)
    assert.matches("test_thread_run.lua:%d+: thread.run: argument 1 must be a function or a path, got number", problem)
    _, problem = pcall(function() thread.run "/nowhere/at/all.lua" end)
    assert.matches("test_thread_run.lua:%d+: thread.run: cannot open", problem)
    local name = file_of "local = 1"
    _, problem = pcall(function() thread.run(name) end)
    assert.matches("test_thread_run.lua:%d+: thread.run: .*expected", problem)
    os.remove(name)
  end)

  it("a program keeps its own environment", function()
    local own = { require = require, type = type }
    local text = "result = type(require 'thread') global = 1"
    local f
    if setfenv then f = setfenv(loadstring(text), own) else f = load(text, "=own", "t", own) end -- luacheck: ignore
    assert.are.equal(0, thread.run(f))
    assert.are.equal("table", own.result)
    assert.are.equal(1, own.global)
    assert.is_nil(rawget(_G, "global"))
  end)

  it("puts everything back, also after an error of the machine's", function()
    local names = { "thread", "event", "computer", "tty" }
    local function state()
      local list = { os.sleep or false, os.exit, io.read, coroutine.resume, coroutine.wrap }
      for _, name in ipairs(names) do list[#list + 1] = package.loaded[name] or false end
      return list
    end
    local before, inside = state(), nil
    package.loaded.event = "somebody's own"
    thread.run(function() inside = state() end)
    assert.are.equal("somebody's own", package.loaded.event)
    package.loaded.event = nil
    assert.are.same(before, state())
    for i = 1, 9 do assert.are_not.equal(before[i], inside[i]) end
    local ok, problem = pcall(thread.run, function() event.pull() end) -- the test's clock refuses
    assert.are.same({ false, "the machine would wait for ever" }, { ok, problem })
    assert.are.same(before, state())
    event.push "and it runs again"
    assert.are.equal(0, thread.run(function() end))
  end)

  it("is refused while the machine turns", function()
    local problem
    thread.run(function() problem = select(2, pcall(thread.run, function() end)) end)
    assert.matches("thread.run: the machine turns already$", problem)
  end)

  describe("os.exit(n)", function()
    it("in the program ends it and kills attached threads at once; detached ones go on", function()
      local log, detached = {}, nil
      local code = thread.run(function()
        for i = 1, 2 do thread.create(function() os.sleep(1) log[#log + 1] = i end) end
        detached = thread.create(function() os.sleep(1) log[#log + 1] = "detached" end):detach()
        os.exit(7)
      end)
      assert.are.equal(7, code)
      assert.are.same({}, log)
      assert.are.equal("running", detached:status())
      thread.run(function() os.sleep(2) end)
      assert.are.same({ "detached" }, log)
    end)

    it("in a thread only that thread", function()
      local log = {}
      local code = thread.run(function()
        local t = thread.create(function() os.exit(3) end)
        log[1] = t:status()
        os.sleep()
        log[2] = "on"
      end)
      assert.are.equal(0, code)
      assert.are.same({ "dead", "on" }, log)
    end)

    it("nil and true are 0, false is 1; thread.exit is the same", function()
      assert.are.equal(0, thread.run(function() os.exit() end))
      assert.are.equal(0, thread.run(function() os.exit(true) end))
      assert.are.equal(1, thread.run(function() os.exit(false) end))
      assert.are.equal(9, thread.run(function() thread.exit(9) end))
      assert.matches("thread.exit: called outside a program", select(2, pcall(thread.exit, 1)))
    end)

    it("raises a private table error; code that catches it runs on to its next wait", function()
      local log = {}
      local code = thread.run(function()
        local ok, problem = pcall(os.exit, 6)
        log[1], log[2] = ok, type(problem)
        os.sleep()
        log[3] = "never"
      end)
      assert.are.equal(6, code)
      assert.are.same({ false, "table" }, log)
    end)

    it("in a coroutine of the program, in a listener and in a timer ends the program", function()
      assert.are.equal(1, thread.run(function() coroutine.wrap(function() os.exit(1) end)() end))
      assert.are.equal(2, thread.run(function()
        local ok = coroutine.resume(coroutine.create(function() os.exit(2) end))
        return ok, os.exit(9)
      end))
      assert.are.equal(3, thread.run(function()
        event.listen("stop", function() os.exit(3) end)
        event.push "stop"
        event.pull "never"
      end))
      assert.are.equal(4, thread.run(function()
        event.timer(1, function() os.exit(4) end)
        event.pull "never"
      end))
    end)
  end)

  it("program returns normally: its attached threads are joined, suspended ones die", function()
    local frozen, log = nil, {}
    assert.are.equal(0, thread.run(function()
      frozen = thread.create(thread.sleep, 1)
      frozen:suspend()
      event.listen("late", function() log[#log + 1] = "listener" end)
      thread.create(function() os.sleep(2) event.push "late" log[#log + 1] = "older" end)
      thread.create(function() os.sleep(1) log[#log + 1] = "newer" end)
    end))
    assert.are.equal("dead", frozen:status())
    assert.are.equal("newer older", table.concat(log, " "):gsub(" ?listener", ""))
    assert.are.equal(2, openos.uptime())
  end)

  it("program raises: message and trace to stderr, attached threads killed, result 128", function()
    local detached, log = nil, {}
    local out, code, problems = openos.run(function()
      thread.create(function() os.sleep(1) log[1] = "attached" end)
      detached = thread.create(function() os.sleep(1) log[1] = "detached" end):detach()
      error "program failed"
    end)
    assert.are.same({ "", 128 }, { out, code })
    assert.matches("^test/lua/test_thread_run.lua:%d+: program failed\nstack traceback:\n", problems)
    assert.are.same({}, log)
    assert.are.equal("running", detached:status())
    detached:kill()
  end)

  it("program raises an object without a text: that is said, and the machine goes on", function()
    local _, code, problems = openos.run(function()
      error(setmetatable({}, { __tostring = function() error "no text" end }))
    end)
    assert.are.equal(128, code)
    assert.matches("^%(error object has an error in its __tostring%)\nstack traceback:", problems)
    assert.are.equal(0, thread.run(function() end))
  end)

  it("a detached thread that waits where nothing can yield is unwound when the program ends", function()
    local t, log = nil, {}
    assert.are.equal(0, thread.run(function()
      t = thread.create(function()
        local _ = ("x"):gsub("x", function() event.pull "never" end)
        log[1] = "never"
      end):detach()
    end))
    assert.are.equal("dead", t:status())
    assert.are.same({}, log)
  end)
end)

describe("the machine", function()
  local pool

  before_each(function() pool = assert(weir.pool { threads = 2 }) end)
  after_each(function() pool:close() end)

  local function run(f, ...)
    local out, code, problems = openos.run(f, ...)
    assert.are.equal("", problems)
    assert.are.equal(0, code)
    return out
  end

  it("pool:run(f):get() suspends only that thread", function()
    local go = gate.new()
    assert.are.equal("other\ntask\ttrue\t42\n", run(function()
      thread.create(function()
        print("task", pool:run(function(g) require("support.gate").pass(g) return 42 end, go):get())
      end)
      thread.create(function() print "other" gate.open_last(go) end)
    end))
  end)

  it("and so in the program, and in a coroutine of a thread", function()
    local go = gate.new()
    assert.are.equal("other\ntrue\ttask\ntrue\tinner\n", run(function()
      thread.create(function() os.sleep() print "other" gate.open_last(go) end)
      print(pool:run(function(g) require("support.gate").pass(g) return "task" end, go):get())
      print(coroutine.wrap(function() return pool:run(function() return "inner" end):get() end)())
    end))
  end)

  it("a thousand threads each get their own result", function()
    local right = 0
    run(function()
      for i = 1, 1000 do
        thread.create(function()
          local _, value = pool:run(function(n) return n * 2 end, i):get()
          if value == i * 2 then right = right + 1 end
        end)
      end
    end)
    assert.are.equal(1000, right)
  end)

  it("a killed thread waits for no future any more, and one that is suspended gets it later", function()
    local go = gate.new()
    assert.are.equal("later\ttrue\t1\n", run(function()
      local future = pool:run(function(g) require("support.gate").pass(g) return 1 end, go)
      local killed = thread.create(function() future:get() print "never" end)
      local later = thread.create(function() print("later", future:get()) end)
      killed:kill()
      later:suspend()
      gate.open_last(go)
      future:get()
      later:resume()
    end))
  end)

  it("other OS threads may push events, which wake it", function()
    assert.are.equal("from a task\t7\tlist\n", run(function()
      pool:run(function()
        require("weir.event").push("task", 7, { "list" })
      end)
      local _, n, list = event.pull "task"
      print("from a task", n, list[1])
    end))
  end)

  it("also through run_in_main, whose function may wait, and what it raises goes back", function()
    assert.are.equal("pushed\t1\nwaited\ttrue\tanswer\nraised\tfalse\tmine\n", run(function()
      local waits = pool:run(function()
        return require("weir").run_in_main(function()
          require("weir.event").push("pushed", 1)
          return select(2, require("weir.event").pull "reply")
        end)
      end)
      print(event.pull "pushed")
      event.push("reply", "answer")
      print("waited", waits:get())
      print("raised", pool:run(function()
        require("weir").run_in_main(function() error("mine", 0) end)
      end):get())
    end))
  end)

  it("a task's push is refused when its name is no string, there", function()
    run(function()
      local ok, problem = pool:run(function() require("weir.event").push(1) end):get()
      assert.is_false(ok)
      assert.matches("event.push: argument 1 %(name%) must be a string, got 1", problem)
    end)
  end)

  it("a task may have a machine of its own", function()
    assert.are.same({ true, 3, "done" }, { pool:run(function()
      local inner = require "weir.thread"
      local log
      local code = inner.run(function()
        local t = inner.create(function() require("weir.event").pull "go" log = "done" end)
        require("weir.event").push "go"
        t:join()
        inner.exit(3)
      end)
      return code, log
    end):get() })
  end)

  it("serves run_in_main after the program has ended, too", function()
    run(function() end)
    local future = pool:run(function() return require("weir").run_in_main(function() return "served" end) end)
    assert.are.same({ true, "served" }, { future:get() })
  end)

  it("sleeps by the real clock, and tells monotonic time", function()
    run(function()
      local before = event.uptime()
      os.sleep(0.02)
      assert.is_true(event.uptime() - before >= 0.02)
    end)
  end)

  it("reads stdin without holding up other threads", function()
    local program = file_of [[
      local thread, event = require "thread", require "event"
      thread.create(function() for i = 1, 3 do print("other", i) os.sleep() end event.push "go" end)
      local reader = thread.create(function() print("never", io.read()) end)
      event.pull "^go$"
      reader:kill() -- what it asked for goes to the next one
      local stdin = io.open(arg[2], "w")
      stdin:write "first\n12\nlast"
      stdin:close()
      print("line", io.read())
      print("number", io.read "*n")
      print("rest", io.read "*l", io.read "*a")
      print("end", io.read())
    ]]
    local prelude = file_of 'os.exit(require "weir.thread".run(arg[1]))'
    local source = gate.new()
    local command = "cat %s | timeout %d %s %s %s %s 2>&1"
    local pipe = io.popen(command:format(source, folder.seconds, interpreter, prelude, program, source))
    local output = pipe:read "*a"
    pipe:close()
    for _, name in ipairs { program, prelude, source } do os.remove(name) end
    assert.are.equal("other\t1\nother\t2\nother\t3\nline\tfirst\nnumber\t12\nrest\t\tlast\nend\tnil\n", output)
  end)
end)

describe("the machine under Copas", function()
  local copas = require("support.in_copas").module()
  local has_copas = copas ~= nil

  it("suspends its coroutine while nothing is to be done", function()
    if not has_copas then skip "there is no Copas 4" end
    local log, code = {}, nil
    local pool = assert(weir.pool { threads = 1 })
    local go = gate.new()
    copas.addthread(function()
      code = thread.run(function()
        thread.create(function()
          pool:run(function(g) return require("support.gate").pass(g) end, go):get()
          table.insert(log, "got")
        end)
        event.pull "from copas"
        log[#log + 1] = "pulled"
        repeat os.sleep(0.001) until #log == 2
        os.exit(2)
      end)
    end)
    copas.addthread(function()
      copas.pause(0)
      event.push "from copas"
      gate.open_last(go, "opened")
    end)
    copas.loop()
    pool:close()
    assert.are.equal(2, code)
    table.sort(log)
    assert.are.same({ "got", "pulled" }, log)
  end)

  it("leaves os.exit to the others, and lets them run while its threads are busy", function()
    if not has_copas then skip "there is no Copas 4" end
    local turns, is_real = 0, nil
    copas.addthread(function()
      thread.run(function()
        while turns < 3 do os.sleep() end
      end)
    end)
    copas.addthread(function()
      for _ = 1, 3 do
        copas.pause(0)
        turns = turns + 1
      end
      is_real = not pcall(thread.exit, 1)
    end)
    copas.loop()
    assert.is_true(is_real)
    assert.are.equal(3, turns)
    assert.is_false(host.is_shared())
  end)
end)

describe("a future", function()
  it("inside pcall on Lua 5.1 turns the machine there", function()
    if not is_plain_51 then skip "elsewhere pcall can be suspended in" end
    local pool = assert(weir.pool { threads = 1 })
    local go, log = gate.new(), {}
    thread.run(function()
      thread.create(function()
        pcall(function()
          local _, line = pool:run(function(g) return require("support.gate").pass(g) end, go):get()
          table.insert(log, line)
        end)
      end)
      thread.create(function() log[#log + 1] = "other" gate.open_last(go, "opened") end)
    end)
    pool:close()
    assert.are.same({ "other", "opened" }, log)
  end)
end)
