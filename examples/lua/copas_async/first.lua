-- SPDX-License-Identifier: ISC
--
-- first.lua: blocking work beside a Copas loop. Its expected output is first.expected.

local copas = require "copas"
require "weir.copas_async" -- now require "copas.async" gives this module
local async = require "copas.async"

local function add_up(n)
  local sum = 0
  for i = 1, n do sum = sum + i end
  return sum
end

copas(function()
  -- a call on a thread; the loop goes on meanwhile
  local ok, sum = async(function() return add_up(1000000) end)
  print("sum", ok, sum)

  -- two calls at once
  local a = async.addthread(function() return add_up(10) end)
  local b = async.addthread(function() error("no such file", 0) end)
  print("a", a:get())
  print("b", b:get())

  -- a command, line by line
  local fd = async.io_popen("echo one; echo two")
  print("read", fd:read("*l"))
  print("read", fd:read("*l"))
  print("end", fd:read("*l"))
  fd:close()

  -- a call that takes too long
  local slow = async.addthread(function() return os.execute("sleep 3") end)
  copas.pause(0.1)
  print("still running", slow:try() == async.PENDING)
  slow:cancel()
  print("slow", slow:get())
end)
