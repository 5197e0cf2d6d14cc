-- SPDX-License-Identifier: ISC
--
-- mailbox.lua: what comes back to this state, and who waits for it.
--
-- The core posts to one descriptor. A loop that watches it calls pump, which wakes
-- the coroutines that wait (each through its own loop) and starts the functions that
-- tasks want run here. A loop watches only while something is still to come, so that
-- it ends by itself after the last delivery.

local core = require "weir.core"

local mailbox = {}

local BUDGET = 64 -- deliveries per turn of a loop
local waiting = {} -- key -> list of {co =, loop =}
local held = {} -- loop -> function that ends its watch
local held_mail -- of which mailbox: in a pool thread each task has its own

local function apply(f, ...)
  if f == nil then error((...), 0) end
  return f(...)
end

local function run(call)
  return apply(core.unpack(call))
end

-- On 5.1 a coroutine cannot be suspended inside pcall; Copas brings one that can. Without
-- that nothing is between the loop and the function: what it raises after it was
-- suspended goes to whoever resumed it, and the call fails when it is collected.
local plain = _VERSION == "Lua 5.1" and not rawget(_G, "jit")

local function serve(call)
  local coxpcall = plain and package.loaded.coxpcall
  if plain and not coxpcall then
    core.finish(call, true, run(call))
  else
    core.finish(call, (coxpcall or _G).pcall(run, call))
  end
end

local function spawn(loop, call)
  local ok, problem = pcall(loop.spawn, serve, call)
  if not ok then core.finish(call, false, problem) end
end

-- Where no loop turns a function cannot be suspended: it must end here.
local function serve_now(call)
  local co = coroutine.create(serve)
  local ok, problem = coroutine.resume(co, call)
  if not ok then core.finish(call, false, problem) end
  if coroutine.status(co) ~= "dead" then
    core.finish(call, false, "run_in_main: the function yielded, but no loop runs there")
  end
end
core.on_call(serve_now)

-- Every waiter of `key` is resumed, once.
local function wake(key)
  local list = waiting[key]
  waiting[key] = nil
  for i = 1, list and #list or 0 do
    list[i].loop.resume(list[i].co)
  end
end
mailbox.wake = wake

local take = {
  settled = function(_, key)
    wake(key)
    wake("space")
  end,
  call = function(loop, call)
    if loop.spawn then spawn(loop, call) else serve_now(call) end
  end,
  failed = function(_, future) mailbox.unhandled(future) end,
}

local function release()
  for loop, stop in pairs(held) do
    held[loop] = nil
    stop()
  end
end

--- Takes what was delivered, on behalf of a loop.
function mailbox.deliver(loop)
  local kind, what = core.told()
  while kind do
    take[kind](loop, what)
    kind, what = core.told()
  end
  if next(held) and core.pending() == 0 then release() end
end

--- Whether some loop watches this mailbox.
function mailbox.is_held()
  if held_mail ~= core.mail() then release() end -- the last task's
  return next(held) ~= nil
end

--- Has `loop` watch the mailbox until nothing is to come any more.
function mailbox.hold(loop)
  if not loop.watch or core.pending() == 0 or mailbox.is_held() and held[loop] then return end
  held_mail = core.mail()
  held[loop] = loop.watch(core.fd(), function()
    core.dispatch(BUDGET)
    mailbox.deliver(loop)
  end)
end

--- `waiter` is to be woken when `key` is told.
function mailbox.expect(key, waiter)
  local list = waiting[key]
  if list then list[#list + 1] = waiter else waiting[key] = { waiter } end
end

function mailbox.is_expected(key)
  return waiting[key] ~= nil
end

--- The contrary of expect, where it was not woken.
function mailbox.forget(key, waiter)
  local list = waiting[key]
  for i = list and #list or 0, 1, -1 do
    if list[i] == waiter then table.remove(list, i) end
  end
  if list and #list == 0 then waiting[key] = nil end
end

return mailbox
