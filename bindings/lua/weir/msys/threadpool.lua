-- SPDX-License-Identifier: ISC

--- The module msys.threadpool: settings and statistics of pools.
-- @module weir.msys.threadpool

local check = require "weir.check"
local registry = require "weir.msys.registry"

local threadpool = {}

local name_or_id = { "a pool's name or id", function(v) return type(v) == "string" or type(v) == "number" end }

local options = {
  concurrency = check.range(0, 1024),
  backlog = check.range(0, 2 ^ 31),
  stack_size = { "0 or a whole number from 65536 to 1073741824", function(v)
    return v == 0 or type(v) == "number" and v % 1 == 0 and v >= 2 ^ 16 and v <= 2 ^ 30
  end },
}

--- Does what a stanza ThreadPool "name" { Concurrency = n  Stack_Size = bytes  Backlog = n }
-- does in Momentum: it changes the given settings of an existing pool, and makes a new pool
-- for another name.
-- @tparam string name in any case
-- @tparam table given the settings, all optional:
--   concurrency (4): 0 to 1024 threads; 0: the caller runs the closures;
--   stack_size (bytes, 0: the system's);
--   backlog (0: no limit)
-- @treturn ?boolean true; nil if the pool is in use and its backlog or stack size would
--   change
-- @treturn ?string then why
function threadpool.configure(name, given)
  check.is(check.kinds.string, "msys.threadpool.configure: argument 1", name)
  check.options(options, "msys.threadpool.configure: options", given)
  return registry.configure(name, given)
end

--- The number of pools.
function threadpool.count()
  return registry.count()
end

--- The id of a name, the name of an id; nil for none.
function threadpool.find(which)
  check.is(name_or_id, "msys.threadpool.find: argument 1", which)
  local settings = registry.find(which)
  if not settings then return nil end
  return type(which) == "string" and settings.id or settings.name
end

local FORMAT = [[
%s: %d invocations, %.2f on average at once (%.0f%% of what it can), %.3f ms each
  threads: %d (%d active, %d inactive); jobs: %d queued, %d running]]

local stat_mt = {}

function stat_mt.__tostring(s)
  return FORMAT:format(s.name, s.invocations, s.avg_concurrency, s.saturation, s.avg_wallclock_time_per_op,
    s.num_threads, s.num_active_threads, s.num_inactive_threads, s.job_num_queued, s.job_num_running)
end

--- A snapshot of a pool; tostring makes it readable.
-- @treturn ?table name, invocations (calls begun), avg_concurrency (calls running at once, on
--   average since the pool opened), saturation (avg_concurrency in per cent of concurrency),
--   avg_wallclock_time_per_op (milliseconds), queue_sz, num_threads, num_active_threads,
--   num_inactive_threads, job_num_queued, job_num_running; nil for an unknown pool
function threadpool.stat(which)
  check.is(name_or_id, "msys.threadpool.stat: argument 1", which)
  local settings = registry.find(which)
  return settings and setmetatable(registry.stat(settings), stat_mt)
end

return threadpool
