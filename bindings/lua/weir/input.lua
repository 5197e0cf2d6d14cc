-- SPDX-License-Identifier: ISC
--
-- weir.input: standard input, read in a task without keeping the program from ending.

local core = require "weir.core"

local input = {}

--- io.read, which first waits without the C library's lock of standard input: at the end
-- of a process glibc from 2.41 on and musl wait for that lock. It is held while the rest of
-- a line, or of what else was asked for, is on its way.
function input.read(...)
  core.await_input()
  return io.read(...)
end

return input
