-- SPDX-License-Identifier: ISC
--
-- worker.lua MEASURE: measures weir.worker once, prints one number. See worker.sh.

local ring = require "ring"
local worker = require "weir.worker"
local clock = require("weir.core").clock

local folder = os.getenv "BENCH_FOLDER"

local function script(name, text)
  local path = folder .. "/" .. name
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
  return path
end

local function resident()
  local file = assert(io.open "/proc/self/statm")
  local pages = file:read("*a"):match "%d+ (%d+)"
  file:close()
  return pages * 4
end

local N = 2000000
local measures = {}

function measures.to_parent()
  local w = worker.create(script("out.lua", [[
    local n, message = ..., worker.message
    worker.peek()
    for i = 1, n do message(i) end]]), N)
  local receive, begin = worker.receive, clock()
  worker.send(w, "go")
  for _ = 1, N do receive(w) end
  return N / (clock() - begin) / 1e6
end

function measures.to_worker()
  local w = worker.create(script("in.lua", [[
    local n, peek, sum = ..., worker.peek, 0
    worker.message "ready"
    for i = 1, n do sum = sum + peek() end
    worker.message(sum)]]), N)
  local send = worker.send
  worker.receive(w)
  local begin = clock()
  for i = 1, N do send(w, i) end
  assert(worker.receive(w) == N * (N + 1) / 2)
  return N / (clock() - begin) / 1e6
end

function measures.ring()
  ring.start(script("ring.lua", ("local push = push for i = 0, %d do push(i) end"):format(N)))
  local pop = ring.pop
  pop() -- it runs
  local begin = clock()
  for _ = 1, N do pop() end
  local took = clock() - begin
  ring.join()
  return N / took / 1e6
end

function measures.two_floods()
  local path = script("flood.lua", "for i = 1, (...) do worker.message(i) end")
  local a, b = worker.create(path, 100000), worker.create(path, 100000)
  local begin, n = clock(), 0
  while n < 200000 do
    local x, y = worker.receive(a, b)
    if x or y then n = n + 1 end
  end
  return clock() - begin
end

function measures.round_trip()
  local rounds = 20000
  local w = worker.create(script("echo.lua", "while true do worker.message(worker.peek()) end"))
  local send, receive = worker.send, worker.receive
  for i = 1, 1000 do send(w, i) receive(w) end
  local begin = clock()
  for i = 1, rounds do send(w, i) receive(w) end
  return (clock() - begin) / rounds * 1e6
end

local function create(n, each)
  local path, list = script("empty.lua", ""), {}
  for _ = 1, 100 do worker.receive(worker.create(path)) end
  local begin = clock()
  each(n, path, list)
  return (clock() - begin) / n * 1e6
end

function measures.one_by_one()
  return create(1000, function(n, path)
    for _ = 1, n do worker.receive(worker.create(path)) end
  end)
end

function measures.thousand()
  return create(1000, function(n, path, list)
    for i = 1, n do list[i] = worker.create(path) end
    for i = 1, n do worker.receive(list[i]) end
  end)
end

local MANY = 10000

function measures.waiting()
  local path, list = script("waits.lua", "worker.message 'here' worker.peek()"), {}
  local first = worker.create(path)
  worker.receive(first)
  collectgarbage()
  local before = resident()
  for i = 1, MANY do list[i] = worker.create(path) end
  for i = 1, MANY do worker.receive(list[i]) end
  return (resident() - before) / MANY
end

function measures.bare()
  local before = resident()
  ring.bare(MANY)
  return (resident() - before) / MANY
end

print(measures[arg[1]]())
os.exit(0)
