-- SPDX-License-Identifier: ISC
--
-- driver.lua: one measurement of one peer under one loop per process, as ../c/driver.c:
--
--     driver.lua LOOP PEER MEASURE THREADS 1 IN_FLIGHT COUNT
--
-- Loops and peers stand in peers.lua, the measures at the end. Prints lines
-- "figure value".

package.path = arg[0]:match "^(.*/)" .. "?.lua;" .. package.path

local fresh = require "bench_fresh"
local open = require "peers"

local WARM_UP = 1000

local function print_figures(...)
  local list = { ... }
  for i = 1, #list, 2 do print(("%s %.3f"):format(list[i], list[i + 1])) end
end

local function percentile(p, sorted)
  return sorted[1 + math.floor(p * (#sorted - 1))]
end

local function quarter_to_three(list)
  table.sort(list)
  return percentile(0.5, list), percentile(0.99, list)
end

-- ---- what is called -------------------------------------------------------------

local function add_one(i) return i + 1 end
local function same(value) return value end

local function burn(n) -- some milliseconds
  local x = 0
  for i = 1, n do x = (x * 31 + i) % 1000003 end
  return x
end

local calls = {
  number = { f = add_one, argument = 41, check = function(v) assert(v == 42) end },
  burn = { f = burn, argument = rawget(_G, "jit") and 1e6 or 2e5, check = assert },
}

local function large(make, size_of, expected)
  return function()
    local argument = make()
    return { f = same, argument = argument, check = function(v) assert(size_of(v) == expected) end }
  end
end

local function length(v) return #v end

local function integers()
  local t = {}
  for i = 1, 100000 do t[i] = i end
  return t
end

-- Twenty thousand tables: ten thousand small ones, with one more in each.
local function nested()
  local t = {}
  for i = 1, 10000 do t[i] = { id = i, name = "item " .. i, at = { x = i, y = i / 2 } } end
  return t
end

local transfers = {
  string = large(function() return ("x"):rep(1e7) end, length, 1e7),
  integers = large(integers, length, 100000),
  tables = large(nested, function(v) return v[#v].at.y * 2 end, 10000),
}

local function plan_of(call, rest)
  for name, value in pairs(call) do rest[name] = value end
  return rest
end

-- ---- measures -------------------------------------------------------------------

local measures = {}

-- Returns when the last call came back; some loops end later.
local function finish(peer, call, rest)
  local plan = plan_of(call, rest)
  peer.flow(plan)
  peer.run()
  return plan.ended
end

function measures.latency(peer, plan)
  local times = {}
  finish(peer, calls.number, { count = plan.count, in_flight = 1, times = times })
  local p50, p99 = quarter_to_three(times)
  print_figures("latency_p50_us", p50, "latency_p99_us", p99)
end

function measures.rate(peer, plan)
  local began = fresh.now()
  local ended = finish(peer, calls.number, { count = plan.count, in_flight = plan.in_flight })
  print_figures("rate_per_s", plan.count * 1e6 / (ended - began))
end

for name, make in pairs(transfers) do
  measures[name] = function(peer, plan)
    local times, call = {}, make()
    finish(peer, call, { count = 2, in_flight = 1 }) -- the memory has been asked for once
    finish(peer, call, { count = plan.count, in_flight = 1, times = times })
    print_figures(name .. "_ms", quarter_to_three(times) / 1000)
  end
end

-- The longest time between two beats of a 1 ms timer, COUNT beats, beside work that has
-- no end of its own.
local function beside(make)
  return function(peer, plan)
    local left, worst, last = plan.count, 0, nil
    peer.spawn(function()
      last = fresh.now()
      while left > 0 do
        peer.pause(1)
        local time = fresh.now()
        last, worst, left = time, math.max(worst, time - last), left - 1
      end
    end)
    finish(peer, make(), { in_flight = plan.in_flight, stop = function() return left == 0 end })
    print_figures("gap_max_ms", worst / 1000)
  end
end

measures.beside_cpu = beside(function() return calls.burn end)
measures.beside_calls = beside(function() return calls.number end)
for name, make in pairs(transfers) do measures["beside_" .. name] = beside(make) end

-- ---- memory and start-up, of weir alone --------------------------------------------

local function resident_kib()
  local file = assert(io.open "/proc/self/smaps_rollup")
  local text = file:read "*a"
  file:close()
  return tonumber(text:match "Rss: *(%d+) kB")
end

-- COUNT calls, as many at a time as there are threads. Old futures are the caller's
-- garbage, not the workers' memory.
local function work(pool, plan)
  for _ = 1, plan.count / plan.threads do
    local futures = {}
    for i = 1, plan.threads do futures[i] = pool:run(add_one, i) end
    for i = 1, plan.threads do assert(select(2, futures[i]:get()) == i + 1) end
    collectgarbage()
  end
end

-- What THREADS idle workers take, each after some calls, beside as many bare states. What
-- the calls take in the caller's state is there before.
local function memory(_, plan)
  local weir = require "weir"
  local n = plan.threads
  fresh.bare(1)
  local before = resident_kib()
  fresh.bare(n)
  local bare = (resident_kib() - before) / n
  local first = assert(weir.pool { threads = 1 })
  work(first, plan)
  before = resident_kib()
  local pool = assert(weir.pool { threads = n })
  work(pool, plan)
  local worker = (resident_kib() - before) / n
  print_figures("memory_worker_kib", worker, "memory_bare_kib", bare, "memory_beyond_kib", worker - bare)
  pool:close()
  first:close()
end

-- The time until THREADS threads are ready, and until they have ended, per thread.
local function start(_, plan)
  local weir = require "weir"
  local opened, closed = {}, {}
  for i = 1, plan.count do
    local began = fresh.now()
    local pool = assert(weir.pool { threads = plan.threads })
    local ready = fresh.now()
    pool:close()
    opened[i], closed[i] = (ready - began) / plan.threads, (fresh.now() - ready) / plan.threads
  end
  print_figures("start_us", quarter_to_three(opened), "close_us", (quarter_to_three(closed)))
end

local alone = { memory = memory, start = start }

-- ---- main -----------------------------------------------------------------------

local loop, name, measure, threads, _, in_flight, count = ...
local plan = { threads = tonumber(threads), in_flight = tonumber(in_flight), count = tonumber(count) }
if alone[measure] then
  alone[measure]({}, plan)
else
  if name ~= "weir" and (measure:match "integers$" or measure:match "tables$") then
    os.exit(3) -- tables do not cross there
  end
  local peer = open(loop, name, plan.threads)
  if name ~= "fresh" then
    finish(peer, calls.number, { count = WARM_UP, in_flight = plan.in_flight })
  end
  assert(measures[measure], "usage: see the top of driver.lua")(peer, plan)
end
