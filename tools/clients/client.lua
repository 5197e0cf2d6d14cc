-- The installed rock, used outside the tree.
local weir = require "weir"

local path = package.searchpath and package.searchpath("weir.core", package.cpath) or ""
assert(path == "" or path:find(arg[1], 1, true), path)

local pool = assert(weir.pool { threads = 2, init = function(n) return { sum = n } end, args = { 40 } })
local future = pool:run(function(state, n) return state.sum + n end, 2)
local ok, sum = future:get()
assert(ok and sum == 42, sum)
local _, from_main = pool:run(function() return require("weir").run_in_main(function() return 7 end) end):get()
assert(from_main == 7)
assert(pool:close())
for _, name in ipairs { "worker", "thread", "msys" } do assert(require("weir." .. name)) end

-- Its threads run in the module while the state that loaded it is closed.
pool = assert(weir.pool { threads = 1 })
pool:run(function() while true do end end)
os.exit(0, true)
