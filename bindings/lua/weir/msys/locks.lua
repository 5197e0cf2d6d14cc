-- SPDX-License-Identifier: ISC
--
-- weir.msys.locks: the module thread of Momentum, msys.lock and msys.unlock.

local check = require "weir.check"
local scheduler = require "weir.msys.scheduler"
local shared = require "weir.shared"
local weir = require "weir"

local locks = {}

-- ---- thread.mutex -----------------------------------------------------------------

local thread = { MUTEX_NORMAL = 0, MUTEX_RECURSIVE = 1, MUTEX_ERRORCHECK = 2 }
locks.thread = thread

local KINDS = { [0] = "normal", "recursive", "errorcheck" }

--- A new mutex, with the methods lock, unlock and trylock of weir.mutex.
function thread.mutex(kind)
  local word = KINDS[kind or thread.MUTEX_NORMAL]
  if not word then
    error(("thread.mutex: argument 1 must be thread.MUTEX_NORMAL, MUTEX_RECURSIVE or MUTEX_ERRORCHECK, got %s")
      :format(tostring(kind)), 2)
  end
  return weir.mutex(word)
end

-- ---- msys.lock --------------------------------------------------------------------

local this_thread -- its owner, from the first lock on
local held = {} -- of this thread: name -> {mutex =, holder =}
local awaited = {} -- of this thread: name -> {holder =, sessions that come after...}

local function mutex_of(name)
  return shared.once("msys.lock." .. name, weir.mutex)
end

--- The name of this thread in messages.
locks.thread_name = "the scheduler's thread"

local function owner()
  this_thread = this_thread or weir.owner(locks.thread_name, true)
  return this_thread
end

local function who()
  local session = scheduler.current()
  return session and session.label or weir.in_task() and "a task" or "the main program"
end

local function refuse(name, by, verb)
  error(("msys.lock: '%s' is %s already by %s, of this thread"):format(name, verb, by.holder), 4)
end

-- Waits until an earlier session of this thread has the lock. After that any other session
-- would wait for its own thread.
local function check_own(name)
  local before, co = awaited[name], scheduler.suspendable()
  if before and not co then refuse(name, before, "awaited") end
  if before then table.insert(before, co) end
  while before and awaited[name] == before do scheduler.loop.suspend(co) end
  if held[name] then refuse(name, held[name], "locked") end
end

local function wait_for(name, mutex)
  local wait = { holder = who() }
  awaited[name] = wait
  local ok, problem = mutex:lock(owner())
  awaited[name] = nil
  if ok then held[name] = { mutex = mutex, holder = wait.holder } end
  for _, co in ipairs(wait) do scheduler.loop.resume(co) end
  return ok, problem
end

--- Locks the mutex of that name, for this OS thread. Waits while another thread has it.
function locks.lock(name)
  check.is(check.kinds.string, "msys.lock: argument 1", name)
  check_own(name)
  local ok, problem = wait_for(name, mutex_of(name))
  if not ok then error(("msys.lock: '%s': %s"):format(name, problem), 2) end
  return true
end

--- Unlocks the mutex of that name.
-- @treturn ?boolean true; nil if this thread has not locked it
-- @treturn ?string then why
function locks.unlock(name)
  check.is(check.kinds.string, "msys.unlock: argument 1", name)
  local mutex = held[name] and held[name].mutex or mutex_of(name)
  held[name] = nil
  local ok, problem = mutex:unlock(owner())
  if not ok then return nil, ("msys.unlock: '%s': %s"):format(name, problem) end
  return true
end

return locks
