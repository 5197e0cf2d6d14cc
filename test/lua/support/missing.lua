-- SPDX-License-Identifier: ISC
--
-- missing.lua: a loop that this interpreter has no module of: said, and counted as skipped.

return function(name)
  print(("\nskipped: %s: not here for %s"):format(name, _VERSION))
  describe("under " .. name, function() pending "is not here" end)
end
