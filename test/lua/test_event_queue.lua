-- SPDX-License-Identifier: ISC
--
-- weir.event: what its queue keeps, for whom, and how much.

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local event = require "weir.event"
-- luacheck: read globals os.sleep
local gate = require "support.gate"
local openos = require "support.openos"
local thread = require "weir.thread"
local weir = require "weir"

local LIMIT = 256

-- pull without waiting: the signal's values
local function pulled(...)
  return { event.pull(0, ...) }
end

local function fill()
  for i = 1, LIMIT do assert.is_true(event.push("fill", i)) end
end

describe("the queue of signals", function()
  after_each(function() thread.run(function() while event.pull(0) do end end) end) -- luacheck: ignore

  it("has 256 places: a push into a full one is refused, and what is queued stays", function()
    openos.program(function()
      fill()
      assert.is_false(event.push("late", 1))
      assert.are.same({ "fill", 1 }, { event.pull() })
      assert.is_true(event.push("late", 2))
      for i = 2, LIMIT do assert.are.same({ "fill", i }, { event.pull() }) end
      assert.are.same({ "late", 2 }, pulled())
      assert.are.same({}, pulled())
    end)
  end)

  it("is passed by where somebody waits: threads and listeners get what it cannot keep", function()
    openos.program(function()
      local got = {}
      thread.create(function() got[1] = select(2, event.pull "news") end)
      thread.create(function()
        event.listen("other", function(_, n) got[2] = n end)
        thread.sleep(math.huge)
      end):detach()
      fill()
      assert.is_true(event.push("news", 7))
      assert.is_true(event.push("other", 8))
      assert.are.same({ 7, 8 }, got)
      assert.are.same({}, pulled "news")
    end)
  end)

  it("keeps nothing of threads that ended while the machine was busy", function()
    local before, after
    openos.program(function()
      local function threads(n)
        for _ = 1, n do thread.create(function() end):join() end
        collectgarbage()
        collectgarbage()
        return collectgarbage "count"
      end
      before = threads(1000)
      after = threads(20000)
    end)
    assert.is_true(after - before < 64, ("%.0f KiB, then %.0f"):format(before, after))
  end)

  it("nor from one short program to the next, none of which waits", function()
    local function programs(n)
      for _ = 1, n do thread.run(function() for _ = 1, 20 do thread.create(function() end) end end) end
      collectgarbage()
      collectgarbage()
      return collectgarbage "count"
    end
    local before = programs(100)
    local after = programs(2000)
    assert.is_true(after - before < 64, ("%.0f KiB, then %.0f"):format(before, after))
  end)

  it("nor of threads that wake each other, and never let the machine rest", function()
    local function memory()
      collectgarbage()
      collectgarbage()
      return collectgarbage "count"
    end
    local before, after
    openos.program(function()
      local ponger = thread.create(function()
        while true do event.push("pong", (select(2, event.pull "ping"))) end
      end)
      local pinger = thread.create(function()
        for i = 1, 20000 do
          if i == 1000 then before = memory() end
          event.push("ping", i)
          event.pull("pong", i)
        end
        after = memory()
      end)
      pinger:join()
      ponger:kill()
    end)
    -- a word for each is 148 KiB; LuaJIT's traces may come late, and are some 60
    assert.is_true(after - before < 128, ("%.0f KiB, then %.0f"):format(before, after))
  end)
end)

describe("a signal that comes before or during future:get()", function()
  local pool
  before_each(function() pool = weir.pool { threads = 1 } end)
  after_each(function() pool:close() end)

  local function push_there(...)
    return pool:run(function(...) return require("weir.event").push(...) end, ...)
  end

  it("is kept for the program's next pull", function()
    openos.program(function()
      event.push("own", 1)
      assert.are.same({ true, true }, { push_there("task", 2):get() })
      assert.are.same({ "task", 2 }, pulled "task")
      event.push("own", 3)
      pool:run(function() end):get()
      push_there("task", 4):get()
      assert.are.same({ "own", 3 }, pulled())
      assert.are.same({ "task", 4 }, pulled "task")
      assert.are.same({}, pulled())
    end)
  end)

  it("is kept for a thread's, and for a raw yield's", function()
    openos.program(function()
      local got = {}
      local door = gate.new()
      local t = thread.create(function()
        pool:run(function(name) require("support.gate").pass(name) end, door):get()
        got[1] = pulled "news"
        got[2] = { coroutine.yield(0, "news") }
        got[3] = pulled "news"
      end)
      event.push("news", 1)
      event.push("else", 2)
      event.push("news", 3)
      gate.open_last(door)
      t:join()
      assert.are.same({ { "news", 1 }, { "news", 3 }, {} }, got)
    end)
  end)

  it("is pulled in order, once, with those that the queue still has behind it", function()
    openos.program(function()
      event.push("n", 1)
      push_there("n", 2):get()
      event.push("n", 3)
      for i = 1, 3 do assert.are.same({ "n", i }, pulled "^n$") end
      assert.are.same({}, pulled())
    end)
  end)

  it("is told to listeners at once, and once", function()
    openos.program(function()
      local told = {}
      event.listen("n", function(_, i) told[#told + 1] = "program " .. i end)
      local t = thread.create(function()
        event.listen("n", function(_, i) told[#told + 1] = "thread " .. i end)
        push_there("n", 1):get()
        assert.are.same({ "n", 1 }, { event.pull "n" })
        event.pull "end"
      end)
      push_there("m"):get() -- behind the thread's
      os.sleep(0)
      event.push "end"
      t:join()
      assert.are.same({ "thread 1", "program 1" }, told)
    end)
  end)

  it("is missed all the same by one who sleeps or joins before the pull, as in OpenOS", function()
    openos.program(function()
      push_there("n", 1):get()
      os.sleep(0)
      assert.are.same({}, pulled "n")
      push_there("n", 2):get()
      thread.create(thread.sleep, 0):join()
      assert.are.same({}, pulled "n")
    end)
  end)

  it("is not there for a thread that began after it was popped", function()
    openos.program(function()
      push_there("n", 1):get()
      pool:run(function() end):get()
      local got
      thread.create(function() got = pulled "n" end):join()
      assert.are.same({}, got)
      assert.are.same({}, pulled "n") -- the join missed it
    end)
  end)

  it("of many the last 256 are kept, and none once nobody may ask for them", function()
    local values = setmetatable({}, { __mode = "k" })
    openos.program(function()
      for i = 1, LIMIT + 10 do
        local value = {}
        values[value] = i
        event.push("n", value)
        pool:run(function() end):get()
      end
      assert.are.equal(11, values[select(2, event.pull(0, "n"))])
      os.sleep(0)
      collectgarbage()
      collectgarbage()
      assert.is_nil(next(values))
    end)
  end)
end)

describe("a suspended thread", function()
  before_each(openos.fresh)
  after_each(function() openos.fake(false) end)

  it("misses a signal also when that is still queued as it is resumed", function()
    openos.program(function()
      local got = {}
      local t = thread.create(function() got = { event.pull(1, "news") } end)
      t:suspend()
      event.push("news", 1)
      t:resume()
      t:join()
      assert.are.same({}, got)
    end)
  end)
end)
