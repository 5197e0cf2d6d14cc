-- SPDX-License-Identifier: ISC
-- The requests of wrk: `-- search` one word after the other, `-- ping` a hundred times a second.

local ffi = require "ffi"
ffi.cdef [[
struct timeval { long seconds, microseconds; };
int gettimeofday(struct timeval *now, void *zone);
]]
local words = { "editor", "python", "library", "game", "font", "kernel", "browser", "compiler" }
local asked = 0

local function search()
  asked = asked + 1
  return wrk.format("GET", "/search?q=" .. words[asked % #words + 1])
end

local function now()
  local time = ffi.new "struct timeval"
  ffi.C.gettimeofday(time, nil)
  return tonumber(time.seconds) + tonumber(time.microseconds) / 1e6
end

-- wrk calls globals of the thread's state, and `done` reads them from another one.
local function ping()
  sent = now()
  return wrk.format("GET", "/ping")
end

local function pong()
  pings = ("%sping %.3f %.3f\n"):format(pings, sent, (now() - sent) * 1000)
  sent = 0
end

function init(args)
  pings, sent = "", 0
  request = args[1] == "ping" and ping or search
  if args[1] == "ping" then
    response = pong
    function delay() return 10 end
  end
end

local threads = {}
function setup(thread) threads[#threads + 1] = thread end

-- For the caller: `result REQUESTS ERRORS P50 P99`, times in ms. Then a line `ping AT TIME` for each
-- ping, AT in seconds since 1970, and `waiting AT` for one that nobody answered.
function done(summary, latency)
  local errors = 0
  for _, count in pairs(summary.errors) do errors = errors + count end
  print(("result %d %d %.1f %.1f"):format(summary.requests, errors,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
  for _, thread in ipairs(threads) do
    io.write(thread:get "pings")
    if thread:get "sent" > 0 then print(("waiting %.3f"):format(thread:get "sent")) end
  end
end
