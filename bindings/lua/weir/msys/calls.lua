-- SPDX-License-Identifier: ISC
--
-- weir.msys.calls: runInPool, for its caller and on the thread of a pool.
--
-- DESIGN. A call is DEFERRED (asynchronous, and its caller has neither yielded nor ended),
-- QUEUED here (its pool is not open yet, or full: one session of weir's per pool submits
-- such calls in their order), ACCEPTED by the pool, or REFUSED with a problem. runInPool has
-- packed the closure and its upvalues. A caller that cannot be suspended, and every pool
-- thread, submits by itself and blocks.

local check = require "weir.check"
local locks = require "weir.msys.locks"
local loops = require "weir.loop"
local registry = require "weir.msys.registry"
local scheduler = require "weir.msys.scheduler"
local space = require "weir.space"
local threadpool = require "weir.msys.threadpool"
local weir = require "weir"

local calls = {}

local globals = _G
local unpack = table.unpack or unpack -- luacheck: ignore

local here = { -- this state is no pool's thread
  deferred = nil, -- on a pool's thread: the list of its task
}

-- ---- to a pool that is open ------------------------------------------------------

local function settled(call, future)
  local function complete(ok, ...)
    if not ok then weir.report((...), future:traceback()) end
    scheduler.spawn({ tls = call.tls, label = "a completion" }, call.completion, ok, ...)
  end
  return complete(future:get())
end

-- Submits the call to the pool; returns whether the pool took it, or nil and why not.
local function submit(call, handle)
  if call.mode == "post" or call.mode == "sched" then return handle:post(calls.serve, call.packed, call.mode) end
  local future, problem = handle:run(calls.serve, call.packed, "call")
  if not future then return nil, problem end
  call.future = future
  if call.completion then future:on_settle(function() settled(call, future) end) end
  return true
end

local function decide(call, accepted, problem)
  call.accepted = accepted or false
  call.problem = problem
  if not accepted and not call.is_sync then
    weir.report(("msys.runInPool: pool '%s': %s"):format(call.settings.name, tostring(problem)))
  end
  if call.waiter then scheduler.loop.resume(call.waiter) end
end

-- Opens the pool and waits for space. Suspends, or blocks where nothing can be suspended.
local function submit_waiting(call)
  local handle, problem = registry.open(call.settings)
  if not handle then return decide(call, false, problem) end
  decide(call, space.wait(function() return submit(call, handle) end, handle))
end

-- ---- on the scheduler ------------------------------------------------------------

local queues = {} -- pool id -> calls that wait for their session to submit them, from .first to .last

local function push(queue, call)
  queue.last = queue.last + 1
  queue[queue.last] = call
end

local function pop(queue)
  local call = queue and queue[queue.first]
  if not call then return nil end
  queue[queue.first] = nil
  queue.first = queue.first + 1
  return call
end

-- Run by the queue's session or, before that has begun, by a caller that blocks.
local function drain(id)
  local call = pop(queues[id])
  while call do
    submit_waiting(call)
    call = pop(queues[id])
  end
  queues[id] = nil
end

local function enqueue(call)
  local id = call.settings.id
  if queues[id] then return push(queues[id], call) end
  queues[id] = { first = 1, last = 0 }
  push(queues[id], call)
  scheduler.spawn({ label = ("what submits to pool '%s'"):format(call.settings.name) }, drain, id)
end

local function run_here(call)
  local f, completion = call.f, call.completion
  scheduler.spawn({ tls = call.tls }, function()
    local function done(ok, ...)
      if not ok then weir.report((...)) end
      if completion then completion(ok, ...) end
    end
    done(calls.inline(call.settings.id, f))
  end)
end

-- Never suspends.
local function start(call)
  if call.f then return run_here(call) end
  local handle = not queues[call.settings.id] and registry.handle(call.settings.id)
  if not handle then return enqueue(call) end
  local accepted, problem = submit(call, handle)
  if not accepted and problem == "full" then return enqueue(call) end
  decide(call, accepted, problem)
end

-- A list of deferred calls counts them by pool.
local function add(list, call)
  local id = call.settings.id
  list[#list + 1] = call
  list.of = list.of or {}
  list.of[id] = (list.of[id] or 0) + 1
end

local function take(list)
  local taken = {}
  for i = 1, #list do taken[i], list[i] = list[i], nil end
  list.of = nil
  return taken
end

scheduler.on_leave = function(session)
  if not session.deferred[1] then return end
  for _, call in ipairs(take(session.deferred)) do start(call) end
end

-- ---- on a pool's thread -----------------------------------------------------------

-- What fails in two places is told once, with both.
local function both(first, second)
  if first == nil then return second end
  return ("%s; and its completion: %s"):format(check.text(first), check.text(second))
end

local function collect(...) return { n = select("#", ...), ... } end

-- Returns the error, if it fails.
local function complete_here(completion, results)
  local ok, problem = xpcall(function() return completion(unpack(results, 1, results.n)) end, weir.note_failure)
  if not ok then return problem end
end

local function complete_there(packed, results)
  local ok, problem = pcall(weir.run_in_main, calls.complete, packed, unpack(results, 1, results.n))
  if not ok then return problem end
end

-- f and its completion, in a session's _TLS; returns what f did, and what went wrong after.
local function run(packed, mode, f, completion)
  local results, late = collect(xpcall(f, weir.note_failure)), nil
  calls.flush(true)
  if mode == "sched" then
    late = complete_there(packed, results)
  elseif completion then
    late = complete_here(completion, results)
    calls.flush(true)
  end
  return results, late
end

local function serve(packed, mode)
  local id, f, completion, tls = packed:unpack()
  local outer, began = rawget(globals, "_TLS"), loops.clock()
  registry.count_begin(id)
  rawset(globals, "_TLS", tls)
  local results, late = run(packed, mode, f, completion)
  rawset(globals, "_TLS", outer)
  registry.count_end(id, loops.clock() - began)
  if late ~= nil then error(both(not results[1] and results[2] or nil, late), 0) end
  if not results[1] then error(results[2], 0) end
  return results
end

--- A task. Raises what f raised.
-- @tparam weir.packed packed the pool's id, f, its completion or false, _TLS
-- @tparam string mode "call": returns what f does; "post": nobody waits; "sched": likewise,
--   and the completion runs where the chain of calls began
function calls.serve(_, packed, mode)
  local results = serve(packed, mode)
  if mode == "call" then return unpack(results, 2, results.n) end
end

-- A call that cannot be queued any more, on this thread.
local function serve_here(call)
  local ok, problem = pcall(serve, call.packed, call.mode)
  if not ok then weir.report(problem) end
end

local function submit_or_run(call, is_last)
  if call.f then
    calls.inline(call.settings.id, call.f)
    return true
  end
  local ok, problem = pcall(submit_waiting, call)
  if ok then return true end
  if not is_last then return false, problem end
  serve_here(call) -- its own pool's queue is full: who else would
  return true
end

--- Starts the calls that this thread's task has deferred. If that would deadlock, the rest
-- stays deferred, except at the task's last flush.
function calls.flush(is_last)
  local list = take(here.deferred)
  for i, call in ipairs(list) do
    if not submit_or_run(call, is_last) then
      for k = i, #list do add(here.deferred, list[k]) end
      return
    end
  end
end

--- Once per thread, before its first task.
function calls.become_worker(pool)
  locks.thread_name = ("a thread of pool '%s'"):format(pool)
  here.deferred = {}
  loops.before_block(calls.flush)
  package.loaded.thread = locks.thread
  package.loaded["msys.threadpool"] = threadpool
  return true
end

function calls.is_worker() return here.deferred ~= nil end

-- ---- both ---------------------------------------------------------------------------

local function deferred()
  return here.deferred or (scheduler.current() or scheduler.main).deferred
end

if not calls.is_worker() then
  loops.before_block(function()
    scheduler.on_leave(scheduler.current() or scheduler.main)
  end)
end

local function crosses(value)
  return (pcall(weir.pack, value))
end

local function crossing_part(tls)
  local part = {}
  for key, value in pairs(type(tls) == "table" and tls or {}) do
    if crosses(key) and crosses(value) then part[key] = value end
  end
  return part
end

-- The function comes second, as in runInPool, so that an error names the same argument.
local function pack(settings, f, completion, level)
  local tls = rawget(globals, "_TLS")
  local ok, packed = pcall(weir.pack, settings.id, f, completion or false, tls)
  if not ok and tostring(packed):find("argument 4", 1, true) then
    ok, packed = pcall(weir.pack, settings.id, f, completion or false, crossing_part(tls))
  end
  if not ok then error("msys.runInPool: " .. tostring(packed):gsub("^weir%.pack: ", ""), level) end
  return packed
end

--- For a pool without threads: calls f() here.
function calls.inline(id, f)
  registry.count_begin(id)
  local began = loops.clock()
  local function ended(...)
    registry.count_end(id, loops.clock() - began)
    return ...
  end
  return ended(pcall(f))
end

local function submit_in_turn(call, co)
  scheduler.on_leave(scheduler.current())
  call.waiter = co
  start(call)
  while call.accepted == nil do scheduler.loop.suspend(co) end
  call.waiter = nil
end

local function accept(call, level)
  local co = scheduler.suspendable()
  if co then return submit_in_turn(call, co) end
  if not here.deferred then
    scheduler.on_leave(scheduler.current() or scheduler.main)
    drain(call.settings.id)
    return submit_waiting(call) -- which may suspend the coroutine of another loop
  end
  calls.flush()
  local ok, problem = pcall(submit_waiting, call)
  if not ok then error("msys.runInPool: " .. tostring(problem), level) end
end

local function pass(...) return ... end

local function result(call, level)
  if not call.accepted then return false, ("msys.runInPool: pool '%s': %s"):format(call.settings.name, call.problem) end
  if not here.deferred then return call.future:get() end
  local got = collect(pcall(call.future.get, call.future))
  if not got[1] then
    call.future:cancel()
    error("msys.runInPool: " .. tostring(got[2]), level)
  end
  return unpack(got, 2, got.n)
end

--- Runs f() in the pool; returns what pcall would return. `level` is the caller's, for errors.
function calls.call(settings, f, level)
  if settings.concurrency == 0 then return calls.inline(settings.id, f) end
  local call = { settings = settings, packed = pack(settings, f, nil, level + 1), mode = "call", is_sync = true }
  accept(call, level + 1)
  return pass(result(call, level + 1)) -- no tail call, which would take a level
end

local function is_full(settings)
  if settings.backlog == 0 then return false end
  local handle, of = registry.handle(settings.id), deferred().of
  local queue = not here.deferred and queues[settings.id]
  local n = (of and of[settings.id] or 0) + (queue and queue.last - queue.first + 1 or 0)
  return n + (handle and handle:stats().queued or 0) >= settings.backlog
end

local function new_call(settings, f, completion, in_scheduler, level)
  local call = { settings = settings, tls = rawget(globals, "_TLS") }
  if settings.concurrency == 0 then
    call.f, call.completion = f, completion
  elseif in_scheduler and not here.deferred then
    call.packed, call.mode, call.completion = pack(settings, f, nil, level + 1), "call", completion
  else
    call.packed = pack(settings, f, completion, level + 1)
    call.mode = in_scheduler and "sched" or "post"
  end
  return call
end

--- Runs f() in the pool, then the completion; starts when the caller has yielded or ended. A
-- full queue suspends the caller, or blocks its thread.
function calls.defer(settings, f, completion, in_scheduler, level)
  local call = new_call(settings, f, completion, in_scheduler, level + 1)
  if call.f or not is_full(settings) then
    add(deferred(), call)
  else
    accept(call, level + 1)
  end
end

--- Runs, in the state where a chain of calls began, the completion of a call that a pool's
-- thread made.
function calls.complete(packed, ...)
  local _, _, completion, tls = packed:unpack()
  scheduler.spawn({ tls = tls, label = "a completion" }, completion, ...)
end

return calls
