-- SPDX-License-Identifier: ISC
--
-- on_luv.lua: weir's futures beside luv's timers and handles. get suspends the coroutine
-- that calls it. Tables, upvalues and errors cross; new_work does not carry them.

local uv = require "luv"
local weir = require "weir"

local ticks = 0
local timer = uv.new_timer()
timer:start(1, 1, function() ticks = ticks + 1 end)

local known = { [0] = 0, 1 } -- an upvalue: each task gets a copy

local function fibonacci(n)
  if not known[n] then known[n] = fibonacci(n - 1) + fibonacci(n - 2) end
  return known[n]
end

local function sleep(ms) -- a system call that blocks its thread
  require("luv").sleep(ms)
end

coroutine.wrap(function()
  local pool = assert(weir.pool { name = "sums", threads = 2 })
  local numbers = {}
  for i = 1, 10 do numbers[i] = pool:run(fibonacci, i * 5) end
  for i = 1, 10 do
    local ok, value = numbers[i]:get()
    print(i * 5, ok and ("%d"):format(value))
  end
  print(pool:run(function() error({ code = 42 }) end):get() == false and "an error came back")

  assert(pool:run(sleep, 50):get())
  print(ticks > 5 and "the timer went on meanwhile")
  assert(pool:close())
  timer:close()
end)()
uv.run()
print "the loop has ended"
