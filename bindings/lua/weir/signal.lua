-- SPDX-License-Identifier: ISC

--- Signals of the process, as something that a loop can wait for.
-- @module weir.signal

local check = require "weir.check"
local core = require "weir.core"

local signal = {}

local name_kind = check.word("HUP", "INT", "TERM", "USR1", "USR2", "WINCH")

--- Takes a signal from whoever had it, until it is released or collected. One that comes
-- while the last one was not taken goes to whoever had it before.
-- @tparam string name "HUP", "INT", "TERM", "USR1", "USR2" or "WINCH"
-- @treturn ?weir.signal nil when it is caught already, in whatever state of the process
-- @treturn ?string why, then
function signal.catch(name, ...)
  check.none("weir.signal.catch", 2, ...)
  check.is(name_kind, "weir.signal.catch: argument 1", name)
  local catcher, problem = core.catch(core.signals[name])
  return catcher, problem
end

--- In a task: commands that this thread starts from now on keep the program's SIGPIPE, as
-- those do that its main thread starts. Without it they get the default one.
function signal.keep_pipe(...)
  check.none("weir.signal.keep_pipe", 1, ...)
  core.keep_sigpipe()
end

local catcher = {}
catcher.__index = catcher

--- A descriptor, readable once the signal has come.
-- @function signal:fd
catcher.fd = core.signal_fd

--- Makes the descriptor unreadable again; call it before take.
-- @function signal:drain
catcher.drain = core.signal_drain

--- Whether the signal has come since the last take.
-- @function signal:take
catcher.take = core.signal_take

--- Puts the signal back to whoever had it.
-- @function signal:release
catcher.release = core.signal_release

for name, value in pairs(catcher) do core.signal[name] = value end

return signal
