-- SPDX-License-Identifier: ISC
--
-- weir.msys.modules: registerModule, and a message's way through the validate phases.

local check = require "weir.check"

local modules = {}

local CONT, DONE, AGAIN = 0, 1, 2 -- the results of a phase
modules.constants = { VALIDATE_CONT = CONT, VALIDATE_DONE = DONE, VALIDATE_AGAIN = AGAIN }

local PHASES = {
  "validate_connect", "validate_ehlo", "validate_auth", "validate_mailfrom", "validate_rcptto", "validate_data",
  "validate_data_spool", "validate_data_spool_each_rcpt", "validate_set_binding",
}

local registered = {} -- in their order

--- Has the functions of `module` whose names begin with validate_ called for each message.
function modules.register(name, module)
  check.is(check.kinds.string, "msys.registerModule: argument 1", name)
  check.is(check.kinds.table, "msys.registerModule: argument 2", module)
  for i, other in ipairs(registered) do
    if other.name == name then table.remove(registered, i) break end
  end
  table.insert(registered, { name = name, module = module })
end

-- The `self` of the phases: one for each module and session.
local function new_self(module)
  return setmetatable({}, { __index = module })
end

local function run_phase(selves, phase, message)
  for i, entry in ipairs(registered) do
    local fn = entry.module[phase]
    selves[i] = selves[i] or new_self(entry.module)
    local verdict = fn and fn(selves[i], message.msg, message.ac, message.vctx)
    while verdict == AGAIN do
      coroutine.yield()
      verdict = fn(selves[i], message.msg, message.ac, message.vctx)
    end
    if verdict == DONE then return end
  end
end

local fields = {
  msg = { "any value", function() return true end },
  ac = { "any value", function() return true end },
  vctx = { "any value", function() return true end },
  phases = check.kinds.list,
}

--- Takes a message through the phases, then through validate_dealloc. The asynchronous calls
-- of a phase start at its end.
-- @tparam ?table message msg, ac, vctx: the arguments of the phases (a table each); phases:
--   their names, instead of Momentum's
function modules.validate(message)
  message = message or {}
  check.options(fields, "msys.validate: options", message)
  if not coroutine.running() then error("msys.validate: called outside a session", 2) end
  local all = { msg = message.msg or {}, ac = message.ac or {}, vctx = message.vctx or {} }
  local selves = {}
  for _, phase in ipairs(message.phases or PHASES) do
    run_phase(selves, phase, all)
    coroutine.yield() -- to the scheduler
  end
  run_phase(selves, "validate_dealloc", all)
end

return modules
