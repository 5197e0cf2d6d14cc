-- SPDX-License-Identifier: ISC
--
-- space.lua: the submits that wait for space in a pool's queue. Those of one state get it in
-- the order in which they came, one for each place; a later submit to such a pool lines up
-- behind them. Between states it is a race: the core wakes all of them at once.

local block = require "weir.loop.block"
local core = require "weir.core"
local mailbox = require "weir.mailbox"
local wait = require "weir.wait"

local space = {}

local clock = core.clock
local GONE = { left = true } -- in the place of an entry that has left

local queues = {} -- pool handle -> {pool =, mail =, first =, last =, asked =, turn =, [n] = an entry}
-- The empty ones, as long as the core will tell them of space: whoever waits next asks for no
-- second notice, because many waits may reach their limits before there is any space.
local idle = setmetatable({}, { __mode = "kv" })

local function drop(queue)
  if queues[queue.pool] == queue then queues[queue.pool] = nil end
  idle[queue.pool] = queue
  core.line_up(next(queues) ~= nil)
end

local function empty_queue(pool)
  local queue = idle[pool]
  if queue and queue.asked and queue.mail == core.mail() then return queue end
  return { pool = pool, mail = core.mail(), first = 1, last = 0, asked = false }
end

-- A task may end while its coroutines wait; their queue is then dropped here.
local function queue_of(pool)
  local queue = queues[pool]
  if queue and queue.mail == core.mail() then return queue end
  if queue then drop(queue) end
end

local serve

-- Asks the core to tell of space, once for all waiters.
local function ask(queue)
  queue.turn = core.space(queue.pool) -- kept, because a collected one would not be told
  mailbox.expect(core.watch(queue.turn), { co = queue, loop = { resume = serve } })
  queue.asked = true
end

local function is_gone(entry)
  return entry.left or entry.co and coroutine.status(entry.co) == "dead"
end

-- A queue in which nobody waits would keep its pool.
local function forget_gone(queue)
  while queue.first <= queue.last and is_gone(queue[queue.first]) do
    queue[queue.first] = nil
    queue.first = queue.first + 1
  end
  if queue.first > queue.last then drop(queue) end
end

-- Lets the waiters try, the first one first, until one is refused.
local function let_try(queue)
  while queue.first <= queue.last do
    local entry = queue[queue.first]
    if not is_gone(entry) then
      local ok, result, problem = pcall(entry.attempt, clock() - entry.since)
      if ok and not result and problem == "full" then
        ok, result = pcall(ask, queue)
        if ok then return end
      end
      entry.is_over, entry.ok, entry.result, entry.problem = true, ok, result, problem
    end
    queue[queue.first] = nil
    queue.first = queue.first + 1
    if queue.first > queue.last then drop(queue) end
    if entry.is_over then entry.loop.resume(entry.co) end
  end
end

function serve(queue)
  queue.asked = false
  local ok, problem = pcall(let_try, queue)
  if ok then return end
  for _ = 1, 3 do -- the others still wait
    if pcall(let_try, queue) then break end
    mailbox.collect()
  end
  forget_gone(queue)
  error(problem, 0)
end

-- A coroutine of plain 5.1 cannot be suspended below pcall.
local passes_pcall = _VERSION ~= "Lua 5.1" or rawget(_G, "jit") ~= nil

local function leave(queue, entry)
  entry.left, queue[entry.place] = true, GONE
  forget_gone(queue)
end

-- Until the caller sleeps, an error of any kind (memory may end everywhere) leaves the entry gone;
-- so does one of the wait, as where the caller cannot be suspended, but on plain 5.1.
local function suspend(queue, entry, left, is_own)
  mailbox.hold(entry.loop)
  entry.left = false
  if entry.loop ~= block and not passes_pcall then return entry.loop.suspend(entry.co, left, nil, is_own) end
  local ok, problem = pcall(entry.loop.suspend, entry.co, left, nil, is_own)
  if not ok then
    leave(queue, entry)
    error(problem, 0)
  end
end

-- Suspends until the entry is over: true; or false, and it has left, once the limit has passed.
local function await(queue, entry, limit, is_own)
  local left = limit
  repeat
    if left and left <= 0 then
      leave(queue, entry)
      return false
    end
    suspend(queue, entry, left, is_own)
    left = limit and entry.since + limit - clock()
  until entry.is_over
  return true
end

-- A new queue is known only once an entry is in it: until then an error leaves nothing.
local function line_up(queue, attempt)
  if not queue.asked then ask(queue) end
  local entry = wait.place()
  entry.attempt, entry.since, entry.place, entry.left = attempt, clock(), queue.last + 1, true
  core.line_up(true)
  queue[entry.place] = entry
  queues[queue.pool] = queue
  queue.last = queue.last + 1
  return entry
end

--- Waits for the caller's turn, until attempt(waited) returns something other than nil, "full";
-- `waited` is for how many seconds the caller has waited. Raises what attempt raises. Raises as
-- well if only threads that wait in the same way, without a limit, could make the space.
-- @tparam ?number limit seconds; nil: no limit
-- @tparam ?string word what ends the wait at the limit
-- @return what attempt returned; or nil and `word`
function space.wait(attempt, pool, limit, word)
  local queue = queue_of(pool)
  if not queue then
    local result, problem = attempt(0)
    if result or problem ~= "full" then return result, problem end
    queue = empty_queue(pool)
  end
  local entry = line_up(queue, attempt)
  if not await(queue, entry, limit, core.in_pool(pool)) then return nil, word end
  if not entry.ok then error(entry.result, 0) end
  return entry.result, entry.problem
end

return space
