-- SPDX-License-Identifier: ISC
--
-- luv_progress.lua FILES...: counts words in works. A work tells of each file through
-- weir.progress, where a program on luv alone has a uv_async_t.

local uv = require "weir.luv_work"
local weir = require "weir"

local files, words = 0, 0
local tell = weir.progress(function() files = files + 1 end) -- luv: uv.new_async(...)

local function count(paths) -- on a thread: may block as it likes
  local found = 0
  for _, path in ipairs(paths) do
    local file = assert(io.open(path))
    for _ in file:read("*a"):gmatch "%a+" do found = found + 1 end
    file:close()
    tell(path) -- luv: async:send(path)
  end
  return found
end

local work = uv.new_work(count, function(found)
  words = words + (found or 0) -- no value: the work failed
end, {
  on_error = function(problem) print((problem:gsub("^.-:%d+: ", ""))) end,
})

for _, path in ipairs(arg) do work:queue { path } end
work:queue(arg) -- one work for all of them
work:queue { "no/such/file" }
uv.run()
print(("%d files read, %d words"):format(files, words))
