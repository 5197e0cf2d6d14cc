-- SPDX-License-Identifier: ISC
--
-- progress.lua: functions that stay in the state that made them; tasks that have a handle
-- call them there.
--
-- A call goes up from task to submitter until it reaches that state. The state holds the
-- function until it collects garbage and no handle is left anywhere. shared/progress.c counts the
-- handles. A sentinel is collected at each collection, and its finalizer looks at the count.

local core = require "weir.core"

local progress = {}

local made = {} -- key -> {fn =, peg =}, of this state
local is_watched = false

local function watch()
  core.progress_sentinel()
  is_watched = true
end

local function sweep()
  for key, one in pairs(made) do
    if not core.progress_is_wanted(one.peg) then made[key] = nil end
  end
end

local let_go = core.progress.__gc

function core.progress.__gc(handle)
  if not let_go(handle) then return end
  is_watched = false
  sweep()
  if next(made) then pcall(watch) end -- if memory is short, the next new handle watches
end

--- A new handle of fn.
function progress.new(fn)
  local handle, peg = core.progress_new()
  made[core.progress_key(handle)] = { fn = fn, peg = peg }
  if not is_watched then watch() end
  return handle
end

--- Returns or raises the outcome of core.run_in_main.
function progress.returned(ok, ...)
  if ok then return ... end
  error((...), 0)
end

--- Calls the handle's function, here or in a state further up; there this function, which
-- crosses by its name, is called again.
function progress.call(handle, ...)
  local one = made[core.progress_key(handle)]
  if one then return one.fn(...) end
  if not core.in_task() then
    error("weir.progress: the state that made the function has ended, or submitted none of these tasks", 0)
  end
  return progress.returned(core.run_in_main(progress.call, handle, ...))
end

function core.progress.__call(handle, ...)
  return progress.call(handle, ...)
end

function core.progress.__tostring()
  return "weir.progress"
end

return progress
