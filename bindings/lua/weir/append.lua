-- SPDX-License-Identifier: ISC
--
-- append.lua: appends a line to a file in a folder where other users may also write. It makes
-- the file with mode 0600, follows no link, and writes only to a regular file of this user
-- that has a single name. Returns true, or nil and why.

local core = require "weir.core"

return function(path, line)
  return core.append(path, line .. "\n")
end
