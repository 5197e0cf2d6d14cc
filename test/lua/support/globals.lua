-- SPDX-License-Identifier: ISC
--
-- globals.lua: busted gives each test file a table of its own for globals, which tasks
-- would take with them. This puts the file back on the real ones:
--    local _ENV = require "support.globals"(getfenv and getfenv() or _ENV)

local NAMES = { "describe", "it", "setup", "teardown", "before_each", "after_each", "pending", "assert" }

-- busted's `pending` inside of a test is another than outside, and would be lost.
local skip = require "busted.core"().pending

return function(env)
  for _, name in ipairs(NAMES) do _G[name] = env[name] end
  _G.skip = skip -- skip(why), inside of a test: does not go on, and counts it as skipped
  if setfenv then setfenv(2, _G) end
  return _G
end
