-- SPDX-License-Identifier: ISC
--
-- metrics.lua: an HTTP server on Copas that Prometheus can scrape. Prints its port.

local copas = require "copas"
local socket = require "socket"
local weir = require "weir"

local pool = assert(weir.pool { name = "work", threads = 2 })

local function sum()
  local n = 0
  for i = 1, 999 do n = n + i end
  return n
end

local answers = {
  ["/metrics"] = weir.metrics,
  ["/work"] = function() return select(2, assert(pool:run(sum)):get()) end,
}

local function serve(client)
  client = copas.wrap(client)
  local path = (client:receive "*l" or ""):match "^GET (%S+) HTTP/"
  repeat local line = client:receive "*l" until not line or line == ""
  local answer = answers[path]
  local body = answer and tostring(answer()) or "no such page\n"
  client:send(("HTTP/1.1 %s\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: %d\r\n"
    .. "Connection: close\r\n\r\n%s"):format(answer and "200 OK" or "404 Not Found", #body, body))
  client:close()
end

local server = assert(socket.bind("127.0.0.1", 0))
print((select(2, server:getsockname())))
io.stdout:flush()
copas.addserver(server, serve)
copas.loop()
