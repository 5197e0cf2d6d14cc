-- SPDX-License-Identifier: ISC
--
-- no_loop.lua FILES...: counts words on all processors, without any loop, because get waits.
-- An error in a thread arrives here as a value.

local weir = require "weir"

local function count_words(name)
  local file = assert(io.open(name))
  local words = {}
  for text in file:read("*a"):gmatch "%a+" do
    local word = text:lower()
    words[word] = (words[word] or 0) + 1
  end
  file:close()
  return words -- the caller gets a copy
end

local pool = assert(weir.pool { name = "words" })
local futures = {}
for i, name in ipairs(arg) do
  futures[i] = pool:run(count_words, name)
end

local total = {}
for _, future in ipairs(futures) do
  local ok, words = future:get()
  if ok then
    for word, n in pairs(words) do total[word] = (total[word] or 0) + n end
  else
    print("cannot count " .. tostring(words))
  end
end
assert(pool:close())

local list = {}
for word in pairs(total) do list[#list + 1] = word end
table.sort(list, function(a, b) return total[a] > total[b] or total[a] == total[b] and a < b end)
for i = 1, math.min(5, #list) do print(total[list[i]], list[i]) end
