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

local queues = {} -- pool handle -> {pool =, mail =, first =, last =, asked =, [n] = an entry}

local function drop(queue)
  if queues[queue.pool] == queue then queues[queue.pool] = nil end
  core.line_up(next(queues) ~= nil)
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
  local turn = core.space(queue.pool)
  queue.asked = turn -- kept, because a collected one would not be told
  mailbox.expect(core.watch(turn), { co = queue, loop = { resume = serve } })
end

local function is_gone(entry)
  return entry.left or entry.co and coroutine.status(entry.co) == "dead"
end

-- Lets the waiters try, the first one first, until one is refused.
function serve(queue)
  queue.asked = nil
  while queue.first <= queue.last do
    local entry = queue[queue.first]
    if not is_gone(entry) then
      local ok, result, problem = pcall(entry.attempt)
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

local function suspend(entry, is_own)
  mailbox.hold(entry.loop)
  if entry.loop ~= block then return entry.loop.suspend(entry.co, nil, nil, is_own) end
  local ok, problem = pcall(block.suspend, nil, nil, nil, is_own)
  if not ok then
    entry.left = true
    error(problem, 0)
  end
end

--- Waits for the caller's turn, until attempt() returns something other than nil, "full".
-- Raises what attempt raises. Raises as well if only threads that wait in the same way could
-- make the space.
-- @return what attempt returned
function space.wait(attempt, pool)
  local queue = queue_of(pool)
  if not queue then
    local result, problem = attempt()
    if result or problem ~= "full" then return result, problem end
    queue = { pool = pool, mail = core.mail(), first = 1, last = 0 }
    queues[pool] = queue
    core.line_up(true)
  end
  if not queue.asked then ask(queue) end
  local entry = wait.place()
  entry.attempt = attempt
  queue.last = queue.last + 1
  queue[queue.last] = entry
  local is_own = core.in_pool(pool)
  repeat suspend(entry, is_own) until entry.is_over
  if not entry.ok then error(entry.result, 0) end
  return entry.result, entry.problem
end

return space
