-- SPDX-License-Identifier: ISC
--
-- test_lazy.lua: pools that are without a thread until there is something to do.

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local gate = require "support.gate"
local fill = require("support.pool").fill
local in_copas = require "support.in_copas"
local run = require("support.program").run
local weir = require "weir"

-- Whose threads retire as soon as they idle.
local function lazy(given)
  given = given or {}
  given.lazy, given.threads, given.idle = true, given.threads or 1, given.idle or 0
  return assert(weir.pool(given))
end

local function until_empty(pool)
  while pool:stats().threads > 0 do end
end

local function fails_when_told(name)
  local file = io.open(name)
  if not file then return "state" end
  local text = file:read "*a"
  file:close()
  if text == "a table" then error { code = 7 } end
  if text == "a message" then return nil, "no database" end
  error(text, 0)
end

local function tell(name, text)
  local file = assert(io.open(name, "w"))
  file:write(text)
  file:close()
end

-- `it` runs the test under no loop, or under one.
local function it_is_lazy(it) -- luacheck: ignore
  it("opens without a thread, gets one with each task, and loses it again", function()
    local pool = lazy { threads = 2, init = function() return "state" end }
    assert.are.same({ 0, 0 }, { pool:stats().threads, pool:stats().grown })
    for i = 1, 3 do
      assert.are.same({ true, "state", i }, { pool:run(function(state, n) return state, n end, i):get() })
      until_empty(pool)
    end
    assert.are.same({ 3, 3, 3 }, { pool:stats().ok, pool:stats().grown, pool:stats().retired })
    assert.is_true(pool:close())
  end)

  it("has as many threads as it may, and no more", function()
    local pool = lazy { threads = 2 }
    local let_go = fill(pool, 2)
    local third = pool:run(function() return 3 end)
    assert.are.same({ 2, 2, 1 }, { pool:stats().threads, pool:stats().running, pool:stats().queued })
    let_go()
    assert.are.same({ true, 3 }, { third:get() })
    assert.is_true(pool:close())
  end)

  it("tells each task that waits why init failed, and tries again with the next", function()
    local name = os.tmpname()
    local pool = lazy { init = fails_when_told, args = { name } }
    tell(name, "no server")
    assert.are.same({ false, "init failed: no server" }, { pool:run(function() end):get() })
    tell(name, "a message")
    assert.are.same({ false, "init failed: no database" }, { pool:run(function() end):get() })
    tell(name, "a table")
    assert.are.same({ false, { code = 7 } }, { pool:run(function() end):get() })
    os.remove(name)
    assert.are.same({ true, "state" }, { pool:run(function(state) return state end):get() })
    local s = pool:stats()
    assert.are.same({ 3, 1, 0 }, { s.failed, s.ok, s.closed })
    assert.is_true(pool:close())
  end)

  it("tells it to all that wait", function()
    local go, futures = gate.new(), {}
    local pool = lazy { init = function(g) require("support.gate").pass(g); error "sorry" end, args = { go } }
    for i = 1, 3 do futures[i] = pool:run(function() end) end
    gate.open_last(go)
    for i = 1, 3 do
      local ok, problem = futures[i]:get()
      assert.is_false(ok)
      assert.matches("^init failed: .*test_lazy.lua:%d+: sorry$", problem)
    end
    assert.is_true(pool:close())
  end)

  it("runs what is queued when it drains, and closes where nothing is", function()
    local future
    local pool = lazy()
    future = pool:run(function() return 5 end)
    assert.is_true(pool:close { drain = true })
    assert.are.same({ true, 5 }, { future:get() })
    for _, how in ipairs { {}, { drain = true }, { timeout = 5 } } do
      assert.is_true(lazy():close(how))
    end
    assert.are.same({ true }, { lazy():close_async():get() })
  end)

  it("is what a resize to none makes of a pool, and one to some ends it", function()
    local pool = assert(weir.pool { threads = 2, idle = 0 })
    assert.is_true(pool:resize(0, 1))
    until_empty(pool)
    assert.are.same({ true, 1 }, { pool:run(function() return 1 end):get() })
    until_empty(pool)
    assert.is_true(pool:resize(2))
    while pool:stats().threads < 2 do end
    assert.is_true(pool:close())
  end)
end

describe("a lazy pool", function()
  it_is_lazy(it)

  it("is open at once", function()
    local pool, opening = weir.pool_async { lazy = true, init = function() error "never called" end }
    assert.are.same({ true }, { opening:get() })
    assert.are.equal(0, pool:stats().threads)
    assert.is_true(pool:close())
  end)

  it("must be told with true or false, and its bounds must fit", function()
    local ok, problem = pcall(weir.pool, { lazy = 1 })
    assert.is_false(ok)
    assert.matches("weir.pool: options.lazy must be a boolean, got 1", problem, 1, true)
    assert.is_false((pcall(weir.pool, { lazy = true, threads = 3, threads_max = 2 })))
  end)

  it("takes a failed init for the failure of a task that nobody waits for", function()
    local name, told = os.tmpname(), {}
    local pool = lazy { init = fails_when_told, args = { name } }
    tell(name, "no server")
    weir.on_unhandled(function(problem) told[#told + 1] = problem end)
    assert.is_true(pool:post(function() end))
    assert.is_true(pool:close { drain = true })
    local other = assert(weir.pool { threads = 1 })
    while not told[1] do other:run(function() end):get() end
    weir.on_unhandled(nil)
    assert.are.same({ "init failed: no server" }, told)
    os.remove(name)
    other:close()
  end)

  it("of which a task was stopped tells the next why its new state could not be had", function()
    local name, here = os.tmpname(), gate.new()
    os.remove(name)
    local pool = lazy { init = fails_when_told, args = { name }, idle = 60 }
    local future = pool:run(function(_, g)
      require("support.gate").open(g)
      while true do end
    end, here)
    gate.pass(here)
    os.remove(here)
    tell(name, "no server")
    future:cancel()
    assert.are.same({ false, "init failed: no server" }, { pool:run(function() end):get() })
    os.remove(name)
    assert.are.same({ true, "state" }, { pool:run(function(state) return state end):get() })
    assert.is_true(pool:close())
  end)

  it("goes when nobody holds it", function()
    assert.are.equal("true\nexit 0\n", run([[
      local pool = assert(weir.pool { lazy = true, init = function() end })
      print(pool:stats().threads == 0)
      pool = nil
      collectgarbage()
      collectgarbage()
    ]], true))
  end)

  -- A limit of the address space does not go with what sanitizers do to it.
  local it_is_limited = os.getenv "WEIR_LUA_VARIANT" == "" and it or pending
  it_is_limited("says so when the system refuses its thread, and gets it when the system can", function()
    assert.are.equal("false\tthe system refused a thread\ntrue\t2\ntrue\nexit 0\n", run([[
      local large = 2 ^ 30 -- the limit has room for one such stack
      local other = assert(weir.pool { threads = 1, stack_size = large })
      local pool = assert(weir.pool { lazy = true, threads = 1, stack_size = large })
      print(pool:run(function() return 1 end):get())
      other:close()
      print(pool:run(function() return 2 end):get())
      print(pool:close())
    ]], nil, "ulimit -v 1900000;"))
  end)

  it("that was not used is dead in the child of a fork, and lives on in the parent", function()
    local dead = "nil\tthe pool's threads stayed behind in the parent process\ntrue\n"
    assert.are.equal(dead .. "true\t4\ntrue\nexit 0\n", run([[
      local folder = assert(package.cpath:match "^(.-)/%?%.so")
      local process = assert(package.loadlib(folder .. "/failing/weir/core.so", "luaopen_weir_core_failing"))()
      local pool = assert(weir.pool { lazy = true, threads = 1 })
      local child = process.fork()
      if child == 0 then
        print(pool:run(function() end))
        print(pool:close())
        io.stdout:flush()
        os.exit(0)
      end
      assert(process.wait(child) == 0)
      print(pool:run(function() return 4 end):get())
      print(pool:close())
    ]]))
  end)
end)

if in_copas.module() then
  describe("a lazy pool under Copas", function()
    it_is_lazy(function(name, body)
      it(name, function() in_copas.run(body) end)
    end)
  end)
end
