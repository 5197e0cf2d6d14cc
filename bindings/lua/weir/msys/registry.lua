-- SPDX-License-Identifier: ISC
--
-- weir.msys.registry: the pools of the process: names, ids, settings, handles.
--
-- One shared value holds the settings of all pools, so that they change at once; each state
-- keeps a copy until the value's version changes. A pool opens with its first call. Its
-- handle is shared as well, and never closed. The state that opens a pool and the state that
-- configures it each look at the other's work after their own, so the last of them sets the
-- final number of threads.

local shared = require "weir.shared"
local weir = require "weir"

local registry = {}

local SETTINGS, HANDLE, OPENING = "msys.pools", "msys.pool.", "msys.opening."

-- id, name, concurrency, backlog: Momentum's table of defaults. It has none for 8 and 9.
local STANDARD = {
  { 0, "CPU", 4 },
  { 1, "IO", 50 },
  { 2, "SwapOut", 5 },
  { 3, "SwapIn", 5 },
  { 4, "Close", 0 },
  { 5, "Unlink", 6, 100 },
  { 6, "Batch_Unlink", 4 },
  { 7, "SpoolIn", 1 },
  { 8, "Async_Bounce", 4 },
  { 9, "Sieve_IO", 4 },
}
local DEFAULT_CONCURRENCY = 4
local SHORT_LIVED = -1 -- a job of no pool; here it goes to pool CPU

local function standard()
  local pools = {}
  for _, row in ipairs(STANDARD) do
    pools[#pools + 1] = { id = row[1], name = row[2], concurrency = row[3], backlog = row[4] or 0, stack_size = 0 }
  end
  return pools
end

local version, by_name, by_id, count

local function read()
  local now = shared.version(SETTINGS)
  if now == version and now ~= 0 then return end
  local pools = shared.once(SETTINGS, standard)
  version, by_name, by_id, count = now, {}, {}, #pools
  for _, settings in ipairs(pools) do
    by_name[settings.name:lower()], by_id[settings.id] = settings, settings
  end
end

--- The settings of a pool: {id, name, concurrency, stack_size, backlog}, or nil.
-- @param which a name, in any case, or an id
function registry.find(which)
  read()
  if type(which) == "string" then return by_name[which:lower()] end
  return by_id[which == SHORT_LIVED and 0 or which]
end

function registry.count()
  read()
  return count
end

-- ---- handles ------------------------------------------------------------------

local begin -- what each thread of a pool runs first, with the pool's name

--- Says what that is; weir.msys does, for it needs weir.msys.
function registry.begin_with(f)
  begin = f
end

local handles = {} -- id -> handle, once this state has met it

--- The handle of a pool that is open, or nil.
function registry.handle(id)
  if not handles[id] then handles[id] = shared.get(HANDLE .. id) end
  return handles[id]
end

local function threads_max(settings)
  return math.max(1, settings.concurrency)
end

local function fit(id, handle)
  handle:resize(1, threads_max(registry.find(id)))
end

local function open(settings)
  local handle, problem = weir.pool {
    name = settings.name,
    threads = 1,
    threads_max = threads_max(settings),
    queue_limit = settings.backlog,
    stack_size = settings.stack_size > 0 and settings.stack_size or nil,
    init = begin,
    args = { settings.name },
  }
  if not handle then return nil, problem end
  local id = settings.id
  shared.once(HANDLE .. id .. ".since", weir.loop.clock)
  local winner = shared.once(HANDLE .. id, function() return handle end)
  fit(id, winner)
  return winner
end

--- The handle. If the pool is not open, opens it, which suspends.
-- @treturn ?weir.pool
-- @return then why not
function registry.open(settings)
  local id = settings.id
  local handle, problem = registry.handle(id), nil
  if handle then return handle end
  local mutex = shared.once(OPENING .. id, weir.mutex)
  local locked = mutex:lock() -- if that cannot wait, a second pool loses in `once`
  handle = registry.handle(id)
  if not handle then handle, problem = open(settings) end
  if locked then mutex:unlock() end
  return handle, problem
end

-- ---- configure ----------------------------------------------------------------

local function merge(settings, given)
  for name, value in pairs(given) do settings[name] = value end
  return settings
end

local function next_id(pools)
  local id = 0
  for _, settings in ipairs(pools) do id = math.max(id, settings.id + 1) end
  return id
end

local function configured(pools, name, given)
  pools = pools or standard()
  for _, settings in ipairs(pools) do
    if settings.name:lower() == name:lower() then
      merge(settings, given)
      return pools
    end
  end
  local new = { id = next_id(pools), name = name, concurrency = DEFAULT_CONCURRENCY, backlog = 0, stack_size = 0 }
  pools[#pools + 1] = merge(new, given)
  return pools
end

--- Changes or adds a pool. The backlog and stack size of an open pool stay.
-- @treturn ?boolean true
-- @treturn ?string then why not
function registry.configure(name, given)
  local settings = registry.find(name)
  local handle = settings and registry.handle(settings.id)
  for _, option in ipairs { "backlog", "stack_size" } do
    if handle and given[option] and given[option] ~= settings[option] then
      return nil, ("pool '%s' is in use: its %s cannot change any more"):format(settings.name, option)
    end
  end
  shared.update(SETTINGS, function(pools) return configured(pools, name, given) end)
  settings = registry.find(name)
  handle = registry.handle(settings.id)
  if handle then fit(settings.id, handle) end
  return true
end

-- ---- statistics ---------------------------------------------------------------

local BEGUN, ENDED, BUSY = ".begun", ".ended", ".busy"

function registry.count_begin(id)
  shared.add(HANDLE .. id .. BEGUN, 1)
end

function registry.count_end(id, seconds)
  shared.add(HANDLE .. id .. ENDED, 1)
  shared.add(HANDLE .. id .. BUSY, seconds)
end

local function figure(id, name)
  return shared.get(HANDLE .. id .. name) or 0
end

local NOTHING = { queued = 0, threads = 0, running = 0 }

--- A snapshot, with Momentum's names.
function registry.stat(settings)
  local id = settings.id
  local handle = registry.handle(id)
  local now = handle and handle:stats() or NOTHING
  local since, busy, done = figure(id, ".since"), figure(id, BUSY), figure(id, ENDED)
  local elapsed = since ~= 0 and weir.loop.clock() - since or 0
  local average = elapsed > 0 and busy / elapsed or 0
  return {
    name = settings.name,
    invocations = figure(id, BEGUN),
    avg_concurrency = average,
    saturation = settings.concurrency > 0 and 100 * average / settings.concurrency or 0,
    avg_wallclock_time_per_op = done > 0 and 1000 * busy / done or 0,
    queue_sz = now.queued,
    num_threads = now.threads,
    num_active_threads = now.running,
    num_inactive_threads = math.max(0, now.threads - now.running),
    job_num_queued = now.queued,
    job_num_running = now.running,
  }
end

return registry
