-- SPDX-License-Identifier: ISC
--
-- test_msys.lua: the examples of the document "msys.runInPool", and its five forms.

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local gate = require "support.gate"
local output = require "support.output"
local msys = require "weir.msys"
local weir = require "weir"

-- Open pools: a call reaches their threads while this thread is blocked in a gate.
setup(function()
  for _, pool in ipairs { "CPU", "IO" } do msys.runInPool(pool, function() end) end
end)

-- A program of the document in an interpreter of its own, with what it prints.
local function printed(program)
  return (output.of('require "weir.msys"\n' .. program))
end

describe("the document's example", function()
  it("status, result = msys.runInPool(pool, closure)", function()
    assert.are.equal("true\tresult\n", printed [[
      msys.run(function()
        local pool, closure = "CPU", function() return "result" end
        status, result = msys.runInPool(pool, closure)
        print(status, result)
      end)]])
  end)

  it("msys.runInPool(pool, closure, false);", function()
    assert.are.equal("true\tresult\n", printed [[
      msys.run(function()
        local pool, closure = "CPU", function() return "result" end
        print(msys.runInPool(pool, closure, false));
      end)]])
  end)

  it("msys.runInPool(pool, closure, true)", function()
    assert.are.equal("0\nnext statement\nin the pool\n", printed [[
      msys.run(function()
        local pool, closure = "CPU", function() print "in the pool" end
        print(select("#", msys.runInPool(pool, closure, true)))
        print "next statement"
      end)]])
  end)

  it("msys.runInPool(pool, closure, completion_closure)", function()
    assert.are.equal("closure\ncompletion_closure\ttrue\n", printed [[
      msys.run(function()
        local pool = "CPU"
        local closure = function() _OSTLS.mark = true; print "closure" end
        local completion_closure = function() print("completion_closure", _OSTLS.mark) end
        msys.runInPool(pool, closure, completion_closure)
      end)]])
  end)

  it('status, res = msys.runInPool("IO", ... ECTP_COMPLETE_CALLBACK_SCHED', function()
    -- the text says that the asynchronous forms return nothing, and it wins
    assert.are.equal("nil\tnil\ncompleting in the scheduler\n", printed [[
      in_scheduler = "in the scheduler"
      msys.run(function()
        status, res = msys.runInPool("IO", function ()
            -- do some IO intensive work here, such as interrogate the message contents
            return "done"; -- passed back to the 'res' variable
          end,
          -- Completion function
          function ()
            print("completing " .. in_scheduler)
          end,
          msys.core.ECTP_COMPLETE_CALLBACK_SCHED -- Complete in the scheduler
        );
        print(status, res)
      end)]])
  end)

  it("do_heavy_lifting", function()
    assert.are.equal("doing heavy lifting\ntrue\ttrue\n", printed [[
      msys.run(function()
        do_heavy_lifting = function()
          print("doing heavy lifting")
          return true
        end

        st, res = msys.runInPool('IO', do_heavy_lifting)
        print(st, res)
      end)]])
  end)

  it("an inline function", function()
    assert.are.equal("doing heavy lifting\ntrue\ttrue\n", printed [[
      msys.run(function()
        st, res = msys.runInPool('IO',
          function ()
            print("doing heavy lifting")
            return true
          end)
        print(st, res)
      end)]])
  end)

  -- The page has lost the lines that are not indented.
  local OSTLS = [[
    require("msys.core");
    local mod = {};

    -- we want to validate that we ran on a different OS thread, so
    -- set a marker we can use in our output
    _OSTLS.async_t_marker = 42;

    function mod:validate_data(msg, ac, vctx)
     msys.runInPool('CPU', function ()
     print("CPU", "in cpu", _OSTLS.async_t_marker);
     end, true);
     return msys.core.VALIDATE_CONT;
    end

    function mod:validate_data_spool(msg, ac, vctx)
      msys.runInPool('CPU',
        function ()
          print("CB", "cb data spool", _OSTLS.async_t_marker);
        end,
        function ()
          print("CB", "cb completing", _OSTLS.async_t_marker);
        end%s);
      return msys.core.VALIDATE_CONT;
    end

    msys.registerModule("async", mod);
    msys.run(msys.validate)]]

  -- The two closures run on threads of their own: only the lines of one are in order.
  local function lines_of(text)
    local cpu, cb = {}, {}
    for line in text:gmatch "[^\n]+" do table.insert(line:find "^CB" and cb or cpu, line) end
    return { cpu = cpu, cb = cb }
  end

  it("_OSTLS.async_t_marker", function()
    assert.are.same({ cpu = { "CPU\tin cpu\tnil" }, cb = { "CB\tcb data spool\tnil", "CB\tcb completing\tnil" } },
      lines_of(printed(OSTLS:format "")))
  end)

  it("with form 5 it would be 42", function()
    assert.are.same({ cpu = { "CPU\tin cpu\tnil" }, cb = { "CB\tcb data spool\tnil", "CB\tcb completing\t42" } },
      lines_of(printed(OSTLS:format ", msys.core.ECTP_COMPLETE_CALLBACK_SCHED")))
  end)
end)

describe("msys.runInPool (pool, f)", function()
  it("returns `true, results…`, with their holes", function()
    msys.run(function()
      local got = { n = select("#", msys.runInPool("CPU", function() return 1, nil, 3, nil end)),
        msys.runInPool("CPU", function() return 1, nil, 3, nil end) }
      assert.are.same({ n = 5, true, 1, nil, 3, nil }, got)
    end)
  end)

  it("or `false, message`, unchanged", function()
    msys.run(function()
      assert.are.same({ false, "the message" }, { msys.runInPool("CPU", function() error("the message", 0) end) })
      assert.are.same({ false, { code = 5 } }, { msys.runInPool("CPU", function() error { code = 5 } end) })
      assert.are.same({ pcall(error) }, { msys.runInPool("CPU", function() error() end) })
      local _, where = msys.runInPool("CPU", function() error "here" end)
      assert.matches("test_msys.lua:%d+: here$", where)
    end)
  end)

  it("suspends the calling script; other sessions go on", function()
    local go, log = gate.new(), {}
    msys.spawn(function()
      msys.sleep(0)
      table.insert(log, "another session")
      gate.open_last(go)
    end)
    msys.run(function()
      msys.runInPool("IO", function() require("support.gate").pass(go) end)
      table.insert(log, "the caller")
    end)
    assert.are.same({ "another session", "the caller" }, log)
  end)

  it("copies upvalues at the call", function()
    msys.run(function()
      local list = { 1 }
      local _, there = msys.runInPool("CPU", function() list[1] = 2 return list end)
      assert.are.same({ { 1 }, { 2 } }, { list, there })
    end)
  end)

  it("works outside msys.run, where it blocks", function()
    assert.are.same({ true, 1 }, { msys.runInPool("CPU", function() return 1 end) })
  end)

  it("finds pools by name, in any case, and by id", function()
    msys.run(function()
      for _, pool in ipairs { "SpoolIn", "SPOOLIN", "spoolin", 7 } do
        assert.are.same({ true, pool }, { msys.runInPool(pool, function() return pool end) })
      end
      assert.are.same({ true, "short-lived" }, { msys.runInPool(-1, function() return "short-lived" end) })
    end)
  end)
end)

describe("the asynchronous forms", function()
  it("start f only after the caller has yielded or returned", function()
    local out, answer = gate.new(), nil
    msys.run(function()
      for _ = 1, 3 do
        local name = gate.new()
        msys.runInPool("CPU", function() require("support.gate").open(name, "started") end, true)
        assert.are.equal(0, msys.threadpool.stat("CPU").job_num_queued + msys.threadpool.stat("CPU").job_num_running)
        msys.sleep(0)
        answer = gate.pass(name)
        os.remove(name)
      end
    end)
    assert.are.equal("started", answer)
    os.remove(out)
  end)

  it("start it at the end of the outermost call, in their order", function()
    local log = output.of [[
      require "weir.msys"
      msys.run(function()
        for i = 1, 3 do msys.runInPool("SpoolIn", function() print("f", i) end, true) end
        print "the caller returns"
      end)]]
    assert.are.equal("the caller returns\nf\t1\nf\t2\nf\t3\n", log)
  end)

  it("copy upvalues at the call, not at the start", function()
    local seen
    msys.run(function()
      local n = 1
      msys.runInPool("CPU", function() return n end, function(_, got) seen = got end,
        msys.core.ECTP_COMPLETE_CALLBACK_SCHED)
      n = 2
    end)
    assert.are.equal(1, seen)
  end)

  it("call the original completion in the scheduler", function()
    local here = {}
    local uncopyable = coroutine.create(function() end)
    msys.run(function()
      _TLS.who = "the caller"
      msys.runInPool("CPU", function() return 1, nil, 3 end, function(...)
        here.n, here.args = select("#", ...), { ... }
        here.tls, here.co = _TLS.who, uncopyable
        msys.sleep(0)
        here.timer = msys.timer.after(0, function() here.fired = true end)
      end, msys.core.ECTP_COMPLETE_CALLBACK_SCHED)
    end)
    assert.are.same({ 4, { true, 1, nil, 3 }, "the caller", uncopyable, true },
      { here.n, here.args, here.tls, here.co, here.fired })
  end)

  it("call a completion on f's own thread for any other fourth argument", function()
    for _, mode in ipairs { 0, 1, "x", msys.core.ECTP_COMPLETE_CALLBACK, true } do
      local out = gate.new()
      msys.run(function()
        msys.runInPool("IO", function() _OSTLS.mine = out return "r" end, function(ok, r)
          require("support.gate").open(out, tostring(_OSTLS.mine == out) .. " " .. tostring(ok) .. " " .. r)
        end, mode)
        msys.sleep(0)
        assert.are.equal("true true r", gate.pass(out))
      end)
      os.remove(out)
    end
  end)

  it("report an f that fails, and still run g", function()
    for _, mode in ipairs { msys.core.ECTP_COMPLETE_CALLBACK, msys.core.ECTP_COMPLETE_CALLBACK_SCHED } do
      local told = {}
      weir.on_unhandled(function(problem, traceback) table.insert(told, { problem, traceback }) end)
      msys.shareUnset "test.g"
      msys.run(function()
        msys.runInPool("CPU", function() error("f failed", 0) end, function(ok, problem)
          msys.shareSet("test.g", tostring(ok) .. " " .. problem)
        end, mode)
      end)
      weir.on_unhandled(nil)
      assert.are.equal("false f failed", msys.shareGet "test.g")
      assert.are.equal(1, #told)
      assert.are.equal("f failed", told[1][1])
      assert.matches("^f failed\nstack traceback:", told[1][2])
    end
  end)

  it("report a g that fails", function()
    for _, mode in ipairs { msys.core.ECTP_COMPLETE_CALLBACK, msys.core.ECTP_COMPLETE_CALLBACK_SCHED } do
      local told = {}
      weir.on_unhandled(function(problem) table.insert(told, problem) end)
      msys.run(function()
        msys.runInPool("CPU", function() end, function() error("g failed", 0) end, mode)
      end)
      weir.on_unhandled(nil)
      assert.are.same({ "g failed" }, told)
    end
  end)

  it("report f and g when both fail", function()
    local told = {}
    weir.on_unhandled(function(problem) table.insert(told, problem) end)
    msys.run(function()
      msys.runInPool("CPU", function() error("f failed", 0) end, function() error("g failed", 0) end)
    end)
    weir.on_unhandled(nil)
    assert.are.same({ "f failed; and its completion: g failed" }, told)
  end)
end)

describe("misuse of msys.runInPool", function()
  local cases = {
    ["an unknown pool"] = { "argument 1: there is no pool 'nowhere'", function() msys.runInPool("nowhere", print) end },
    ["an unknown id"] = { "argument 1: there is no pool '99'", function() msys.runInPool(99, print) end },
    ["no pool"] = { "argument 1 must be a pool's name or id, got nil", function() msys.runInPool(nil, print) end },
    ["a non-function"] = { "argument 2 must be a function, got 5", function() msys.runInPool("CPU", 5) end },
    ["a bad completion"] = { "argument 3 must be a boolean, a function or nil, got table",
      function() msys.runInPool("CPU", function() end, {}) end },
    ["what cannot cross"] = { "argument 2.* coroutine cannot cross", function()
      local co = coroutine.create(function() end)
      msys.runInPool("CPU", function() return co end)
    end },
    ["what cannot cross, asynchronously"] = { "argument 2.* coroutine cannot cross", function()
      local co = coroutine.create(function() end)
      msys.runInPool("CPU", function() return co end, true)
    end },
    ["a completion that cannot cross"] = { "argument 3.* coroutine cannot cross", function()
      local co = coroutine.create(function() end)
      msys.runInPool("CPU", function() end, function() return co end)
    end },
  }
  for name, case in pairs(cases) do
    it("raises at the caller's line: " .. name, function()
      local function check()
        local ok, problem = pcall(case[2])
        assert.is_false(ok)
        assert.matches("^test/lua/test_msys.lua:%d+: msys.runInPool: " .. case[1], problem)
      end
      check()
      msys.run(check)
    end)
  end

  it("names what the result cannot be", function()
    msys.run(function()
      local ok, problem = msys.runInPool("CPU", function() return { coroutine.create(function() end) } end)
      assert.is_false(ok)
      assert.matches("^result 1%[1%]: coroutine cannot cross", problem)
    end)
  end)
end)
