-- SPDX-License-Identifier: ISC

--- Mutexes that several states share.
--
-- A mutex crosses as pools do: every state that gets its handle, as an argument, a result or
-- an upvalue, uses the same mutex. Waiters get it in the order in which they came. An owner
-- that ends (a task, a coroutine that is collected) unlocks what it owns. The owner is
--
-- - on a pool's thread: the task
-- - elsewhere: the coroutine, or the owner that its loop names
-- - outside coroutines: the main program
-- @classmod weir.mutex

local check = require "weir.check"
local core = require "weir.core"
local loops = require "weir.loop"
local wait = require "weir.wait"

local KINDS = { normal = 0, recursive = 1, errorcheck = 2 }
local BLOCKS, MAIN_WAITS = 1, 2

local mutex = {}
mutex.__index = mutex

local main_owner = core.owner_new("the main program", true)
local owners = setmetatable({}, { __mode = "k" }) -- coroutine -> its owner

local check_self = check.receiver("mutex", core.is_mutex)

local function check_owner(owner, method)
  if owner ~= nil and not core.is_owner(owner) then
    error(("%s: argument 1 (owner) must be an owner or nil, got %s"):format(method, type(owner)), 3)
  end
end

local function owner_of(co)
  local owner = loops.owner(co)
  if owner or not co then return owner or main_owner end
  owner = owners[co]
  if not owner then
    owner = core.owner_new(tostring(co))
    owners[co] = owner
  end
  return owner
end

-- The owner for a lock or unlock here; nil is the task.
local function owner_here(co)
  if not core.in_task() then return owner_of(co) end
end

--- Locks the mutex: waits (as future:get does) until no other owner has it.
-- @param ?owner the new owner, of weir.owner; nil: the caller
-- @treturn ?boolean true; nil if the owner has locked the mutex already and it is not
--   recursive, or if the wait could not end (its owner waits for the caller, or cannot go
--   on while the caller waits)
-- @treturn ?string then why
function mutex:lock(owner, ...)
  check_self(self, "lock", 2, ...)
  check_owner(owner, "lock")
  local co = loops.running()
  local loop = loops.of(co)
  local how = loop == loops.block and BLOCKS or loop.main_waits and MAIN_WAITS or 0
  local turn, problem = core.mutex_lock(self, owner or owner_here(co), how)
  if turn == nil then return nil, problem end
  if turn == true or wait.signal(turn) then return true end
  return nil, "lock: its owner has ended"
end

--- Locks the mutex if that needs no wait.
-- @param ?owner as in lock
-- @treturn boolean false if it is locked, even by the same owner unless it is recursive
function mutex:trylock(owner, ...)
  check_self(self, "trylock", 2, ...)
  check_owner(owner, "trylock")
  return core.mutex_trylock(self, owner or owner_here(loops.running()))
end

--- Unlocks the mutex; a recursive one must be unlocked as often as it was locked. The waiter
-- that waits longest owns it next.
-- @param ?owner as in lock
-- @treturn ?boolean true; nil if it is not locked, or has another owner
-- @treturn ?string then why
function mutex:unlock(owner, ...)
  check_self(self, "unlock", 2, ...)
  check_owner(owner, "unlock")
  return core.mutex_unlock(self, owner or owner_here(loops.running()))
end

--- The owner's name.
-- @treturn ?string nil if the mutex is free
function mutex:holder(...)
  check_self(self, "holder", 1, ...)
  return core.mutex_holder(self)
end

function mutex:__tostring()
  local holder = core.mutex_holder(self)
  return "weir.mutex: " .. (holder and "locked by " .. holder or "free")
end

for name, value in pairs(mutex) do
  core.mutex[name] = value
end

local owner = { __index = {} }

--- Ends the owner: unlocks what it owns. Collecting the owner does the same.
-- @function owner:release
function owner.__index.release(self, ...)
  check.none("release", 1, ...)
  core.owner_end(self)
end

for name, value in pairs(owner) do
  core.owner[name] = value
end

local module = {}

local kind_word = check.word("normal", "recursive", "errorcheck")

--- A new mutex.
-- @tparam ?string kind "normal" (nil), "recursive" or "errorcheck". The last is the same as
--   "normal": both refuse a second lock by the same owner and an unlock by another
-- @treturn weir.mutex
-- @function weir.mutex
function module.new(kind, ...)
  check.none("weir.mutex", 2, ...)
  if kind ~= nil then check.is(kind_word, "weir.mutex: argument 1 (kind)", kind) end
  return core.mutex_new(KINDS[kind or "normal"])
end

--- An owner of mutexes, for loops whose units are not coroutines.
-- @tparam string name for messages, at most 63 bytes
-- @tparam ?boolean is_main whether it stands for all that runs in this state
-- @return an owner, with the method release
-- @function weir.owner
function module.owner(name, is_main, ...)
  check.none("weir.owner", 3, ...)
  check.is(check.kinds.string, "weir.owner: argument 1 (name)", name)
  return core.owner_new(name, is_main)
end

return module
