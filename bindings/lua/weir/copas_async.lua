-- SPDX-License-Identifier: ISC

--- Functions on threads of their own, for Copas: replaces copas-async 2.0.0.
--
--    local async = require "weir.copas_async" -- from now on also as "copas.async"
--    local ok, result, err = async(fn)
--
-- This is the documented API of copas-async, on weir's pools instead of Lua Lanes. Known
-- differences:
--
-- - A thread and its Lua state serve one call after the other. Each call has globals of
--   its own, which read through to the state's; so `pairs(_G)` and `rawget(_G, name)` see
--   only what the call itself assigned. package.path and cpath have the caller's values at
--   the call. But a module is loaded once per thread: later calls see what it keeps, and
--   what was assigned to a library's fields.
-- - Up to 1024 calls run at a time, not counting open descriptors of io_popen; more wait.
-- - A value that cannot cross to another thread raises where the function is handed over,
--   and fails the call if it is a result; Lanes loses the call. Metatables are copied: an
--   object that comes back has a copy of its class, unless the class is found in a module
--   or was given to weir.register.
-- - cancel stops a call that runs Lua at once, and interrupts a system call. A call that
--   does not stop, for example a loop that LuaJIT compiled, is given up after
--   cancel_timeout: its thread is replaced, goes on, and ends when the call returns. Nothing
--   is killed, not even a command that the call waits for. No loop waits for a cancelled
--   call any more.
-- - A failed call whose future is collected unread is reported to weir.on_unhandled.
-- - os.exit in a call is an error, as in every weir task.
-- - Programmer's mistakes (a function that is none, a command that is no string, an
--   unknown mode, a closed descriptor) raise at the caller's line. Setting an unknown
--   field of the module raises as well; there only reading one does.
-- - Descriptors take any number of arguments in read, write and lines, as files do. write
--   returns what a file's write does. If a command cannot be started, each operation returns
--   nil and why.
-- - A future has one field, `lane`, with one field, `status`: "running" (also while the call
--   is queued), "done", or "cancelled" from cancel on.
-- - Neither Copas nor LuaSocket is required, and nothing listens on a port. The same
--   functions work under luv, cqueues or no loop: get suspends or blocks as weir does.
-- - On Lua 5.1 (not LuaJIT) lines cannot suspend a coroutine, as there, but raises an error
--   that says so.
--
-- **Fields**: PENDING (false), SUCCESS (true) and ERROR ("error") are the first results of
-- future:try. cancel_timeout (5) is the number of seconds until a cancelled call that does
-- not stop is given up (math.huge: never); it applies to later cancels.
-- @module weir.copas_async

local check = require "weir.check"
local weir = require "weir"

local kinds = check.kinds
local unpack = table.unpack or unpack -- luacheck: ignore

local function pack(...) return { n = select("#", ...), ... } end

local async = { PENDING = false, SUCCESS = true, ERROR = "error" }

local cancel_timeout = 5

-- ---- the pool: one per Lua state, opened by the first call -------------------------

local THREADS = 1024

-- Runs on the thread: its commands get the program's SIGPIPE, as commands of the program's
-- io.popen do. LuaSocket ignores SIGPIPE, so that a command whose output nobody reads runs to
-- its end. A thread that cannot load the module (without descriptors, say) fails later, if at all.
local function keep_pipe()
  local ok, signal = pcall(require, "weir.signal")
  if ok then signal.keep_pipe() end
end

local function init()
  keep_pipe()
  return true
end

local options = {
  name = "copas_async", threads = 1, threads_max = THREADS, own_globals = true, metatables = "copy", init = init,
}
local pool

local function open(preload)
  options.preload = preload
  return weir.pool_async(options)
end

-- package.preload is carried over if its functions can cross.
local function get_pool()
  if pool then return pool end
  local ok, opened, problem = pcall(open, true)
  if not ok then opened, problem = open(false) end
  pool = opened
  return opened, problem
end

-- Runs on the thread: prepares its state so that the call begins as in a new one.
local function call(_, path, cpath, fn)
  package.path, package.cpath = path, cpath
  return fn()
end

-- ---- futures ----------------------------------------------------------------------

--- Stands for the results of a call, see @{addthread}.
-- @type future

local future = {}

local lane = {} -- future.lane, of which there is `status`
function lane:__index(name)
  if name ~= "status" then return nil end
  local of = self.of
  if of.is_cancelled then return "cancelled" end
  return of.task and not of.task:wait(0) and "running" or "done"
end

function future:__index(name)
  if name == "lane" then return setmetatable({ of = self }, lane) end
  return future[name]
end

local of_future = check.receiver("future", function(value) return getmetatable(value) == future end)

-- Raises at the line of the public function's caller.
local function submit(where, fn)
  local to, problem = get_pool()
  if not to then error(("%s: no thread can be had: %s"):format(where, problem), 3) end
  local ok, task = pcall(to.run, to, call, package.path, package.cpath, fn)
  if not ok then error(task:gsub("^run: argument 4", where .. ": argument 1"), 3) end
  return setmetatable({ task = task }, future)
end

-- Every get and try returns the same values.
local function settle(self)
  self.results = self.results or pack(self.task:get())
  self.task = nil
  return self.results
end

--- Waits until the call has ended, and lets other coroutines go on meanwhile. Calling the
-- future is the same. Any number of coroutines may wait.
-- @return true and what the function returned; or false and its error value, which is
--   "cancelled" after cancel
function future:get()
  of_future(self, "get")
  if self.task then self.task:wait() end
  local results = settle(self)
  return unpack(results, 1, results.n)
end

function future:__call()
  return self:get()
end

--- Returns the result if it is there, at once.
-- @return async.PENDING (false); or async.SUCCESS (true) and what the function returned;
--   or async.ERROR ("error") and its error value
function future:try()
  of_future(self, "try")
  if self.task and not self.task:wait(0) then return async.PENDING end
  local results = settle(self)
  if results[1] then return async.SUCCESS, unpack(results, 2, results.n) end
  return async.ERROR, results[2]
end

--- Cancels a call that has not ended. Coroutines that wait in get go on with false and
-- "cancelled". The call is stopped, or its thread given up after cancel_timeout, and what
-- it still returns is discarded.
-- @treturn boolean false if the call had ended already
function future:cancel()
  of_future(self, "cancel")
  if not self.task or not self.task:cancel(cancel_timeout) then return false end
  self.results = { n = 2, false, "cancelled" }
  self.task, self.is_cancelled = nil, true
  return true
end

-- ---- calls -----------------------------------------------------------------------

--- @section end

local callable = { "a function", function(v)
  local mt = type(v) == "table" and getmetatable(v)
  return type(v) == "function" or type(mt) == "table" and type(mt.__call) == "function"
end }

--- Runs a function on a thread. Its upvalues are copied, so the caller does not see what
-- the function assigns to them.
-- @tparam function fn called without arguments. Raises if it, or a value that it refers to,
--   cannot cross to another thread
-- @treturn future
function async.addthread(fn)
  check.is(callable, "copas.async.addthread: argument 1", fn)
  return (submit("copas.async.addthread", fn)) -- no tail call: errors name its caller
end

--- Runs a function on a thread and waits for it as future:get does. async(fn) is the same.
-- @tparam function fn as for addthread
-- @return true and what fn returned; or false and its error value
function async.run(fn)
  check.is(callable, "copas.async.run: argument 1", fn)
  return submit("copas.async.run", fn):get()
end

local function call_module(_, fn)
  check.is(callable, "copas.async: argument 1", fn)
  return submit("copas.async", fn):get()
end

local modes = check.word("r", "w")
local command_kind = { "a string", function(v) return type(v) == "string" or type(v) == "number" end }

--- Runs a command as os.execute does, and waits for it as future:get does.
-- @tparam ?string command nil: only asks whether there is a shell
-- @return true and what os.execute returns on this version of Lua; or false and an error
function async.os_execute(command)
  if command ~= nil then check.is(command_kind, "copas.async.os_execute: argument 1", command) end
  return submit("copas.async.os_execute", function() return os.execute(command) end):get()
end

-- ---- descriptors: each has a pool of its own, with one state that keeps the file -----

--- The result of io_popen. flush, seek and setvbuf return nil and "Not available.".
-- @type descriptor

local descriptor = {}
descriptor.__index = descriptor

-- These run on the thread: its init, and the operations. The first result of an operation is
-- whether the second is the file itself.
local function open_command(command, mode)
  keep_pipe()
  local file, why, code = io.popen(command, mode)
  return { file = file, why = why, code = code }
end

local function read(state, ...)
  if not state.file then return false, nil, state.why, state.code end
  return false, state.file:read(...)
end

local function write(state, ...)
  if not state.file then return false, nil, state.why, state.code end
  local first, why, code = state.file:write(...)
  if first then return first == state.file, first == true or nil end
  return false, nil, why, code
end

local function close(state)
  if not state.file then return false, nil, state.why, state.code end
  return false, state.file:close()
end

-- results: ok, the operation's first result, the others
local function ask(self, operation, ...)
  local results = pack(self.pool:run(operation, ...):get())
  if not results[1] then
    error(tostring(results[2]):gsub("^[^\n]-:%d+: ", ""), 3) -- with the caller's line, not ours
  end
  if results[2] then results[3] = self end
  return results
end

local function check_open(self, method)
  if getmetatable(self) ~= descriptor then
    error(("%s: called on a %s, not on a descriptor (use fd:%s())"):format(method, type(self), method), 3)
  end
  if self.closed then error("attempt to use a closed file", 3) end
end

--- Reads as file:read does, and suspends as future:get does.
-- @param ... formats of this version's file:read. Raises what file:read raises
-- @return what file:read returns; or nil and "Pipe not open for reading"
function descriptor:read(...)
  check_open(self, "read")
  if self.mode ~= "r" then return nil, "Pipe not open for reading" end
  local results = ask(self, read, ...)
  return unpack(results, 3, results.n)
end

--- Writes as file:write does, and suspends as future:get does.
-- @param ... strings and numbers. Raises if an argument is neither
-- @return what this version's file:write returns, the descriptor in place of the file; or
--   nil and "Pipe not open for writing"
function descriptor:write(...)
  check_open(self, "write")
  if self.mode ~= "w" then return nil, "Pipe not open for writing" end
  local results = ask(self, write, ...)
  return unpack(results, 3, results.n)
end

--- Closes the pipe and waits, as future:get does, until the command has ended. A command that
-- writes more gets SIGPIPE; where the program ignores that signal (as LuaSocket makes it) the
-- command runs on to its end. Any later use of the descriptor raises, as with a file.
-- @return what close returns on this version for a file of io.popen
function descriptor:close()
  check_open(self, "close")
  self.closed = true
  local results = ask(self, close)
  self.pool:close_async()
  return unpack(results, 3, results.n)
end

-- On Lua 5.1 an iterator cannot be suspended.
local plain51 = _VERSION == "Lua 5.1" and not rawget(_G, "jit")

--- Returns an iterator that reads once per step.
-- @param ... formats of this version's file:read, in place of lines
-- @treturn function the iterator; on Lua 5.1 it raises in a coroutine of a loop
function descriptor:lines(...)
  check_open(self, "lines")
  if plain51 and weir.loop.of(weir.loop.running()) ~= weir.loop.block then
    error("lines: Lua 5.1 cannot suspend an iterator; call fd:read() in a loop", 2)
  end
  local formats = pack(...)
  return function() return self:read(unpack(formats, 1, formats.n)) end
end

local function not_available() return nil, "Not available." end

descriptor.flush, descriptor.seek, descriptor.setvbuf = not_available, not_available, not_available

--- @section end

--- Starts a command as io.popen does, on a thread of its own, and returns at once. The
-- thread ends with close, or when the descriptor is collected.
-- @tparam string command
-- @tparam[opt="r"] string mode "r" or "w"
-- @treturn descriptor
function async.io_popen(command, mode)
  check.is(command_kind, "copas.async.io_popen: argument 1", command)
  mode = mode or "r"
  check.is(modes, "copas.async.io_popen: argument 2 (mode)", mode)
  local own, problem = weir.pool_async {
    name = "io_popen", threads = 1, init = open_command, args = { command, mode },
  }
  if not own then error("copas.async.io_popen: no thread can be had: " .. problem, 2) end
  return setmetatable({ pool = own, mode = mode }, descriptor)
end

-- ---- the module --------------------------------------------------------------------

local function unknown(name, level)
  error(("unknown field 'async.%s'"):format(tostring(name)), level + 1)
end

local module = {}

module.__call = call_module

function module.__index(_, name)
  if name == "cancel_timeout" then return cancel_timeout end
  unknown(name, 2)
end

function module.__newindex(_, name, value)
  if name ~= "cancel_timeout" then unknown(name, 2) end
  check.is(kinds.seconds, "async.cancel_timeout", value)
  cancel_timeout = value
end

package.preload["copas.async"] = function() return require "weir.copas_async" end

return setmetatable(async, module)
