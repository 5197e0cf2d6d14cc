-- SPDX-License-Identifier: ISC
--
-- peer.lua worker URL | peer.lua client URL: one side of a pair of programs, under Copas;
-- ../../test/pairs/pairs.pl has the words that they say and hear.

local copas = require "copas"
local remote = require "weir.remote"
local weir = require "weir"

local function say(...)
  io.stdout:write(string.format(...), "\n")
  io.stdout:flush()
end

-- Short, so that what they end does not last.
local function options(more)
  local given = { url = arg[2], heartbeat = 2, reconnect_min = 0.02, reconnect_max = 0.2, reply_life = 5 }
  for name, value in pairs(more or {}) do given[name] = value end
  return given
end

-- Standard input, line by line, read on a thread of its own.
local function lines(fn)
  local reader = assert(weir.pool { threads = 1 })
  repeat
    local _, line = reader:run(function() return io.read() end):get()
    if line then fn(line) end
  until not line
  reader:close()
end

local function wait_for_ever()
  while true do require("weir").sleep(0.001) end
end

-- On the loop's thread, which does nothing else meanwhile.
local function hog()
  local deadline = os.time() + 6
  while os.time() < deadline do end -- luacheck: ignore
end

-- Each runs on a pool's thread, which prints by itself.
local jobs = {
  echo = function(...) return ... end,
  raises = function() error("on purpose", 0) end,
  holds = function(...)
    local attempt = require("weir.remote").request().attempt
    say("holds %d", attempt)
    if attempt == 1 then wait_for_ever() end
    return ...
  end,
  hogs = function(...)
    say("hogs %d", require("weir.remote").request().attempt)
    require("weir").run_in_main(hog)
    return ...
  end,
  stops = function()
    if require("weir.remote").request().attempt > 1 then return end -- its worker was killed later
    require("weir").on_cancel(function() say "stopped" end)
    say "stops"
    wait_for_ever()
  end,
}

local function worker()
  local server = assert(remote.serve(options { pool = { threads = 2 }, jobs = jobs }))
  say "ready"
  local _, line = assert(weir.pool { threads = 1 }):run(function() return io.read() end):get()
  local cancel = line ~= nil
  if not server:close { cancel = cancel, timeout = 0.01 } then say "drains" end
  assert(server:close())
  say "ended"
end

local function tell(future)
  local ok, text, n = future:get()
  if ok then return say("ok %d %d", #text, n) end
  if type(text) == "table" then return say("raised %s %s", text.name, text.text) end
  say(text == "cancelled" and text or "failed " .. text)
end

local function client()
  local farm, last = assert(remote.open(options()))
  say "ready"
  lines(function(line)
    local name, size, n = line:match "^(%w+) (%d+) (%d+)$"
    if not name then return last:cancel() end
    last = assert(farm:run(name, ("x"):rep(tonumber(size)), math.floor(tonumber(n))))
    last:on_settle(tell)
  end)
  assert(farm:close())
  say "ended"
end

copas.addthread(arg[1] == "worker" and worker or client)
copas.loop()
