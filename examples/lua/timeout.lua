-- SPDX-License-Identifier: ISC
--
-- timeout.lua: a query of SQLite that stops at its timeout, by lsqlite3, which has SQLite's
-- progress handler. Its thread and its connection stay.

local weir = require "weir"

local function connect(path)
  local connection = assert(require("lsqlite3").open(path))
  connection:busy_timeout(5000)
  connection:progress_handler(1000, function() return weir.cancelled() end)
  return connection
end
local function disconnect(connection) connection:close() end

local function one_row(connection, query)
  local sqlite, statement = require "lsqlite3", connection:prepare(query)
  if not statement then error(connection:errmsg(), 0) end
  local code = statement:step()
  local row = code == sqlite.ROW and statement:get_named_values() or nil
  local problem = connection:errmsg()
  statement:finalize()
  if row or code == sqlite.DONE or weir.cancelled() then return row end -- cancelled: nobody waits for it
  error(problem, 0)
end

local db = assert(weir.pool {
  name = "db", threads = 1, init = connect, args = { ":memory:" }, at_exit = disconnect,
})
local endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
print(db:task({ timeout = 0.1 }):run(one_row, endless):get())
local row = select(2, db:run(one_row, "SELECT 6 * 7 AS answer"):get())
print(("the answer is %d"):format(row.answer))
print(db:run(one_row, "SELECT 1 WHERE false"):get()) -- no row
print(db:run(one_row, "SELECT sum FROM nowhere"):get())
print(db:stats().abandoned .. " threads were given up")
print(db:close())
