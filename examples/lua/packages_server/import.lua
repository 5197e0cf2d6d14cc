-- SPDX-License-Identifier: ISC
--
-- import.lua: reads package lists into the store, on a thread beside the loop.

local lists = require "lists"
local store = require "store"
local weir = require "weir"

-- A terminal shows one line that counts up; a file or a pipe gets only the last count.
local code = os.execute "test -t 2"
local on_terminal = code == true or code == 0 -- 0: of Lua 5.1
local line = on_terminal and "\rimport: %d packages" or "import: %d packages\n"

-- Runs in the main state: the task knows its progress, and the loop's state shows it.
local function show(count) io.stderr:write(line:format(count)) end

local function fill(db, names)
  local count, run_in_main = 0, require("weir").run_in_main
  for _, name in ipairs(names) do
    lists.read(name, function(...)
      store.add(db, ...)
      count = count + 1
      if on_terminal and count % 5000 == 0 then run_in_main(show, count) end
    end)
  end
  store.commit(db)
  run_in_main(show, count)
end

--- Runs in a coroutine of the loop. Raises if the import fails.
return function(path, names)
  local pool, problem = weir.pool {
    name = "import", threads = 1, init = store.open_writer, args = { path }, at_exit = store.close,
  }
  if not pool then error(problem, 0) end
  local ok, why = pool:task({ label = "import" }):run(fill, names):get()
  if on_terminal then io.stderr:write "\n" end
  assert(pool:close())
  if not ok then error(why, 0) end
end
