-- SPDX-License-Identifier: ISC
--
-- test_sequences.lua: any sequence of calls on a pool of one thread, beside a model of the contract.
--
-- A task holds the thread, except while the pool serves its queue. So the model knows what each
-- call returns, which tasks are queued, in which order they start, how each ends and what is
-- counted. A sequence that fails is made as short as it can be.
--
-- WEIR_SECONDS lets it go on with further seeds, WEIR_SEED begins with another one.

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local weir = require "weir"
local wait = require "weir.wait"

local STARTED = "test.sequences.started" -- in weir.shared: the numbers of the tasks, as they started
local POLICIES = { "refuse", "drop_oldest", "wait" }
local PRIORITIES = { "high", "normal", "low" }
local RANK = { high = 0, normal = 1, low = 2 }
local KINDS = { "returns", "raises", "calls" }
local MOST_CALLS = 30 -- fewer than 32 starts, because the 32nd serves the lowest priority
local TICK = 0.0005

local function task(number, kind)
  local inner = require "weir"
  inner.shared.update("test.sequences.started", function(list)
    list[#list + 1] = number
    return list
  end)
  if kind == "raises" then error({ number }, 0) end
  if kind == "calls" then return inner.run_in_main(function(n) return n end, number) end
  return number
end

local function same(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then return a == b end
  return a[1] == b[1]
end

local function show(v) return type(v) == "table" and "{" .. tostring(v[1]) .. "}" or tostring(v) end

local function expect(what, expected, got)
  if not same(expected, got) then
    error(("%s: %s, the model says %s"):format(what, show(got), show(expected)), 2)
  end
end

-- ---- the model ------------------------------------------------------------------

-- A task of the model: number, kind, priority, future (nil: posted), ok and value (nil: it is
-- queued), told: how often on_settle was called.
local Model = {}
Model.__index = Model

function Model:is_full() return self.limit > 0 and #self.queue >= self.limit end

local function end_as(t, ok, value, count)
  t.ok, t.value, t.count = ok, value, count
end

local function end_naturally(t)
  if t.kind == "raises" then end_as(t, false, { t.number }, "failed") else end_as(t, true, t.number, "ok") end
end

function Model:end_queue(value, count)
  for _, t in ipairs(self.queue) do end_as(t, false, value, count) end
  self.queue = {}
end

function Model:know(future, kind, priority)
  self.number = self.number + 1
  local t = { number = self.number, kind = kind, priority = priority, future = future, told = 0 }
  if future then future:on_settle(function() t.told = t.told + 1 end) end
  self.tasks[#self.tasks + 1] = t
  return t
end

local function check_result(t)
  if not t.future then return end
  local ok, value = t.future:get()
  expect("get of task " .. t.number .. " (whether it is well)", t.ok, ok)
  expect("get of task " .. t.number, t.value, value)
end

-- ---- the thread -----------------------------------------------------------------

function Model:until_idle()
  repeat
    local s = self.pool:stats()
    if s.running + s.queued > 0 then wait.seconds(TICK) end
  until s.running + s.queued == 0
end

function Model:hold()
  self.mutex = weir.mutex()
  assert(self.mutex:lock())
  local future = assert(self.pool:run(function(m) return m:lock() and m:unlock() end, self.mutex))
  self.holder = self:know(future, "holds", "normal")
  while self.pool:stats().running == 0 do future:wait(TICK) end
end

function Model:let_go()
  if not self.holder then return end
  assert(self.mutex:unlock())
  end_as(self.holder, true, true, "ok")
  check_result(self.holder)
  self.holder = nil
end

-- The thread has begun with what is queued, or will.
function Model:served()
  local order = {}
  for rank = 0, 2 do
    for _, t in ipairs(self.queue) do
      if RANK[t.priority] == rank then order[#order + 1] = t end
    end
  end
  self.queue = {}
  for _, t in ipairs(order) do
    self.started[#self.started + 1] = t.number
    end_naturally(t)
    check_result(t)
  end
end

-- The submit that waits gets the space that there is now.
function Model:let_wait_end()
  if not self.waiter or not self.is_closed and self:is_full() then return end
  local ok, accepted, why = self.waiter:get()
  self.waiter = nil
  expect("a post that waited for space", true, ok)
  if self.is_closed then
    expect("a post that waited until the close", nil, accepted)
    expect("its reason", "closed", why)
  else
    expect("a post that waited for space", true, accepted)
    self.queue[#self.queue + 1] = self:know(nil, "returns", "normal")
  end
end

function Model:serve_free_thread()
  self:served()
  self:let_wait_end()
  self:served()
  self:until_idle()
  self:hold()
end

-- ---- calls ------------------------------------------------------------------------

local calls = {}

-- The oldest of the lowest priority that is not above it.
local function to_drop(queue, priority)
  local found
  for i = #queue, 1, -1 do
    local rank = RANK[queue[i].priority]
    if rank >= RANK[priority] and (not found or rank >= RANK[queue[found].priority]) then found = i end
  end
  return found
end

function Model:submit(kind, priority)
  local number = self.number + 1
  if priority == "normal" then return self.pool:run(task, number, kind) end
  return self.pool:task({ priority = priority }):run(task, number, kind)
end

function calls.run(m, n)
  local kind, priority = KINDS[n % 3 + 1], PRIORITIES[math.floor(n / 3) % 3 + 1]
  if m.policy == "wait" then priority = "normal" end -- so that who waits is the last one
  local full = not m.is_closed and m:is_full()
  if full and m.policy == "wait" then
    if m.waiter then return end
    m.waiter = assert(m.helper:run(function(pool, f, number) return pool:post(f, number) end, m.pool, task,
      m.number + 1))
    return
  end
  local dropped = full and m.policy == "drop_oldest" and to_drop(m.queue, priority)
  local future, why = m:submit(kind, priority)
  if m.is_closed or full and not dropped then
    expect("run", nil, future)
    expect("why run refused", m.is_closed and "closed" or "full", why)
    return
  end
  if dropped then end_as(table.remove(m.queue, dropped), false, "full", "dropped") end
  if not future then error("run: " .. tostring(why)) end
  m.queue[#m.queue + 1] = m:know(future, kind, priority)
end

local function late(m, option, value, count)
  if m.is_closed or m:is_full() then return end
  local t = m:know(assert(m.pool:task({ [option] = TICK }):run(task, m.number + 1, "returns")), "returns", "normal")
  end_as(t, false, value, count)
  check_result(t)
end

function calls.start_late(m) late(m, "start_within", "expired", "expired") end
function calls.end_late(m) late(m, "timeout", "timeout", "timed_out") end

function calls.serve(m)
  if m.is_closed then return end
  m:let_go()
  m:serve_free_thread()
end

-- Its thread gets a new state, and then serves.
local function holder_is_stopped(m)
  end_as(m.holder, false, "cancelled", "cancelled")
  check_result(m.holder)
  m.holder = nil
  assert(m.mutex:unlock())
end

function calls.cancel(m, n)
  local t = m.tasks[n % #m.tasks + 1]
  if not t.future then return end
  local cancelled = t.future:cancel()
  expect("cancel", t.ok == nil, cancelled)
  if t == m.holder then
    holder_is_stopped(m)
    return m:serve_free_thread()
  end
  for i = #m.queue, 1, -1 do
    if m.queue[i] == t then
      table.remove(m.queue, i)
      end_as(t, false, "cancelled", "cancelled")
      m:let_wait_end()
    end
  end
end

-- What this state has posted for others stays.
function calls.cancel_all(m)
  if not m.holder or m.waiter then return end
  m.pool:cancel_all()
  local left = {}
  for _, t in ipairs(m.queue) do
    if t.future then end_as(t, false, "cancelled", "cancelled") else left[#left + 1] = t end
  end
  m.queue = left
  holder_is_stopped(m)
  m:serve_free_thread()
end

function calls.try(m, n)
  local t = m.tasks[n % #m.tasks + 1]
  if not t.future then return end
  expect("whether try returns something", t.ok ~= nil, select("#", t.future:try()) > 0)
  if t.ok ~= nil then check_result(t) end
end

-- With a drain the queue is served first.
local function after_close(m, drain)
  m.is_closed = true
  if not drain then m:end_queue("closed", "closed") end
  m:let_go()
  m:served()
  m:let_wait_end()
  m:until_idle()
end

-- It waits for the holder, which is let go before; so what is queued then is served, too.
function calls.close(m, n)
  if n >= 8 then return end
  m:let_go()
  if not m.is_closed then
    m:served()
    m:let_wait_end()
    m:served()
    m:until_idle()
  end
  local ok, why = m.pool:close { drain = n % 2 == 1 }
  expect("close", true, ok or why)
  after_close(m, true)
end

function calls.close_within(m, n)
  if n >= 8 then return end
  local is_held = m.holder ~= nil
  local ok, why = m.pool:close { drain = n % 2 == 1, timeout = is_held and TICK or 20 }
  if is_held then
    expect("close with a timeout", nil, ok)
    expect("why it ended", "timeout", why)
    after_close(m, false)
  end
  expect("close", true, m.pool:close())
end

function calls.close_async(m, n)
  if n >= 8 then return end
  local drain = n % 2 == 1
  local closing = assert(m.pool:close_async { drain = drain })
  after_close(m, drain)
  local ok, why = closing:get()
  expect("close_async", true, ok or why)
end

-- ---- what must hold after each call, and in the end ---------------------------------

local COUNTS = { "ok", "failed", "cancelled", "expired", "closed", "dropped", "timed_out" }

function Model:check_counts()
  if self.waiter then return end
  local s, expected = self.pool:stats(), { queued = #self.queue, running = self.holder and 1 or 0 }
  expected.submitted = #self.tasks
  for _, name in ipairs(COUNTS) do expected[name] = 0 end
  for _, t in ipairs(self.tasks) do
    if t.count then expected[t.count] = expected[t.count] + 1 end
  end
  -- whether its limit or the core's deadline ended it first, nobody says
  expected["cancelled or expired"] = expected.cancelled + expected.expired + expected.timed_out
  s["cancelled or expired"] = s.cancelled + s.expired
  if expected.timed_out > 0 then expected.cancelled, expected.expired = nil, nil end
  for name, n in pairs(expected) do expect("stats: " .. name, n, s[name]) end
end

function Model:finish()
  calls.close_async(self, 0)
  while weir.loop.pending() > 0 do weir.loop.turn(weir.loop.block, 60) end
  self:check_counts()
  expect("started", table.concat(self.started, " "), table.concat(weir.shared.get(STARTED), " "))
  for _, t in ipairs(self.tasks) do
    check_result(t)
    if t.future then expect("on_settle of task " .. t.number, 1, t.told) end
  end
end

-- ---- sequences ------------------------------------------------------------------------

local NAMES = { "serve", "cancel", "cancel", "cancel_all", "try", "start_late", "end_late", "close", "close_within",
  "close_async" }
local RUNS = 12 -- so many more of 22 are runs

local function make(seed)
  local state = seed % 2147483646 + 1
  local function random(n)
    state = state * 48271 % 2147483647
    return math.floor(state / 2147483647 * n)
  end
  for _ = 1, 3 do random(1) end
  local s = { limit = random(4), policy = POLICIES[random(3) + 1], lazy = random(2) == 1 }
  for i = 1, random(MOST_CALLS + 1) do s[i] = { NAMES[random(#NAMES + RUNS) + 1] or "run", random(36) } end
  return s
end

local function describe_sequence(s)
  local list = {}
  for i, call in ipairs(s) do list[i] = call[1] .. " " .. call[2] end
  return ("limit %d, %s%s: %s"):format(s.limit, s.policy, s.lazy and ", lazy" or "", table.concat(list, "; "))
end

local helper

local function perform(m, s)
  m:hold()
  for _, call in ipairs(s) do
    calls[call[1]](m, call[2])
    m:check_counts()
  end
  m:finish()
end

local function run(s)
  weir.shared.set(STARTED, {})
  local pool = assert(weir.pool { threads = 1, lazy = s.lazy, queue_limit = s.limit, on_full = s.policy })
  local m = setmetatable({ pool = pool, limit = s.limit, policy = s.policy, helper = helper, tasks = {}, queue = {},
    started = {}, number = 0 }, Model)
  local ok, problem = pcall(perform, m, s)
  if not ok then
    if m.holder then m.mutex:unlock() end
    pool:close()
    error(problem, 0)
  end
end

local function without(s, first, n)
  local shorter = { limit = s.limit, policy = s.policy, lazy = s.lazy }
  for i, call in ipairs(s) do
    if i < first or i >= first + n then shorter[#shorter + 1] = call end
  end
  return shorter
end

-- The same failure need not come of it: any will do.
local function shrink(s, problem)
  local n = #s
  while n >= 1 do
    local found
    for first = 1, #s - n + 1 do
      local shorter = without(s, first, n)
      local ok, other = pcall(run, shorter)
      if not ok then
        s, problem, found = shorter, other, true
        break
      end
    end
    if not found then n = math.floor(n / 2) end
  end
  return s, problem
end

describe("a pool of one thread", function()
  it("does what the model says, whatever is called in which order", function()
    local seconds, seed = tonumber(os.getenv "WEIR_SECONDS") or 0, tonumber(os.getenv "WEIR_SEED") or 1
    local rounds, begin = 0, os.time()
    local least = os.getenv "WEIR_LUA_VARIANT" == "" and 100 or 10
    local handler = weir.on_unhandled(function() end)
    helper = assert(weir.pool { threads = 1 })
    repeat
      if seconds > 0 then io.stderr:write("WEIR_SEED=", seed, "\n") end
      local s = make(seed)
      local ok, problem = pcall(run, s)
      if not ok then
        s, problem = shrink(s, problem)
        error(("WEIR_SEED=%d: %s: %s"):format(seed, describe_sequence(s), tostring(problem)), 0)
      end
      seed, rounds = seed + 1, rounds + 1
    until rounds >= least and os.time() - begin >= seconds
    weir.on_unhandled(handler)
    assert.is_true(helper:close())
    weir.shared.set(STARTED, nil)
  end)
end)
