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
local held = {} -- name -> {mutex =, holder =}: by this thread

local function mutex_of(name)
  return shared.once("msys.lock." .. name, weir.mutex)
end

--- What others call this thread.
locks.thread_name = "the scheduler's thread"

local function owner()
  this_thread = this_thread or weir.owner(locks.thread_name, true)
  return this_thread
end

local function who()
  local session = scheduler.current()
  return session and session.label or weir.in_task() and "a task" or "the main program"
end

local function refuse(name)
  error(("msys.lock: '%s' is locked already by %s, of this thread"):format(name, held[name].holder), 3)
end

--- Locks the mutex of that name, for this OS thread. Waits while another thread has it.
function locks.lock(name)
  check.is(check.kinds.string, "msys.lock: argument 1", name)
  if held[name] then refuse(name) end
  local mutex = mutex_of(name)
  local ok, problem = mutex:lock(owner())
  if not ok and held[name] then refuse(name) end
  if not ok then error(("msys.lock: '%s': %s"):format(name, problem), 2) end
  held[name] = { mutex = mutex, holder = who() }
  return true
end

--- Unlocks it.
-- @treturn ?boolean true; nil when this thread has not locked it
-- @treturn ?string why, then
function locks.unlock(name)
  check.is(check.kinds.string, "msys.unlock: argument 1", name)
  local mutex = held[name] and held[name].mutex or mutex_of(name)
  held[name] = nil
  local ok, problem = mutex:unlock(owner())
  if not ok then return nil, ("msys.unlock: '%s': %s"):format(name, problem) end
  return true
end

return locks
