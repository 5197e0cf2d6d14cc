-- SPDX-License-Identifier: ISC
--
-- append.lua: a line at the end of a file in a folder where others may write, too: made
-- with mode 0600; no link is followed, and nothing but a regular file of this user with
-- one name is written to. Returns true, or nil and why.

local core = require "weir.core"

return function(path, line)
  return core.append(path, line .. "\n")
end
