-- SPDX-License-Identifier: ISC

--- Pools: named sets of threads, each with a Lua state of its own.
--
-- Every state that got a pool's handle may use the pool (handles cross to tasks like any
-- argument or upvalue). When the last handle is collected and the last unsettled future is
-- over, the pool closes without waiting.
-- @classmod weir.pool

local check = require "weir.check"
local core = require "weir.core"
require "weir.future" -- completes the class
local groups = require "weir.group"
local loops = require "weir.loop"
local mailbox = require "weir.mailbox"
local opening = require "weir.opening"
local space = require "weir.space"

local kinds = check.kinds
local unpack = table.unpack or unpack -- luacheck: ignore

local pool = {}
pool.__index = pool

local check_self = check.receiver("pool", core.is_pool)

-- Makes sure that a loop takes what comes back, even if nobody waits for it.
local function look_after()
  if not mailbox.is_held() then mailbox.hold(loops.to_hold(loops.running())) end
end

local NO_OPTIONS = {}
local run = core.run

-- ---- open ---------------------------------------------------------------------

local options = {
  name = kinds.string,
  threads = check.range(1, 1024),
  threads_max = check.range(1, 1024),
  lazy = kinds.boolean,
  idle = kinds.seconds,
  max_blocked = check.range(0, 1024),
  queue_limit = check.range(0, 2 ^ 31),
  on_full = check.word("refuse", "wait", "drop_oldest"),
  stack_size = check.range(2 ^ 16, 2 ^ 30),
  init = kinds["function"],
  args = kinds.list,
  at_exit = kinds["function"],
  preload = kinds.boolean,
  searchers = kinds.boolean,
  cancel_timeout = kinds.seconds,
  nice = check.range(0, 19),
  measure = kinds.boolean,
  own_globals = kinds.boolean,
  metatables = check.word("refuse", "copy", "drop"),
}

-- Options of which each is right, but not all together.
local function check_options(where, given)
  if given.threads and given.threads_max and given.threads_max < given.threads then
    error(("%s: options.threads_max (%d) is less than options.threads (%d)"):format(where,
      given.threads_max, given.threads), 3)
  end
  if given.args and not given.init then
    error(where .. ": options.args without options.init, which would get them", 3)
  end
  if given.args and not pcall(unpack, given.args, 1, given.args.n or #given.args) then
    error(where .. ": options.args has more values than a function can get", 3)
  end
end

-- Returns the handle and a future of the opening, or nil and why not.
local function open(where, given)
  local handle, future = opening.begin(given)
  if handle == false then error(where .. ": " .. opening.name(future), 3) end
  if handle then look_after() end
  return handle, future
end

--- Opens a pool, and waits (as future:get does) until every thread has run its init.
-- @tparam table given the options, all optional:
-- @tparam[opt="weir"] string given.name names the threads
-- @tparam[opt] int given.threads how many; by default one for each CPU that the pool may use
-- @tparam[opt=threads] int given.threads_max it grows up to this number while tasks find no
--   idle thread
-- @tparam[opt=10] number given.idle seconds after which a thread above `threads` ends
-- @tparam[opt=false] boolean given.lazy the pool opens without a thread, and has none while
--   nobody uses it. The first task starts one, more are started up to threads_max, and each
--   ends when it has idled. So init may fail after the open. If no other thread is there
--   then, the futures of the waiting tasks end with false and "init failed: " before the
--   error's text, or the error itself if it is no string. The next task tries again, also
--   after the system refused a thread
-- @tparam[opt=0] int given.max_blocked threads beyond threads_max that stand in for threads
--   whose tasks wait for other tasks
-- @tparam[opt=0] int given.queue_limit tasks that may be queued; 0: no limit
-- @tparam[opt="refuse"] string given.on_full what run does at that limit: "refuse" returns
--   nil, "full"; "wait" suspends until there is space, and serves the calls of one state in
--   order; "drop_oldest" ends the oldest task's future with false, "full"
-- @tparam[opt] function given.init each thread calls init(args...) before its first task and
--   passes the value to every task as its first argument. If it raises, or returns nil and a
--   message, the open fails with that. A thread whose task was stopped calls init again for the
--   next task; if that fails, the next task's future ends with "init failed: ", as in a lazy pool
-- @tparam[opt] table given.args a list: the arguments of init
-- @tparam[opt] function given.at_exit called with init's value on the same thread before the
--   thread ends. close returns the first error of an at_exit; if no handle is left, the error
--   is written to stderr
-- @tparam[opt=false] boolean given.preload copies the functions in package.preload to the
--   threads' states, also C functions without upvalues. package.path, package.cpath and
--   weir's own modules are always copied
-- @tparam[opt=false] boolean given.searchers copies the Lua functions in package.searchers
--   (package.loaders) with their upvalues, for example fennel's or luarocks.loader's. Then
--   tasks, and values that cross to them by name, find the modules that the program finds
-- @tparam[opt=false] boolean given.own_globals gives each task a table of its own for its
--   globals, which reads through to those of the thread's state. What the task assigns is
--   gone after it. Modules that it requires stay loaded, and see the state's globals
-- @tparam[opt="refuse"] string given.metatables what happens to unregistered metatables of
--   values that cross to tasks and back: "refuse" raises; "copy" copies them, a new one for
--   each value, because nothing says that two were the same; "drop" leaves them behind
-- @tparam[opt] int given.stack_size bytes
-- @tparam[opt=0] int given.nice 0 to 19: on Linux the pool's threads, and the commands that
--   they start, are so many steps nicer than the thread that opens the pool. Then the loop's
--   timers fire in time even if tasks compute on every CPU, unless other processes take the CPUs
-- @tparam[opt=false] boolean given.measure keeps how long tasks are queued and run, for
--   pool:times and pool:percentile
-- @tparam[opt=5] number given.cancel_timeout seconds; math.huge: never. A cancelled task that
--   has not stopped by then is abandoned: the pool replaces its thread, which ends when it
--   wakes
-- @treturn ?weir.pool nil if it cannot be opened
-- @return then the error of init, or a string
-- @function weir.pool
function pool.new(given, ...)
  check.none("weir.pool", 2, ...)
  check.options(options, "weir.pool: options", given)
  check_options("weir.pool", given)
  local handle, future = open("weir.pool", given)
  if not handle then return nil, future end
  local ok, problem = future:get()
  if not ok then return nil, opening.name(problem) end
  return handle
end

--- Opens a pool without waiting. Tasks may be submitted at once: they are queued until the
-- pool is open. If the open fails, their futures end with false and "closed".
-- @tparam table given as for weir.pool
-- @treturn ?weir.pool nil if no thread could be started
-- @return a future: true when every thread has run its init, or false and the error of one.
--   Without a pool: a string that says why
-- @function weir.pool_async
function pool.new_async(given, ...)
  check.none("weir.pool_async", 2, ...)
  check.options(options, "weir.pool_async: options", given)
  check_options("weir.pool_async", given)
  local handle, future = open("weir.pool_async", given)
  return handle, future
end

-- ---- run ----------------------------------------------------------------------

local CORE_PRIORITY = { normal = 0, high = 1, low = 2 }

-- The future's task is under way. If memory is short now, the caller would never get the
-- future, so the task is taken back.
local function keep(future)
  local ok, problem = pcall(look_after)
  if ok then return future end
  core.cancel(future)
  error(problem, 0)
end

-- Does what attempt does; where runs wait for space, once it is the caller's turn.
local function in_turn(self, attempt, limit, word)
  if core.waits(self) then return space.wait(attempt, self, limit, word) end
  return attempt(0)
end

-- For how long a run may wait for space, and what it returns then.
local function limit_of(call)
  local within, timeout = call.start_within or math.huge, call.timeout or math.huge
  local limit = math.min(within, timeout)
  if limit < math.huge then return limit, within <= timeout and "expired" or "timeout" end
end

local function rest(seconds, waited) return seconds and math.max(0, seconds - waited) end

-- Has queue, which is core.submit or core.post, queue the call. Returns the future, or nil and why.
local function give(self, queue, name, call, f, ...)
  local future, problem = core.job(self, f, ...)
  if future == nil then return nil, problem end
  if not future then error(("%s: %s"):format(name, problem), 4) end
  local priority = CORE_PRIORITY[call.priority]
  local ok, why = in_turn(self, function(waited)
    return queue(future, priority, rest(call.start_within, waited), call.cancellable,
      rest(call.timeout, waited), call.label)
  end, limit_of(call))
  if not ok then return nil, why end
  return future
end

local function submit(self, call, f, ...)
  local future, problem = give(self, core.submit, "run", call, f, ...)
  if not future then return nil, problem end
  return keep(future)
end

local function post(self, call, f, ...)
  local posted, problem = give(self, core.post, "post", call, f, ...)
  if not posted then return nil, problem end
  look_after()
  return true
end

--- Has a thread of the pool call f(state, ...), or f(...) in a pool without init.
-- Blocks only in a pool with on_full = "wait". The arguments and upvalues of f are copied
-- now; the module weir says what can be copied.
-- @tparam function f
-- @param ... its arguments. Raises if one cannot cross
-- @treturn ?weir.future nil if the task was refused
-- @treturn ?string then "full", "closed" or what the system refused
function pool:run(f, ...)
  local future, problem = run(self, f, ...)
  if problem == true then return future end -- and a loop looks after what comes back
  if future and not loops.is_there() then return future end -- none could
  if future == nil and problem == nil then
    check_self(self, "run")
    check.is(kinds["function"], "run: argument 1", f)
  elseif future == false then
    error("run: " .. problem, 2)
  elseif problem == "full" and core.waits(self) then
    future, problem = submit(self, NO_OPTIONS, f, ...)
  end
  if not future then return nil, problem end
  return keep(future)
end

--- The same without a future: nobody waits for the task and nothing comes back. A task that
-- another task posts outlives that one, because it counts as submitted by the state where the
-- chain of tasks began. That state's weir.on_unhandled is told if it fails, and its
-- weir.run_in_main calls go there.
-- @tparam function f
-- @param ... its arguments. Raises if one cannot cross
-- @treturn ?boolean true, or nil if the task was refused
-- @treturn ?string then "full" or "closed"
function pool:post(f, ...)
  check_self(self, "post")
  check.is(kinds["function"], "post: argument 1", f)
  local ok, problem = post(self, NO_OPTIONS, f, ...)
  return ok, problem
end

--- Cancels every task of the pool that this state has submitted by run and that has not ended, as
-- future:cancel does.
function pool:cancel_all(...)
  check_self(self, "cancel_all", 1, ...)
  local keys = core.cancel_all(self)
  for i = 1, #keys do mailbox.cancelled(keys[i]) end
  if mailbox.call_works then mailbox.call_works() end
end

local function start(self, f, ...)
  local future, problem = run(self, f, ...)
  if problem == "full" and core.waits(self) then return submit(self, NO_OPTIONS, f, ...) end
  return future, problem
end

-- Where the queue is full, one of the calls is waited for, and there is space.
local function start_in_turn(self, calls, f, ...)
  local future, problem = start(self, f, ...)
  while problem == "full" and calls.over < #calls and not calls.failed do
    calls:wait(calls.over + 1)
    future, problem = start(self, f, ...)
  end
  return future, problem
end

--- Has the pool call f(value, ...), or f(state, value, ...) in a pool with init, for each value of
-- a list, and waits for all as future:get does. Where the queue is full it waits for space.
-- @tparam function f
-- @tparam table list
-- @param ... further arguments of each call. Raises if one cannot cross
-- @treturn ?table the first result of each call, in the order of the list; nil as soon as one has
--   failed, whichever it is. Those that have not ended are cancelled then, the rest never called
-- @return then its error, or "full" or "closed"
-- @treturn ?int then the index of the value
function pool:map(f, list, ...)
  check_self(self, "map")
  check.is(kinds["function"], "map: argument 1", f)
  check.is(kinds.table, "map: argument 2 (list)", list)
  local calls = groups.new()
  for i = 1, #list do
    local future, problem = start_in_turn(self, calls, f, list[i], ...)
    if future then
      calls:add(future)
    elseif not calls.failed then
      calls:cancel()
      if future == nil then return nil, problem, i end
      error(("map: %s"):format((problem:gsub("^argument 2", ("list[%d]"):format(i)))), 2)
    end
    if calls.failed then break end
  end
  look_after()
  return calls:collect()
end

local task = {}
task.__index = task

local task_options = {
  priority = check.word("high", "normal", "low"),
  timeout = kinds.seconds,
  start_within = kinds.seconds,
  cancellable = kinds.boolean,
  label = kinds.string,
}

--- Options for runs.
-- @tparam table given the options, all optional:
-- @tparam[opt="normal"] string given.priority "high", "normal" or "low"
-- @tparam[opt] number given.start_within seconds: if no thread has started the task by then,
--   the future ends with false, "expired". In a pool with on_full = "wait" the time counts from
--   the call of run; if it passes while run waits for space, run returns nil, "expired"
-- @tparam[opt] number given.timeout seconds: if the task has not ended by then, the future
--   ends with false, "timeout", whether or not anybody waits for it, and the task is cancelled
--   as by future:cancel. If the task then raises an error of its own, that goes to
--   weir.on_unhandled. The wait for space counts as for start_within: run returns nil, "timeout"
-- @tparam[opt=false] boolean given.cancellable on LuaJIT, runs the task without the compiler,
--   because cancel cannot stop compiled loops. Elsewhere every task can be stopped
-- @tparam[opt] string given.label what the task is called in pool:running, by weir.watch and in
--   traces. Names a kind of task, because each text is kept for good: when all have 256 kB, new ones are
--   left out
-- @return an object with the methods run(f, ...) and post(f, ...), which work like the pool's and
--   may be called any number of times. A posted task that an option ends is only counted, in stats()
function pool:task(given, ...)
  check_self(self, "task", 2, ...)
  check.options(task_options, "task: options", given)
  local copy = {}
  for name, value in pairs(given) do copy[name] = value end
  return setmetatable({ pool = self, options = copy }, task)
end

function task:run(f, ...)
  check.is(kinds["function"], "run: argument 1", f)
  local future, problem = submit(self.pool, self.options, f, ...)
  return future, problem
end

function task:post(f, ...)
  check.is(kinds["function"], "post: argument 1", f)
  local ok, problem = post(self.pool, self.options, f, ...)
  return ok, problem
end

-- ---- close --------------------------------------------------------------------

local close_options = { drain = kinds.boolean, timeout = kinds.seconds }
local close_async_options = { drain = kinds.boolean }

local function start_close(self, drain)
  local closing, problem = core.close_async(self, drain)
  if closing then look_after() end
  return closing, problem
end

-- Blocks the thread inside the core, which knows of calls that nobody could answer then.
local function close_blocking(self, how)
  local ok, problem = core.close_blocking(self, how.drain, how.timeout or -1)
  if not ok then return nil, problem end
  local closing
  closing, problem = start_close(self, how.drain)
  if not closing then return nil, problem end
  return closing:get()
end

local function close_suspended(self, how)
  local closing, problem = start_close(self, how.drain)
  if not closing then return nil, problem end
  if closing:wait(how.timeout) then return closing:get() end
  start_close(self, false)
  return nil, "timeout"
end

local function closed(ok, problem)
  if ok then return true end
  return nil, problem
end

--- Closes the pool and waits until its threads have ended. Running tasks finish. Queued tasks
-- end with false, "closed"; with drain they run first. Posted tasks that do not run any more are
-- only counted, in stats().closed. Calls that wait for space get nil, "closed", also with drain.
-- Raises in a task of the same pool, because the task would wait for itself. A function that a task
-- of the pool has called here (weir.run_in_main, weir.progress) uses close_async: under a loop it
-- and the task would wait for each other.
-- Without a loop, ^C takes effect only when the close has ended. If a task may be stuck, give
-- close a timeout, or use close_async():get(), which ^C ends.
-- @tparam[opt] table how the options, all optional:
-- @tparam[opt=false] boolean how.drain
-- @tparam[opt] number how.timeout seconds. After that queued tasks end as without drain, and
--   close returns nil, "timeout", while the pool goes on closing
-- @treturn ?boolean true, also if the pool was closed before; nil after an error
-- @return then the first error of an at_exit that nobody was told yet, or "timeout"
function pool:close(how, ...)
  check_self(self, "close", 2, ...)
  how = how or NO_OPTIONS
  check.options(close_options, "close: options", how)
  if core.in_pool(self) then error("close: a task would wait for itself; use close_async", 2) end
  local close = loops.of(loops.running()) == loops.block and close_blocking or close_suspended
  return closed(close(self, how))
end

--- Closes the pool without waiting.
-- @tparam[opt] table how the options, all optional:
-- @tparam[opt=false] boolean how.drain
-- @treturn ?weir.future over when the threads have ended: true, or false and the first error
--   of an at_exit; nil if the system refuses what the wait needs
-- @treturn ?string then why
function pool:close_async(how, ...)
  check_self(self, "close_async", 2, ...)
  how = how or NO_OPTIONS
  check.options(close_async_options, "close_async: options", how)
  return start_close(self, how.drain)
end

-- ---- the rest -----------------------------------------------------------------

--- Sets the number of threads. No task is lost.
-- @tparam number min 0 to 1024; 0: the pool is lazy, see weir.pool
-- @tparam ?number max from min (at least 1) to 1024; nil: min
-- @treturn ?boolean nil if the system refused threads, or the pool is closed
-- @treturn ?string then why
function pool:resize(min, max, ...)
  check_self(self, "resize", 3, ...)
  check.is(check.range(0, 1024), "resize: argument 1 (min)", min)
  check.is(check.range(math.max(min, 1), 1024), "resize: argument 2 (max)", max or min)
  return core.resize(self, min, max or min)
end

--- One snapshot of the pool's counts.
-- @treturn table threads, idle, running, queued, lost, blocked: now; submitted, ok, failed,
--   cancelled, expired, closed, dropped, refused, abandoned, grown, retired: since the open;
--   timed_out: those that a timeout ended. A task that ran counts as running until
--   it returns, one that was queued as expired or cancelled as well;
--   oldest_queued, oldest_running: for how many seconds the oldest of them has been that, 0 if
--   there is none
function pool:stats(...)
  check_self(self, "stats", 1, ...)
  return core.stats(self)
end

-- For `local pool <close> = assert(weir.pool {})` of Lua 5.4.
function pool:__close()
  local ok, problem
  if core.in_pool(self) then ok, problem = self:close_async() else ok, problem = self:close() end
  if not ok then mailbox.report(problem) end
end

--- What runs in the pool now, the oldest first.
-- @treturn table a list of tables: label (see pool:task; nil if the task has none), thread (its
--   number), seconds (for how long), cancelled (whether it was asked to stop), blocking (whether
--   it waits for another task, or is in weir.blocking)
function pool:running(...)
  check_self(self, "running", 1, ...)
  return core.running(self)
end

local time_kind = check.word("queue", "run")

--- How long the started tasks were queued, or ran, in a pool with measure = true.
-- @tparam string which "queue" or "run"
-- @treturn ?table a list of tables, shortest times first: count tasks took less than `below`
--   seconds, and not less than the bucket before; a bucket is at most a quarter longer than the
--   one before. nil if the pool does not measure
function pool:times(which, ...)
  check_self(self, "times", 2, ...)
  check.is(time_kind, "times: argument 1", which)
  return core.times(self, which)
end

--- The time below which so many percent of the tasks lie, in a pool with measure = true.
-- @tparam string which "queue" or "run"
-- @tparam number percent 0 to 100
-- @treturn ?number seconds, too long by at most a quarter; nil if nothing was measured
function pool:percentile(which, percent, ...)
  check_self(self, "percentile", 3, ...)
  check.is(time_kind, "percentile: argument 1", which)
  check.is(check.percent, "percentile: argument 2", percent)
  return core.percentile(self, which, percent)
end

function pool:__tostring()
  return ("weir.pool: %s"):format(core.name(self))
end

local new, new_async = pool.new, pool.new_async
pool.new, pool.new_async = nil, nil
for name, value in pairs(pool) do
  core.pool[name] = value
end

return { new = new, new_async = new_async }
