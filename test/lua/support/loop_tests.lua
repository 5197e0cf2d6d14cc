-- SPDX-License-Identifier: ISC
--
-- loop_tests.lua: what every loop must show. drive.run(f, ...) starts each function as a
-- coroutine of the loop and returns when the loop has nothing left to do; drive.pause()
-- lets others go on; drive.pcall is one inside which a coroutine can be suspended there;
-- drive.catches is false where Lua 5.1 has none.

local gate = require "support.gate"
local folder = require "support.folder"
local weir = require "weir"
local worker = require "weir.worker"

return function(name, drive)
  local pool

  -- Runs f in the loop; what it raises is raised here.
  local function inside(...)
    local problems, done, n = {}, 0, select("#", ...)
    local functions = {}
    for i, f in ipairs { ... } do
      functions[i] = function()
        local ok, problem = drive.pcall(f)
        if ok then done = done + 1 else problems[#problems + 1] = problem end
      end
    end
    drive.run((table.unpack or unpack)(functions)) -- luacheck: ignore
    if problems[1] then error(problems[1], 0) end
    assert.are.equal(n, done) -- each came to its end
  end

  describe("under " .. name, function()
    before_each(function() pool = assert(weir.pool { threads = 2 }) end)
    after_each(function() pool:close() end)

    it("a future suspends its coroutine and no other", function()
      local go = gate.new()
      inside(function()
        local future = pool:run(function(g) return require("support.gate").pass(g) end, go)
        assert.are.same({ true, "opened" }, { future:get() })
      end, function()
        drive.pause()
        gate.open_last(go, "opened") -- so the other one does not block us
      end)
    end)

    it("several coroutines wait for one future", function()
      local future, go = nil, gate.new()
      local function waiter() assert.are.same({ true, 5 }, { future:get() }) end
      inside(function()
        future = pool:run(function(g) require("support.gate").pass(g) return 5 end, go)
        waiter()
      end, function()
        drive.pause()
        waiter()
      end, function()
        drive.pause()
        drive.pause()
        gate.open_last(go)
        waiter()
      end)
    end)

    it("a wait ends after its timeout", function()
      local go = gate.new()
      inside(function()
        local future = pool:run(function(g) require("support.gate").pass(g) end, go)
        assert.is_false(future:wait(0.01))
        assert.is_nil((weir.any({ future }, 0.01)))
        gate.open_last(go)
        assert.is_true(future:wait(60))
      end)
    end)

    it("a signal suspends its coroutine and no other", function()
      local signal = require "weir.signal"
      local catcher, sent = assert(signal.catch "USR1"), false
      inside(function()
        assert.is_true(catcher:wait(60))
        assert.is_true(sent)
        assert.is_false(catcher:wait(0.01))
        catcher:release()
      end, function()
        drive.pause()
        sent = true
        io.popen("kill -USR1 $PPID"):close()
      end)
    end)

    it("a released signal ends every wait for it", function()
      local signal = require "weir.signal"
      local catcher, ended = assert(signal.catch "USR1"), 0
      local function waiter(...)
        assert.are.same({ false, "released" }, { catcher:wait(...) })
        assert.has_error(function() catcher:wait() end, "wait: the signal was released")
        ended = ended + 1
      end
      inside(function() waiter() end, function() waiter(60) end, function()
        drive.pause()
        assert.is_false(catcher:wait(0.01)) -- ends no wait but its own
        catcher:release()
        while ended < 2 do drive.pause() end
      end)
    end)

    it("any number of coroutines wait for a signal, and others for another", function()
      local signal = require "weir.signal"
      local crowded, other = assert(signal.catch "USR1"), assert(signal.catch "USR2")
      local functions, took = {}, 0
      for i = 1, 20 do
        functions[i] = function()
          if crowded:wait() then took = took + 1 end
        end
      end
      functions[21] = function()
        assert.is_true(other:wait(60))
        io.popen("kill -USR1 $PPID"):close()
        while took == 0 do drive.pause() end
        crowded:release()
        other:release()
      end
      functions[22] = function()
        drive.pause()
        io.popen("kill -USR2 $PPID"):close()
      end
      inside((table.unpack or unpack)(functions)) -- luacheck: ignore
      assert.are.equal(1, took)
    end)

    it("cancel releases who waits", function()
      local future, here, go = nil, gate.new(), gate.new()
      inside(function()
        future = pool:run(function(h, g)
          require("support.gate").open(h)
          require("support.gate").pass(g)
        end, here, go)
        assert.are.same({ false, "cancelled" }, { future:get() })
      end, function()
        drive.pause()
        gate.pass(here)
        assert.is_true(future:cancel())
        os.remove(go)
        os.remove(here)
      end)
    end)

    it("a task that ends is seen also by who asks and asks", function()
      inside(function()
        local future = pool:run(function() return "end" end)
        local seen = {}
        while seen[1] == nil do seen = { future:try() } end
        assert.are.same({ true, "end" }, seen)
      end)
    end)

    it("a cancelled task that does not stop holds no loop", function()
      local go, here = gate.new(), gate.new()
      local own = assert(weir.pool { threads = 1, cancel_timeout = 20 })
      inside(function()
        local future = own:run(function(h, g) os.execute(("echo > %s; read line < %s"):format(h, g)) end, here, go)
        gate.pass(here)
        assert.is_true(future:cancel())
      end)
      assert.are.equal(0, own:stats().abandoned) -- it was not waited for until then
      gate.open_last(go)
      os.remove(here)
      own:close()
    end)

    it("a timeout ends every way to wait", function()
      local own, go = assert(weir.pool { threads = 2 }), gate.new()
      local function held()
        return own:task { timeout = 0.01 }:run(function(g) require("support.gate").pass(g) end, go)
      end
      local function ends(wait)
        local future, said = held(), nil
        future:on_settle(function(f) said = { f:get() } end)
        wait(future)
        for _ = 1, 2 do assert.are.same({ false, "timeout" }, { future:get() }) end
        assert.are.same({ false, "timeout" }, { future:try() })
        assert.is_false(future:cancel())
        assert.are.same({ false, "timeout" }, said)
      end
      inside(function()
        ends(function(f) f:get() end)
        ends(function(f) assert.is_true(f:wait()) end)
        ends(function(f) assert.is_true(weir.all { f }) end)
        ends(function(f) assert.are.equal(1, (weir.any { f })) end)
        ends(function(f) while f:try() == nil do drive.pause() end end)
        assert.are.equal(5, own:stats().timed_out)
        own:close()
      end)
      os.remove(go)
    end)

    it("a timeout is told also if nobody waits", function()
      local said
      inside(function()
        local own, go = assert(weir.pool { threads = 1 }), gate.new()
        own:task { timeout = 0.01 }:run(function(g) require("support.gate").pass(g) end, go):on_settle(function(f)
          said = { f:get() }
          os.remove(go)
        end)
      end)
      assert.are.same({ false, "timeout" }, said)
    end)

    it("the loop ends after a call whose task was given up and whose pool was closed", function()
      _G.weir_test_pause = drive.pause
      local seen
      inside(function()
        local own = assert(weir.pool { threads = 1, cancel_timeout = 0 })
        local future = own:run(function()
          require("weir").run_in_main(function()
            weir_test_in = true -- luacheck: ignore
            while weir_test_in do weir_test_pause() end -- luacheck: ignore
          end)
        end)
        while not _G.weir_test_in do drive.pause() end
        assert.is_true(future:cancel())
        while own:stats().abandoned == 0 do drive.pause() end
        assert.is_true(own:close())
        seen, _G.weir_test_in = weir.loop.pending(), nil
      end)
      _G.weir_test_pause = nil
      assert.are.equal(1, seen)
      assert.are.equal(0, weir.loop.pending())
    end)

    it("weir.any and weir.all wait for several", function()
      local go = gate.new()
      inside(function()
        local slow = pool:run(function(g) require("support.gate").pass(g) return "slow" end, go)
        local fast = pool:run(function() return "fast" end)
        assert.are.equal(2, (weir.any { slow, fast }))
        gate.open_last(go)
        assert.is_true(weir.all { slow, fast })
        assert.are.same({ true, "slow" }, { slow:try() })
      end)
    end)

    it("the watcher's function is called while a task runs, and holds no loop", function()
      local go, told = gate.new(), nil
      inside(function()
        weir.watch { task = 0.005, log = function(text)
          if not told then gate.open_last(go) end
          told = text
        end }
        local future = pool:run(function(g) require("support.gate").pass(g) end, go)
        assert.is_true(future:wait(60))
      end)
      weir.watch()
      assert.matches("has run for", told)
    end)

    it("map ends when any call fails, and suspends no other coroutine", function()
      local go, turned = gate.new(), false
      local function f(n, g)
        if n == 1 then require("support.gate").pass(g) end
        error(n, 0)
      end
      inside(function()
        assert.are.same({ nil, 2, 2 }, { pool:map(f, { 1, 2 }, go) })
        assert.is_true(turned)
        assert.are.same({ 4, 6 }, pool:map(function(n) return 2 * n end, { 2, 3 }))
      end, function() turned = true end)
      os.remove(go)
    end)

    it("run_in_main runs a function that may be suspended", function()
      inside(function()
        _G.weir_test_pause, _G.weir_test_pool = drive.pause, pool
        local ok, a, b = pool:run(function()
          return require("weir").run_in_main(function()
            weir_test_pause() -- luacheck: ignore
            local _, nested = weir_test_pool:run(function() return "nested" end):get() -- luacheck: ignore
            return "main", nested
          end)
        end):get()
        assert.are.same({ true, "main", "nested" }, { ok, a, b })
        if not drive.catches then return end
        local failed, problem = pool:run(function()
          require("weir").run_in_main(function() weir_test_pause(); error("late", 0) end) -- luacheck: ignore
        end):get()
        assert.is_false(failed)
        assert.matches("^late", problem)
      end)
      _G.weir_test_pause, _G.weir_test_pool = nil, nil
    end)

    it("weir.progress calls its function in order, which may be suspended", function()
      local said = {}
      inside(function()
        local progress = weir.progress(function(n)
          drive.pause()
          said[#said + 1] = n
          return #said
        end)
        assert.are.same({ true, 6 }, { pool:run(function()
          local sum = 0
          for i = 1, 3 do sum = sum + progress(i * 10) end
          return sum
        end):get() })
        assert.are.equal(4, progress(40)) -- here, too
      end)
      assert.are.same({ 10, 20, 30, 40 }, said)
    end)

    it("the loop turns until the last task is delivered, also if nobody waits", function()
      _G.weir_test_seen = 0
      inside(function()
        for _ = 1, 10 do
          pool:run(function()
            require("weir").run_in_main(function() weir_test_seen = weir_test_seen + 1 end) -- luacheck: ignore
          end)
        end
      end)
      assert.are.equal(10, _G.weir_test_seen)
      _G.weir_test_seen = nil
    end)

    it("pools open and close without blocking the loop", function()
      local go, turned = gate.new(), false
      inside(function()
        local own = assert(weir.pool {
          threads = 1,
          init = function(g) require("support.gate").pass(g) end,
          args = { go },
          at_exit = function() error("bye", 0) end,
        })
        assert.is_true(turned)
        assert.are.same({ nil, "bye" }, { own:close() })
        assert.are.same({ nil, "sorry" }, { weir.pool { threads = 2, init = function() error("sorry", 0) end } })
      end, function()
        drive.pause()
        turned = true
        gate.open_last(go)
      end)
    end)

    it("a full queue suspends", function()
      inside(function()
        local own = assert(weir.pool { threads = 1, queue_limit = 1, on_full = "wait" })
        local futures = {}
        for i = 1, 50 do futures[i] = assert(own:run(function(k) return k end, i)) end
        for i = 1, 50 do assert.are.same({ true, i }, { futures[i]:get() }) end
        own:close()
      end)
    end)

    it("a worker's message suspends its coroutine and no other", function()
      local path = folder.script [[
        local mine = ...
        while true do
          local v = worker.peek()
          if v == "STOP" then break end
          worker.message({ mine, v })
        end
      ]]
      local list, seen = {}, 0
      for i = 1, 3 do list[i] = worker.create(path, i) end
      inside(function()
        assert.are.same({ 1, "go" }, worker.receive(list[1])) -- sent by the coroutine below
        seen = seen + 1
      end, function()
        drive.pause()
        assert.are.equal(0, seen)
        assert.is_nil((worker.receive_within(0.01, list[2], list[3])))
        local _, got = worker.receive_within(0, list[2], list[3])
        assert.is_nil(got)
        worker.send(list[3], "x")
        local _, none, third = worker.receive(list[2], list[2], list[3])
        assert.is_nil(none)
        assert.are.same({ 3, "x" }, third)
        worker.send(list[1], "go")
      end)
      for _, w in ipairs(list) do worker.send(w, "STOP") end
      assert.are.equal(1, seen)
      folder.clean()
    end)

    it("three thousand concurrent calls each bring their own result", function()
      local right, functions = 0, {}
      for i = 1, 3000 do
        functions[i] = function()
          local ok, value = pool:run(function(k) return k * 3 end, i):get()
          if ok and value == i * 3 then right = right + 1 end
        end
      end
      inside((table.unpack or unpack)(functions)) -- luacheck: ignore
      assert.are.equal(3000, right)
      assert.are.equal(3000, pool:stats().ok)
    end)

    it("and outside of it a future blocks", function()
      assert.are.same({ true, 1 }, { pool:run(function() return 1 end):get() })
      inside(function() assert.are.same({ true, 2 }, { pool:run(function() return 2 end):get() }) end)
      assert.are.same({ true, 3 }, { pool:run(function() return 3 end):get() })
      inside() -- has nothing left to wait for
    end)
  end)
end
