-- SPDX-License-Identifier: ISC
--
-- weir.msys.worker: runInPool, as seen by the thread of a pool.

local check = require "weir.check"
local calls = require "weir.msys.calls"
local locks = require "weir.msys.locks"
local loops = require "weir.loop"
local registry = require "weir.msys.registry"
local weir = require "weir"

local worker = {}

local globals = _G
local unpack = table.unpack or unpack -- luacheck: ignore

local function pack(...) return { n = select("#", ...), ... } end

--- Once per thread, before its first task.
function worker.begin(pool)
  local msys = require "weir.msys"
  locks.thread_name = ("a thread of pool '%s'"):format(pool)
  calls.become_worker()
  package.loaded.thread = msys.thread
  package.loaded["msys.threadpool"] = msys.threadpool
  return true
end

-- What fails in two places is told once, with both.
local function both(first, second)
  if first == nil then return second end
  return ("%s; and its completion: %s"):format(check.text(first), check.text(second))
end

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
  local results, late = pack(xpcall(f, weir.note_failure)), nil
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
function worker.serve(_, packed, mode)
  local results = serve(packed, mode)
  if mode == "call" then return unpack(results, 2, results.n) end
end

--- A call that cannot be queued any more, on this thread.
function worker.run_here(call)
  local ok, problem = pcall(serve, call.packed, call.mode)
  if not ok then weir.report(problem) end
end

return worker
