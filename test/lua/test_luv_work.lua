-- SPDX-License-Identifier: ISC
--
-- What luv's new_work and queue_work do, learned from their code and tests, on luv and on
-- weir.luv_work alike; then what only weir.luv_work does.

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local found, uv = pcall(require, "luv")
if not found then return require "support.missing" "luv" end

local program = require "support.program"
local pools = require "support.pool"
local weir = require "weir"
local door = require "weir.luv_work"

local unpack = table.unpack or unpack -- luacheck: ignore

local function pack(...) return { n = select("#", ...), ... } end

-- The values that after gets of work(...).
local function result(lib, work, ...)
  local got
  local ctx = lib.new_work(work, function(...) got = pack(...) end)
  assert.are.same({ true, n = 1 }, pack(ctx:queue(...)))
  uv.run()
  return got
end

-- The same program on both; its output, without the lines of errors.
local function prints(lib, text, before)
  local output = program.run(("local lib = require %q\nlocal uv = require 'luv'\n"):format(lib) .. text, false, before)
  local lines = {}
  for line in output:gmatch "[^\n]+" do
    if line:find "^> " or line:find "^exit" then lines[#lines + 1] = line end
  end
  return table.concat(lines, "\n"), output
end

local BOTH = { { "weir.luv_work", door }, { "luv", uv } }
-- luv's dump of a function breaks a rule of luaL_Buffer, which checked interpreters assert.
if os.getenv "WEIR_LUA_VARIANT" == "checked" then BOTH[2] = nil end

for i = 1, #BOTH do
  local name, lib = unpack(BOTH[i])

  describe("a work of " .. name, function()
    it("runs elsewhere, and its results come to after on the loop", function()
      local order, seen = {}, nil
      local ctx = lib.new_work(function(n, s) return n + 1, s .. s, nil end, function(...)
        order[#order + 1], seen = "after", pack(...)
      end)
      assert.are.same({ true, n = 1 }, pack(lib.queue_work(ctx, 1, "a\0b")))
      order[#order + 1] = "queued"
      uv.run()
      assert.are.same({ "queued", "after" }, order)
      assert.are.same({ 2, "a\0ba\0b", n = 3 }, seen)
    end)

    it("takes and returns nil, booleans and strings in their places", function()
      assert.are.same({ n = 0 }, result(lib, function() end))
      assert.are.same({ nil, false, nil, "", true, nil, n = 6 },
        result(lib, function(...) return ... end, nil, false, nil, "", true, nil))
    end)

    it("may be a string of code, also precompiled", function()
      assert.are.same({ 5, "x", n = 2 }, result(lib, "return 5, ...", "x"))
      assert.are.same({ "xx", n = 1 }, result(lib, string.dump(function(s) return s .. s end), "x"))
    end)

    it("may require modules", function()
      assert.are.same({ "table", n = 1 }, result(lib, function() return type(require "luv") end))
    end)

    it("is called any number of times, also by its own after", function()
      local sum, n, ctx = 0, 0, nil
      ctx = lib.new_work(function(k) return k * 2 end, function(k)
        sum, n = sum + k, n + 1
        if n <= 500 then ctx:queue(n) end
      end)
      for j = 1, 20 do assert(ctx:queue(j)) end
      uv.run()
      assert.are.equal(520, n)
      assert.are.equal(20 * 21 + 500 * 501, sum)
    end)

    it("may be collected while it is queued", function()
      local got = 0
      for _ = 1, 50 do
        lib.new_work(function() return 1 end, function(k) got = got + k end):queue()
        collectgarbage()
      end
      uv.run()
      assert.are.equal(50, got)
    end)

    it("is queued from inside a coroutine, whose after may resume it", function()
      local got
      assert(coroutine.resume(coroutine.create(function()
        local co = coroutine.running()
        lib.new_work(function() return 7 end, function(k) assert(coroutine.resume(co, k)) end):queue()
        got = coroutine.yield()
      end)))
      uv.run()
      assert.are.equal(7, got)
    end)

    it("comes back although a walk closes every handle", function()
      local got
      lib.new_work(function(ms) require("luv").sleep(ms) return 8 end, function(k) got = k end):queue(20)
      uv.new_timer()
      lib.walk(function(handle) if not handle:is_closing() then handle:close() end end)
      uv.run()
      assert.are.equal(8, got)
    end)

    it("that fails calls after without values", function()
      local text = [[
        local function after(...) print("> after", select("#", ...)) end
        lib.new_work(function() error "oops" end, after):queue()
        lib.new_work("this is no code", after):queue()
        lib.new_work(function() return coroutine.create(function() end) end, after):queue()
        uv.run()]]
      local lines, all = prints(name, text)
      assert.are.equal("> after\t0\n> after\t0\n> after\t0\nexit 0", lines)
      assert.is_truthy(all:find("oops", 1, true))
    end)

    it("has a thread whose globals stay, as many as UV_THREADPOOL_SIZE says", function()
      local text = [[
        local ctx = lib.new_work(function() count = (count or 0) + 1 return count end,
          function(n) if n == 9 then print "> nine" end end)
        for _ = 1, 9 do ctx:queue() end
        uv.run()]]
      assert.are.equal("> nine\nexit 0", (prints(name, text, "UV_THREADPOOL_SIZE=1")))
    end)

    it("is refused with wrong arguments", function()
      assert.has_error(function() lib.new_work({}, print) end)
      if lib == door then assert.has_error(function() lib.new_work(function() end) end) end -- luv leaks then
      assert.has_error(function() lib.queue_work({}, 1) end)
      local ctx = lib.new_work(function() end, function() end)
      assert.has_error(function() ctx.queue({}, 1) end)
      assert.has_error(function() ctx:queue(coroutine.create(function() end)) end)
    end)
  end)
end

describe("weir.luv_work", function()
  it("carries tables, upvalues, functions and integers", function()
    local factor, shared = 3, { 1 }
    local got = result(door, function(t, f)
      shared[1] = t.n * factor
      return { t, shared }, f(2), 2 ^ 53 == 2 ^ 53
    end, { n = 7 }, function(x) return x + factor end)
    assert.are.same({ { { n = 7 }, { 21 } }, 5, true, n = 3 }, got)
    assert.are.same({ 1 }, shared)
  end)

  it("is luv for all else", function()
    assert.are.equal(uv.new_timer, door.new_timer)
    assert.are.equal(uv.run, door.run)
  end)

  it("gives errors with their traceback to on_error, then calls after", function()
    local seen = {}
    local function fail(how) error({ how = how }) end
    local work = door.new_work(fail, function(...) seen[#seen + 1] = select("#", ...) end, {
      on_error = function(problem, traceback) seen[#seen + 1] = { problem.how, type(traceback) } end,
    })
    assert(work:queue "badly")
    uv.run()
    assert.are.same({ { "badly", "string" }, 0 }, seen)
  end)

  it("runs in a pool of the program's own, with the thread's state", function()
    pools.with({ threads = 1, queue_limit = 1, init = function() return { 40 } end }, function(pool)
      local got = {}
      local work = door.new_work(function(state, n)
        state[1] = state[1] + 1
        return state[1] + n
      end, function(n) got[#got + 1] = n end, { pool = pool })
      assert.is_true(work:queue(1))
      uv.run()
      assert.is_true(work:queue(100))
      uv.run()
      assert.are.same({ 42, 142 }, got)
    end)
  end)

  it("says when that pool is full or closed", function()
    local pool, held, go = pools.busy { queue_limit = 1 }
    local told = {}
    local work = door.new_work(function() end, function() told[#told + 1] = "after" end,
      { pool = pool, on_error = function(problem) told[#told + 1] = problem end })
    assert.is_true(work:queue())
    assert.are.same({ n = 2, nil, "full" }, pack(work:queue()))
    local closing = pool:close_async()
    require("support.gate").open_last(go)
    assert(held:get())
    assert(closing:get())
    uv.run()
    assert.are.same({ "closed", "after" }, told)
    assert.are.same({ n = 2, nil, "closed" }, pack(work:queue()))
  end)

  it("keeps nothing of one that is refused", function()
    local core = require "weir.core"
    local pool, held, go = pools.busy { queue_limit = 1 }
    local spare = assert(weir.pool { threads = 1 })
    local kept = setmetatable({}, { __mode = "v" })
    local function key()
      local future = spare:run(function() end)
      local number = core.watch(future)
      assert(future:get())
      return number
    end
    local function is_refused()
      local work = door.new_work(function() end, function() end, { pool = pool })
      kept[#kept + 1] = work
      assert.are.same({ n = 2, nil, "full" }, pack(work:queue()))
    end
    assert(door.new_work(function() end, function() end, { pool = pool }):queue()) -- and the loop watches
    local before = key()
    for _ = 1, 5 do is_refused() end
    assert.are.equal(before, key())
    require("support.gate").open_last(go)
    assert(held:get())
    uv.run()
    collectgarbage()
    collectgarbage()
    assert.is_nil(next(kept))
    assert(pool:close() and spare:close())
  end)

  it("names what takes the place of a uv_async_t", function()
    local async = uv.new_async(function() end)
    local _, text = pcall(function() return (door.queue_work(door.new_work(print, print), async)) end)
    assert.matches("test_luv_work%.lua:%d+: queue_work: argument 2: userdata %(uv_async%) cannot cross to "
      .. "another thread; a function of weir%.progress can$", text)
    async:close()
    uv.run()
  end)

  it("names a wrong argument, at the caller's line", function()
    local work = door.new_work(function() end, function() end)
    local function here(f, ...) return (select(2, pcall(f, ...))) end
    local text = here(function() work:queue(1, { a = coroutine.create(function() end) }) end)
    assert.is_truthy(text:find "^[^:]*test_luv_work%.lua:%d+: queue: argument 2%.a: ")
    text = here(function() door.queue_work(work, 1, { a = coroutine.create(function() end) }) end)
    assert.is_truthy(text:find "^[^:]*test_luv_work%.lua:%d+: queue_work: argument 3%.a: ")
    local thread = coroutine.create(function() end)
    text = here(function() door.new_work(function() return thread end, print):queue() end)
    assert.is_truthy(text:find "^[^:]*test_luv_work%.lua:%d+: queue: the work's function")
    text = here(function() door.queue_work(5) end)
    assert.is_truthy(text:find "test_luv_work%.lua:%d+: queue_work: argument 1 must be a work, got number")
    text = here(function() door.new_work(5, print) end)
    assert.is_truthy(text:find "test_luv_work%.lua:%d+: new_work: argument 1 must be a function or a string")
    text = here(function() door.new_work(print, print, { pol = 1 }) end)
    assert.is_truthy(text:find 'test_luv_work%.lua:%d+: new_work: options: unknown option "pol"')
  end)

  it("reports progress to the loop", function()
    local sum = 0
    local report = weir.progress(function(n) sum = sum + n end)
    result(door, function(tell) for n = 1, 4 do tell(n) end end, report)
    assert.are.equal(10, sum)
  end)

  it("starts again after a walk that closed weir's own handle", function()
    assert.are.same({ 1, n = 1 }, result(door, function() return 1 end))
    uv.walk(function(handle) if not handle:is_closing() then handle:close() end end)
    uv.run()
    assert.are.same({ 2, n = 1 }, result(door, function() return 2 end))
  end)

  it("tells where after failed", function()
    local told
    weir.on_unhandled(function(problem, traceback) told = { problem, traceback } end)
    local problem = setmetatable({}, { __tostring = function() return "after failed" end })
    local function after() error(problem) end
    door.new_work(function() end, after):queue()
    uv.run()
    weir.on_unhandled(nil)
    assert.are.equal(problem, told[1])
    assert.matches("^after failed\nstack traceback:.*test_luv_work%.lua:%d+", told[2])
  end)

  it("ends works with their pool's tasks", function()
    local pool, told = assert(weir.pool { threads = 1 }), {}
    local held = pool:run(function() repeat until require("weir").cancelled() end)
    local work = door.new_work(function() end, function(...) told[#told + 1] = select("#", ...) end,
      { pool = pool, on_error = function(problem) told[#told + 1] = problem end })
    for _ = 1, 3 do assert(work:queue()) end
    pool:cancel_all()
    assert.are.same({ "cancelled", 0, "cancelled", 0, "cancelled", 0 }, told)
    assert.are.same({ false, "cancelled" }, { held:get() })
    local again = 0
    local other = door.new_work(function(n) return n end, function(n) again = again + n end, { pool = pool })
    for n = 1, 4 do assert(other:queue(n)) end
    uv.run()
    assert.are.equal(10, again)
    assert.are.equal(6, #told)
    assert(pool:close())
  end)

  it("ends one that runs", function()
    pools.with({ threads = 1 }, function(pool)
      local told, beat = {}, uv.new_timer()
      local function after() told[#told + 1] = "after" end
      local function spin() repeat until require("weir").cancelled() end
      local work = door.new_work(spin, after,
        { pool = pool, on_error = function(problem) told[#told + 1] = problem end })
      for _ = 1, 2 do assert(work:queue()) end
      beat:start(1, 1, function()
        if pool:stats().running == 0 then return end
        beat:close()
        pool:cancel_all()
      end)
      uv.run()
      assert.are.same({ "cancelled", "after", "cancelled", "after" }, told)
    end)
  end)

  it("reports what an after raises, and calls the others", function()
    local reports, called = {}, 0
    weir.on_unhandled(function(problem) reports[#reports + 1] = problem.n end)
    local work = door.new_work(function(n) return n end, function(n)
      called = called + 1
      error { n = n }
    end)
    for n = 1, 50 do assert(work:queue(n)) end
    uv.run()
    weir.on_unhandled(nil)
    table.sort(reports)
    assert.are.equal(50, called)
    assert.are.equal(50, #reports)
    for n = 1, 50 do assert.are.equal(n, reports[n]) end
  end)

  it("calls an after from inside another that waits", function()
    pools.with({ threads = 1 }, function(pool)
      local sum = 0
      local work
      work = door.new_work(function(n) return n end, function(n)
        sum = sum + n
        if n == 20 then return end
        assert(work:queue(20))
        assert.are.same({ true, 5 }, { pool:run(function() return 5 end):get() })
        uv.run "nowait"
      end)
      for n = 1, 10 do assert(work:queue(n)) end
      uv.run()
      assert.are.equal(55 + 200, sum)
    end)
  end)

  it("carries more values than a C function has places for", function()
    local values = {}
    for n = 1, 120 do values[n] = n % 3 == 0 and { n } or n end
    values.n = 120
    assert.are.same({ 1, unpack(values, 1, 120) }, (function()
      local got
      local work = door.new_work(function(...) return 1, ... end, function(...)
        if select("#", ...) > 2 then got = { ... } end
      end)
      assert(work:queue(1)) -- the loop watches; it may come back last
      assert(work:queue(unpack(values, 1, 120)))
      uv.run()
      return got
    end)())
  end)

  it("waits for space in a coroutine, while the loop goes on", function()
    local pool = assert(weir.pool { threads = 1, queue_limit = 1, on_full = "wait" })
    local queued, ended, seen = 0, 0, nil
    local work = door.new_work(function() require("weir").run_in_main(function() end) end,
      function() ended = ended + 1 end, { pool = pool })
    local timer = uv.new_timer()
    timer:start(0, 1, function()
      seen = seen or queued
      if ended == 4 then timer:close() end
    end)
    local co = coroutine.create(function()
      for _ = 1, 4 do
        assert.are.same({ true, n = 1 }, pack(work:queue()))
        queued = queued + 1
      end
    end)
    if _VERSION == "Lua 5.1" and not rawget(_G, "jit") then -- no coroutine waits below pcall
      timer:close()
      return pool:close()
    end
    assert(coroutine.resume(co))
    assert.are.equal("suspended", coroutine.status(co))
    uv.run()
    assert.are.same({ 4, 4 }, { queued, ended })
    assert.is_true(seen < 4)
    pool:close()
  end)

  it("lines up behind who waits for space, also where there is some", function()
    local gate = require "support.gate"
    if _VERSION == "Lua 5.1" and not rawget(_G, "jit") then return end -- no coroutine waits below pcall
    local pool, held, go = pools.busy { queue_limit = 1, on_full = "wait" }
    local here, leave, order = gate.new(), gate.new(), {}
    local first = door.new_work(function(a, b)
      local g = require "support.gate"
      g.open(a)
      g.pass(b)
    end, function() end, { pool = pool })
    local work = door.new_work(function(n) return n end, function(n) order[#order + 1] = n end, { pool = pool })
    local function queues(n)
      return coroutine.create(function() assert(work:queue(n)) end)
    end
    assert(first:queue(here, leave))
    local one, two = queues(1), queues(2)
    assert(coroutine.resume(one))
    assert.are.equal("suspended", coroutine.status(one))
    gate.open_last(go)
    gate.pass(here) -- the first has left the queue, and this loop has not turned
    assert(coroutine.resume(two))
    assert.are.equal("suspended", coroutine.status(two))
    local three
    local co = coroutine.create(function() three = pool:run(function() return 3 end) end)
    assert(coroutine.resume(co))
    assert.are.equal(0, pool:stats().queued) -- neither has taken the place
    os.remove(here)
    gate.open_last(leave)
    uv.run()
    assert(held:get())
    assert.are.same({ 1, 2 }, order)
    assert.are.same({ true, 3 }, { three:get() })
    pool:close()
  end)

  it("survives an on_error that raises", function()
    weir.on_unhandled(function() end)
    local work = door.new_work(function() error("of the work", 0) end, function() end,
      { on_error = function() error("of on_error", 0) end })
    for _ = 1, 20 do
      assert(work:queue())
      uv.run()
      collectgarbage()
    end
    weir.on_unhandled(nil)
  end)

  it("lets go of works that are over", function()
    local kept = setmetatable({}, { __mode = "v" })
    for n = 1, 5 do
      local work = door.new_work(function() return n end, function() end)
      kept[n] = work
      for _ = 1, 3 do assert(work:queue()) end
    end
    uv.run()
    collectgarbage()
    collectgarbage()
    assert.is_nil(next(kept))
  end)

  it("reads only tables as works", function()
    local core = require "weir.core"
    assert.has_error(function() core.queue(5, {}, print) end)
    assert.has_error(function() core.call_works(5, print) end)
    local works = {}
    local queue = core.queue(works, core.future, function() return "slowly" end)
    pools.with({ threads = 1 }, function(pool)
      local work = door.new_work(function() end, function() end, { pool = pool })
      assert(work:queue()) -- the loop watches
      assert.are.equal("slowly", queue(pool:run(function() end)))
      assert.are.equal("slowly", queue(setmetatable({ print, print, pool }, {})))
      uv.run()
    end)
  end)

  it("leaves its pool to the program", function()
    result(door, function() end)
    local pool = door.pool()
    assert.is_true(pool:stats().ok > 0)
    assert.are.equal("weir.pool: luv_work", tostring(pool))
    -- luv itself ends its works' states when it is unloaded, by the last thread that has it: LuaJIT
    -- must not be gone by then
    assert(pool:close())
  end)
end)
