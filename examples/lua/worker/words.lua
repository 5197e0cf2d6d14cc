-- SPDX-License-Identifier: ISC
--
-- words.lua: a worker that counts how often a word occurs in a file.

local wanted = worker.peek() -- waits for its parent's message
local count = 0
for line in io.lines(wanted.path) do
  for word in line:gmatch "%a+" do
    if word == wanted.word then count = count + 1 end
  end
end
worker.message { word = wanted.word, count = count }
