-- SPDX-License-Identifier: ISC
--
-- openos.lua: programs for weir.thread on a clock of the test's own: it stands still while
-- something runs, and goes to the next deadline when nothing does. So a sleep takes no
-- time, and a machine that would wait for ever is an error.

local event = require "weir.event"
local host = require "weir.openos.host"
local thread = require "weir.thread"

local openos = { errors = {} }

local real = { now = host.now, wait = host.wait }
local now = 0

local function wait(_, timeout)
  if not timeout then error("the machine would wait for ever", 0) end
  now = now + timeout
end

--- Puts the clock in place, or with false the real one.
function openos.fake(is_fake)
  now = 0
  if is_fake == false then
    host.now, host.wait = real.now, real.wait
  else
    host.now, host.wait = function() return now end, wait
  end
end

function openos.uptime() return now end

local function line(...)
  local parts = { ... }
  for i = 1, select("#", ...) do parts[i] = tostring(parts[i]) end
  return table.concat(parts, "\t") .. "\n"
end

-- f with what it prints and writes to stdout and stderr: the texts, then what it returns
local function captured(f, ...)
  local out, problems = {}, {}
  local print_before, write_before, stderr_before = print, io.write, io.stderr
  _G.print = function(...) out[#out + 1] = line(...) end
  io.write = function(...) out[#out + 1] = table.concat { ... } end -- luacheck: ignore
  io.stderr = { write = function(_, ...) problems[#problems + 1] = table.concat { ... } end } -- luacheck: ignore
  local ok, value = pcall(f, ...)
  _G.print, io.write, io.stderr = print_before, write_before, stderr_before -- luacheck: ignore
  if not ok then error(value, 0) end
  return table.concat(out), table.concat(problems), value
end

--- Runs a program, a function or a text: its output, the exit code, and what it wrote to
-- stderr. What event.onError got is in openos.errors.
function openos.run(program, ...)
  if type(program) == "string" then program = assert((loadstring or load)(program, "=program")) end
  openos.errors = {}
  local before = event.onError
  event.onError = function(message) openos.errors[#openos.errors + 1] = message end
  local out, problems, code = captured(thread.run, program, ...)
  event.onError = before
  return out, code, problems
end

--- Before a test: the clock is in place, and no signal is left of a run before, which the next
-- one would carry on.
function openos.fresh()
  openos.fake()
  openos.runs(function() while event.pull(0) do end end)
end

--- Asserts what a program prints, and that it ends well.
function openos.prints(expected, program, ...)
  assert.are.equal(expected, openos.runs(program, ...))
end

--- Runs a program that must end well: its output and the exit code. What it raises is
-- raised here.
function openos.program(f, ...)
  local out, code, problems = openos.run(f, ...)
  assert.are.equal("", problems)
  return out, code
end

--- The same of a program whose code is 0: its output.
function openos.runs(f, ...)
  local out, code = openos.program(f, ...)
  assert.are.equal(0, code)
  return out
end

--- What f(...) raises.
function openos.problem_of(f, ...)
  local ok, problem = pcall(f, ...)
  assert.is_false(ok)
  return problem
end

--- A thread that sleeps for a second.
function openos.sleeper() return thread.create(thread.sleep, 1) end

return openos
