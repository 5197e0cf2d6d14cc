-- SPDX-License-Identifier: ISC
--
-- on_copas.lua: a Copas program with a blocking database. Each thread of the pool opens a
-- connection of its own; each client is a coroutine that waits only for its own answer.

local copas = require "copas"
local weir = require "weir"

local function connect(name)
  local environment = require("luasql.sqlite3").sqlite3()
  local connection = assert(environment:connect(name))
  assert(connection:execute "PRAGMA busy_timeout = 5000"):close() -- it returns a row
  return { environment = environment, connection = connection }
end

local function disconnect(db)
  assert(db.connection:close(), "a cursor is open")
  db.environment:close()
end

local function create(db)
  assert(db.connection:execute "CREATE TABLE squares (n INTEGER, square INTEGER)")
  for n = 1, 100 do
    assert(db.connection:execute(("INSERT INTO squares VALUES (%d, %d)"):format(n, n * n)))
  end
end

local function square(db, n)
  local cursor = assert(db.connection:execute("SELECT square FROM squares WHERE n = " .. n))
  local result = cursor:fetch()
  cursor:close()
  return tonumber(result)
end

local name = os.tmpname()
copas.addthread(function()
  local pool = assert(weir.pool {
    name = "db", threads = 2, init = connect, args = { name }, at_exit = disconnect,
  })
  assert(pool:run(create):get())
  local sum, clients = 0, 100
  for n = 1, clients do
    copas.addthread(function()
      local ok, result = pool:run(square, n):get()
      if ok then sum = sum + result else print("square " .. n .. ": " .. tostring(result)) end
      clients = clients - 1
      if clients == 0 then
        assert(pool:close()) -- what disconnect raises
        print("the sum of the squares to 100 is " .. sum)
      end
    end)
  end
end)
copas.loop()
os.remove(name)
print "the loop has ended"
