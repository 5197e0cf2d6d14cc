-- SPDX-License-Identifier: ISC

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local gate = require "support.gate"
local pools = require "support.pool"
local weir = require "weir"

local with_pool, busy_pool, fill = pools.with, pools.busy, pools.fill

describe("weir.metrics", function()
  local function has_line(text, line) return ("\n" .. text):find("\n" .. line .. "\n", 1, true) ~= nil end

  it("has the numbers of each pool", function()
    with_pool({ name = "prom", threads = 2 }, function(pool)
      assert(pool:run(function() end):get())
      local text = weir.metrics()
      assert.is_true(has_line(text, 'weir_pool_threads{pool="prom"} 2'))
      assert.is_true(has_line(text, 'weir_pool_tasks_submitted_total{pool="prom"} 1'))
      assert.is_true(has_line(text, 'weir_pool_tasks_settled_total{pool="prom",outcome="ok"} 1'))
    end)
  end)

  it("has those of many pools, and of pools of other states", function()
    local names = {}
    for n = 1, 40 do names[n] = ("one of many pools with a long name, whose number is %d"):format(n) end
    with_pool({ threads = 1 }, function(pool)
      local text = select(2, assert(pool:run(function(all)
        local w, opened = require "weir", {}
        for n, name in ipairs(all) do opened[n] = assert(w.pool { name = name, lazy = true }) end
        local text = w.metrics()
        for _, p in ipairs(opened) do p:close() end
        return text
      end, names):get()))
      for _, name in ipairs(names) do
        assert.is_true(has_line(text, ('weir_pool_threads_refused_total{pool="%s"} 0'):format(name)))
      end
    end)
  end)

  it("takes no argument", function()
    assert.has_error(function() weir.metrics(1) end)
  end)
end)

describe("a pool", function()
  it("runs a function on another thread and brings its results", function()
    with_pool({ threads = 1 }, function(pool)
      local future = pool:run(function(a, b) return a + b, a .. b, nil, true, nil end, 1, 2)
      local results = { n = select("#", future:get()), future:get() }
      assert.are.equal(6, results.n)
      assert.are.same({ true, 3, "12", nil, true, n = 6 }, results)
    end)
  end)

  it("passes nil arguments in their places", function()
    with_pool({ threads = 1 }, function(pool)
      local future = pool:run(function(...) return select("#", ...), (select(2, ...)) end, nil, 5, nil)
      assert.are.same({ true, 3, 5 }, { future:get() })
    end)
  end)

  it("passes thousands of arguments and results, on stacks that are new", function()
    local values, unpack = {}, table.unpack or unpack -- luacheck: ignore
    for i = 1, 3000 do values[i] = i end
    for _ = 1, 4 do
      with_pool({ threads = 1 }, function(pool)
        local results = coroutine.wrap(function()
          local future = pool:run(function(...)
            local t = { ... }
            t[#t + 1] = "more"
            return unpack(t)
          end, unpack(values))
          return { future:get() }
        end)()
        assert.are.same({ 3002, true, 3000, "more" }, { #results, results[1], results[3001], results[3002] })
      end)
    end
  end)

  it("gives each task a copy of the function's upvalues", function()
    with_pool({ threads = 1 }, function(pool)
      local n, t = 1, { deep = { 10 } }
      local function add() n = n + 1; t.deep[1] = t.deep[1] + 1; return n, t.deep[1] end
      assert.are.same({ true, 2, 11 }, { pool:run(add):get() })
      assert.are.same({ true, 2, 11 }, { pool:run(add):get() })
      assert.are.same({ 1, 10 }, { n, t.deep[1] })
    end)
  end)

  it("keeps each thread's globals from task to task", function()
    with_pool({ threads = 1 }, function(pool)
      pool:run(function() counter = (counter or 0) + 1 end):get() -- luacheck: ignore
      local _, value = pool:run(function() counter = counter + 1; return counter end):get() -- luacheck: ignore
      assert.are.equal(2, value)
      assert.is_nil(rawget(_G, "counter"))
    end)
  end)

  it("starts tasks in the order in which they were submitted", function()
    with_pool({ threads = 1 }, function(pool)
      local futures = {}
      for i = 1, 100 do
        futures[i] = pool:run(function(k) seen = (seen or "") .. k .. " "; return seen end, i) -- luacheck: ignore
      end
      local _, seen = futures[100]:get()
      local expected = {}
      for i = 1, 100 do expected[i] = i end
      assert.are.equal(table.concat(expected, " ") .. " ", seen)
    end)
  end)

  it("runs as many tasks at once as it has threads", function()
    with_pool({ threads = 3 }, function(pool)
      local here, leave, futures = {}, {}, {}
      for i = 1, 3 do
        here[i], leave[i] = gate.new(), gate.new()
        futures[i] = pool:run(function(a, b)
          local g = require "support.gate"
          g.open(a)
          g.pass(b)
          return true
        end, here[i], leave[i])
      end
      for i = 1, 3 do gate.pass(here[i]) end -- all three are inside
      assert.are.equal(3, pool:stats().running)
      for i = 1, 3 do gate.open_last(leave[i]); os.remove(here[i]) end
      for i = 1, 3 do assert.is_true(select(2, futures[i]:get())) end
    end)
  end)

  it("carries package.path and package.cpath over", function()
    local path, cpath = package.path, package.cpath
    with_pool({ threads = 1 }, function(pool)
      local _, there, cthere = pool:run(function() return package.path, package.cpath end):get()
      assert.are.same({ path, cpath }, { there, cthere })
    end)
  end)

  it("finds the modules of init where package.path led to them", function()
    local folder, path = os.tmpname(), package.path
    os.remove(folder)
    assert(os.execute("mkdir " .. folder))
    local file = assert(io.open(folder .. "/weir_test_init.lua", "w"))
    file:write "return { init = function() return 'from the module' end }"
    file:close()
    package.path = folder .. "/?.lua;" .. path
    with_pool({ threads = 1, init = require("weir_test_init").init }, function(pool)
      assert.are.same({ true, "from the module" }, { pool:run(function(state) return state end):get() })
    end)
    package.path, package.loaded.weir_test_init = path, nil
    os.execute("rm -r " .. folder)
  end)

  it("carries package.preload over when told to", function()
    package.preload["test.preloaded"] = function() return { answer = 42 } end
    local function answer()
      local ok, module = pcall(require, "test.preloaded")
      return ok and module.answer
    end
    with_pool({ threads = 1, preload = true }, function(pool)
      assert.are.same({ true, 42 }, { pool:run(answer):get() })
    end)
    with_pool({ threads = 1 }, function(pool)
      assert.are.same({ true, false }, { pool:run(answer):get() })
    end)
    package.preload["test.preloaded"] = nil
  end)

  it("carries loaders of C over, also for what crosses by name", function()
    local path = package.searchpath and package.searchpath("codec_peer", package.cpath)
    path = path or (package.cpath:match "^([^;]*)%?" .. "codec_peer.so")
    package.preload["test.static"] = assert(package.loadlib(path, "luaopen_codec_peer"))
    local module = require "test.static"
    with_pool({ threads = 1, preload = true }, function(pool)
      assert.are.same({ true, true, true }, { pool:run(function()
        return require("test.static") == module, type(module.pack) == "function"
      end):get() })
    end)
    package.preload["test.static"], package.loaded["test.static"] = nil, nil
  end)

  it("carries the program's searchers over, in their places", function()
    local sources = { ["test.found"] = "return { answer = 42 }" }
    local function searcher(name)
      local text = sources[name]
      return text and assert((loadstring or load)(text)) or "\n\tnot among the sources" -- luacheck: ignore
    end
    local list = package.searchers or package.loaders -- luacheck: ignore
    table.insert(list, 2, searcher)
    local found = require "test.found"
    local function try()
      return found.answer, require("test.found") == found, #(package.searchers or package.loaders) -- luacheck: ignore
    end
    with_pool({ threads = 1, searchers = true, init = function() return require "test.found" end }, function(pool)
      assert.are.same({ true, 42, true, #list }, { pool:run(function() return try() end):get() })
      assert.are.same({ true, 42 }, { pool:run(function(state) return state.answer end):get() })
    end)
    with_pool({ threads = 1 }, function(pool) assert.is_false((pool:run(try):get())) end)
    table.remove(list, 2)
    package.loaded["test.found"] = nil
  end)

  it("lets tasks require weir where the program has it in package.preload", function()
    local program = require "support.program"
    assert.are.equal("true\ttrue\nexit 0\n", program.run [[
      for name, module in pairs(package.loaded) do
        if name:match "^weir" and name ~= "weir.core" then
          local path = package.path:gsub("%%", "%%")
          for template in path:gmatch "[^;]+" do
            local file = io.open((template:gsub("?", (name:gsub("%.", "/")))))
            local text = file and file:read "*a"
            if file then file:close() end
            if text then package.preload[name] = (loadstring or load)(text, "=" .. name) break end
          end
        end
      end
      package.path = "nowhere/?.lua"
      print(weir.pool { threads = 1 }:run(function() return require("weir").in_task() end):get())
    ]])
  end)

  it("may be used by tasks, to which its handle crosses", function()
    with_pool({ threads = 1 }, function(inner)
      with_pool({ threads = 1 }, function(outer)
        local future = outer:run(function(pool)
          return (select(2, pool:run(function() return "inner" end):get()))
        end, inner)
        assert.are.same({ true, "inner" }, { future:get() })
      end)
    end)
  end)

  it("may be opened by a task", function()
    with_pool({ threads = 1 }, function(pool)
      local future = pool:run(function()
        local here = require "weir"
        local own = assert(here.pool { threads = 1 })
        local ok, value = own:run(function() return "deeper" end):get()
        own:close()
        return ok, value
      end)
      assert.are.same({ true, true, "deeper" }, { future:get() })
    end)
  end)

  it("says who it is", function()
    with_pool({ threads = 1, name = "db" }, function(pool)
      assert.are.equal("weir.pool: db", tostring(pool))
    end)
  end)
end)

describe("a nice pool", function()
  -- The nice value of the thread that calls it, where Linux says so.
  local function nice_of_thread()
    local file = io.open "/proc/thread-self/stat"
    local stat = file and file:read "*a"
    if file then file:close() end
    return stat and tonumber(stat:match("%) %a" .. (" %-?%d+"):rep(15) .. " (%-?%d+)"))
  end

  it("is so many steps nicer than who opened it, however it came to its threads", function()
    local own = nice_of_thread()
    if not own then return end
    local nicer = math.min(own + 5, 19)
    with_pool({ threads = 1, nice = 5 }, function(pool)
      assert.are.same({ true, nicer }, { pool:run(nice_of_thread):get() })
      with_pool({ threads = 1, threads_max = 2, nice = 0 }, function(other)
        assert.are.same({ true, own }, { other:run(nice_of_thread):get() })
      end)
      local inside = pool:run(function(f)
        local nested = require("weir").pool { threads = 1, nice = 3 }
        local _, value = nested:run(f):get()
        nested:close()
        return value
      end, nice_of_thread)
      assert.are.same({ true, math.min(nicer + 3, 19) }, { inside:get() })
    end)
    assert.are.equal(own, nice_of_thread())
  end)
end)

describe("close", function()
  it("waits for tasks that run and closes those that are queued", function()
    local pool, future, leave = busy_pool {}
    local queued = pool:run(function() end)
    assert(pool:post(function() end)) -- has no future; is counted
    local closing = pool:close_async()
    gate.open_last(leave)
    assert.are.same({ true }, { closing:get() })
    assert.are.same({ true, "left" }, { future:get() })
    assert.are.same({ false, "closed" }, { queued:get() })
    assert.are.equal(2, pool:stats().closed)
    assert.are.same({ nil, "closed" }, { pool:run(function() end) })
  end)

  it("runs queued tasks first when it drains", function()
    local pool, _, leave = busy_pool {}
    local queued = pool:run(function() return "ran" end)
    local closing = pool:close_async { drain = true }
    gate.open_last(leave)
    assert.is_true(closing:get())
    assert.are.same({ true, "ran" }, { queued:get() })
  end)

  it("gives up waiting after its timeout", function()
    local pool, future, leave = busy_pool {}
    assert.are.same({ nil, "timeout" }, { pool:close { timeout = 0.01 } })
    gate.open_last(leave)
    assert.are.same({ true, "left" }, { future:get() })
    assert.is_true(pool:close())
  end)

  it("can be called again", function()
    local pool = assert(weir.pool { threads = 1 })
    assert.is_true(pool:close())
    assert.is_true(pool:close())
    assert.is_true(pool:close_async():get())
  end)

  it("of a task's own pool raises, but close_async does not", function()
    local pool = assert(weir.pool { threads = 1 })
    local ok, problem = pool:run(function(p) p:close() end, pool):get()
    assert.is_false(ok)
    assert.matches("would wait for itself; use close_async", problem, 1, true)
    assert.are.same({ true, true }, { pool:run(function(p) return p:close_async() ~= nil end, pool):get() })
    assert.is_true(pool:close())
  end)

  it("happens by itself to a pool that is collected", function()
    local out = gate.new()
    do
      local pool = assert(weir.pool {
        threads = 1,
        at_exit = function() require("support.gate").open(out, "bye") end,
      })
      pool:run(function() end):get()
    end
    collectgarbage()
    collectgarbage()
    assert.are.equal("bye", gate.pass(out))
    os.remove(out)
  end)

  it("does not happen while a future of the pool is unsettled", function()
    local pool, future, leave = busy_pool {}
    local queued = pool:run(function() return "ran" end)
    pool = nil -- luacheck: ignore
    collectgarbage()
    collectgarbage()
    gate.open_last(leave)
    assert.are.same({ true, "left" }, { future:get() })
    assert.are.same({ true, "ran" }, { queued:get() })
  end)
end)

describe("statistics", function()
  it("count every task once", function()
    local pool, _, leave = busy_pool {}
    local cancelled = pool:run(function() end)
    local failing = pool:run(function() error "x" end)
    cancelled:cancel()
    gate.open_last(leave)
    failing:wait()
    failing:traceback()
    pool:close()
    local s = pool:stats()
    assert.are.same({ 3, 1, 1, 1, 0 }, { s.submitted, s.ok, s.failed, s.cancelled, s.queued })
  end)
end)

describe("resize", function()
  it("changes how many tasks run at once", function()
    with_pool({ threads = 1 }, function(pool)
      assert.is_true(pool:resize(2))
      fill(pool, 2)()
      assert.is_true(pool:resize(1, 4))
    end)
  end)

  it("is done by the pool itself when threads idle, at once with idle = 0", function()
    local function shrinks()
      local pool = assert(weir.pool { threads = 1, threads_max = 3, idle = 0 })
      local let_go = fill(pool, 3)
      assert.are.equal(3, pool:stats().threads)
      local before = weir.loop.clock() + 10 -- the default would not do it until then
      let_go()
      while pool:stats().threads > 1 and weir.loop.clock() < before do pool:run(function() end):wait() end
      assert.is_true(pool:close())
      return weir.loop.clock() < before
    end
    assert.is_true(shrinks() or shrinks() or shrinks()) -- a slow machine tries again
  end)

  it("of a closed pool is refused", function()
    local pool = assert(weir.pool { threads = 1 })
    pool:close()
    assert.are.same({ nil, "closed" }, { pool:resize(2) })
  end)
end)

describe("three thousand calls", function()
  it("each bring their own result", function()
    with_pool({ threads = 4 }, function(pool)
      local futures = {}
      for i = 1, 3000 do futures[i] = pool:run(function(k) return k, k * 2 end, i) end
      for i = 1, 3000 do
        local ok, a, b = futures[i]:get()
        assert(ok and a == i and b == i * 2)
      end
      assert.are.equal(3000, pool:stats().ok)
    end)
  end)
end)


describe("weir.pool_async", function()
  it("returns at once, and queues tasks until every init has run", function()
    local go = gate.new()
    local pool, opening = weir.pool_async {
      threads = 1, init = function(g) require("support.gate").pass(g); return "state" end, args = { go },
    }
    local future = pool:run(function(state, x) return state, x end, 5)
    assert.are.same({}, { opening:try() })
    assert.are.same({}, { future:try() })
    gate.open_last(go)
    assert.are.same({ true, "state", 5 }, { future:get() })
    assert.is_true(opening:get())
    assert.is_true(pool:close())
  end)

  it("tells the error of an init, and closes what was submitted", function()
    local go = gate.new()
    local pool, opening = weir.pool_async {
      threads = 1, init = function(g) require("support.gate").pass(g); error("sorry", 0) end, args = { go },
    }
    local future = pool:run(function() end)
    gate.open_last(go)
    assert.are.same({ false, "sorry" }, { opening:get() })
    assert.are.same({ false, "closed" }, { future:get() })
    assert.are.same({ nil, "closed" }, { pool:run(function() end) })
  end)

  it("refuses what weir.pool refuses, by its own name", function()
    local function refuses(given, message)
      local ok, problem = pcall(weir.pool_async, given)
      assert.is_false(ok)
      assert.matches(message, problem, 1, true)
    end
    refuses({ thread = 1 }, 'weir.pool_async: options: unknown option "thread"')
    refuses({ threads = 2, threads_max = 1 },
      "weir.pool_async: options.threads_max (1) is less than options.threads (2)")
    refuses({ args = {} }, "weir.pool_async: options.args without options.init")
    refuses({ init = print, args = { coroutine.create(function() end) } },
      "weir.pool_async: options.args[1]: coroutine")
  end)
end)
