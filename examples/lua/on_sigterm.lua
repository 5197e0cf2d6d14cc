-- SPDX-License-Identifier: ISC
--
-- on_sigterm.lua FILE: a service on Copas: clients query SQLite through a pool, with a timeout,
-- until SIGTERM or ^C comes. Then what was asked is still answered.

local copas = require "copas"
local signal = require "weir.signal"
local weir = require "weir"

local function connect(path)
  local connection = assert(require("luasql.sqlite3").sqlite3():connect(path))
  assert(connection:execute "PRAGMA busy_timeout = 1000"):close() -- a pragma gives a cursor
  return connection
end
local function disconnect(connection) connection:close() end

local function one_row(connection, query) -- on a thread of the pool
  local cursor = assert(connection:execute(query))
  local row = cursor:fetch({}, "a")
  cursor:close()
  return row
end

-- Before the pool opens, so that neither ends the program without a close.
local term, int = assert(signal.catch "TERM"), assert(signal.catch "INT")

local db = assert(weir.pool {
  name = "db", threads = 2, queue_limit = 100,
  init = connect, args = { assert(arg[1], "usage: on_sigterm.lua FILE") }, at_exit = disconnect,
})
local queries = db:task { timeout = 5, label = "query" }

local function ask(query) -- the row, or nil and why there is none
  local future, refused = queries:run(one_row, query)
  if not future then return nil, refused end -- "full" or "closed"
  local ok, result = future:get()
  if ok then return result end
  return nil, tostring(result) -- "timeout", "closed", or what the task raised
end

local serving, asked, answered = true, 0, 0

local function client()
  while serving do
    asked = asked + 1
    if ask "SELECT 6 * 7 AS answer" then answered = answered + 1 end
    copas.sleep(0.01)
  end
end

local function stop_at(caught)
  if not serving or not caught:wait() then return end -- the other one has come
  serving = false
  term:release()
  int:release()
  print("closed", db:close { drain = true, timeout = 10 })
end

copas.addthread(stop_at, term)
copas.addthread(stop_at, int)

for _ = 1, 3 do copas.addthread(client) end
copas.addthread(function()
  print(select(2, ask "SELECT sum FROM nowhere"):match "no such table: %w+")
  print "serving"
  io.stdout:flush()
end)
copas.loop()
print(answered == asked and "all were answered" or "some were not answered")
