-- SPDX-License-Identifier: ISC
--
-- main.lua: the command line: import package lists, serve searches over them, or search for a
-- server.

local here = arg[0]:match "^(.*)/[^/]*$" or "."
package.path = here .. "/?.lua;" .. package.path -- also for the threads of pools

local USAGE = [[
main.lua (import | serve | worker) [options]
  --db FILE    SQLite database (default packages.db)
  --list FILE  import this list (default: what apt has fetched)
  --port N     port on the loopback address, 0 for a free one (default 8080)
  --threads N  threads of the pool, one connection each (default 2)
  --remote URL searches run in the workers of this farm; worker is one of them
  --on-loop    search on the loop's thread instead, to see the difference
]]

local function usage()
  io.stderr:write(USAGE)
  os.exit(2)
end

local options = { db = "packages.db", lists = {}, port = 8080, threads = 2 }

local function number(text) return tonumber(text) or usage() end

local take = {
  ["--db"] = function(value) options.db = value end,
  ["--list"] = function(value) options.lists[#options.lists + 1] = value end,
  ["--remote"] = function(value) options.remote = value end,
  ["--port"] = function(value) options.port = number(value) end,
  ["--threads"] = function(value) options.threads = number(value) end,
}

local function read_options()
  local i = 2
  while arg[i] do
    if arg[i] == "--on-loop" then
      options.on_loop = true
    else
      if not take[arg[i]] or not arg[i + 1] then usage() end
      take[arg[i]](arg[i + 1])
      i = i + 1
    end
    i = i + 1
  end
end

local commands = {}

function commands.import()
  local names = options.lists[1] and options.lists or require("lists").here()
  require "import"(options.db, names)
end

function commands.serve()
  local wait_for_stop = require "signals"()
  local finders = require "finder"
  local finder = options.remote and finders.in_workers(options.remote)
    or options.on_loop and finders.on_loop(options.db) or finders.in_pool(options.db, options.threads)
  local ok, problem = pcall(require("server").run, options.port, finder, wait_for_stop)
  finder.close()
  if not ok then error(problem, 0) end
end

function commands.worker()
  local wait_for_stop = require "signals"()
  require("finder").work(options.remote or usage(), options.db, options.threads, wait_for_stop)
end

local command = commands[arg[1]] or usage()
read_options()
local copas = require "copas"
local failed
copas.addthread(function()
  local ok, problem = pcall(command)
  if ok then return end
  failed = true
  io.stderr:write((tostring(problem):gsub("^[^:]*%.lua:%d+: ", "")), "\n")
end)
copas.loop()
os.exit(not failed, true)
