-- SPDX-License-Identifier: ISC
-- The requests of wrk: `-- search` one word after the other, `-- ping` a hundred times a second.

local words = { "editor", "python", "library", "game", "font", "kernel", "browser", "compiler" }
local asked = 0

local function search()
  asked = asked + 1
  return wrk.format("GET", "/search?q=" .. words[asked % #words + 1])
end

local function ping()
  return wrk.format("GET", "/ping")
end

function init(args)
  request = args[1] == "ping" and ping or search
  if args[1] == "ping" then
    function delay() return 10 end
  end
end

-- One line for the caller: requests, errors, p50 and p99 in ms.
function done(summary, latency)
  local errors = 0
  for _, count in pairs(summary.errors) do errors = errors + count end
  print(("result %d %d %.1f %.1f"):format(summary.requests, errors,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
