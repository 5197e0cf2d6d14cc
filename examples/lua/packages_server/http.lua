-- SPDX-License-Identifier: ISC
--
-- http.lua: as much of HTTP/1.1, on Copas' sockets, as short answers to GET need. No Lua
-- library that Debian packages has this for Copas.

local copas = require "copas"
local socket = require "socket"

local http = {}

local HEAD_LIMIT, IDLE_LIMIT = 8192, 30 -- bytes; seconds
local REASONS = {
  [200] = "OK", [400] = "Bad Request", [404] = "Not Found", [405] = "Method Not Allowed",
  [431] = "Request Header Fields Too Large", [500] = "Internal Server Error",
  [503] = "Service Unavailable", [504] = "Gateway Timeout",
}

local function answer(skt, status, body, closes)
  local head = ("HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n%s\r\n")
    :format(status, REASONS[status], #body, closes and "Connection: close\r\n" or "")
  return skt:send(head .. body) -- Copas sends the rest where LuaSocket sent only a part
end

-- The head of the next request and the bytes after it; nil if there is none.
local function read_head(skt, rest)
  local from, to = rest:find("\r\n\r\n", 1, true)
  while not from do
    if #rest > HEAD_LIMIT then return nil, 431 end
    local data, _, part = skt:receivepartial(2048)
    data = data or part
    if not data or data == "" then return nil end
    rest = rest .. data
    from, to = rest:find("\r\n\r\n", 1, true)
  end
  return rest:sub(1, from + 1), rest:sub(to + 1)
end

local function parse(head)
  local method, target, minor = head:match "^(%u+) (/%S*) HTTP/1%.([01])\r\n"
  if not method then return nil end
  local path, query = target:match "^([^?]*)%??(.*)$"
  local connection = (head:lower():match "\r\nconnection:%s*([%w-]+)") or ""
  local closes = connection == "close" or minor == "0" and connection ~= "keep-alive" or method ~= "GET"
  return { method = method, path = path, query = query, closes = closes }
end

local function decode(text)
  return (text:gsub("+", " "):gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

--- The parameter of a query, decoded, or nil.
function http.parameter(query, name)
  for key, value in query:gmatch "([^&=]+)=?([^&]*)" do
    if decode(key) == name then return decode(value) end
  end
end

-- Serves one client's requests, one after the other, until the client or the server ends it.
local function converse(skt, route, server)
  local rest = ""
  repeat
    local head
    server.idle[skt] = true
    head, rest = read_head(skt, rest)
    server.idle[skt] = nil
    local request = head and parse(head)
    if request then
      local status, body = route(request)
      request.closes = request.closes or server.is_stopping
      if not answer(skt, status, body .. "\n", request.closes) then return end
    elseif head or rest then
      answer(skt, rest == 431 and 431 or 400, "that is no request\n", true)
    end
  until not request or request.closes
end

local server_class = {}
server_class.__index = server_class

--- Serves route(request) -> status, body on the loopback address, port 0: a free one.
function http.serve(port, route)
  local listener = assert(socket.bind("127.0.0.1", port, 128))
  local server = setmetatable({ listener = listener, idle = {}, clients = 0 }, server_class)
  server.port = select(2, listener:getsockname())
  copas.addserver(listener, copas.handler(function(skt)
    -- select takes no higher descriptor, and all of Copas would fail
    if skt.socket:getfd() >= socket._SETSIZE - 8 then return end
    copas.settimeout(skt, IDLE_LIMIT)
    server.clients = server.clients + 1
    converse(skt, route, server)
    server.idle[skt] = nil
    server.clients = server.clients - 1
  end))
  return server
end

--- Stops listening, and returns when the requests under way are answered.
function server_class:stop()
  self.is_stopping = true
  copas.removeserver(self.listener)
  for skt in pairs(self.idle) do skt:close() end
  while self.clients > 0 do copas.pause(0.01) end
end

return http
