-- SPDX-License-Identifier: ISC

--- The event loops that weir suspends coroutines under.
--
-- A loop is a table with these fields; those from `spawn` on are optional:
--
-- - `name`: a string
-- - `owns(co)`: whether this loop is dispatching and resumes the coroutine `co`
-- - `suspend(co, timeout)` suspends `co`, the running coroutine, until `resume(co)` or until
--   `timeout` seconds have passed (nil: no limit); may also return earlier
-- - `resume(co)` lets a suspended `co` go on, now or at the loop's next turn; does nothing if
--   `co` is no longer suspended
-- - `watch(fd, fn)` calls `fn()` whenever the descriptor is readable; returns a function that
--   ends this, or nil if no loop is available here. While it watches, the loop does not end
-- - `spawn(fn, ...)` runs `fn(...)` as a coroutine of the loop, for weir.run_in_main. Without
--   spawn such a function cannot be suspended
-- - `instance()`: any value that differs after the loop's module was loaded anew
-- - `call(ended, fn, ...)`: as spawn, then calls `ended(true, what fn returned...)` or
--   `ended(false, the error)`. On Lua 5.1 spawn alone cannot report an error
-- - `owner(co)`: the owner (see weir.owner) of the mutexes that `co` locks now or, with nil, of
--   those locked outside coroutines; nil: no owner of this loop's
-- - `main_waits`: true if the state's main program cannot go on while the loop's coroutines run
-- - `present()`: whether watch also works outside the loop's coroutines
--
-- weir calls all of them on the state's own thread. It comes with block, copas, luv and
-- cqueues: weir.loop.copas and so on.
-- @module weir.loop

local block = require "weir.loop.block"
local core = require "weir.core"
local mailbox = require "weir.mailbox"

local loop = { block = block }

local TURN = 64 -- deliveries

local loaded, running = package.loaded, coroutine.running
local is_51 = _VERSION == "Lua 5.1" -- or LuaJIT
local OWN = { "copas", "cqueues", "luv" } -- in the order in which they are asked
local registered = {}
local explicit
local first -- of OWN, when it was loaded

local function bad(text, ...)
  error(text:format(...), 4)
end

local function check(name, candidate)
  if type(candidate) ~= "table" then
    bad("%s: argument 1 must be a loop (a table), got %s", name, type(candidate))
  end
  for _, field in ipairs { "owns", "suspend", "resume" } do
    if type(candidate[field]) ~= "function" then
      bad("%s: argument 1.%s must be a function, got %s", name, field, type(candidate[field]))
    end
  end
end

--- Adds a loop. The last one added is asked first.
-- @tparam table candidate a loop, see above. Raises when a function is missing.
function loop.register(candidate)
  check("weir.loop.register", candidate)
  table.insert(registered, 1, candidate)
end

--- From now on suspends every coroutine of this state under `candidate`, whichever other loop
-- runs; nil ends that.
-- @tparam ?table candidate a loop, registered or not
function loop.use(candidate)
  if candidate ~= nil then check("weir.loop.use", candidate) end
  explicit = candidate
  mailbox.use(candidate)
end

-- Every wait calls it, so it does without ipairs.
local function find(predicate, co)
  for i = 1, #registered do
    local candidate = registered[i]
    if candidate[predicate] and candidate[predicate](co) then return candidate end
  end
  for i = 1, #OWN do
    local candidate = loaded[OWN[i]] and loop[OWN[i]]
    if candidate and candidate[predicate] and candidate[predicate](co) then return candidate end
  end
end

--- The running coroutine, or nil in the main program.
function loop.running()
  local co, is_main = running()
  if is_main then return nil end
  return co
end

if is_51 then
  function loop.running()
    local co, is_main = running() -- LuaJIT may say both, as it was built
    if is_main then return nil end
    local coxpcall = loaded.coxpcall
    return co and coxpcall and coxpcall.running(co) or co
  end
end

--- The loop under which `co` is suspended; block outside a coroutine, where nothing can be.
function loop.of(co)
  if not co then return block end
  return explicit or find("owns", co) or block
end

-- Whether `of` would still say `candidate` for `co`, where that is quickly said: it is the
-- first that would be asked.
function mailbox.is_still(candidate, co)
  return candidate == first and not explicit and not registered[1] and candidate.owns(co)
end

--- Whether any loop is there that could run. If none is, to_hold returns block.
-- @treturn boolean
function loop.is_there()
  return not not (explicit or registered[1] or loaded[OWN[1]] or loaded[OWN[2]] or loaded[OWN[3]])
end

--- The loop that should take what comes back: the one that the caller runs under, or
-- one that could run later.
function loop.to_hold(co)
  return explicit or co and find("owns", co) or find("present") or block
end

--- For a loop that waits for nothing but weir: blocks the thread until something has come
-- back to this state, or a descriptor is readable, or a signal has come. Then takes what came
-- on behalf of `candidate`.
-- @tparam table candidate a loop
-- @tparam ?number timeout in seconds; nil: no limit; 0: only takes what is there
-- @tparam ?number fd a descriptor
function loop.turn(candidate, timeout, fd)
  if timeout ~= 0 then
    core.polled(true)
    core.poll(timeout or -1, core.mail() and core.fd(), fd)
    core.polled(false)
  end
  core.dispatch(TURN)
  mailbox.deliver(candidate)
end

--- The owner of what `co` locks, if a loop names one.
function loop.owner(co)
  for _, candidate in ipairs(registered) do
    local owner = candidate.owner and candidate.owner(co)
    if owner then return owner end
  end
end

--- How many things are still to come back to this state. A loop may end when this is 0.
-- @treturn number
function loop.pending()
  return core.pending()
end

--- Seconds on the clock that timeouts use. The clock never jumps, and its zero means nothing.
-- @treturn number
-- @function weir.loop.clock
loop.clock = core.clock

--- Has fn() called before weir blocks this state's thread; nil ends that.
-- @tparam ?function fn it must neither raise nor suspend
function loop.before_block(fn)
  block.before = fn
end

return setmetatable(loop, {
  __index = function(self, name)
    for _, own in ipairs(OWN) do
      if own == name then
        self[name] = require("weir.loop." .. name)
        if own == OWN[1] then first = self[name] end
        return self[name]
      end
    end
  end,
})
