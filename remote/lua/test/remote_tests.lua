-- SPDX-License-Identifier: ISC
--
-- remote_tests.lua: what must hold under every loop. `under` has run(f), which calls f in a
-- coroutine of the loop and returns when the loop has ended.

local remote = require "weir.remote"

local plain = _VERSION == "Lua 5.1" and not rawget(_G, "jit") -- it cannot yield across pcall

local function for_ever()
  while true do require("weir").sleep(0.001) end
end

return function(name, run)
  local function test(what, f)
    it(what, function()
      local ok, problem = false, "the loop ended before the test did"
      run(function()
        if plain then
          f()
          ok = true
        else
          ok, problem = xpcall(f, debug.traceback)
        end
      end)
      if not ok then error(problem, 0) end
    end)
  end

  local function serve(jobs, given)
    local options = { url = "local:" .. name, pool = { threads = 1 }, jobs = jobs }
    for key, value in pairs(given or {}) do options[key] = value end
    return assert(remote.serve(options)), assert(remote.open { url = options.url })
  end

  local function close(...)
    for _, what in ipairs { ... } do assert(what:close()) end
  end

  describe("weir.remote under " .. name, function()
    test("values go there and back, with their holes", function()
      local server, farm = serve { echo = function(...) return ... end }
      local function check(n, ok, ...)
        assert.is_true(ok)
        assert.equal(n, select("#", ...))
        return { ... }
      end
      local got = check(4, farm:run("echo", 1, nil, { 1, 2, { a = "x" } }, nil):get())
      assert.same({ 1, nil, { 1, 2, { a = "x" } } }, got)
      check(0, farm:run("echo"):get())
      assert.same({ "\255\0", 1.5, true, -2 ^ 40 }, check(4, farm:run("echo", "\255\0", 1.5, true, -2 ^ 40):get()))
      close(farm, server)
    end)

    test("many answers come each to its own", function()
      local server, farm = serve { echo = function(n) return n + 1 end }
      local futures = {}
      for i = 1, 300 do futures[i] = assert(farm:run("echo", i)) end
      for i = 1, 300 do assert.same({ true, i + 1 }, { futures[i]:get() }) end
      assert.equal(300, farm:stats().settled)
      close(farm, server)
    end)

    test("what a handler raises comes back with its traceback", function()
      local server, farm = serve {
        text = function() error "on purpose" end,
        object = function() error { name = "Mine", text = "an object" } end,
      }
      local ok, problem = farm:run("text"):get()
      assert.is_false(ok)
      assert.matches("on purpose$", tostring(problem))
      assert.equal("error", problem.name)
      assert.matches("traceback", problem.backtrace)
      ok, problem = farm:run("object"):get()
      assert.is_false(ok)
      assert.same({ "Mine", "an object" }, { problem.name, problem.text })
      close(farm, server)
    end)

    test("a handler sees its thread's state, its id and attempt", function()
      local server, farm = serve({
        state = function(state, n)
          local request = require("weir.remote").request()
          if request.attempt < n then error(require("weir.remote").retry) end
          return state, request.id, request.attempt
        end,
      }, { pool = { threads = 1, init = function() return "mine" end } })
      local future = farm:run("state", 3)
      assert.same({ true, "mine", future:id(), 3 }, { future:get() })
      assert.is_nil(remote.request())
      close(farm, server)
    end)

    test("a cancel ends the job now, and stops the handler", function()
      local path = os.tmpname()
      local server, farm = serve {
        holds = function(file)
          assert(os.remove(file)) -- tells that it has begun
          return for_ever()
        end,
        echo = function(x) return x end,
      }
      local future = farm:run("holds", path)
      local function is_there()
        local file = io.open(path)
        return file and file:close()
      end
      repeat future:wait(0.002) until not is_there() -- without a loop a wait takes the request
      assert.is_true(future:cancel())
      assert.same({ false, "cancelled" }, { (future:get()), (select(2, future:get())) })
      assert.is_false(future:cancel())
      assert.same({ true, 7 }, { farm:run("echo", 7):get() }) -- its only thread is free again
      close(farm, server)
    end)

    test("a timeout and run_within end a job", function()
      local server, farm = serve { holds = for_ever, limited = { run = for_ever, run_within = 0.01 } }
      local ok, word = farm:task({ timeout = 0.01 }):run("holds"):get()
      assert.same({ false, "timeout" }, { ok, word })
      ok, word = farm:run("limited"):get()
      assert.same({ false, "timeout" }, { ok, word })
      assert(farm:close())
      assert(server:close { cancel = true })
    end)

    test("what waits for a thread has not begun", function()
      local path, ran = os.tmpname(), os.tmpname()
      local function is_there(file)
        local opened = io.open(file)
        return opened and opened:close()
      end
      local server, farm = serve {
        holds = function(file, go)
          assert(os.remove(file)) -- tells that it has begun
          repeat
            require("weir").sleep(0.001)
            local opened = io.open(go)
          until not opened or not opened:close()
        end,
        tells = function(file) return os.remove(file) end,
        limited = { run = function(x) return x end, run_within = 1 },
      }
      local go = os.tmpname()
      local first = farm:run("holds", path, go)
      repeat first:wait(0.002) until not is_there(path)
      local limited = farm:run("limited", 5)
      local late = farm:task({ start_within = 0.02 }):run("tells", ran)
      assert.equal("expired", (select(2, late:get())))
      assert.equal("timeout", (select(2, farm:task({ timeout = 1.1 }):run("tells", ran):get())))
      os.remove(go)
      assert.same({ true, 5 }, { limited:get() }) -- though its run_within passed while it waited
      assert.is_true((first:get()))
      close(farm, server)
      assert(os.remove(ran)) -- nobody ran it
    end)

    test("a job that nobody serves, a full farm, a closed one", function()
      local server, farm = serve({ echo = function(x) return x end })
      local ok, word, sentence = farm:run("other"):get()
      assert.same({ false, "unknown" }, { ok, word })
      assert.matches("other", sentence)
      local small = assert(remote.open { url = "local:" .. name, queue_limit = 1, message_limit = 20 })
      local first = assert(small:run("echo", 1))
      assert.same({ nil, "full" }, { (small:run("echo", 2)), (select(2, small:run("echo", 2))) })
      assert.same({ true, 1 }, { first:get() })
      assert.equal("full", (select(2, small:run("echo", ("x"):rep(30)))))
      close(small, farm, server)
      assert.same({ nil, "closed" }, { (farm:run "echo"), (select(2, farm:run "echo")) })
      assert.is_nil(farm:stats())
      assert.is_true(farm:close())
    end)

    test("a close that cancels, and one that gives up waiting", function()
      local server, farm = serve { holds = for_ever }
      local future = farm:run "holds"
      assert.same({ nil, "timeout" }, { farm:close { timeout = 0.01 } })
      assert.is_true(farm:close { cancel = true })
      assert.equal("closed", (select(2, future:get())))
      assert.is_true(server:close { cancel = true })
    end)

    test("each farm hears its own events", function()
      local heard = { 0, 0 }
      local function count(i)
        return function(code, sentence)
          assert.is_true(code ~= 0 and sentence:match "127.0.0.1" ~= nil)
          heard[i] = heard[i] + 1
        end
      end
      local away = assert(remote.open { url = "amqp://127.0.0.1:1", on_event = count(1) })
      local other = assert(remote.open { url = "amqp://127.0.0.1:1", on_event = count(2) })
      local future = away:run("echo", 1)
      while heard[1] == 0 do future:wait(0.01) end
      assert.equal(0, heard[2])
      assert.equal("amqp://127.0.0.1:1", away:options().url)
      assert.is_true(away:close { cancel = true })
      assert.equal("closed", (select(2, future:get())))
      close(other)
    end)

    test("metrics and a trace of what was done", function()
      local server, farm = serve { echo = function(x) return x end }
      local path = os.tmpname()
      assert(remote.trace(path))
      assert.matches("a trace is on", (select(2, remote.trace(path))))
      assert.same({ true, 1 }, { farm:run("echo", 1):get() })
      local text = remote.metrics { farm, server }
      assert.matches('weir_remote_settled_total{farm="local:' .. name .. '",number="0"} 1\n', text, 1, true)
      assert.matches('weir_remote_served_total{farm="local:' .. name .. '",number="1"} 1\n', text, 1, true)
      assert.equal("", remote.metrics {})
      assert.is_false((pcall(remote.metrics, { 7 })))
      close(farm, server)
      assert.same({ nil, "the farm is closed" }, { remote.metrics { farm } })
      assert(remote.trace())
      local file = assert(io.open(path, "rb"))
      assert.matches("echo", file:read "*a", 1, true)
      file:close()
      os.remove(path)
      assert.matches("no/such", (select(2, remote.trace "/no/such/file")), 1, true)
    end)

    test("bytes cross as they are", function()
      local server, farm = serve { raw = { run = function(bytes) return bytes:rep(2) end, codec = "bytes" } }
      local bytes = "\0\1\255"
      assert.same({ true, bytes:rep(2) }, { farm:task({ codec = "bytes" }):run("raw", bytes):get() })
      local ok, problem = farm:run("raw", 1):get()
      assert.is_false(ok) -- it came as a number, by MessagePack
      assert.matches("number", tostring(problem))
      close(farm, server)
    end)

    test("on_settle, try and wait", function()
      local server, farm = serve { echo = function(x) return x end }
      local future, told = farm:run("echo", 5), 0
      future:on_settle(function() told = told + 1 end)
      assert.is_true(future:wait())
      assert.equal(1, told)
      assert.same({ true, 5 }, { future:try() })
      future:on_settle(function() told = told + 1 end)
      assert.equal(2, told)
      close(farm, server)
    end)

    test("what cannot cross is named, at the caller's line", function()
      local server, farm = serve { echo = function() return print end }
      local function refused(text, f, ...)
        local ok, problem = pcall(f, ...)
        assert.is_false(ok)
        assert.matches(text, problem, 1, true)
        return problem
      end
      local here = debug.getinfo(1, "l").currentline
      local problem = refused('argument 2["a"][1]: a function', function() farm:run("echo", 1, { a = { print } }) end)
      assert.matches("remote_tests.lua:" .. here + 1, problem, 1, true)
      local round = {}
      round[1] = round
      refused("nested more than", farm.run, farm, "echo", round)
      refused("metatable", farm.run, farm, "echo", setmetatable({}, {}))
      refused("key", farm.run, farm, "echo", { [true] = 1 })
      refused("a b", farm.run, farm, "a b")
      local ok, why = farm:run("echo"):get()
      assert.is_false(ok)
      assert.same({ "Codec", "result 1: a function cannot cross" }, { why.name, why.text })
      close(farm, server)
    end)
  end)
end
