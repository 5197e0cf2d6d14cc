-- SPDX-License-Identifier: ISC
--
-- once.lua URL DATABASE: pays 10 from an account of 100, by a job that runs twice: its worker is
-- lost, as it were, after the work and before the answer. The account is charged once, and both
-- runs give the same answer.

local remote = require "weir.remote"

local url, path = arg[1] or "local:", arg[2] or ":memory:"

-- ? stands for a value.
local function sql(db, text, ...)
  local values, n = { ... }, 0
  local full = text:gsub("%?", function()
    n = n + 1
    return "'" .. db:escape(tostring(values[n])) .. "'"
  end)
  return assert(db:execute(full))
end

local function value(...)
  local rows = sql(...)
  local first = rows:fetch()
  rows:close()
  return first
end

local function once(db, id, work)
  if sql(db, "INSERT INTO done (id) VALUES (?) ON CONFLICT (id) DO NOTHING", id) == 1 then
    sql(db, "UPDATE done SET result = ? WHERE id = ?", work(), id)
  end
  return value(db, "SELECT result FROM done WHERE id = ?", id)
end

-- The claim, the work and its result are one transaction. A second run waits in BEGIN until the
-- first has ended, and then finds its result.
local function pay(db, name, amount)
  local id = require("weir.remote").request().id
  sql(db, "BEGIN IMMEDIATE")
  local ok, balance = pcall(once, db, id, function()
    sql(db, "UPDATE account SET balance = balance - ? WHERE name = ?", amount, name)
    return value(db, "SELECT balance FROM account WHERE name = ?", name)
  end)
  sql(db, ok and "COMMIT" or "ROLLBACK")
  if not ok then error(balance, 0) end
  return tonumber(balance)
end

local function connect(file)
  local db = assert(require("luasql.sqlite3").sqlite3():connect(file))
  value(db, "PRAGMA busy_timeout = 10000")
  sql(db, "CREATE TABLE IF NOT EXISTS done (id TEXT PRIMARY KEY, result)")
  sql(db, "CREATE TABLE IF NOT EXISTS account (name TEXT PRIMARY KEY, balance INTEGER)")
  return db
end

local function pay_and_be_lost(db, name, amount)
  local here = require "weir.remote"
  local balance = pay(db, name, amount)
  if here.request().attempt == 1 then error(here.retry) end
  return balance
end

local db = connect(path)
sql(db, "INSERT INTO account VALUES ('ann', 100)")

local server = assert(remote.serve {
  url = url,
  pool = { threads = 2, init = connect, args = { path }, at_exit = function(there) there:close() end },
  jobs = { ["account.pay"] = pay_and_be_lost },
})
local farm = assert(remote.open { url = url })
print(farm:task({ timeout = 30 }):run("account.pay", "ann", 10):get())
print(value(db, "SELECT balance FROM account WHERE name = 'ann'"))
db:close()
farm:close()
server:close()
