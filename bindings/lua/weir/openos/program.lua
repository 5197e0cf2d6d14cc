-- SPDX-License-Identifier: ISC
--
-- weir.openos.program: runs a program: replaces functions of Lua's own while the machine
-- runs, and makes the machine one of weir's loops.

local check = require "weir.check"
local host = require "weir.openos.host"
local layer = require "weir.openos.layer"
local loops = require "weir.loop"
local process = require "weir.openos.process"
local console = require "weir.openos.console"
local scheduler = require "weir.openos.scheduler"
local event = require "weir.event"
local signals = require "weir.openos.signals"

local program = {
  thread = nil, -- set by weir.thread: what a program finds under that name
}

local unpack = table.unpack or unpack -- luacheck: ignore

-- ---- a loop of weir -------------------------------------------------------------------

local machine = { name = "openos" }
scheduler.loop = machine

local suspended = setmetatable({}, { __mode = "k" }) -- co -> fiber

function machine.owns()
  return scheduler.is_in_fiber()
end

function machine.suspend(co, timeout)
  local fiber = scheduler.fiber()
  suspended[co] = fiber
  scheduler.wait(timeout and timeout ~= math.huge and host.now() + timeout or nil, signals.deaf)
  suspended[co] = nil
end

function machine.resume(co)
  local fiber = suspended[co]
  suspended[co] = nil
  if fiber and fiber.state == "waiting" then
    scheduler.wake(fiber, nil)
    host.wake()
  end
end

function machine.call(ended, f, ...)
  process.spawn(function(arguments)
    ended(true, f(unpack(arguments, 1, arguments.n)))
  end, { n = select("#", ...), ... }, function(_, problem) ended(false, problem) end)
end

machine.watch = host.watch

loops.register(machine)

-- ---- what a program finds ----------------------------------------------------------------

local real_exit = os.exit

--- Ends the running program or thread.
function program.exit(code)
  if not scheduler.is_in_fiber() then error("thread.exit: called outside a program", 2) end
  if code == nil or code == true then code = 0 end
  if code == false then code = 1 end
  check.is({ "a number, a boolean or nil", function(v) return type(v) == "number" end }, "exit: argument 1", code)
  process.exit(code)
end

local function os_exit(...)
  if not scheduler.is_in_fiber() then return real_exit(...) end
  return program.exit((...))
end

-- Fields of tables, as {table, name, value}.
local function fields()
  local computer = { uptime = event.uptime, pushSignal = event.push }
  function computer.pullSignal(timeout) return event.pull(timeout) end
  return {
    { os, "sleep", program.thread.sleep },
    { os, "exit", os_exit },
    { io, "read", console.read },
    { package.loaded, "thread", program.thread },
    { package.loaded, "event", event },
    { package.loaded, "computer", computer },
    { package.loaded, "tty", console.tty },
  }
end

local function exchange(list)
  for _, field in ipairs(list) do
    local at, name, value = field[1], field[2], field[3]
    field[3], at[name] = at[name], value
  end
end

-- ---- run -------------------------------------------------------------------------------

local is_running = false

local function report(it, problem)
  it.code = 128
  io.stderr:write(debug.traceback(it.co, check.text(problem)), "\n")
end

local function is_over(it)
  return it.life == "dead"
end

local function load(path)
  local f, problem = loadfile(path)
  if not f then error("thread.run: " .. problem, 3) end
  return f
end

-- On 5.1 nothing can be suspended inside pcall. So under another loop there is no pcall here:
-- an error can then only come from that loop, which has a pcall of its own, or none.
local function guard(...)
  if host.is_shared() and _VERSION == "Lua 5.1" and not rawget(_G, "jit") then
    return true, scheduler.turn_until(...)
  end
  return pcall(scheduler.turn_until, ...)
end

local function turn(it)
  local list = fields()
  is_running = true
  exchange(list)
  layer.install(scheduler)
  host.open()
  local ok, problem = guard(is_over, it)
  host.close()
  layer.restore()
  exchange(list)
  is_running = false
  signals.drop "thread_exit" -- the next program does not know those threads
  if not ok then
    scheduler.reset()
    error(problem, 0)
  end
end

--- See weir.thread.
function program.run(f, ...)
  if type(f) ~= "function" and type(f) ~= "string" then
    error(("thread.run: argument 1 must be a function or a path, got %s"):format(type(f)), 2)
  end
  if is_running then error("thread.run: the machine turns already", 2) end
  if type(f) == "string" then f = load(f) end
  local it = { is_program = true, fail = report }
  process.add(it, process.init, f, { n = select("#", ...), ... })
  turn(it)
  return it.code or 0
end

return program
