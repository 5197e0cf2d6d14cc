-- SPDX-License-Identifier: ISC
--
-- on_http.lua: a server of lua-http whose handlers let a pool compute. get suspends the coroutine
-- of the request; the others are served meanwhile. Three requests come from the same program.

local cqueues = require "cqueues"
local http_headers = require "http.headers"
local http_request = require "http.request"
local http_server = require "http.server"
local weir = require "weir"

local controller = cqueues.new()
local pool

local function sum_of_digits(text) -- on a thread: may block as it likes
  local sum = 0
  for digit in text:gmatch "%d" do sum = sum + tonumber(digit) end
  if sum == 0 then error "no digit" end
  return sum
end

local function reply(_, stream)
  local path = assert(stream:get_headers()):get ":path"
  local ok, sum = pool:run(sum_of_digits, path):get()
  local headers = http_headers.new()
  headers:append(":status", ok and "200" or "400")
  assert(stream:write_headers(headers, false))
  assert(stream:write_chunk(ok and ("%d\n"):format(sum) or "no digits\n", true))
end

local function ask(port, path)
  local headers, stream = assert(http_request.new_from_uri(("http://127.0.0.1:%d%s"):format(port, path)):go(10))
  return headers:get ":status", (stream:get_body_as_string():gsub("\n", ""))
end

controller:wrap(function()
  pool = assert(weir.pool { name = "digits", threads = 2, queue_limit = 100 })
  local server = assert(http_server.listen {
    host = "127.0.0.1", port = 0, cq = controller, onstream = reply,
    onerror = function(_, _, what, problem) io.stderr:write(what, ": ", tostring(problem), "\n") end,
  })
  assert(server:listen())
  local port = select(3, server:localname())
  for _, path in ipairs { "/123", "/" .. ("9"):rep(1000), "/none" } do print(ask(port, path)) end
  server:close()
  assert(pool:close())
end)

assert(controller:loop())
