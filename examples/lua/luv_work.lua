-- SPDX-License-Identifier: ISC
--
-- luv_work.lua: a program of luv whose works carry tables. Its first line is all that was
-- changed, from require "luv".

local uv = require "weir.luv_work"

local function count(text, words) -- on a thread: may block as it likes
  local found = {}
  for i = 1, #words do
    local _, n = text:gsub(words[i], "")
    found[words[i]] = n
  end
  return found
end

local work = uv.new_work(count, function(found)
  print(found.river, found.weir)
end)

local timer = uv.new_timer()
timer:start(0, 0, function()
  work:queue("the river, the weir and the river", { "river", "weir" })
  timer:close()
end)
uv.run()
