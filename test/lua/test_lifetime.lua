-- SPDX-License-Identifier: ISC
--
-- test_lifetime.lua: pools, futures and states that are collected in whatever order.

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local program = require "support.program"
local scale = require "support.scale"
local weir = require "weir"

-- Calls fn() when it is collected.
local function finalizer(fn)
  local proxy = newproxy and newproxy(true) -- luacheck: ignore
  local mt = proxy and getmetatable(proxy) or {}
  mt.__gc = fn
  return proxy or setmetatable({}, mt)
end

local function collect()
  collectgarbage()
  collectgarbage()
end

describe("a future that nobody holds", function()
  it("keeps its result while that is decoded", function()
    local pool = assert(weir.pool { threads = 1 })
    local function make()
      local t = {}
      for i = 1, 20000 do t[i] = { i, "string number " .. i } end
      return t
    end
    for _ = 1, 10 do
      local ok, t = pool:run(make):get() -- large enough that the collector comes meanwhile
      assert(ok, t)
      for i = 1, 20000 do assert(t[i][1] == i and t[i][2] == "string number " .. i) end
    end
    pool:close()
  end)
end)

describe("what was posted", function()
  it("is the pool's alone", function()
    local pool, n = assert(weir.pool { threads = 1 }), scale(200)
    for _ = 1, n do
      assert.is_true(pool:post(function() end))
      collect()
    end
    assert.is_true(pool:close { drain = true })
    collect()
    assert.are.equal(n, pool:stats().ok)
  end)
end)

describe("what is told", function()
  local reports
  before_each(function()
    reports = {}
    weir.on_unhandled(function(problem) reports[#reports + 1] = problem end)
  end)
  after_each(function() weir.on_unhandled(nil) end)

  it("is no failure where nothing failed, while run waits for space", function()
    local pool = assert(weir.pool { threads = 1, queue_limit = 1, on_full = "wait" })
    for _ = 1, scale(200) do
      pool:run(function() return "fine" end)
      collect()
    end
    pool:close { drain = true }
    assert.are.same({}, reports)
  end)

  it("is told once, also of a future that is collected between its end and then", function()
    local pool = assert(weir.pool { threads = 1 })
    for i = 1, 20 do
      local future = pool:run(function(k) error("lost " .. k, 0) end, i)
      future:wait(0) -- so that its end is told
      future = nil -- luacheck: ignore
      pool:run(function() end):wait() -- both are delivered, the first may be collected before
      collect()
      pool:run(function() end):wait()
    end
    pool:close()
    collect()
    table.sort(reports)
    assert.are.equal(20, #reports)
    for i = 2, 20 do assert.are_not.equal(reports[i - 1], reports[i]) end
  end)

  it("may be taken by a finalizer that waits, too", function()
    local pool = assert(weir.pool { threads = 2 })
    local came, right, over = 0, 0, false
    local function again()
      if over then return end
      finalizer(again)
      came = came + 1
      local ok, value = pool:run(function() return "inner" end):get()
      if ok and value == "inner" then right = right + 1 end
    end
    finalizer(again)
    local futures = {}
    for round = 1, 300 do
      for i = 1, 10 do futures[i] = pool:run(function(k) return k end, round * i) end
      collectgarbage "step"
      for i = 1, 10 do
        local ok, value = futures[i]:get()
        assert(ok and value == round * i)
      end
    end
    collect()
    over = true
    assert.is_true(came > 0)
    assert.are.equal(came, right)
    pool:close()
  end)
end)

-- A finalizer that a program made first is the last to come when its state is closed.
local LAST = [[
  local pool, future
  local function last() %s end
  local proxy = newproxy and newproxy(true)
  local mt = proxy and getmetatable(proxy) or {}
  mt.__gc = last
  guard = proxy or setmetatable({}, mt)
  pool = weir.pool { threads = 1 }
  future = pool:run(function() return 1 end)
]]

describe("a finalizer that comes when everything is over", function()
  for _, call in ipairs {
    "pool:run(last)", "pool:task{}", "pool:stats()", "pool:resize(2)", "pool:close()", "pool:close_async()",
    "tostring(pool)", "future:get()", "future:try()", "future:wait(0)", "future:cancel()", "future:traceback()",
    "tostring(future)", "weir.all{future}", "weir.any{future}", "weir.pool{}",
  } do
    it("gets an error from " .. call, function()
      local text = LAST:format("print(pcall(function() " .. call .. " end))")
      assert.matches("^[ft][ar][lu]s?e.*\nexit 0\n$", program.run(text))
    end)
  end
end)
