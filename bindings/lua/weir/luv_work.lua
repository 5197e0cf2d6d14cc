-- SPDX-License-Identifier: ISC

--- uv.new_work and uv.queue_work of luv, on weir's pools.
--
--    local uv = require "weir.luv_work" -- in place of require "luv"
--    local work = uv.new_work(function(rows) table.sort(rows) return rows end, show)
--    work:queue { 3, 1, 2 }
--    uv.run()
--
-- Every other field of the module is luv's. Known differences:
--
-- - Arguments and results are copied as those of every weir task: tables, functions with their
--   upvalues, strings, numbers. Integers stay integers. luv's handles do not cross: give a work
--   a function of weir.progress in place of a uv_async_t.
-- - A work gets the upvalues of its function, copied; with luv they are nil.
-- - What a work raises, also if it cannot be loaded or a value cannot cross, goes to on_error or
--   else to weir.on_unhandled, which prints it with its traceback. Then after is called without
--   values, as by luv.
-- - What after raises goes to weir.on_unhandled. luv ends the program.
-- - The works of the program have a pool of their own, `luv_work`: files, names and the works of
--   luv's own new_work do not wait behind them. It has UV_THREADPOOL_SIZE threads, else 4; each
--   has one Lua state for good, as with luv. `_THREAD` is not set there: ask weir.in_task().
-- - Where works are under way the loop has a handle of weir's. The module's walk leaves it out, so
--   that a program which closes all handles gets its works back all the same.
-- - An error names the argument and stands at the caller's line, and says what takes the place of
--   a uv_async_t.
-- - Where Copas or cqueues is loaded too, call weir.loop.use(weir.loop.luv) first.
--
-- In a work all of weir can be used: weir.run_in_main, weir.cancelled, weir.progress.
-- @module weir.luv_work

local check = require "weir.check"
local uv = require "luv"
local weir = require "weir"
local works = require "weir.work"

local kinds = check.kinds
local load = loadstring or load -- luacheck: ignore

local MOST_THREADS, USUAL_THREADS = 1024, 4

local luv_work = {}

-- ---- the pool: one for each Lua state, opened by the first work without a pool ---------

local own_pool

local function threads()
  local wanted = tonumber(os.getenv "UV_THREADPOOL_SIZE" or "") or USUAL_THREADS
  return math.floor(math.max(1, math.min(MOST_THREADS, wanted)))
end

--- The pool of the works that were made without one, for its statistics and its close.
-- @treturn ?weir.pool nil if the system refuses it
-- @treturn ?string then why
function luv_work.pool()
  local problem
  if not own_pool then
    own_pool, problem = weir.pool_async {
      name = "luv_work", lazy = true, threads_max = threads(), idle = math.huge,
    }
  end
  return own_pool, problem
end

-- ---- works ------------------------------------------------------------------------------

--- What new_work returns.
-- @type work

local FN, AFTER, POOL = works.FN, works.AFTER, works.POOL

local work = {}
local class = { __index = work }

local function is_work(value)
  return getmetatable(value) == class
end

local function fail(self, future, problem)
  local on_error = self.on_error or weir.report
  on_error(problem, future:traceback())
  return self[AFTER]()
end

local function finish(self, future, ok, ...)
  if ok then return self[AFTER](...) end
  return fail(self, future, (...))
end

function class.finish(self, future) return finish(self, future, future:get()) end

local function run(self, ...)
  local problem
  if not self[POOL] then self[POOL], problem = luv_work.pool() end
  if not self[POOL] then return nil, problem end
  return self[POOL]:run(self[FN], ...)
end

local ASYNC = "%(uv_async%) cannot cross.*"

-- Of an error of pool:run, whose argument 1 is the work's function. A method's arguments are
-- counted without its object.
local function rename(where, problem)
  local before = where == "queue" and 1 or 0
  return where .. ": " .. tostring(problem):gsub("^.-run: ", ""):gsub("^argument (%d+)", function(number)
    return number == "1" and "the work's function" or ("argument %d"):format(number - before)
  end):gsub(ASYNC, "%0; a function of weir.progress can")
end

local function settle(where, self, ok, future, problem)
  if not ok then error(rename(where, future), 4) end
  if not future then return nil, problem end
  future:on_settle(function() return class.finish(self, future) end)
  return true
end

local function queue_slowly(where)
  return function(self, ...)
    if not is_work(self) then error(where .. ": argument 1 must be a work, got " .. type(self), 3) end
    local queued, problem = settle(where, self, pcall(run, self, ...))
    if queued then return true end -- alone, as with luv
    return nil, problem
  end
end

--- Has a thread of the pool call the work's function.
-- @param ... its arguments. Raises if one cannot cross
-- @treturn ?boolean true, or nil if the pool refuses the work
-- @treturn ?string then "full", "closed" or what the system refused
-- @function queue
work.queue = works.queue(class, queue_slowly "queue")

function class:__tostring()
  return ("weir.luv_work: %s"):format(tostring(self[FN]))
end

--- @section end

--- work:queue(...) as a function.
-- @param self what new_work returned
-- @param ... the arguments of the work's function
-- @return as of work:queue
-- @function queue_work
luv_work.queue_work = works.queue(class, queue_slowly "queue_work")

local options = {
  pool = { "a weir.pool", function(v) return type(v) == "userdata" and tostring(v):find "^weir.pool: " ~= nil end },
  on_error = kinds["function"],
}

local code = { "a function or a string of code", function(v) return type(v) == "function" or type(v) == "string" end }

-- Code that cannot be loaded fails when it is called, as with luv.
local function to_function(fn)
  if type(fn) == "function" then return fn end
  local loaded, problem = load(fn, "=pool")
  return loaded or function() error(problem, 0) end
end

--- Makes a work, which may be queued any number of times.
-- @param fn what a thread calls: a function, or a string of Lua code, also precompiled
-- @tparam function after called on the loop, outside of a coroutine, with the values that fn
--   returned; with none if fn failed
-- @tparam[opt] table given the options, all optional:
-- @tparam[opt] weir.pool given.pool a pool of the program's own. If it has an init, fn gets the
--   thread's state as its first argument
-- @tparam[opt] function given.on_error called as on_error(error, traceback) before after when
--   fn failed, or never ran because the pool was closed
-- @treturn work
function luv_work.new_work(fn, after, given, ...)
  check.none("new_work", 4, ...)
  check.is(code, "new_work: argument 1", fn)
  check.is(kinds["function"], "new_work: argument 2 (after)", after)
  if given ~= nil then check.options(options, "new_work: options", given) end
  local self = setmetatable({ to_function(fn), after, own_pool }, class)
  if given then self[POOL], self.on_error = given.pool or own_pool, given.on_error end
  return self
end

--- uv.walk without weir's handle.
-- @tparam function fn
function luv_work.walk(fn)
  uv.walk(function(handle)
    if not weir.loop.luv.has_made(handle) then fn(handle) end
  end)
end

return setmetatable(luv_work, { __index = uv })
