-- SPDX-License-Identifier: ISC
--
-- test_parts.lua: small rooms that stand alone.

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local heaps = require "weir.heap"
local yieldable = require "weir.yieldable"

describe("a heap", function()
  local SEED = tonumber(os.getenv "WEIR_SEED") or os.time()

  it("gives the earliest first, of equal ones the one that came first", function()
    local heap, due = heaps.new(), { 3, 1, 2, 1, 3, 2, 1 }
    for i, time in ipairs(due) do heap:add({ i = i }, time) end
    local order = {}
    assert.are.equal(1, heap:due())
    assert.is_nil(heap:pop(0.5))
    for _ = 1, #due do order[#order + 1] = heap:pop(9).i end
    assert.are.same({ 2, 4, 7, 3, 6, 1, 5 }, order)
    assert.is_nil(heap:due())
    assert.is_nil(heap:pop(9))
  end)

  it("keeps its order through any additions and removals", function()
    math.randomseed(SEED)
    local heap, inside = heaps.new(), {}
    for step = 1, 5000 do
      if #inside == 0 or math.random(3) > 1 then
        local entry = { number = step, due = math.random(100) }
        heap:add(entry, entry.due)
        inside[#inside + 1] = entry
      else
        heap:remove(table.remove(inside, math.random(#inside)))
      end
      local first = inside[1]
      for _, entry in ipairs(inside) do
        if entry.due < first.due or entry.due == first.due and entry.number < first.number then first = entry end
      end
      assert.are.equal(first, heap:first(), ("step %d, WEIR_SEED=%d"):format(step, SEED))
    end
  end)

  it("removes what is not in it without harm", function()
    local heap, entry = heaps.new(), {}
    heap:remove(entry)
    heap:add(entry, 1)
    heap:remove(entry)
    heap:remove(entry)
    assert.are.equal(0, heap.size)
  end)
end)

describe("yieldable", function()
  -- What it says inside what `call` calls, and whether a yield works there.
  local function told_and_true(call)
    local said
    local co = coroutine.create(function()
      call(function()
        said = yieldable()
        coroutine.yield()
      end)
    end)
    local came = coroutine.resume(co) and coroutine.status(co) == "suspended"
    return said, came
  end

  local object = setmetatable({}, { __index = function(_, f) f() end, __add = function(_, f) f() return 1 end })

  local places = {
    plain = function(f) f() end,
    deep = function(f)
      local function down(n) if n > 0 then down(n - 1) else f() end return n end
      down(20)
    end,
    tail = function(f) return f() end,
    pcall = function(f) pcall(f) end,
    index = function(f) local _ = object[f] end,
    add = function(f) local _ = object + f end,
    iterator = function(f) for _ in f do f() end end,
    sort = function(f) table.sort({ 1, 2, 3 }, function(a, b) f() return a < b end) end,
    gsub = function(f) string.gsub("a", "a", function() f() end) end,
  }

  for name, call in pairs(places) do
    it("never promises what does not work: " .. name, function()
      local said, came = told_and_true(call)
      if said then assert.is_true(came) end
      if name == "plain" or name == "deep" or name == "tail" then assert.is_true(said) end
      if name == "sort" or name == "gsub" then assert.is_false(said) end
    end)
  end

  it("is false in the main program", function()
    if coroutine.running() and not select(2, coroutine.running()) then return end -- busted's own
    assert.is_false(yieldable())
  end)
end)
