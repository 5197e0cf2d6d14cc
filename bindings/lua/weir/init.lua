-- SPDX-License-Identifier: ISC

--- Preemptive thread pools for programs on an event loop, or on none.
--
--    local weir = require "weir"
--    local pool = assert(weir.pool {
--      name = "db", threads = 4, init = connect, args = { "app.db" }, at_exit = disconnect,
--    })
--    local future = pool:run(function(connection, id) return connection:query(id) end, 42)
--    local ok, row = future:get()
--    pool:close()
--
-- **What crosses** between states, always by copy: nil, booleans, numbers, strings,
-- tables (with cycles and shared references, to any depth), functions with their
-- upvalues, light userdata, pools, mutexes, packed values, handles of weir.progress. What is
-- found in package.loaded crosses by its name, of several by the one that a new state has,
-- and is required on the other side. Anything else is refused with an error that names the
-- place: "argument 2.conn: userdata". So are metatables that were not registered.
--
-- **Errors**: a wrong argument raises; what may happen at run time returns nil and a
-- message.
--
-- **Threads**: a state's pools, futures and loops belong to the thread that runs it.
-- @module weir

local core = require "weir.core"
local check = require "weir.check"
local futures = require "weir.future"
local loops = require "weir.loop"
local mailbox = require "weir.mailbox"
local mutexes = require "weir.mutex"
local pools = require "weir.pool"
local progress = require "weir.progress"
local shared = require "weir.shared"
local wait = require "weir.wait"

local weir = {
  _VERSION = "weir " .. core.version,
  loop = loops,
  pool = pools.new,
  pool_async = pools.new_async,
  all = futures.all,
  any = futures.any,
  mutex = mutexes.new,
  owner = mutexes.owner,
  shared = shared,
}

local is_function, returned = check.kinds["function"], progress.returned

--- In a task: has f called in the state that submitted the task, as a coroutine of the
-- loop that runs there, and waits for it. f may suspend itself there. A state that is
-- itself a pool thread's serves such calls while one of its tasks waits in weir; when
-- that task ends, calls still open fail. f and its upvalues are copied, there and back as
-- any function: what it assigns to an upvalue only its copy sees. To reach what the state
-- itself has, give the task a handle of weir.progress, which calls a function of that state
-- with its own upvalues. Or let f look it up there: in a global, in package.loaded or in a
-- module that f requires, whose functions cross by name and keep their own upvalues.
-- @tparam function f
-- @param ... its arguments, copied as those of a task are
-- @return what f returned, copied. Raises what f raised; also when it cannot be called,
--   because that state or its task has ended, or its loop does not turn
function weir.run_in_main(f, ...)
  check.is(is_function, "weir.run_in_main: argument 1", f)
  if not core.in_task() then error("weir.run_in_main: called outside a task", 2) end
  return returned(core.run_in_main(f, ...))
end

--- A handle of fn that tasks call to tell how far they are: handle(...) has fn itself, with
-- its own upvalues, called in the state that made the handle, which need not be the one
-- that submitted the task: the call goes from task to submitter until it is there.
--
--    local done = 0
--    local progress = weir.progress(function(n) done = done + n end)
--    pool:run(function() for _ = 1, 10 do work() progress(1) end end)
--
-- A call waits for fn as weir.run_in_main does, and returns copies of what fn returned: so
-- the reports of a task come in their order, and it runs no further ahead than its last
-- one. It raises what fn raised; also when fn cannot be called, because its state or a task
-- between has ended, or a loop does not turn. In the state that made the handle it calls fn
-- as a function is called.
--
-- The handle crosses as an argument, a result, an upvalue or in a table. Its state holds fn
-- until it collects garbage after the last handle is gone, in whatever state that was; an
-- fn that refers to its own handle it holds to its end.
-- @tparam function fn it may suspend itself where the function of run_in_main may
-- @treturn function the handle: userdata, called as a function is; tasks get copies of it
function weir.progress(fn, ...)
  check.none("weir.progress", 2, ...)
  check.is(is_function, "weir.progress: argument 1", fn)
  return progress.new(fn)
end

--- Whether a task runs in this state, so that weir.run_in_main can be called.
-- @treturn boolean
function weir.in_task(...)
  check.none("weir.in_task", 1, ...)
  return core.in_task()
end

--- In a task: whether it was cancelled, and should return.
-- @treturn boolean false outside a task
function weir.cancelled(...)
  check.none("weir.cancelled", 1, ...)
  return core.cancelled()
end

local function unblocked(ok, ...)
  core.blocking_end()
  return returned(ok, ...)
end

--- In a task: calls f(...), which waits for other tasks of the same pool by means that
-- weir does not know; the pool may start one more thread meanwhile (max_blocked).
-- Elsewhere it just calls f.
-- @tparam function f
-- @param ... its arguments
-- @return what f returns
function weir.blocking(f, ...)
  check.is(is_function, "weir.blocking: argument 1", f)
  core.blocking_begin()
  return unblocked(pcall(f, ...))
end

--- Lets values with the metatable mt cross: they arrive with the metatable that was
-- registered under the same name on the other side. So both sides must register it,
-- best in a module that both require.
-- @tparam string name
-- @tparam table mt
-- Raises when either is registered already with another partner.
function weir.register(name, mt, ...)
  check.none("weir.register", 3, ...)
  check.is(check.kinds.string, "weir.register: argument 1 (name)", name)
  check.is(check.kinds.table, "weir.register: argument 2 (metatable)", mt)
  local ok, problem = pcall(core.register, name, mt)
  if not ok then error("weir.register: " .. (problem:match "%((.*)%)$" or problem), 2) end
end

--- Copies values once, to be had in any state, any number of times.
-- @param ... what can cross; raises at one that cannot
-- @return an object that crosses, with the methods unpack(), which returns copies of them,
--   and size(), in bytes
function weir.pack(...)
  local packed, problem = core.pack(...)
  if not packed then error("weir.pack: " .. problem, 2) end
  return packed
end

--- Suspends as future:get does, for that long. Where nothing can be suspended it blocks
-- the thread, and serves this state's run_in_main calls meanwhile.
-- @tparam number seconds 0 or more
function weir.sleep(seconds, ...)
  check.none("weir.sleep", 2, ...)
  check.is(check.kinds.seconds, "weir.sleep: argument 1", seconds)
  wait.seconds(seconds)
end

--- A message handler for xpcall in a task that catches errors only to clean up and raises
-- them again: the place of the first one becomes future:traceback().
-- @param problem the error value
-- @return it
function weir.note_failure(problem)
  return core.note_failure(problem)
end

local function print_failure(problem, traceback)
  io.stderr:write("weir: a task failed and nobody asked: ", traceback or tostring(problem), "\n")
end

local on_unhandled = print_failure

--- Calls fn(error, traceback) for each failed task whose future is collected without
-- having been read, or was collected before. It must not suspend.
-- @tparam ?function fn nil: writes to stderr, the default
function weir.on_unhandled(fn, ...)
  check.none("weir.on_unhandled", 2, ...)
  if fn ~= nil then check.is(is_function, "weir.on_unhandled: argument 1", fn) end
  on_unhandled = fn or print_failure
end

local function report(future)
  weir.report(core.failure(future))
end
mailbox.unhandled = report
core.on_unhandled(report)

--- Hands a failure that nobody else will see to what weir.on_unhandled was given.
-- @param problem the error value
-- @tparam ?string traceback
function weir.report(problem, traceback, ...)
  check.none("weir.report", 3, ...)
  local ok, why = pcall(on_unhandled, problem, traceback)
  if not ok then io.stderr:write("weir: on_unhandled failed: ", tostring(why), "\n") end
end
mailbox.report = weir.report

return weir
