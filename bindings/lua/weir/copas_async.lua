-- SPDX-License-Identifier: ISC

--- Functions on threads of their own, for Copas: stands in for copas-async 2.0.0.
--
--    local async = require "weir.copas_async" -- from now on also as "copas.async"
--    local ok, result, err = async(fn)
--
-- The documented API, on weir's pools in place of Lua Lanes. Known differences:
--
-- - A thread and its Lua state serve one call after the other. Each call has globals of
--   its own, which read through to the state's (so `pairs(_G)` and `rawget(_G, name)` see
--   only what the call itself assigned); package.path and cpath are the caller's of that
--   moment. But a module is loaded once per thread: what it keeps, and what is assigned
--   to a library's fields, is there in later calls.
-- - Up to 1024 calls run at a time, open descriptors of io_popen aside; more wait.
-- - What cannot cross to another thread raises where the function is handed over, and
--   fails the call where it is its result; Lanes loses the call. Metatables are copied:
--   an object that comes back has a copy of its class, unless that is found in a module
--   or known to weir.register.
-- - cancel stops a call that runs Lua at once, and interrupts a system call. What does
--   not stop is given up after cancel_timeout: its thread is replaced, goes on, and ends
--   when it comes back; nothing is killed, nor is a command that it waits for. Loops
--   that LuaJIT compiled are such. No loop turns for a cancelled call any more.
-- - A failed call whose future is collected unread is reported to weir.on_unhandled.
-- - os.exit in a call is an error, as in every weir task.
-- - Programmer's mistakes (a function that is none, a command that is no string, an
--   unknown mode, a closed descriptor) raise at the caller's line. Setting an unknown
--   field of the module raises, too, not only reading one.
-- - Descriptors take any number of arguments in read, write and lines, as files do. write
--   returns what a file's does. A command cannot be had: each operation returns nil and
--   why.
-- - Of a future's fields there is `lane`, and of that `status` alone: "running" (also while
--   it is queued), "done", or "cancelled" from cancel on.
-- - Neither Copas nor LuaSocket is required, and nothing listens on a port. Under luv,
--   cqueues or no loop at all the same functions work: get suspends or blocks as weir
--   does.
-- - On Lua 5.1 (not LuaJIT) lines cannot suspend a coroutine, as there; it says so.
--
-- **Fields**: PENDING (false), SUCCESS (true) and ERROR ("error"), what future:try says
-- first; cancel_timeout (5), the seconds until a call that was cancelled and does not stop
-- is given up (math.huge: never), for what is cancelled from then on.
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

-- On the thread: commands get the program's SIGPIPE, as those that io.popen starts there.
-- LuaSocket has it ignored, so that a command whose output nobody reads runs to its end.
-- A thread that cannot load the module (without descriptors, say) fails later, if at all.
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

-- package.preload is carried over when it can be.
local function get_pool()
  if pool then return pool end
  local ok, opened, problem = pcall(open, true)
  if not ok then opened, problem = open(false) end
  pool = opened
  return opened, problem
end

-- On the thread: as a state made for this call would begin.
local function call(_, path, cpath, fn)
  package.path, package.cpath = path, cpath
  return fn()
end

-- ---- futures ----------------------------------------------------------------------

--- An object that can be asked for the results of a call, see @{addthread}.
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

local function of_future(self, method)
  if getmetatable(self) ~= future then
    error(("%s: called on a %s, not on a future (use future:%s())"):format(method, type(self), method), 3)
  end
end

-- At the line of the public function's caller.
local function submit(where, fn)
  local to, problem = get_pool()
  if not to then error(("%s: no thread can be had: %s"):format(where, problem), 3) end
  local ok, task = pcall(to.run, to, call, package.path, package.cpath, fn)
  if not ok then error(task:gsub("^run: argument 4", where .. ": argument 1"), 3) end
  return setmetatable({ task = task }, future)
end

-- Every get and try gives the same values.
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

--- The result if it is there. Returns at once.
-- @return async.PENDING (false); or async.SUCCESS (true) and what the function returned;
--   or async.ERROR ("error") and its error value
function future:try()
  of_future(self, "try")
  if self.task and not self.task:wait(0) then return async.PENDING end
  local results = settle(self)
  if results[1] then return async.SUCCESS, unpack(results, 2, results.n) end
  return async.ERROR, results[2]
end

--- Cancels a call that has not ended: who waits in get goes on with false and
-- "cancelled", its thread is stopped or, after cancel_timeout, given up, and what it
-- still returns is discarded.
-- @treturn boolean false when it had ended already
function future:cancel()
  of_future(self, "cancel")
  if not self.task or not self.task:cancel(cancel_timeout) then return false end
  self.results = { n = 2, false, "cancelled" }
  self.task, self.is_cancelled = nil, true
  return true
end

-- ---- calls -----------------------------------------------------------------------

--- @section functions

local callable = { "a function", function(v)
  local mt = type(v) == "table" and getmetatable(v)
  return type(v) == "function" or type(mt) == "table" and type(mt.__call) == "function"
end }

--- Runs a function on a thread. Its upvalues are copied: what it assigns to them there is
-- not seen here.
-- @tparam function fn called without arguments. Raises when it, or what it refers to,
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
-- @tparam ?string command nil: asks whether there is a shell
-- @return true and what os.execute returns on this version of Lua; or false and an error
function async.os_execute(command)
  if command ~= nil then check.is(command_kind, "copas.async.os_execute: argument 1", command) end
  return submit("copas.async.os_execute", function() return os.execute(command) end):get()
end

-- ---- descriptors: a file stays in the one state of a pool of its own ---------------

--- What io_popen returns. flush, seek and setvbuf return nil and "Not available.".
-- @type descriptor

local descriptor = {}
descriptor.__index = descriptor

-- What runs on the thread: its init, and the operations. Their first result is whether the
-- second is the file itself.
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

-- ok, the operation's first result, the others
local function ask(self, operation, ...)
  local results = pack(self.pool:run(operation, ...):get())
  if not results[1] then
    error(tostring(results[2]):gsub("^[^\n]-:%d+: ", ""), 3) -- without our line, at the caller's
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
-- @param ... formats of this version's file:read. Raises what that raises
-- @return what that returns; or nil and "Pipe not open for reading"
function descriptor:read(...)
  check_open(self, "read")
  if self.mode ~= "r" then return nil, "Pipe not open for reading" end
  local results = ask(self, read, ...)
  return unpack(results, 3, results.n)
end

--- Writes as file:write does, and suspends as future:get does.
-- @param ... strings and numbers. Raises when one is none
-- @return what this version's file:write returns, the descriptor in place of the file; or
--   nil and "Pipe not open for writing"
function descriptor:write(...)
  check_open(self, "write")
  if self.mode ~= "w" then return nil, "Pipe not open for writing" end
  local results = ask(self, write, ...)
  return unpack(results, 3, results.n)
end

--- Closes the pipe and waits, as future:get does, until the command has ended. One that has
-- more to write gets SIGPIPE; where the program ignores that (LuaSocket has it ignored) it
-- runs on to its end. Who uses the descriptor from then on gets an error, as with a file.
-- @return what close returns on this version for a file of io.popen
function descriptor:close()
  check_open(self, "close")
  self.closed = true
  local results = ask(self, close)
  self.pool:close_async()
  return unpack(results, 3, results.n)
end

-- An iterator cannot be suspended there.
local plain51 = _VERSION == "Lua 5.1" and not rawget(_G, "jit")

--- An iterator: each step reads once.
-- @param ... formats of this version's file:read, in place of lines
-- @treturn function Raises in a coroutine of a loop on Lua 5.1
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

--- @section functions

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
