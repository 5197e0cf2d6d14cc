-- SPDX-License-Identifier: ISC
--
-- mailbox.lua: the deliveries that come back to this state, and the waiters for them.
--
-- The core posts to one descriptor. A loop that watches it calls `turn`, which wakes
-- the coroutines that wait (each through its own loop) and starts the functions that
-- tasks want to run here. A loop watches only while something is still to come, so that
-- it ends by itself after the last delivery.

local core = require "weir.core"
local check = require "weir.check"

local mailbox = {}

local BUDGET = 64 -- deliveries of a turn of one loop among several
local sole -- the only loop that watches, if exactly one does
-- mailbox.watcher: takes what weir.watch has found for this state, if anybody asked for it
-- mailbox.turning: the loop that resumes the waiters it woke, while no loop polls
-- mailbox.sure: the same, while it alone watches and dispatches: whom it resumes is its own
local waiting = {} -- key -> a waiter, {co =, loop =}, or a list of several
local held = {} -- loop -> {stop = function that ends its watch, instance = of the loop}
mailbox.waiting, mailbox.held = waiting, held -- for the fast path of wait.lua
local used -- the loop that every coroutine is suspended under, if the program has told one
local held_mail -- the mailbox that they watch: in a pool thread each task has its own
local told, turn_on, pending, is_held = core.told, core.turn, core.pending, core.held
-- Keys that the core has told: those from at + 1 to last are still to be looked at. One list
-- for all, because what is woken may turn the loop again, or leave by an error.
local list, at, last = core.list, 0, 0
mailbox.is_held = is_held -- whether some loop watches this mailbox

local release

-- Something ended without a delivery: if nothing else is to come, no loop need watch.
local function let_go()
  if pending() == 0 and next(held) then release() end
end

local function finish(call, ...)
  core.finish(call, ...)
  let_go()
end

local function apply(f, ...)
  if f == nil then error((...), 0) end
  return f(...)
end

local function run(call)
  return apply(core.unpack(call))
end

-- On 5.1 a coroutine cannot be suspended inside pcall, but Copas has a pcall that allows it.
-- Without that the loop runs the function directly: an error that it raises after it was
-- suspended goes to its resumer, and the call fails when it is collected.
local plain = _VERSION == "Lua 5.1" and not rawget(_G, "jit")

local function serve(call)
  local coxpcall = plain and package.loaded.coxpcall
  if plain and not coxpcall then
    finish(call, true, run(call))
  else
    finish(call, (coxpcall or _G).pcall(run, call))
  end
end

local function spawn(loop, call)
  local ok, problem
  if loop.call then
    ok, problem = pcall(loop.call, function(...) finish(call, ...) end, run, call)
  else
    ok, problem = pcall(loop.spawn, serve, call)
  end
  if not ok then finish(call, false, problem) end
end

-- Where no loop runs, a function cannot be suspended: it must end here.
local function serve_now(_, call)
  local co = coroutine.create(serve)
  local ok, problem = coroutine.resume(co, call)
  if not ok then core.finish(call, false, problem) end
  if coroutine.status(co) ~= "dead" then
    core.finish(call, false, "run_in_main: the function yielded, but no loop runs there")
  end
end
core.on_call(function(call) serve_now(nil, call) end)

-- Resumes every waiter of `key`, once.
local function wake(key)
  local waiter = waiting[key]
  if not waiter then return end
  waiting[key] = nil
  if waiter.loop then return waiter.loop.resume(waiter.co) end
  for i = 1, #waiter do
    waiter[i].loop.resume(waiter[i].co)
  end
end
mailbox.wake = wake

local take = {
  [0] = function() end, -- a finaliser took it first
  function(loop, call)
    local ok = pcall((loop.spawn or loop.call) and spawn or serve_now, loop, call)
    if not ok then core.fail(call) end -- memory is too short to say more
  end,
  function(_, future) mailbox.unhandled(future) end,
  function(_, ping) wake(ping) end,
  function() mailbox.call_works() end, -- see weir/work.lua
}

local function count_holders()
  mailbox.sure = nil
  sole = next(held)
  if sole and next(held, sole) then sole = nil end
  is_held(next(held) ~= nil)
end

function release()
  for loop, watch in pairs(held) do
    held[loop] = nil
    watch.stop()
  end
  count_holders()
end

local function stop_turning()
  mailbox.turning, mailbox.sure = nil, nil
  core.turned()
end

-- Wakes whoever waits for what was told: an object, or the keys of the list.
local function take_told(loop, n, what, kind)
  if kind then
    take[kind](loop, what)
  elseif n then
    at, last = 0, n
  end
  while at < last do
    at = at + 1
    local key = list[at]
    local waiter = waiting[key]
    local its = waiter and waiter.loop
    if its then -- as wake does for a single waiter; false keeps the key's place in the table
      waiting[key] = false
      its.resume(waiter.co)
    elseif waiter then
      wake(key)
    end
  end
end

local function take_all(loop)
  take_told(loop)
  local n, what, kind = told(list)
  while n > 0 or kind do
    take_told(loop, n, what, kind)
    n, what, kind = told(list)
  end
  if mailbox.watcher then mailbox.watcher() end
end

--- Takes what was delivered, for a loop.
function mailbox.deliver(loop)
  take_all(loop)
  let_go()
end

local function call_deeper(n) return n == 0 and 0 or 1 + call_deeper(n - 1) end

--- Collects garbage where memory is short. Lua loses a finalizer that it has no memory to call, and
-- what the object held then stays for good; so nothing is collected unless there is room for calls.
function mailbox.collect()
  if pcall(call_deeper, 40) then collectgarbage() end -- the collector takes three quarters of it
end

-- Tries again after an error (of memory or of a loop), because the descriptor does not become
-- readable again for deliveries that the error has left behind, and because a loop would drop
-- a watch that raises.
local function deliver_surely(loop, deliver)
  for _ = 1, 3 do
    local ok, problem = pcall(deliver, loop)
    if ok then return end
    io.stderr:write("weir: a delivery failed: ", tostring(problem), "\n")
    mailbox.collect()
    deliver = mailbox.deliver
  end
  stop_turning()
  deliver(loop)
end

-- Also takes what comes while the woken coroutines run, so that a loop with few tasks in
-- flight need not poll for each.
local function deliver_and_look(loop)
  take_told(loop)
  local n, what, kind = turn_on(list)
  while n do
    take_told(loop, n, what, kind)
    if mailbox.turning ~= loop then return mailbox.deliver(loop) end
    n, what, kind = turn_on(list)
  end
  if mailbox.watcher then mailbox.watcher() end
  let_go()
end

local function turn(loop)
  if sole ~= loop then
    core.dispatch(BUDGET)
    return deliver_surely(loop, mailbox.deliver)
  end
  mailbox.turning = loop
  if not loop.instance and (not used or used == loop) then mailbox.sure = loop end
  deliver_surely(loop, deliver_and_look)
  stop_turning()
end

--- Resumes the waiters of `key`, because it was cancelled.
function mailbox.cancelled(key)
  wake(key)
  let_go()
end

--- From now on every coroutine is suspended under `loop`, see weir.loop.use.
function mailbox.use(loop)
  used, mailbox.sure = loop, nil
end

-- A loop whose module was loaded again does not serve what its predecessor watched.
local function is_current(loop, watch)
  if not loop.instance or watch.instance == loop.instance() then return true end
  held[loop] = nil
  watch.stop()
end

--- Makes `loop` watch the mailbox until nothing is to come any more. `known`: some loop does,
-- which is asked otherwise.
function mailbox.hold(loop, known)
  if mailbox.turning and mailbox.turning ~= loop then stop_turning() end -- this one will poll
  local watch = held[loop]
  if watch and (known or is_held()) and is_current(loop, watch) then return end
  if not loop.watch or pending() == 0 then return end
  if held_mail ~= core.mail() then release() end -- those of the last task
  held_mail = core.mail()
  local stop = loop.watch(core.fd(), function() turn(loop) end)
  held[loop] = stop and { stop = stop, instance = loop.instance and loop.instance() }
  count_holders()
end

--- Takes what has been delivered by now, for a loop that does not look itself.
function mailbox.poll(loop)
  core.dispatch()
  mailbox.deliver(loop)
end

--- Has `waiter` woken when `key` is told.
function mailbox.expect(key, waiter)
  local others = waiting[key]
  if not others then
    waiting[key] = waiter
  elseif others.loop then
    waiting[key] = { others, waiter }
  else
    others[#others + 1] = waiter
  end
end

--- Undoes expect for a waiter that was not woken.
function mailbox.forget(key, waiter)
  local found = waiting[key]
  if not found then return end
  for i = #found, 1, -1 do
    if found[i] == waiter then table.remove(found, i) end
  end
  if found == waiter or not found.loop and #found == 0 then waiting[key] = nil end
end

local called, given, where -- by mailbox.protected: xpcall of 5.1 passes no arguments

local function enter()
  local fn, argument = called, given
  called, given = nil, nil
  fn(argument)
end

local function note(problem)
  where = debug.traceback(check.text(problem), 2)
  return problem
end

-- Calls a function of the program from the loop; reports what it raises, with a traceback.
-- Returns whether it raised nothing.
function mailbox.protected(fn, argument)
  called, given, where = fn, argument, nil
  local ok, problem = xpcall(enter, note)
  if not ok then mailbox.report(problem, where) end
  return ok
end

return mailbox
