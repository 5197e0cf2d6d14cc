-- SPDX-License-Identifier: ISC
--
-- finder.lua: where searches run: on the loop, or through a pool. This is all the
-- difference. find(text) returns the total and the first, or nil and a word.

local copas = require "copas"
local store = require "store"
local weir = require "weir"

local finder = {}

-- One piece, so that threads that speak at the same time do not mix their words.
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
      copas.pause() -- fair to the loop: it turns between two searches
      return store.search(db, text)
    end,
    close = function() closed(db) end,
  }
end

function finder.in_pool(path, threads)
  local pool, problem = weir.pool {
    name = "packages", threads = threads, queue_limit = 1000, init = opened, args = { path }, at_exit = closed,
  }
  if not pool then error(problem, 0) end
  local patient = pool:task { timeout = 30 }
  local function result(ok, total, first)
    if ok then return total, first end
    return nil, total
  end
  return {
    find = function(text)
      local future, why = patient:run(store.search, text)
      if not future then return nil, why end
      return result(future:get())
    end,
    close = function() assert(pool:close { drain = true }) end,
  }
end

return finder
