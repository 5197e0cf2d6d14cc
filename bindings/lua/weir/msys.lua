-- SPDX-License-Identifier: ISC

--- Momentum's msys.runInPool and the functions around it, for plain Lua.
--
-- Imitates Momentum 4, as its Lua reference and its configuration reference describe it
-- (support.sparkpost.com, 2020 and 2021). Requiring it sets the globals msys, _TLS and
-- _OSTLS; the threads of its pools also have them. Known differences:
--
-- - Every thread has a Lua state of its own. A closure, its completion on a pool's thread,
--   their upvalues and their results are copied, at the call. No other function sees their
--   writes to captured variables, and each thread has its own globals. A completion in
--   the scheduler is the original function. Mutexes and pools cross as handles. A value that
--   cannot cross raises at the caller's line. So a shared counter needs msys.shareGet and
--   msys.shareSet inside a mutex, see doc/lua/msys.md.
-- - There is one scheduler per Lua state. It runs inside msys.run, which the original does
--   not have. Nor does the original have msys.spawn, msys.validate and
--   msys.threadpool.configure; here they replace its connections and its configuration file.
-- - In a pool's closure _TLS is a copy of the caller's, without the values that cannot cross.
-- - The forms with a third argument that is true or a function return nothing. (The
--   original's page says so, though one of its examples assigns the results.)
-- - A completion gets what pcall of the closure would return; for the original's completion
--   no arguments are documented. A closure that fails is reported to weir.on_unhandled, and
--   its completion still runs.
-- - A wait for the own pool raises "would deadlock" if every thread of it waits. So does
--   a lock whose wait could not end. The original hangs.
-- - Sessions and tasks own mutexes, and unlock them when they end. The OS thread owns a
--   msys.lock, as in the original, but msys.lock raises in a session that would wait for
--   its own thread.
-- - Where a script cannot be suspended (inside a coroutine of its own, table.sort,
--   string.gsub; on Lua 5.1 also pcall and metamethods) its waits block the scheduler's
--   thread, as msys.sleep does in the original.
-- - Pool 4, Close, has no threads: the caller runs its closures, uncopied. Job class -1 is
--   pool CPU. The backlog and stack size of a pool that is in use cannot change.
-- - msys.threadpool.stat works on every thread. Its averages are explained there.
-- - Of Momentum's many validate phases, modules and constants, only those that the
--   documented program needs are here. msys.runInInst knows one instance, 0.
-- @module weir.msys

local calls = require "weir.msys.calls"
local check = require "weir.check"
local locks = require "weir.msys.locks"
local modules = require "weir.msys.modules"
local registry = require "weir.msys.registry"
local scheduler = require "weir.msys.scheduler"
local shared = require "weir.shared"
local weir = require "weir"

local msys = {
  thread = locks.thread,
  threadpool = require "weir.msys.threadpool",
  timer = require "weir.msys.timer",
  lock = locks.lock,
  unlock = locks.unlock,
  registerModule = modules.register,
  validate = modules.validate,
}

--- Has the functions of a module whose names begin with validate_ called for each message.
-- @tparam string name
-- @tparam table module
-- @function registerModule

--- Takes a message through the phases, then through validate_dealloc. The asynchronous calls
-- of a phase start at its end.
-- @tparam ?table message
-- @function validate

--- Locks the mutex of that name, for this OS thread. Waits while another thread has it.
-- @tparam string name
-- @function lock

--- Unlocks the mutex of that name.
-- @tparam string name
-- @treturn ?boolean nil if this thread does not have it
-- @treturn ?string then why
-- @function unlock

local is_function, seconds, is_string = check.kinds["function"], check.kinds.seconds, check.kinds.string
local unpack = table.unpack or unpack -- luacheck: ignore

--- Constants.
msys.core = {
  ECTP_COMPLETE_CALLBACK = 3,
  ECTP_COMPLETE_CALLBACK_SCHED = 6,
}
for name, value in pairs(modules.constants) do msys.core[name] = value end

local function find(where, pool)
  if type(pool) ~= "string" and type(pool) ~= "number" then
    error(("%s: argument 1 must be a pool's name or id, got %s"):format(where, type(pool)), 3)
  end
  local settings = registry.find(pool)
  if not settings then
    error(("%s: argument 1: there is no pool '%s'"):format(where, pool), 3)
  end
  return settings
end

local function pass(...) return ... end

--- Runs f on a thread of a pool.
--
-- - runInPool(pool, f) and (pool, f, false): suspends the caller, while other sessions go on.
--   Returns what pcall(f) would return: true and f's results, or false and the error.
-- - (pool, f, true): returns nothing, at once. f starts when the caller has yielded or
--   ended.
-- - (pool, f, g): as with true, but afterwards g gets what pcall(f) would return, on f's
--   thread.
-- - (pool, f, g, msys.core.ECTP_COMPLETE_CALLBACK_SCHED): as before, but the scheduler calls
--   g itself, as a session that has the caller's _TLS.
--
-- On a pool's thread a call of the first form blocks the thread. A full backlog suspends
-- the calling session, or blocks the calling thread of a pool.
-- @param pool a name, in any case, or an id
-- @tparam function f
-- @param[opt] completion
-- @param[opt] mode
-- @return see above. Raises for a wrong argument, a value that cannot cross, and a wait
--   that would deadlock
function msys.runInPool(pool, f, completion, mode)
  local settings = find("msys.runInPool", pool)
  check.is(is_function, "msys.runInPool: argument 2", f)
  if not completion then return pass(calls.call(settings, f, 3)) end
  if completion ~= true and type(completion) ~= "function" then
    error("msys.runInPool: argument 3 must be a boolean, a function or nil, got " .. type(completion), 2)
  end
  local in_scheduler = mode == msys.core.ECTP_COMPLETE_CALLBACK_SCHED
  calls.defer(settings, f, completion ~= true and completion or nil, in_scheduler and completion ~= true, 3)
end

--- Runs f in a scheduler instance; there is only one, 0. Called on a pool's thread, a copy of f
-- runs in the state where the chain of calls began; elsewhere f runs as a session of its own.
-- @tparam number instance 0
-- @tparam function f
-- @return as runInPool(pool, f)
function msys.runInInst(instance, f)
  if instance ~= 0 then
    error(("msys.runInInst: argument 1: there is no instance %s, only 0"):format(tostring(instance)), 2)
  end
  check.is(is_function, "msys.runInInst: argument 2", f)
  if weir.in_task() then return pcall(weir.run_in_main, f) end
  local session, results = scheduler.current(), nil
  if not session then return pcall(f) end
  local function ended(...)
    results = { n = select("#", ...), ... }
    scheduler.loop.resume(session.co)
  end
  scheduler.spawn({ ended = ended }, f)
  while not results do scheduler.loop.suspend(session.co) end
  return unpack(results, 1, results.n)
end

-- ---- the scheduler ----------------------------------------------------------------

local function started(where)
  if calls.is_worker() then error(where .. ": only on the scheduler's thread, not on a pool's", 3) end
end

--- (Not in Momentum.) Starts another session, fn(...). It runs inside msys.run. Its errors go
-- to weir.on_unhandled.
-- @tparam function fn
-- @param ... its arguments
function msys.spawn(fn, ...)
  check.is(is_function, "msys.spawn: argument 1", fn)
  started("msys.spawn")
  scheduler.spawn({}, fn, ...)
end

-- `require "thread"` means Momentum's while sessions run.
local NAMES = { thread = msys.thread, ["msys.threadpool"] = msys.threadpool }

local function swap_modules(with)
  local before = {}
  for name in pairs(NAMES) do
    before[name] = package.loaded[name]
    package.loaded[name] = with[name]
  end
  return before
end

--- (Not in Momentum.) Runs fn(...) as a session, and runs the scheduler until nothing is
-- left to do: no session, no timer, no call. May be called any number of times; pools
-- stay open.
-- @tparam function fn
-- @param ... its arguments
-- @return what fn returned. Raises what fn raised, when all other sessions have ended. Raises
--   as well if nothing is left that could end the wait of a session
function msys.run(fn, ...)
  check.is(is_function, "msys.run: argument 1", fn)
  started("msys.run")
  if scheduler.is_turning() then error("msys.run: it turns already; use msys.spawn", 2) end
  local results = { n = 1, true }
  scheduler.spawn({ ended = function(...) results = { n = select("#", ...), ... } end }, fn, ...)
  local before = swap_modules(NAMES)
  local ok, problem = pcall(scheduler.run)
  swap_modules(before)
  if not ok then error(problem, 0) end
  if not results[1] then error(results[2], 0) end
  return unpack(results, 2, results.n)
end

--- Suspends the session for so many seconds; elsewhere blocks the thread.
-- @tparam number time 0 or more, fractions count
function msys.sleep(time)
  check.is(seconds, "msys.sleep: argument 1", time)
  weir.sleep(time)
end

-- ---- storage ------------------------------------------------------------------------

local SHARE = "msys.share."

local shareable = { "a number, a string, a boolean or nil", function(v)
  local kind = type(v)
  return kind == "number" or kind == "string" or kind == "boolean" or kind == "nil"
end }

--- Sets a value that all threads see.
-- @tparam string key
-- @param value a number, a string, a boolean or nil
function msys.shareSet(key, value)
  check.is(is_string, "msys.shareSet: argument 1", key)
  check.is(shareable, "msys.shareSet: argument 2", value)
  shared.set(SHARE .. key, value)
end

--- The value that was set under that name.
-- @tparam string key
-- @return the value, or nil
function msys.shareGet(key)
  check.is(is_string, "msys.shareGet: argument 1", key)
  return shared.get(SHARE .. key)
end

--- Removes the value of that name.
-- @tparam string key
function msys.shareUnset(key)
  check.is(is_string, "msys.shareUnset: argument 1", key)
  shared.set(SHARE .. key, nil)
end

local function slurp(path)
  local file, problem = io.open(path, "rb")
  if not file then return nil, problem end
  local contents
  contents, problem = file:read("*a")
  file:close()
  return contents, problem
end

local function contents_of(ok, contents, problem)
  if ok then return contents, problem end
  return nil, contents
end

--- A file's contents, read on a thread of pool IO; a pool's thread reads it itself.
-- @tparam string path
-- @treturn ?string nil if it cannot be read
-- @treturn ?string then why
function msys.readfile(path)
  check.is(is_string, "msys.readfile: argument 1", path)
  if calls.is_worker() then return slurp(path) end
  return contents_of(calls.call(registry.find("IO"), function() return slurp(path) end, 3))
end

-- ---- globals ------------------------------------------------------------------------

-- These functions have no upvalues, for pools that copy package.preload.
package.preload["msys.core"] = function() return require("weir.msys").core end
package.preload["msys.threadpool"] = function() return require("weir.msys").threadpool end

-- Nor does this, which the threads of the pools run; there the globals are set by then.
registry.begin_with(function(pool)
  require "weir.msys"
  return require("weir.msys.calls").become_worker(pool)
end)

rawset(_G, "msys", msys)
rawset(_G, "_TLS", {})
rawset(_G, "_OSTLS", {})

return msys
