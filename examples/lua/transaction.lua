-- SPDX-License-Identifier: ISC
--
-- transaction.lua FILE: transactions of SQLite whose task is cancelled, in a query and in Lua, and
-- one that a cancel stops by an error. None leaves anything in the table, or a lock.

local file = assert(arg[1], "usage: transaction.lua FILE")

local weir = require "weir"

local function cancelled() return weir.cancelled() end
local function connect(path)
  local connection = assert(require("lsqlite3").open(path))
  connection:busy_timeout(1000)
  connection:exec "CREATE TABLE IF NOT EXISTS t (i)"
  connection:progress_handler(1000, cancelled)
  return connection
end
local function disconnect(connection) connection:close() end

local function execute(connection, sql)
  if connection:exec(sql) ~= require("lsqlite3").OK then error(connection:errmsg(), 0) end
end

local function transaction(connection, change)
  if weir.cancelled() then return end -- has asked: no error of a cancel comes below
  local ok, problem = pcall(function()
    execute(connection, "BEGIN IMMEDIATE")
    change(connection)
    if weir.cancelled() then error "cancelled" end
    execute(connection, "COMMIT")
  end)
  if ok then return end
  connection:progress_handler(nil) -- it could stop the ROLLBACK as well
  connection:exec "ROLLBACK" -- fails if there is no transaction: BEGIN failed, or SQLite was first
  connection:progress_handler(1000, cancelled)
  if not weir.cancelled() then error(problem, 0) end -- cancelled: nobody waits for it
end

local db = assert(weir.pool {
  name = "db", threads = 1, init = connect, args = { file }, at_exit = disconnect,
})
local within = db:task { timeout = 0.1, cancellable = true }

print("in a query", within:run(transaction, function(connection)
  execute(connection, "INSERT INTO t VALUES (1)")
  execute(connection, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n) SELECT sum(i) FROM n")
end):get())

print("in Lua", within:run(transaction, function(connection)
  execute(connection, "INSERT INTO t VALUES (2)")
  while not weir.cancelled() do end
end):get())

print("stopped", within:run(function(connection)
  execute(connection, "BEGIN IMMEDIATE; INSERT INTO t VALUES (3)")
  pcall(function() while true do end end)
  connection:exec "ROLLBACK" -- never runs: the error comes again at once. at_exit closes the connection
end):get())

print("failed", db:run(transaction, function(connection)
  execute(connection, "INSERT INTO nowhere VALUES (4)")
end):get())
print("kept", db:run(transaction, function(connection)
  execute(connection, "INSERT INTO t VALUES (5)")
end):get())
print("in t", select(2, db:run(function(connection)
  local list
  for values in connection:urows "SELECT group_concat(i) FROM t" do list = values end
  return list
end):get()))
print(db:stats().abandoned .. " threads were given up")
print(db:close())
