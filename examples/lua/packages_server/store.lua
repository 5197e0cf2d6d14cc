-- SPDX-License-Identifier: ISC
--
-- store.lua: the packages in an SQLite file, through LuaSQL. Connections belong to the
-- state that opened them, and everything here waits for the database.

local store = {}

local function open(path)
  local environment = require("luasql.sqlite3").sqlite3()
  local connection, problem = environment:connect(path)
  if not connection then error(problem, 0) end
  return { environment = environment, connection = connection }
end

function store.close(db)
  assert(db.connection:close(), "a cursor is open")
  db.environment:close()
end

local function execute(db, sql)
  local result, problem = db.connection:execute(sql)
  if not result then error((problem:gsub("^LuaSQL: ", "SQLite: ")), 0) end
  return result
end

-- LuaSQL ends with nil; if there is no row, its newer versions give an empty row first.
local function rows(db, sql)
  local cursor, list = execute(db, sql), {}
  local row = cursor:fetch {}
  while row and next(row) do
    list[#list + 1] = row
    row = cursor:fetch {}
  end
  cursor:close()
  return list
end

-- ---- reading -----------------------------------------------------------------

function store.open_reader(path)
  local file = io.open(path) -- SQLite would make an empty one
  if not file then error("SQLite: unable to open database file " .. path, 0) end
  file:close()
  local db = open(path)
  rows(db, "PRAGMA busy_timeout = 5000")
  rows(db, "SELECT name FROM packages LIMIT 1")
  return db
end

-- The pattern that matches `text` anywhere; LIKE's special characters are escaped.
local function pattern(db, text)
  return db.connection:escape("%" .. text:gsub("[%%_!]", "!%0") .. "%")
end

-- Reads every row, because no ordinary index finds a word in the middle of a text.
local SEARCH = [[
  SELECT name, version, summary, count(*) OVER () FROM packages
  WHERE name LIKE '@' ESCAPE '!' OR summary LIKE '@' ESCAPE '!' OR details LIKE '@' ESCAPE '!'
  ORDER BY name, version LIMIT 20]]

--- The number of packages that match, and a list of the first: name, version, summary.
function store.search(db, text)
  local sql = SEARCH:gsub("@", (pattern(db, text):gsub("%%", "%%%%")))
  local list = rows(db, sql)
  return list[1] and math.floor(list[1][4]) or 0, list
end

-- ---- writing -----------------------------------------------------------------

--- Replaces all packages in one transaction: nothing changes before commit, and a close
-- without commit undoes everything.
function store.open_writer(path)
  local db = open(path)
  execute(db, "BEGIN")
  execute(db, [[CREATE TABLE IF NOT EXISTS packages (name TEXT NOT NULL, version TEXT NOT NULL,
    summary TEXT NOT NULL, details TEXT NOT NULL, PRIMARY KEY (name, version))]])
  execute(db, "DELETE FROM packages")
  return db
end

function store.add(db, name, version, summary, details)
  local escape = function(text) return "'" .. db.connection:escape(text) .. "'" end
  execute(db, "INSERT INTO packages VALUES (" .. escape(name) .. "," .. escape(version) .. ","
    .. escape(summary) .. "," .. escape(details) .. ") ON CONFLICT DO NOTHING")
end

function store.commit(db) execute(db, "COMMIT") end

return store
