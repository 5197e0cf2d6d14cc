-- SPDX-License-Identifier: ISC
--
-- server.lua: answers requests; a request that waits never delays another.

local copas = require "copas"
local http = require "http"
local query = require "query"
local socket = require "socket"

local server = {}

local REFUSALS = {
  full = { 503, "too many searches are waiting" },
  closed = { 503, "the server is stopping" },
  timeout = { 504, "the search took too long" },
}

local function refuse(problem)
  if REFUSALS[problem] then return REFUSALS[problem][1], REFUSALS[problem][2] end
  io.stderr:write(tostring(problem), "\n")
  return 500, "the search failed"
end

local function page(total, first)
  local lines = { total .. " found" }
  for i, row in ipairs(first) do lines[i + 1] = table.concat(row, "\t", 1, 3) end
  return table.concat(lines, "\n")
end

local function searcher(finder)
  return function(request)
    local text = http.parameter(request.query, "q")
    if not text or not query.is_valid(text) then return 400, "q must be " .. query.VALID end
    local ok, total, first = pcall(finder.find, text)
    if not ok then return refuse(total) end
    if not total then return refuse(first) end
    return 200, page(total, first)
  end
end

-- The heart beats every millisecond on the loop and remembers when the loop stood still: the
-- longest gap, and each of more than 10 ms.
local LONG = 0.01

local function observe(heart)
  local now = socket.gettime()
  local gap = now - heart.last
  if gap > LONG then
    heart.gaps[#heart.gaps + 1] = ("gap %.3f %.2f"):format(heart.last, gap * 1000)
  end
  heart.last, heart.worst = now, math.max(heart.worst, gap)
end

local function beat(heart)
  while not heart.stopped do
    observe(heart)
    copas.pause(0.001)
  end
end

local function heartbeat_of(heart)
  return function()
    observe(heart)
    local report = { ("%.2f"):format(heart.worst * 1000), (table.unpack or unpack)(heart.gaps) }
    heart.worst, heart.gaps = 0, {}
    return 200, table.concat(report, "\n")
  end
end

--- Runs in a coroutine of the loop. Serves until wait_for_stop() returns, then finishes the
-- requests under way.
function server.run(port, finder, wait_for_stop)
  local heart = { worst = 0, gaps = {}, last = socket.gettime() }
  local routes = {
    ["/ping"] = function() return 200, "pong" end,
    ["/search"] = searcher(finder),
    ["/heartbeat"] = heartbeat_of(heart),
  }
  local listening = http.serve(port, function(request)
    local route = routes[request.path]
    if not route then return 404, "try /ping, /search?q=text or /heartbeat" end
    if request.method ~= "GET" then return 405, "only GET" end
    return route(request)
  end)
  copas.addthread(beat, heart)
  print("listening on http://127.0.0.1:" .. listening.port)
  io.stdout:flush()
  wait_for_stop()
  listening:stop()
  heart.stopped = true
end

return server
