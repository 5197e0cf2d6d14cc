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
-- upvalues, light userdata, pools, mutexes, packed values, handles of weir.progress. A value
-- found in package.loaded is sent as a module name and loaded with require on the other
-- side; if it has several names, one that exists in a new state is used. Anything else is
-- refused with an error that names the place: "argument 2.conn: userdata", where argument 1 is
-- the function that is run. Metatables that were not registered are refused as well.
--
-- **Errors**: a wrong argument raises. A failure at run time returns nil and a message.
--
-- **Threads**: a state's pools, futures and loops belong to the thread that runs the state.
--
-- **On other pages**: weir.pool and weir.pool_async open a @{weir.pool}, whose run gives a
-- @{weir.future}; weir.all and weir.any wait for several. weir.mutex makes a @{weir.mutex}.
-- @{weir.loop} and @{weir.shared} are fields of the module.
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
-- loop that runs there, and waits for its result. f may suspend itself there. If the
-- submitting state is itself a pool thread's, it serves such calls while one of its tasks
-- waits in weir; when that task ends, calls that are still open fail.
--
-- f and its upvalues are copied there and back, as any function is: only the copy sees what
-- f assigns to an upvalue. To reach values of the submitting state
--
-- - give the task a handle of weir.progress, which calls a function of that state with its
--   own upvalues;
-- - or let f look them up there: in a global, in package.loaded or in a module that f
--   requires. Functions of such a module cross by name and keep their own upvalues.
-- @tparam function f
-- @param ... its arguments, copied as those of a task are
-- @return what f returned, copied. Raises what f raised. Raises as well when f cannot be
--   called, because that state or its task has ended, or its loop does not turn
function weir.run_in_main(f, ...)
  check.is(is_function, "weir.run_in_main: argument 1", f)
  if not core.in_task() then error("weir.run_in_main: called outside a task", 2) end
  return returned(core.run_in_main(f, ...))
end

--- A handle of fn that tasks call to report their progress. handle(...) calls fn itself, with
-- its own upvalues, in the state that made the handle. That state need not be the one that
-- submitted the task: the call goes from task to submitter until it is there.
--
--    local done = 0
--    local progress = weir.progress(function(n) done = done + n end)
--    pool:run(function() for _ = 1, 10 do work() progress(1) end end)
--
-- A call waits for fn as weir.run_in_main does, and returns copies of what fn returned. So
-- the reports of a task arrive in order, and the task never runs ahead of its last report.
-- The call raises what fn raised. It raises as well when fn cannot be called, because its
-- state or a task between has ended, or a loop does not turn. In the state that made the
-- handle, a call is an ordinary call of fn.
--
-- The handle crosses as an argument, a result, an upvalue or in a table. The state that made
-- it holds fn until the last handle in any state is gone and this state collects garbage. It
-- holds an fn that refers to its own handle until the state ends.
-- @tparam function fn it may suspend itself where the function of run_in_main may
-- @treturn function the handle: userdata that is called like a function; tasks get copies
--   of it
function weir.progress(fn, ...)
  check.none("weir.progress", 2, ...)
  check.is(is_function, "weir.progress: argument 1", fn)
  return progress.new(fn)
end

--- What all pools of the process do, in Prometheus' text format: the counts of pool:stats for
-- each. Answer a GET of /metrics with it, as "text/plain; version=0.0.4". Any state may call it.
-- @treturn string
function weir.metrics(...)
  check.none("weir.metrics", 1, ...)
  return core.metrics()
end

--- Whether a task runs in this state, so that weir.run_in_main can be called.
-- @treturn boolean
function weir.in_task(...)
  check.none("weir.in_task", 1, ...)
  return core.in_task()
end

--- In a task: whether it was cancelled, and should return.
--
-- A task that has asked is not stopped by an error any more. What it still does after the answer
-- true runs to its end, so that it can leave things in order; its result is discarded. A task
-- that goes on longer than the cancel_timeout of its pool is abandoned. Waits of weir and
-- system calls are interrupted all the same.
-- @treturn boolean false outside a task
function weir.cancelled(...)
  check.none("weir.cancelled", 1, ...)
  return core.cancelled()
end

--- In a task: has f called if the task is cancelled, by future:cancel, by its timeout or by
-- pool:cancel_all. f runs on the task's thread, in its state, when the task has ended, whether an
-- error stopped it or it returned; of several functions the last one given comes first. Nothing
-- stops f, but a thread that has not returned within the cancel_timeout of its pool is abandoned.
-- weir.in_task() is false in f. An error of f goes to weir.on_unhandled of the thread's state.
--
--    local name = os.tmpname()
--    weir.on_cancel(function() os.remove(name) end)
-- @tparam function f
function weir.on_cancel(f, ...)
  check.none("weir.on_cancel", 2, ...)
  check.is(is_function, "weir.on_cancel: argument 1", f)
  if not core.in_task() then error("weir.on_cancel: called outside a task", 2) end
  core.on_cancel(function()
    local ok, problem = pcall(f)
    if not ok then weir.report(problem) end
  end)
end

local function unblocked(ok, ...)
  core.blocking_end()
  return returned(ok, ...)
end

--- In a task: calls f(...), for an f that waits for other tasks of the same pool by means
-- that weir does not know. Meanwhile the pool may start one more thread (max_blocked).
-- Outside a task it just calls f.
-- @tparam function f
-- @param ... its arguments
-- @return what f returns
function weir.blocking(f, ...)
  check.is(is_function, "weir.blocking: argument 1", f)
  core.blocking_begin()
  return unblocked(pcall(f, ...))
end

--- Lets values with the metatable mt cross: they arrive with the metatable that is
-- registered under the same name on the other side. Both sides must register one, best in a
-- module that both require.
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

--- Copies values once, for any number of reads in any state.
-- @param ... values that can cross; raises if one cannot
-- @return an object that crosses. Its method unpack() returns copies of the values, size()
--   their size in bytes
function weir.pack(...)
  local packed, problem = core.pack(...)
  if not packed then error("weir.pack: " .. problem, 2) end
  return packed
end

--- Suspends the coroutine for so many seconds, as future:get does. Where nothing can be
-- suspended it blocks the thread, and serves this state's run_in_main calls meanwhile.
-- @tparam number seconds 0 or more
function weir.sleep(seconds, ...)
  check.none("weir.sleep", 2, ...)
  check.is(check.kinds.seconds, "weir.sleep: argument 1", seconds)
  wait.seconds(seconds)
end

--- A message handler for xpcall, for a task that catches errors only to clean up and raises
-- them again: future:traceback() then tells where the first error was raised.
-- @param problem the error value
-- @return it
function weir.note_failure(problem)
  return core.note_failure(problem)
end

--- Calls f(...), and shows it in a trace (WEIR_TRACE) on the track of this thread: what a loop does
-- itself, or a part of a task.
-- @tparam string label a kind of work ("search"), not one piece of it: each text is kept for good
-- @tparam function f must not suspend
-- @param ... its arguments
-- @return what f returns; an error of f passes
function weir.slice(label, f, ...)
  check.is(check.kinds.string, "weir.slice: argument 1", label)
  check.is(is_function, "weir.slice: argument 2", f)
  return core.slice(label, f, ...)
end

local watch_options = { task = check.kinds.limit, loop = check.kinds.limit, log = is_function }

local function take_sightings(log)
  for text in core.sighting do
    local ok, problem = pcall(log, text)
    if not ok then io.stderr:write("weir: watch: log failed: ", tostring(problem), "\n") end
  end
end

--- Has a thread of weir's look, for the whole process, whether a task runs too long or a loop
-- does not turn: "task 'import' has run for 30 s on db/2", "the loop has not turned for 2 s".
-- Each is told when it passes the limit, and again at each doubling. A loop is watched while
-- something is to come to it. A call replaces what was watched before.
-- @tparam ?table given nil: nothing is watched any more. Otherwise the options, at least one
--   limit:
-- @tparam[opt] number given.task seconds, more than 0: tells of tasks that have run so long
-- @tparam[opt] number given.loop seconds, more than 0: tells of loops that have not turned for
--   so long
-- @tparam[opt] function given.log called with each text about a task, in this state; must not
--   suspend. A text wakes the loop, and a wait without one, while anything is to come to this state;
--   else it waits until something is, because watching keeps no loop from ending. By default the
--   texts go to stderr, as those about a loop always do, because log could tell them only when the
--   loop turns again
-- @treturn ?boolean true, or nil if the system refuses the thread
-- @treturn ?string then why
function weir.watch(given, ...)
  check.none("weir.watch", 2, ...)
  if given ~= nil then check.options(watch_options, "weir.watch: options", given) end
  if given and not given.task and not given.loop then
    error("weir.watch: options.task or options.loop must be given", 2)
  end
  local log = given and given.log
  mailbox.watcher = log and function() take_sightings(log) end
  return core.watcher(given and given.task, given and given.loop, log ~= nil and log ~= false)
end

local function print_failure(problem, traceback)
  io.stderr:write("weir: a task failed and nobody asked: ", traceback or tostring(problem), "\n")
end

local on_unhandled = print_failure

--- Calls fn(error, traceback) for each failed task whose future was collected without having
-- been read, before or after the task failed. fn must not suspend.
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

--- Reports a failure that nobody else will see to the function given to weir.on_unhandled.
-- @param problem the error value
-- @tparam ?string traceback
function weir.report(problem, traceback, ...)
  check.none("weir.report", 3, ...)
  local ok, why = pcall(on_unhandled, problem, traceback)
  if not ok then io.stderr:write("weir: on_unhandled failed: ", tostring(why), "\n") end
end
mailbox.report = weir.report

return weir
