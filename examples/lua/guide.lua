-- SPDX-License-Identifier: ISC
--
-- guide.lua FILE: what doc/guide/lua.md shows, in its order. FILE is where the database is kept.

local weir = require "weir"
local file = assert(arg[1], "usage: guide.lua FILE")

-- A first program: every thread opens the database once.
local function connect(path)
  local connection = assert(require("luasql.sqlite3").sqlite3():connect(path))
  assert(connection:execute "PRAGMA busy_timeout = 5000"):close() -- a pragma gives a cursor
  return connection
end
local function disconnect(connection) connection:close() end

local function one_row(connection, query)
  local cursor = assert(connection:execute(query))
  local row = cursor:fetch({}, "a")
  cursor:close()
  return row -- a table: the caller gets a copy
end

local db = assert(weir.pool {
  name = "db", threads = 2, queue_limit = 1000,
  init = connect, args = { file }, at_exit = disconnect,
})
local row = select(2, assert(db:run(one_row, "SELECT 6 * 7 AS answer")):get())
print("the answer is " .. row.answer)

-- Errors: get returns false and the error value.
local ok, problem = assert(db:run(one_row, "SELECT sum FROM nowhere")):get()
print(ok, (tostring(problem):match "no such table: %w+"))

-- Several at once: all of them run beside each other, as far as there are threads.
local futures = {}
for n = 1, 3 do
  futures[n] = assert(db:run(one_row, ("SELECT %d * %d AS square"):format(n, n)))
end
for n = 1, 3 do
  print(select(2, futures[n]:get()).square)
end

-- A timeout: the future ends, the task is cancelled, and the thread takes the next one.
local function for_ever()
  while true do end
end
local cpu = assert(weir.pool { name = "cpu", threads = 1, cancel_timeout = 1 })
print(cpu:task({ timeout = 0.05, cancellable = true }):run(for_ever):get())

-- A task that would rather stop by itself.
local function count(steps)
  local n = 0
  while n < steps and not weir.cancelled() do n = n + 1 end
  return n
end
print(cpu:run(count, 1000):get())

-- Progress: the function that is given to weir.progress runs here, with its own upvalues.
local done = 0
local progress = weir.progress(function(n) done = done + n end)
assert(cpu:run(function()
  for _ = 1, 10 do progress(1) end
end):get())
print(done .. " steps")

-- What is my pool doing?
local now = db:stats()
print(("%d threads, %d running, %d queued"):format(now.threads, now.running, now.queued))

local hanging = assert(cpu:task({ label = "hang", cancellable = true }):run(for_ever))
repeat until cpu:stats().running == 1
for _, task in ipairs(cpu:running()) do
  print(("%s runs for %.0f s"):format(task.label, task.seconds))
end
hanging:cancel()

-- The same without asking: weir tells of it on stderr.
assert(weir.watch { task = 30, loop = 2 }) -- seconds
assert(weir.watch(nil))

-- Stopping: what is queued runs first, for at most five seconds.
print(db:close { drain = true, timeout = 5 })
print(cpu:close())
