-- SPDX-License-Identifier: ISC
--
-- finder.lua: runs searches on the loop or through a pool; nothing else differs.
-- find(text) returns the total and the first packages, or nil and a word.

local copas = require "copas"
local store = require "store"
local weir = require "weir"

local finder = {}

-- One write for the whole line, so that lines of several threads do not mix.
local function opened(path)
  local db = require("store").open_reader(path)
  io.stderr:write "connection opened\n"
  return db
end

local function closed(db)
  require("store").close(db)
  io.stderr:write "connection closed\n"
end

function finder.on_loop(path)
  local db = opened(path)
  return {
    find = function(text)
      copas.pause() -- fair to the loop: it runs between two searches
      return weir.slice("search", store.search, db, text)
    end,
    close = function() closed(db) end,
  }
end

local function result(ok, total, first)
  if ok then return total, first end
  return nil, total
end

function finder.in_pool(path, threads)
  local pool, problem = weir.pool {
    name = "packages", threads = threads, queue_limit = 1000, init = opened, args = { path }, at_exit = closed,
  }
  if not pool then error(problem, 0) end
  local patient = pool:task { timeout = 30, label = "search" }
  return {
    find = function(text)
      local future, why = patient:run(store.search, text)
      if not future then return nil, why end
      return result(future:get())
    end,
    close = function() assert(pool:close { drain = true }) end,
  }
end

--- The searches run in worker programs: see weir.remote.
function finder.in_workers(url)
  local farm = assert(require("weir.remote").open { url = url, queue_limit = 1000 })
  local patient = farm:task { timeout = 30 }
  return {
    find = function(text)
      local future, why = patient:run("packages.search", text)
      if not future then return nil, why end
      return result(future:get())
    end,
    close = function() assert(farm:close()) end,
  }
end

-- What another language reads of a row of the database: a list.
local function search(db, text)
  local total, rows = require("store").search(db, text)
  local first = {}
  for i, row in ipairs(rows) do first[i] = { row[1], row[2], row[3] } end
  return total, first
end

--- Is such a worker until wait_for_stop() returns; then finishes the searches under way.
function finder.work(url, path, threads, wait_for_stop)
  local server = assert(require("weir.remote").serve {
    url = url,
    pool = { name = "packages", threads = threads, init = opened, args = { path }, at_exit = closed },
    jobs = { ["packages.search"] = search },
  })
  print "working"
  io.stdout:flush()
  wait_for_stop()
  assert(server:close())
end

return finder
