-- SPDX-License-Identifier: ISC

--- Signals of the process, as descriptors that a loop can wait for.
-- @module weir.signal

local check = require "weir.check"
local core = require "weir.core"

local signal = {}

local name_kind = check.word("HUP", "INT", "TERM", "USR1", "USR2", "WINCH")

--- Replaces the handler of a signal, until the result is released or collected. A signal that
-- comes before take has seen the last one goes to the handler that was there before.
-- @tparam string name "HUP", "INT", "TERM", "USR1", "USR2" or "WINCH"
-- @treturn ?weir.signal nil if a state of the process catches that signal already
-- @treturn ?string then why
function signal.catch(name, ...)
  check.none("weir.signal.catch", 2, ...)
  check.is(name_kind, "weir.signal.catch: argument 1", name)
  local catcher, problem = core.catch(core.signals[name])
  return catcher, problem
end

--- In a task: commands that this thread starts from now on keep the program's SIGPIPE, as
-- commands of the main thread do. Without this call they get the default SIGPIPE.
function signal.keep_pipe(...)
  check.none("weir.signal.keep_pipe", 1, ...)
  core.keep_sigpipe()
end

local catcher = {}
catcher.__index = catcher

--- A descriptor that is readable once the signal has come.
-- @function signal:fd
catcher.fd = core.signal_fd

--- Makes the descriptor unreadable again; call it before take.
-- @function signal:drain
catcher.drain = core.signal_drain

--- Whether the signal has come since the last take.
-- @function signal:take
catcher.take = core.signal_take

--- Restores the handler that was there before.
-- @function signal:release
catcher.release = core.signal_release

for name, value in pairs(catcher) do core.signal[name] = value end

return signal
