-- SPDX-License-Identifier: ISC
--
-- Whole programs on weir.copas_async: the documented ones of copas-async, as they stand
-- there, our examples, and how programs end.

local _ENV = require "support.globals"(getfenv and getfenv() or _ENV) -- luacheck: ignore

local program = require "support.program"

if not require("support.in_copas").module() then
  describe("programs on weir.copas_async", function() pending("cannot be run here") end)
  return
end

local PRELUDE = [[
for name in ("timerwheel copas.semaphore"):gmatch "%S+" do
  package.preload[name] = function() return require("support." .. name) end
end
]]

local DROP_IN = [[
local copas = require "copas"
require "weir.copas_async"
local async = require "copas.async"
]]

local slurp = require("support.output").slurp

local function prints(expected, text)
  assert.are.equal(expected, program.run(PRELUDE .. text))
end

describe("the documented program", function()
  it("of the module", function()
    prints("true\tnil\tnil\nexit 0\n", [[
require "weir.copas_async"
local copas = require "copas"
copas(function()
local async = require "copas.async"

local function sometask()
  -- do something that takes a while
  return ok, err
end

local ok, err = async(sometask)

print(ok, err, select(3, async(sometask)))
end)
]])
  end)

  it("of get", function()
    prints("thread says hello seq\nthread says hello 5\nexit 0\n", DROP_IN .. [[
local msg = "hello"
copas(function()
   -- schedule a thread using LuaLanes
   local future = async.addthread(function()
      os.execute("for i in seq 5; do echo 'thread says "..msg.." '$i; sleep 1; done")
      return 123
   end)

   -- The following will wait for the thread to complete (5 secs)
   -- Note: calling future() is the same as future:get()
   local ok, result = future()
   assert(ok and 123 == result, "expected exit code 123")
end)
]])
  end)

  it("of try", function()
    prints("thread says hello seq\nthread says hello 5\nexit 0\n", DROP_IN .. [[
local msg = "hello"
copas(function()
   -- schedule a thread using LuaLanes
   local future = async.addthread(function()
      os.execute("for i in seq 5; do echo 'thread says "..msg.." '$i; sleep 1; done")
      return 123
   end)

   -- loop to wait for result
   local done, result
   while not done do
      copas.sleep(0.1)
      done, result = future:try()
   end

   if done == async.ERROR then
      print("oops... something went wrong: " .. result)
   else
      assert(123 == result, "expected exit code 123")
   end
end)
]])
  end)

  it("of run", function()
    prints("true\tnil\tan error\ntrue\tnil\tan error\nexit 0\n", DROP_IN .. [[
local function fn() return nil, "an error" end
copas(function()
do
local ok, result, err = async.run(fn)
print(ok, result, err)
end
-- or even shorter;
local ok, result, err = async(fn)
print(ok, result, err)
end)
]])
  end)
end)

describe("the example", function()
  it("examples/lua/copas_async/first.lua prints what it says", function()
    prints(slurp "examples/lua/copas_async/first.expected" .. "exit 0\n",
      slurp "examples/lua/copas_async/first.lua")
  end)
end)

describe("a program", function()
  it("ends with its loop, while a call that was cancelled is stuck", function()
    prints("false\tcancelled\nexit 0\n", DROP_IN .. [[
async.cancel_timeout = math.huge
copas(function()
  local future = async.addthread(function() os.execute("exec sleep 60 > /dev/null 2>&1") end)
  copas.pause(0.1)
  future:cancel()
  print(future:get())
end)
]])
  end)

  it("goes on until the last call has ended, after copas.exit, too", function()
    prints("exiting\ncall ended\ngot\ttrue\t5\nexit 0\n", DROP_IN .. [[
io.stdout:setvbuf("no")
local go = gate.new()
copas(function()
  local future = async.addthread(function()
    os.execute("read line < " .. go .. "; echo call ended")
    return 5
  end)
  copas.addthread(function() copas.waitforexit(); print "exiting"; gate.open_last(go) end)
  copas.pause()
  copas.exit()
  print("got", future:get())
end)
]])
  end)

  it("ends at once without a loop while a call runs and a descriptor is open", function()
    prints("exit 0\n", DROP_IN .. [[
future = async.addthread(function() os.execute("exec sleep 60 > /dev/null 2>&1") end)
fd = async.io_popen("exec sleep 60 2> /dev/null")
]])
  end)

  it("ends by os.exit, closing its state or not, while a call runs and a read waits", function()
    for _, close in ipairs { "false", "true" } do
      prints("exit 3\n", DROP_IN .. [[
local fd = async.io_popen("echo up; exec sleep 60 > /dev/null 2>&1")
copas.addthread(function() fd:read(); fd:read("*a") end)
copas.addthread(function()
  async.addthread(function() os.execute("exec sleep 60 > /dev/null 2>&1") end)
  copas.pause(0.1)
  os.exit(3, ]] .. close .. [[)
end)
copas.loop()
]])
    end
  end)

  it("may require it inside a coroutine, where nothing can be suspended", function()
    prints("true\t1\nexit 0\n", [[
local copas = require "copas"
package.preload.mine = function()
  require "weir.copas_async"
  return { future = require("copas.async").addthread(function() return 1 end) }
end
copas(function() print(require("mine").future:get()) end)
]])
  end)
end)
